"""The timeline as Bokeh figures, one for each question, all with one x axis: zooming one moves the others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bokeh.embed import components
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, NumeralTickFormatter, Range1d
from bokeh.models.annotations import BoxAnnotation, Span
from bokeh.plotting import figure
from bokeh.resources import Resources

from harness.analysis.availability import SessionState
from harness.analysis.course import RequestLine
from harness.analysis.measures import Measures
from harness.analysis.server_events import ServerEvent
from harness.core.clock import to_s
from harness.core.words import Recovery
from harness.report import words

__all__ = ["OUTAGE_COLOURS", "STATE_COLOURS", "Drawn", "resources", "timeline"]

#: Told apart by lightness as well as by hue, on light and dark ground; from the bottom of the stack to its top.
STATE_COLOURS = {
    SessionState.WORKING: "#3d9a6b",
    SessionState.RESTARTED: "#4d7fc4",
    SessionState.STARTING: "#a9b3bd",
    SessionState.DISTURBED: "#eda93b",
    SessionState.LOST: "#c0362c",
}
OUTAGE_COLOURS = {
    Recovery.BY_DESIGN: "#eda93b",
    Recovery.BY_REPAIR: "#d9663b",
    Recovery.NOT_RECOVERED: "#c0362c",
}
LATENCY_COLOURS = {"work": "#4d7fc4", "save": "#2f9c95"}
FAILED, GOOD, FAULT = "#c0362c", "#3d9a6b", "#8a5fc0"
#: Readable on light and on dark ground; the page's own script sets better ones for each (`templates/page.js`).
INK, LINE = "#80868f", "rgba(128,134,143,0.25)"
#: Room for the names left of each plot, the same for all, so that one second is at one place in all of them.
_LEFT, _RIGHT = 128, 18
#: Drag marks a span of time to look at; everything else is done by buttons, which a keyboard reaches too.
_TOOLS = "xbox_zoom"


@dataclass(frozen=True)
class Drawn:
    """The plots as the page needs them."""

    script: str
    elements: Mapping[str, str]
    """Name of a plot -> its element; a plot without anything to show is not there."""


@cache
def resources() -> str:
    """Bokeh's script, inline: the page loads nothing from a network. Only the core: widgets, tables and formulas would
    be another 2.6 MB."""
    text: str = Resources(mode="inline", components=["bokeh"]).render_js()
    return text


def timeline(measures: Measures, requests: RequestLine | None = None) -> Drawn | None:
    """All plots; None where nothing was observed."""
    window = measures.facts.window
    if window is None:
        return None
    start_s, end_s = measures.seconds_from_origin(window.start_ns), measures.seconds_from_origin(window.end_ns)
    shared = Range1d(start=start_s, end=end_s, bounds=(start_s, end_s), min_interval=0.1, name="time")
    drawn = {
        "faults": _faults(measures, shared),
        "sessions": _sessions(measures, shared),
        "capabilities": _capabilities(measures, shared),
        "latency": _latency(measures, shared, requests),
        "failed": _failed(measures, shared, requests),
        "events": _events(shared, measures.server_events),
    }
    plots = {name: plot for name, plot in drawn.items() if plot is not None}
    if not plots:
        return None
    for name, plot in plots.items():
        if name != "faults":
            _shade(measures, plot)
        _plain(plot)
    *_, last = plots.values()
    injected = measures.facts.first_inject_ns is not None
    last.xaxis.axis_label = "seconds since the first injection" if injected else "seconds"
    last.height += 20
    script, elements = components(plots)
    return Drawn(script, elements)


def _figure(shared: Range1d, height: int, **more: Any) -> Any:
    return figure(
        height=height, x_range=shared, sizing_mode="stretch_width", tools=_TOOLS, toolbar_location=None,
        min_border_left=_LEFT, min_border_right=_RIGHT, min_border_top=4, min_border_bottom=4, **more,
    )  # fmt: skip


def _faults(measures: Measures, shared: Range1d) -> Any:
    """A lane for each fault: from injection to undoing, with a mark for each step that was reached."""
    faults = [fault for fault in measures.facts.faults if fault.inject_before_ns is not None]
    if not faults:
        return None
    names = [f"{fault.index} {fault.kind}" for fault in faults]
    plot = _figure(shared, 34 + 26 * len(names), y_range=FactorRange(factors=names[::-1]))
    spans: dict[str, Any] = {"name": names, "left": [], "right": [], "on": []}
    marks: dict[str, Any] = {"name": [], "at": [], "step": [], "marker": [], "size": []}
    for name, fault in zip(names, faults, strict=True):
        steps = {
            "inject": (fault.inject_before_ns, "triangle"),
            "proof": (fault.confirmed_ns, "circle"),
            "undo": (fault.undo_before_ns, "inverted_triangle"),
        }
        at = {step: measures.seconds_from_origin(t_ns) for step, (t_ns, _) in steps.items() if t_ns is not None}
        spans["left"].append(at["inject"])
        spans["right"].append(at.get("undo", shared.end))
        spans["on"].append(", ".join(fault.targets) or fault.target)
        for step, second in at.items():
            marks["name"].append(name)
            marks["at"].append(second)
            marks["step"].append(step)
            marks["marker"].append(steps[step][1])
            marks["size"].append(8 if step == "proof" else 15)  # the proof often comes within milliseconds
    bars = plot.hbar(
        y="name", left="left", right="right", height=0.62, source=ColumnDataSource(spans), fill_color=FAULT,
        fill_alpha=0.35, line_color=None,
    )  # fmt: skip
    dots = plot.scatter(
        x="at", y="name", marker="marker", size="size", source=ColumnDataSource(marks), fill_color=FAULT,
        line_color="#ffffff",
    )  # fmt: skip
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("@step", "@at{+0.000} s")]))
    plot.add_tools(
        HoverTool(renderers=[bars], tooltips=[("fault", "@name on @on"), ("held", "@left{+0.00} to @right{+0.00} s")])
    )
    return plot


def _sessions(measures: Measures, shared: Range1d) -> Any:
    line = measures.timeline
    if line is None:
        return None
    counts = [line.states[state] for state in STATE_COLOURS]
    last = len(line.times_ns) - 1
    # only where something changes: the areas are steps
    kept = [i for i in range(last + 1) if i in (0, last) or any(one[i] != one[i - 1] for one in counts)]
    seconds = [measures.seconds_from_origin(line.times_ns[i]) for i in kept]
    plot = _figure(shared, 220, y_range=Range1d(start=0, end=max(1, len(measures.sessions)) * 1.04))
    floor = [0] * len(kept)
    data: dict[str, Any] = {"seconds": [*seconds, seconds[-1] + to_s(line.step_ns)]}
    for state, one in zip(STATE_COLOURS, counts, strict=True):
        here = [one[i] for i in kept]
        top = [low + count for low, count in zip(floor, here, strict=True)]
        data[state.value] = [*here, here[-1]]
        data[f"{state.value}_low"], data[f"{state.value}_top"] = [*floor, floor[-1]], [*top, top[-1]]
        floor = top
    source = ColumnDataSource(data)
    for state, colour in STATE_COLOURS.items():
        plot.varea_step(
            x="seconds", y1=f"{state.value}_low", y2=f"{state.value}_top", source=source, step_mode="after",
            fill_color=colour, fill_alpha=0.9,
        )  # fmt: skip
    # an invisible line carries the hover: areas have none
    total = plot.step(x="seconds", y="lost_top", source=source, line_alpha=0, mode="after")
    tips = [("at", "@seconds{+0.00} s"), *((state.value, f"@{state.value}") for state in STATE_COLOURS)]
    plot.add_tools(HoverTool(renderers=[total], mode="vline", tooltips=tips))
    plot.yaxis.axis_label = "people"
    return plot


def _capabilities(measures: Measures, shared: Range1d) -> Any:
    probed = [one for one in measures.capabilities if one.samples]
    if not probed:
        return None
    names = [one.capability for one in reversed(probed)]
    plot = _figure(shared, 34 + 30 * len(names), y_range=FactorRange(factors=names))
    plot.hbar(y=names, left=shared.start, right=shared.end, height=0.5, fill_color=GOOD, line_color=None)
    rows: dict[str, Any] = {
        key: [] for key in ("capability", "left", "right", "earliest", "latest", "colour", "length", "how", "places")
    }
    for outage in measures.outages:
        rows["capability"].append(outage.capability)
        rows["left"].append(measures.seconds_from_origin(outage.start_ns))
        rows["right"].append(measures.seconds_from_origin(outage.end_ns))
        rows["earliest"].append(measures.seconds_from_origin(outage.start_lower_ns))
        rows["latest"].append(measures.seconds_from_origin(outage.end_upper_ns or outage.end_ns))
        rows["colour"].append(OUTAGE_COLOURS[outage.recovery])
        rows["length"].append(words.bounds(outage))
        rows["how"].append(words.recovered(outage.recovery))
        rows["places"].append(words.places(outage))
    source = ColumnDataSource(rows)
    # what the edges allow, behind what is the best estimate
    plot.hbar(
        y="capability", left="earliest", right="latest", height=0.8, source=source, fill_color="colour",
        fill_alpha=0.4, line_color=None,
    )  # fmt: skip
    bars = plot.hbar(
        y="capability", left="left", right="right", height=0.8, source=source, fill_color="colour", line_color=None
    )
    longest = {one.capability: one.longest for one in probed if one.longest is not None}
    plot.text(
        x=[measures.seconds_from_origin(outage.start_ns) for outage in longest.values()], y=list(longest),
        text=[f"{outage.seconds:.1f} s" for outage in longest.values()], x_offset=4, text_baseline="middle",
        text_color="#1d2129", text_font_size="12px", text_font_style="bold",
    )  # fmt: skip
    tips = [("capability", "@capability"), ("outage", "@length"), ("recovered", "@how"), ("at", "@places")]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tips))
    return plot


def _latency(measures: Measures, shared: Range1d, requests: RequestLine | None) -> Any:
    """p50 as a line, p99 as a lighter one; a gap where nothing succeeded."""
    if requests is None or not requests.latencies:
        return None
    seconds = _middles(measures, requests)
    every = [value for one in requests.latencies for value in (*one.p50_s, *one.p99_s) if value]
    room = Range1d(start=10 ** math.floor(math.log10(min(every) * 1000)), end=max(every) * 2000)
    plot = _figure(shared, 170, y_axis_type="log", y_range=room)
    for one in requests.latencies:
        data: dict[str, Any] = {"seconds": seconds, "p50": _milliseconds(one.p50_s), "p99": _milliseconds(one.p99_s)}
        source, colour = ColumnDataSource(data), LATENCY_COLOURS[one.capability]
        plot.line(
            x="seconds", y="p99", source=source, line_color=colour, line_alpha=0.55, line_dash="4 3", line_width=2
        )
        plot.scatter(x="seconds", y="p99", source=source, color=colour, fill_alpha=0.0, line_alpha=0.55, size=4)
        middle = plot.line(x="seconds", y="p50", source=source, line_color=colour, line_width=2)
        tips = [
            ("at", "@seconds{+0.0} s"),
            (f"{one.capability} p50", "@p50{0.0} ms"),
            (f"{one.capability} p99", "@p99{0.0} ms"),
        ]
        plot.add_tools(HoverTool(renderers=[middle], mode="vline", tooltips=tips))
    plot.yaxis.axis_label = "ms"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0]")
    return plot


def _failed(measures: Measures, shared: Range1d, requests: RequestLine | None) -> Any:
    if requests is None:
        return None
    width_s = to_s(requests.step_ns)
    some = [(at, count) for at, count in zip(_middles(measures, requests), requests.failed, strict=True) if count]
    room = Range1d(start=0, end=max([1, *requests.failed]) * 1.1)
    plot = _figure(shared, 100, y_range=room)
    source = ColumnDataSource({"seconds": [at for at, _ in some], "failed": [count for _, count in some]})
    bars = plot.vbar(x="seconds", top="failed", width=width_s * 0.9, source=source, fill_color=FAILED, line_color=None)
    plot.add_tools(HoverTool(renderers=[bars], tooltips=[("at", "@seconds{+0.0} s"), ("failed", "@failed")]))
    plot.yaxis.axis_label = "failed" if width_s == 1 else f"in {width_s:g} s"
    plot.yaxis.ticker.desired_num_ticks = 3
    plot.yaxis.ticker.min_interval = 1
    return plot


def _events(shared: Range1d, events: Sequence[ServerEvent]) -> Any:
    if not events:
        return None
    sources = list(dict.fromkeys(event.source for event in events))
    plot = _figure(shared, 34 + 24 * len(sources), y_range=FactorRange(factors=sources[::-1]))
    rows: dict[str, Any] = {
        "seconds": [event.at_s for event in events],
        "source": [event.source for event in events],
        "kind": [event.kind.value.replace("_", " ") for event in events],
        "text": [event.text for event in events],
    }
    dots = plot.scatter(
        x="seconds", y="source", marker="diamond", size=12, source=ColumnDataSource(rows), fill_color=FAULT,
        fill_alpha=0.7, line_color="#ffffff",
    )  # fmt: skip
    tips = [("at", "@seconds{+0.00} s"), ("@source", "@kind"), ("", "@text")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    return plot


def _middles(measures: Measures, requests: RequestLine) -> list[float]:
    """The middle of each step."""
    first = requests.start_ns + requests.step_ns // 2
    return [measures.seconds_from_origin(first + requests.step_ns * index) for index in range(len(requests.failed))]


def _milliseconds(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value * 1000 for value in values]


def _shade(measures: Measures, plot: Any) -> None:
    """The time of each fault, behind the data, whose colours mean something."""
    for fault in measures.facts.faults:
        if fault.inject_before_ns is None:
            continue
        begin = measures.seconds_from_origin(fault.inject_before_ns)
        stop = None if fault.undo_before_ns is None else measures.seconds_from_origin(fault.undo_before_ns)
        proof = None if fault.confirmed_ns is None else measures.seconds_from_origin(fault.confirmed_ns)
        held_until = plot.x_range.end if stop is None else stop
        shade = BoxAnnotation(left=begin, right=held_until, fill_color=FAULT, fill_alpha=0.14, line_color=None)
        shade.level = "underlay"
        plot.add_layout(shade)
        for at, dash in ((begin, "solid"), (proof, "dotted"), (stop, "dashed")):
            if at is not None:
                plot.add_layout(Span(location=at, dimension="height", line_color=FAULT, line_dash=dash, line_width=2))


def _plain(plot: Any) -> None:
    """No ground of its own, so that the page's shows through in light and dark."""
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.xgrid.grid_line_color = plot.ygrid.grid_line_color = LINE
    for axis in _axes(plot):
        axis.axis_line_color = axis.major_tick_line_color = INK
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "13px"
        axis.axis_label_text_font_style = "normal"


def _axes(plot: Any) -> Iterator[Any]:
    yield from plot.axis
