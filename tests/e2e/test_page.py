"""The page of a run in a real browser: it opens without an error and asks nothing of a network, its plots move
together, its table sorts and opens, by mouse and by keyboard. The pages are of runs on the fake runtime: no engine.

Screenshots, light, dark and as printed, are kept in `results/screenshots`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.analysis import ROWS_PER_BEAT, write_run
from harness.core.verdict import Outcome
from harness.run.artifacts import RunFolder
from harness.runtime.fake import Behaviour
from harness.spec.loader import load_topology
from tests.unit.fake_runs import NO_TAKEOVER, ROOT, Result, Toothless, experiment, run_once

SCREENSHOTS = ROOT / "results/screenshots"
MEGABYTE = 1_000_000
PEOPLE, MINUTES = 2000, 10


@dataclass
class Opened:
    """A page in a tab, and what it did that it must not do."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def shown(self) -> list[list[float]]:
        """The seconds at both ends of each plot, as they are drawn: not what the model says, but its scale."""
        found: list[list[float]] = self.page.evaluate(
            "() => Bokeh.index.roots.filter(view => view.frame).map(view => {"
            " const {source_range: x} = view.frame.x_scale; return [x.start, x.end]; })"
        )
        return found


@contextmanager
def opened(browser: Browser, path: Path, **context: Any) -> Iterator[Opened]:
    """A page from disk, in a window of 1300 pixels unless `context` says another size."""
    window = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **context})
    page = window.new_page()
    one = Opened(page)
    page.on(
        "console", lambda message: one.complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: one.complaints.append(str(error)))
    page.on("request", lambda request: one.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    yield one
    assert one.complaints == []
    assert [url for url in one.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
    window.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Outcome, Result]:
    """A run of each outcome."""
    usual, asleep = load_topology(ROOT / "topologies/active-passive.yaml"), load_topology(NO_TAKEOVER)
    node_kill = experiment("node-kill")
    found = [
        run_once(tmp_path_factory.mktemp("page"), usual, node_kill),
        run_once(tmp_path_factory.mktemp("page"), asleep, node_kill, Behaviour(takeover_s=1e9)),
        run_once(tmp_path_factory.mktemp("page"), usual, node_kill, Behaviour(faults={"kill": Toothless()})),
        run_once(tmp_path_factory.mktemp("page"), usual, node_kill, Behaviour(never_ready="database")),
    ]
    return {one.outcome: one for one in found}


@pytest.fixture(scope="module")
def usual(runs: Mapping[Outcome, Result]) -> Path:
    return runs[Outcome.PASS].folder.report


@pytest.mark.parametrize(
    ("outcome", "first"),
    [
        (Outcome.PASS, "Workbench-0 died with 12 of 12 sessions on it: 12 people lost what was in memory, "),
        (Outcome.FAIL, "Workbench-0 died with 12 of 12 sessions on it: 12 people lost what was in memory, "),
        (Outcome.INCONCLUSIVE, "This run proves nothing yet: "),
        (Outcome.ERROR, "The harness broke during this run, so it says nothing about the platform."),
    ],
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_a_complaint_and_asks_nothing_of_a_network(
    outcome: Outcome, first: str, scheme: str, runs: Mapping[Outcome, Result], chromium: Browser
) -> None:
    report = runs[outcome].folder.report
    assert report.stat().st_size < 3 * MEGABYTE
    with opened(chromium, report, color_scheme=scheme) as one:
        expect(one.page.locator(".outcome")).to_have_text(outcome.value)
        expect(one.page.locator(".sentence").first).to_have_text(re.compile("^" + re.escape(first)))
        ground = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground))) < 3 * 128) == (scheme == "dark")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        one.page.screenshot(path=SCREENSHOTS / f"{outcome.value.lower()}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("width", [1300, 1920])
def test_nothing_scrolls_sideways(width: int, usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual, viewport={"width": width, "height": 900}) as one:
        wider = "e => e.scrollWidth > e.clientWidth"
        assert not one.page.evaluate(f"({wider})(document.documentElement)")
        assert [e for e in one.page.query_selector_all(".scroll") if e.evaluate(wider)] == []


def test_zooming_one_plot_moves_the_others(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        whole = one.shown()
        assert len(whole) == 6
        plot = one.page.locator("#plot-sessions")
        plot.scroll_into_view_if_needed()  # a mouse reaches only what is in the window
        box = plot.bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        one.page.mouse.move(box["x"] + box["width"] * 0.3, y)
        one.page.mouse.down()
        one.page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=5)
        one.page.mouse.up()
        one.page.wait_for_function(
            "start => Bokeh.index.roots.find(view => view.frame).frame.x_scale.source_range.start > start",
            arg=whole[0][0],
        )
        zoomed = one.shown()
        assert zoomed == [zoomed[0]] * len(whole)
        assert zoomed[0][1] - zoomed[0][0] < 0.4 * (whole[0][1] - whole[0][0])
        one.page.get_by_role("button", name="Whole run").press("Enter")
        assert one.shown() == whole


def test_the_timeline_can_be_moved_by_the_keyboard_alone(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        ((low, high), *_) = one.shown()
        one.page.get_by_role("button", name="Zoom in").press("Enter")
        assert one.shown()[0] == pytest.approx([low + (high - low) / 4, high - (high - low) / 4])
        one.page.get_by_role("button", name="Later").press("Enter")
        assert one.shown()[-1][0] > low + (high - low) / 4
        span = one.page.locator("#span").inner_text()
        one.page.get_by_role("button", name="Zoom out").press("Space")
        expect(one.page.locator("#span")).not_to_have_text(span)


def test_the_sessions_sort_by_a_heading_either_way(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        header = one.page.locator("#sessions thead th", has_text="person")
        people = one.page.locator("#sessions tbody tr.person th")
        # by the number in a name, not by its digits: user2 comes before user10
        rising = [f"user{index}" for index in range(12)]
        button = header.get_by_role("button")
        acts: tuple[Callable[[], None], ...] = (button.click, lambda: button.press("Enter"))
        for act, sort, expected in zip(acts, ("descending", "ascending"), (rising[::-1], rising), strict=True):
            act()
            assert header.get_attribute("aria-sort") == sort
            assert people.all_inner_texts() == expected
        one.page.locator("#sessions thead th", has_text="longest").get_by_role("button").press("Enter")
        assert one.page.locator("#sessions thead [aria-sort]").count() == 1


def test_a_click_shows_what_somebody_did_and_another_one_hides_it(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        button = one.page.locator("#sessions tbody button").first
        name = button.inner_text()
        row = one.page.locator("#sessions tbody tr.person td").first
        acts: tuple[Callable[[], None], ...] = (row.click, lambda: button.press("Enter"))
        for act in acts:
            act()
            expect(button).to_have_attribute("aria-expanded", "true")
            did = one.page.locator("tr.did")
            expect(did.locator("caption")).to_contain_text(name)
            expect(did.locator("td.bad").first).to_have_text("failed")
            expect(did).to_contain_text("memory lost: 1 where")
            act()
            expect(did).to_have_count(0)
            expect(button).to_have_attribute("aria-expanded", "false")


def test_an_open_session_closes_when_the_table_is_sorted(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        one.page.locator("#sessions tbody button").nth(3).click()
        expect(one.page.locator("tr.did table")).to_have_count(1)
        one.page.locator("#sessions thead button").first.click()
        expect(one.page.locator("tr.did")).to_have_count(0)


def test_the_switch_changes_page_and_plots_and_is_remembered(usual: Path, chromium: Browser) -> None:
    ink = "() => [...Bokeh.documents[0]._all_models.values()].find(m => m.type === 'LinearAxis').major_label_text_color"
    with opened(chromium, usual, color_scheme="light") as one:
        light = one.page.evaluate(ink)
        one.page.locator("#theme").press("Enter")
        assert one.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert one.page.evaluate(ink) != light
        assert one.page.locator("#theme").get_attribute("aria-label") == "Switch to light"
        one.page.reload()
        one.page.wait_for_selector("html[data-ready]")
        assert one.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
        one.requests.pop()  # the reload


def test_a_screen_reader_finds_tables_plots_and_landmarks(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual) as one:
        page = one.page
        assert page.locator("table:not(:has(th[scope]))").count() == 0
        assert page.locator('[role="img"]:not([aria-label]):not([aria-labelledby])').count() == 0
        assert page.locator("h1").count() == 1
        assert page.locator("button").evaluate_all("all => all.filter(b => !b.innerText.trim()).length") == 0
        for element in page.locator("[aria-labelledby]").all():
            for name in (element.get_attribute("aria-labelledby") or "").split():
                assert page.locator(f"[id={name}]").count() == 1, name
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the verdict"


def test_printed_it_has_the_plots_on_white_ground_from_a_dark_window_too(usual: Path, chromium: Browser) -> None:
    with opened(chromium, usual, color_scheme="dark", viewport={"width": 1920, "height": 900}) as one:
        pdf = one.page.pdf(prefer_css_page_size=True)
        assert pdf.startswith(b"%PDF")
        # what the browser did before it printed stays, so it can be looked at
        one.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        one.page.emulate_media(media="print")
        one.page.set_viewport_size({"width": 1047, "height": 740})  # A4 on its side, less the margins
        assert one.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        pictures = one.page.locator("img.printed")
        assert pictures.count() == 6
        for picture in pictures.all():
            box = picture.bounding_box()
            assert box is not None
            assert 900 < box["width"] <= 1047
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / "pass.pdf").write_bytes(pdf)
        one.page.screenshot(path=SCREENSHOTS / "pass-printed.png", full_page=True)


@pytest.mark.catalogue
def test_ten_minutes_of_2000_people_open_soon(tmp_path: Path, chromium: Browser) -> None:
    folder = RunFolder.existing(write_run(tmp_path, round(ROWS_PER_BEAT * 60 * MINUTES)))
    folder.analyse()
    assert folder.report.stat().st_size < 15 * MEGABYTE
    window = chromium.new_context(viewport={"width": 1300, "height": 900})
    page = window.new_page()
    session = window.new_cdp_session(page)
    # processor time, not the clock on the wall: other programs may be busy
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(folder.report.as_uri())
    page.wait_for_selector("html[data-ready]")
    spent = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    assert spent["TaskDuration"] < 3
    people = page.locator("#sessions tbody tr.person")
    assert people.count() == PEOPLE
    page.locator("#sessions tbody button").first.click()
    expect(page.locator("tr.did td.bad").first).to_have_text("failed")
    disturbed = page.locator("#sessions tbody tr.person td:nth-child(4)")
    for sort, expected in (("descending", "30."), ("ascending", "–")):
        page.locator("#sessions thead th", has_text="disturbed").get_by_role("button").click()
        assert page.locator("#sessions thead [aria-sort]").get_attribute("aria-sort") == sort
        assert disturbed.first.inner_text().startswith(expected)
    page.screenshot(path=SCREENSHOTS / "2000-people.png")
    window.close()
