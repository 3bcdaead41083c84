"""The timeline as Bokeh figures: sessions by state, capabilities with their outages, faults; one x axis for both."""

from __future__ import annotations

from typing import Any

from bokeh.embed import components
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, Range1d
from bokeh.models.annotations import BoxAnnotation, Label, Span
from bokeh.plotting import figure
from bokeh.resources import INLINE

from harness.analysis.availability import SessionState
from harness.analysis.measures import Measures
from harness.core.clock import to_s
from harness.core.words import Recovery
from harness.report import words

__all__ = ["OUTAGE_COLOURS", "STATE_COLOURS", "resources", "timeline"]

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
#: Mid grey and translucent lines can be read on light and on dark ground: a canvas does not follow the page's theme.
INK, LINE, FAULT = "#80868f", "rgba(128,134,143,0.25)", "#8a5fc0"


def resources() -> str:
    """Bokeh's own scripts, inline: the page loads nothing from a network."""
    text: str = INLINE.render()
    return text


def timeline(measures: Measures) -> tuple[str, str] | None:
    """Script and element of the timeline; None where nothing was observed."""
    window = measures.facts.window
    if window is None:
        return None
    start_s, end_s = measures.seconds_from_origin(window.start_ns), measures.seconds_from_origin(window.end_ns)
    shared = Range1d(start=start_s, end=end_s, bounds=(start_s, end_s))
    plots = [plot for plot in (_sessions(measures, shared), _capabilities(measures, shared)) if plot is not None]
    if not plots:
        return None
    for index, plot in enumerate(plots):
        _faults(measures, plot, named=index == 0)
        _plain(plot)
    plots[-1].xaxis.axis_label = (
        "seconds since the first injection" if measures.facts.first_inject_ns is not None else "seconds"
    )
    script, element = components(column(*plots, sizing_mode="stretch_width"))
    return script, element


def _sessions(measures: Measures, shared: Range1d) -> Any:
    line = measures.timeline
    if line is None:
        return None
    seconds = [measures.seconds_from_origin(t_ns) for t_ns in line.times_ns]
    room = Range1d(start=0, end=len(measures.sessions) * 1.18)  # above the stack: the marks of the faults
    plot = figure(
        height=240, x_range=shared, y_range=room, sizing_mode="stretch_width",
        title="Sessions by state", tools="xpan,xwheel_zoom,xbox_zoom,reset", toolbar_location="right",
    )  # fmt: skip
    floor = [0] * len(seconds)
    data: dict[str, Any] = {"seconds": [*seconds, seconds[-1] + to_s(line.step_ns)]}
    for state in STATE_COLOURS:
        data[state.value] = [*line.states[state], line.states[state][-1]]
        top = [low + here for low, here in zip(floor, line.states[state], strict=True)]
        data[f"{state.value}_low"], data[f"{state.value}_top"] = [*floor, floor[-1]], [*top, top[-1]]
        floor = top
    source = ColumnDataSource(data)
    for state, colour in STATE_COLOURS.items():
        plot.varea_step(
            x="seconds", y1=f"{state.value}_low", y2=f"{state.value}_top", source=source, step_mode="after",
            fill_color=colour, fill_alpha=0.9,
        )  # fmt: skip
    # an invisible line carries the hover: areas have none
    total = plot.line(x="seconds", y="lost_top", source=source, line_alpha=0)
    tips = [("at", "@seconds{+0.00} s"), *((state.value, f"@{state.value}") for state in STATE_COLOURS)]
    plot.add_tools(HoverTool(renderers=[total], mode="vline", tooltips=tips))
    return plot


def _capabilities(measures: Measures, shared: Range1d) -> Any:
    probed = [one for one in measures.capabilities if one.samples]
    if not probed:
        return None
    names = [one.capability for one in reversed(probed)]
    plot = figure(
        height=70 + 34 * len(names), x_range=shared, y_range=FactorRange(factors=names), sizing_mode="stretch_width",
        title="Capabilities and their outages", tools="xpan,xwheel_zoom,xbox_zoom,reset", toolbar_location="right",
    )  # fmt: skip
    plot.hbar(y=names, left=shared.start, right=shared.end, height=0.5, fill_color="#3d9a6b", line_color=None)
    outages = measures.outages
    rows: dict[str, Any] = {
        "capability": [outage.capability for outage in outages],
        "left": [measures.seconds_from_origin(outage.start_ns) for outage in outages],
        "right": [measures.seconds_from_origin(outage.end_ns) for outage in outages],
        "earliest": [measures.seconds_from_origin(outage.start_lower_ns) for outage in outages],
        "latest": [measures.seconds_from_origin(outage.end_upper_ns or outage.end_ns) for outage in outages],
        "colour": [OUTAGE_COLOURS[outage.recovery] for outage in outages],
        "length": [words.bounds(outage) for outage in outages],
        "recovered": [words.recovered(outage.recovery) for outage in outages],
        "places": [words.places(outage) for outage in outages],
    }
    source = ColumnDataSource(rows)
    plot.hbar(
        y="capability", left="earliest", right="latest", height=0.72, source=source, fill_color="colour",
        fill_alpha=0.35, line_color=None,
    )  # fmt: skip
    bars = plot.hbar(
        y="capability", left="left", right="right", height=0.72, source=source, fill_color="colour", line_color=None
    )
    tips = [("capability", "@capability"), ("outage", "@length"), ("recovered", "@recovered"), ("at", "@places")]
    plot.add_tools(HoverTool(renderers=[bars], tooltips=tips))
    return plot


def _faults(measures: Measures, plot: Any, *, named: bool) -> None:
    for fault in measures.facts.faults:
        if fault.inject_before_ns is None:
            continue
        begin = measures.seconds_from_origin(fault.inject_before_ns)
        undo_ns = fault.undo_before_ns
        stop = None if undo_ns is None else measures.seconds_from_origin(undo_ns)
        held_until = plot.x_range.end if stop is None else stop
        shade = BoxAnnotation(left=begin, right=held_until, fill_color=FAULT, fill_alpha=0.16, line_color=None)
        shade.level = "underlay"  # behind the data, whose colours mean something
        plot.add_layout(shade)
        for at, text in ((begin, f"inject {fault.kind}"), (stop, "undo")):
            if at is None:
                continue
            plot.add_layout(Span(location=at, dimension="height", line_color=FAULT, line_dash="dashed", line_width=2))
            if named:
                label = Label(
                    x=at, y=len(measures.sessions) * 1.03, text=text, x_offset=5, text_font_size="12px",
                    text_color=FAULT, text_font_style="bold",
                )  # fmt: skip
                plot.add_layout(label)


def _plain(plot: Any) -> None:
    """No ground of its own, so that the page's shows through in light and dark."""
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.min_border_left = 110
    plot.title.text_color = INK
    plot.title.text_font_size = "14px"
    plot.toolbar.logo = None
    plot.xgrid.grid_line_color = plot.ygrid.grid_line_color = LINE
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = INK
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"
