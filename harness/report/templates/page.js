"use strict";
// The page's own script: theme, buttons of the timeline, the table of sessions. Texts are only ever set as text.
(() => {
  const root = document.documentElement;
  const wish = window.matchMedia("(prefers-color-scheme: dark)");

  // -- dark and light ------------------------------------------------------------------------------------------------
  const store = {
    // a page from disk may have no storage: then the choice lasts as long as the page
    get() { try { return localStorage.getItem("theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("theme", theme); } catch { /* as above */ } },
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);

  // A canvas does not follow the style sheet, so its inks are set here.
  const paint = (dark) => {
    const ink = dark ? "#c3cad4" : "#3d4450";
    const line = dark ? "rgba(195,202,212,0.18)" : "rgba(61,68,80,0.15)";
    for (const model of models()) {
      if (/Axis$/.test(model.type)) {
        model.setv({ axis_line_color: ink, major_tick_line_color: ink, major_label_text_color: ink, axis_label_text_color: ink });
      } else if (model.type === "Grid") {
        model.setv({ grid_line_color: line });
      }
    }
  };
  function* models() {
    if (!window.Bokeh) return;
    for (const drawn of Bokeh.documents) yield* drawn._all_models.values();
  }
  const themed = () => {
    const button = document.getElementById("theme");
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"}`);
    paint(isDark());
  };
  if (store.get()) root.dataset.theme = store.get();

  // -- the timeline --------------------------------------------------------------------------------------------------
  const time = () => [...models()].find((model) => model.name === "time");
  const move = (how) => {
    const range = time();
    const [low, high] = range.bounds;
    const length = range.end - range.start;
    const middle = (range.start + range.end) / 2;
    const [start, end] = {
      in: [middle - length / 4, middle + length / 4],
      out: [middle - length, middle + length],
      back: [range.start - length / 4, range.end - length / 4],
      on: [range.start + length / 4, range.end + length / 4],
      all: [low, high],
    }[how];
    const wide = Math.min(end - start, high - low);
    const from = Math.max(low, Math.min(start, high - wide));
    range.setv({ start: from, end: from + wide });
    said();
  };
  const said = () => {
    const range = time();
    if (!range) return;
    const sign = (value) => (value < 0 ? "" : "+") + value.toFixed(1);
    document.getElementById("span").textContent = `${sign(range.start)} s to ${sign(range.end)} s`;
  };

  // -- the table of sessions -----------------------------------------------------------------------------------------
  const table = document.getElementById("sessions");
  const body = table && table.tBodies[0];
  let packed = null; // the promise of what everybody did

  const unpack = async () => {
    const text = document.getElementById("operations").textContent.trim();
    if (!window.DecompressionStream) throw new Error("this browser is too old to unpack it; it is in operations.parquet");
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const element = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text }, more);
  const seconds = (value) => `${value < 0 ? "" : "+"}${value.toFixed(2)} s`;

  const did = (lines, caption) => {
    const inner = element("table", "");
    inner.append(element("caption", caption));
    const head = inner.createTHead().insertRow();
    for (const name of ["from", "to", "what", "", "slowest", "node", "remark"]) head.append(element("th", name, { scope: "col" }));
    const rows = inner.createTBody();
    for (const line of lines) {
      const row = rows.insertRow();
      if (typeof line === "number") {
        row.append(element("td", `and ${line} more, in operations.parquet`, { colSpan: 7 }));
        continue;
      }
      const [from, to, ok, what, slowest, remark, node] = line;
      for (const text of [seconds(from), seconds(to), what]) row.append(element("td", text));
      row.append(element("td", ok ? "good" : "failed", { className: ok ? "good" : "bad" }));
      for (const text of [`${slowest.toFixed(1)} ms`, node, remark]) row.append(element("td", text));
    }
    return inner;
  };
  const toggle = async (row) => {
    const button = row.querySelector("button");
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      row.nextElementSibling.remove();
      return;
    }
    const more = element("tr", "", { className: "did" });
    const cell = element("td", "unpacking …", { colSpan: row.cells.length });
    more.append(cell);
    row.after(more);
    try {
      packed ??= unpack();
      const lines = (await packed)[Number(row.dataset.row)];
      cell.replaceChildren(did(lines, `What ${button.textContent} did. Good operations in a row that look alike are one line.`));
    } catch (error) {
      cell.textContent = `What this person did can't be shown: ${error.message}`;
    }
  };
  const sort = (header) => {
    const falling = header.getAttribute("aria-sort") !== "descending";
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    for (const row of [...body.querySelectorAll("tr.did")]) toggle(row.previousElementSibling);
    const key = (row) => {
      const cell = row.cells[header.cellIndex];
      return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
    };
    const keyed = [...body.rows].map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true })));
    if (falling) keyed.reverse();
    body.append(...keyed.map(([, row]) => row));
  };
  if (table) {
    table.tHead.addEventListener("click", (event) => {
      const header = event.target.closest("th");
      if (header) sort(header);
    });
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr.person");
      if (row && row.querySelector("button") && !String(window.getSelection())) toggle(row);
    });
  }

  // -- once the plots are there --------------------------------------------------------------------------------------
  const ready = () => {
    themed();
    const range = time();
    if (range) {
      range.change.connect(said);
      said();
    }
    root.dataset.ready = "yes";
  };
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    store.set(root.dataset.theme);
    themed();
  });
  wish.addEventListener("change", themed);
  // A canvas keeps the width and the inks of the window: paper gets pictures of the plots, drawn for it.
  window.addEventListener("beforeprint", () => {
    paint(false);
    for (const view of window.Bokeh ? Bokeh.index.roots : []) {
      const plot = view.el.closest(".plot");
      if (!plot) continue; // a tooltip
      const picture = plot.querySelector(".printed") ?? element("img", "", { className: "printed", alt: "" });
      picture.src = view.export("png", true).canvas.toDataURL();
      plot.append(picture);
    }
  });
  window.addEventListener("afterprint", () => paint(isDark()));
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(button.dataset.move));
  }
  const wait = () => {
    const expected = document.querySelectorAll(".plot").length;
    const there = document.querySelectorAll(".plot .bk-Figure").length;
    if (there < expected) requestAnimationFrame(wait);
    else ready();
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", wait);
  else wait();
})();
