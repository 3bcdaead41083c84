"""The page over all results: small charts of every measure by experiment and topology, drawn as SVG by hand. It loads
nothing, so it can be archived and opened anywhere; a canvas for each of some hundred charts would be slow to open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from harness.analysis.comparable import Comparable
from harness.analysis.differences import Reading
from harness.analysis.trends import PastRun, Series, Trend, Trends
from harness.core.verdict import Outcome
from harness.report.templating import page_template

__all__ = ["render_history"]

WIDTH, HEIGHT = 380, 84
#: Room for the marks and the largest value above, and for runs without proof below.
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 16, 14
#: Of a point, where there is room for it.
RADIUS, RADIUS_AT_LEAST = 3.2, 1.2
_TIME = "%Y-%m-%d %H:%M UTC"
_NOT_RECORDED = "not recorded"


@dataclass(frozen=True, kw_only=True)
class _Chart:
    """One measure of a trend."""

    title: str
    last: str
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class _Section:
    """One experiment on one topology."""

    anchor: str
    trend: Trend
    charts: Sequence[_Chart]
    more: Sequence[_Chart]
    """What does not decide a comparison."""
    equal: Sequence[str]
    """Measures that are the same in all runs."""
    runs: Markup
    """What is known of each, as JSON."""


def render_history(found: Trends) -> str:
    """The page. Texts from outside are escaped."""
    sections = [_section(index, trend) for index, trend in enumerate(found.trends)]
    experiments = sorted({trend.experiment for trend in found.trends})
    topologies = sorted({trend.topology for trend in found.trends})
    return page_template("history.html.j2").render(
        found=found,
        sections=sections,
        experiments=experiments,
        topologies=topologies,
        by_place={(one.trend.topology, one.trend.experiment): one for one in sections},
        revisions=len({run.revision for trend in found.trends for run in trend.runs if run.revision}),
        not_recorded=_NOT_RECORDED,
        time=_TIME,
    )


def _section(index: int, trend: Trend) -> _Section:
    series = list(trend.series())
    charts = [(one, _chart(one, trend)) for one in series if one.varies]
    return _Section(
        anchor=f"cell-{index}",
        trend=trend,
        charts=[chart for one, chart in charts if one.comparable.gated],
        more=[chart for one, chart in charts if not one.comparable.gated],
        equal=[
            f"{one.comparable.title} {_text(one.known[-1], one.comparable)}"
            for one in series
            if not one.varies and one.comparable.gated
        ],
        runs=_json([_facts(run) for run in trend.runs]),
    )


def _facts(run: PastRun) -> dict[str, Any]:
    lines = [
        ["run", run.name],
        ["verdict", f"{run.outcome.value}: {run.reason}"],
        ["harness", run.revision or _NOT_RECORDED],
        ["platform and experiment", run.spec or _NOT_RECORDED],
        *([name, text] for name, text in run.details),
    ]
    return {"when": run.started.strftime(_TIME), "lines": lines}


def _json(content: object) -> Markup:
    """For a script element: nothing in it can end the element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704 - escaped above


# -- charts --------------------------------------------------------------------------------------------------------


def _chart(series: Series, trend: Trend) -> _Chart:
    last = series.known[-1]
    return _Chart(
        title=series.comparable.title,
        last=_text(last, series.comparable),
        svg=Markup("".join(_svg(series, trend))),  # noqa: S704 - every text in it is escaped where it is put in
    )


def _svg(series: Series, trend: Trend) -> Iterator[str]:
    count = len(series.values)
    most = max(value.value for value in series.known)
    r = round(max(RADIUS_AT_LEAST, min(RADIUS, 0.7 * WIDTH / count)), 1)
    xs = [LEFT + (WIDTH - LEFT - RIGHT) * (index + 0.5) / count for index in range(count)]
    label = f"{series.comparable.title}: {count} runs, the last {_text(series.known[-1], series.comparable)}"
    yield (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" tabindex="0" aria-label="{escape(label)}. '
        'Arrow keys go from run to run, Enter opens a report.">'
    )
    floor = HEIGHT - BOTTOM
    yield f'<path class="floor" d="M{LEFT} {floor}H{WIDTH - RIGHT}"/>'
    yield from _changes(trend.runs, xs)
    yield f'<text class="most" x="{LEFT}" y="{TOP - 5}">{escape(_number(most, series.comparable))}</text>'
    ys = [None if value is None else floor - (floor - TOP) * value.value / most for value in series.values]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True) if y is not None)
    yield f'<polyline points="{points}"/>'
    for index, (run, x, y) in enumerate(zip(trend.runs, xs, ys, strict=True)):
        value = series.values[index]
        text = "no proof" if not run.proves else "not measured" if value is None else _text(value, series.comparable)
        mark = _mark(x, y, run.outcome, r)
        target = f' href="{escape(run.link)}"' if run.link else ""
        yield f'<a{target} tabindex="-1" data-run="{index}" data-value="{escape(text)}">{mark}</a>'
    yield "</svg>"


def _mark(x: float, y: float | None, outcome: Outcome, r: float) -> str:
    """A circle for PASS, a square for FAIL, a cross below for what proves nothing: told apart without colours too."""
    if y is None:
        y = HEIGHT - BOTTOM / 2
        return f'<path class="none" d="M{x - r:.1f} {y - r:.1f}l{2 * r} {2 * r}m0 -{2 * r}l-{2 * r} {2 * r}"/>'
    if outcome is Outcome.PASS:
        return f'<circle class="PASS" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    return f'<rect class="FAIL" x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"/>'


def _changes(runs: Sequence[PastRun], xs: Sequence[float]) -> Iterator[str]:
    """A line where the harness's revision, or what is built and done, is another one than in the run before."""
    for index in range(1, len(runs)):
        before, run = runs[index - 1], runs[index]
        x = (xs[index - 1] + xs[index]) / 2
        for name, old, new in (("revision", before.revision, run.revision), ("spec", before.spec, run.spec)):
            if old != new:
                yield f'<path class="{name}" d="M{x:.1f} {TOP - 4}V{HEIGHT - BOTTOM}"/>'


def _text(reading: Reading, comparable: Comparable) -> str:
    least = "at least " if reading.at_least else ""
    return least + _number(reading.value, comparable)


def _number(value: float, comparable: Comparable) -> str:
    if comparable.unit == "share":
        return "yes" if value else "no"
    if comparable.unit == "s":
        return f"{value:.2f} s" if value >= 0.1 or value == 0 else f"{value * 1000:.0f} ms"
    return f"{value:g}"
