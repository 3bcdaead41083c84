"""The report as one self-contained page: it loads nothing, so it can be archived and opened anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from harness.analysis.advice import advise
from harness.analysis.course import Course
from harness.analysis.measures import DEFINITIONS, Measures
from harness.core.experiment import Experiment
from harness.core.picture import Picture
from harness.core.topology import Topology
from harness.core.words import Recovery
from harness.report import checks, session_rows, tables, words
from harness.report.scaling import scaling_lines
from harness.report.server_events import missing_line, noticed_lines
from harness.report.svg import inline_svg

if TYPE_CHECKING:
    from harness.report.charts import Drawn

__all__ = ["Background", "render_html"]

_NOTHING = Course(requests=None, sessions={}, left_out={})


@dataclass(frozen=True, kw_only=True)
class Background:
    """What the page shows beside the measures. Everything may be missing; the page says so, or leaves it out."""

    topology: Topology | None = None
    experiment: Experiment | None = None
    course: Course = _NOTHING
    picture: Picture | None = None


@dataclass(frozen=True, kw_only=True)
class _Plot:
    """One plot with its caption and what it says in words."""

    name: str
    caption: str
    said: str
    legend: Sequence[tuple[str, str]]
    """Word and colour."""
    element: Markup


def render_html(measures: Measures, background: Background | None = None) -> str:
    """The page. Texts from outside are escaped; only Bokeh's own script and elements, and the picture, which escapes
    by itself, are inserted as they are."""
    # Bokeh takes most of a second to import, and so does what calculates years
    from harness.analysis.nines.one_run import beside_budgets  # noqa: PLC0415
    from harness.report import charts, page_words  # noqa: PLC0415

    behind = background or Background()
    requests = behind.course.requests
    drawn = charts.timeline(measures, requests)
    sessions = session_rows.worst_first(measures)
    budgets = beside_budgets(measures)
    return _template().render(
        m=measures,
        title=words.title(measures),
        sentence=words.plain_sentence(measures),
        kept=page_words.checks_kept(measures),
        missed=[
            check for check in measures.verdict.checks if words.judged(check, measures.verdict.outcome) == "BROKEN"
        ],
        nines_line=page_words.nines_line(budgets),
        budget_cells=page_words.budget_cells(budgets),
        known_broken=words.known_broken(measures),
        carried=words.carried(measures),
        calibrated=words.calibrated(measures.run),
        two_servers=words.two_servers(measures),
        advice=advise(measures, behind.topology) if behind.topology is not None else (),
        plots=_plots(measures, drawn, behind) if drawn else (),
        state_headers=("at", *(state.value for state in charts.STATE_COLOURS)),
        state_rows=page_words.state_rows(measures),
        request_headers=_request_headers(behind.course),
        request_rows=page_words.request_rows(measures, requests),
        events=measures.server_events,
        noticed=list(noticed_lines(measures)),
        unheard=missing_line(measures),
        picture=Markup(inline_svg(behind.picture, page_words.broken_machines(measures))) if behind.picture else "",  # noqa: S704 - see above
        columns=session_rows.session_columns(sessions),
        session_cells=session_rows.session_table(sessions),
        sessions=sessions,
        packed=session_rows.pack(behind.course, sessions, measures) if behind.course.sessions else "",
        versions=list(words.flatten(measures.run)),
        repeat=page_words.repeat_command(measures, behind.experiment),
        simulated=page_words.real_and_simulated(measures, behind.topology, behind.experiment),
        total_headers=tables.TOTALS_HEADERS,
        total_rows=tables.total_rows(measures),
        change_headers=tables.CHANGE_HEADERS,
        change_rows=tables.change_rows(measures),
        scaling_lines=list(scaling_lines(measures)),
        recovery_headers=tables.RECOVERY_HEADERS,
        recovery_rows=tables.recovery_rows(measures),
        recovery_line=tables.recovery_line(measures),
        outcome=words.outcome_word(measures),
        effect_headers=tables.EFFECTS_HEADERS,
        effect_rows=tables.effect_rows(measures),
        window_headers=tables.WINDOWS_HEADERS,
        window_rows=tables.window_rows(measures),
        first_examples=list(tables.first_examples(measures)),
        write_rows=list(words.write_rows(measures.writes)),
        definitions=DEFINITIONS,
        check_headers=checks.HEADERS,
        check_rows=[(row, checks.is_bad(row.verdict)) for row in checks.check_rows(measures)],
        resources=Markup(charts.resources()) if drawn else "",  # noqa: S704 - see above
        script=Markup(drawn.script) if drawn else "",  # noqa: S704 - see above
    )


def _plots(measures: Measures, drawn: Drawn, behind: Background) -> list[_Plot]:
    from harness.report import charts, page_words  # noqa: PLC0415 - as above

    line = measures.timeline
    states = [(s.value, c) for s, c in charts.STATE_COLOURS.items() if line is not None and any(line.states[s])]
    outages = [
        (f"away, recovered {words.recovered(how)}" if how is not Recovery.NOT_RECOVERED else "away, not back", colour)
        for how, colour in charts.OUTAGE_COLOURS.items()
        if any(outage.recovery is how for outage in measures.outages)
    ]
    requests = behind.course.requests
    latencies = (
        [(one.capability, charts.LATENCY_COLOURS[one.capability]) for one in requests.latencies] if requests else []
    )
    captions: dict[str, tuple[str, list[tuple[str, str]]]] = {
        "faults": ("Faults: ▲ inject, ● proof, ▼ undo", [("in force", charts.FAULT)]),
        "sessions": ("People by state", states),
        "capabilities": ("What people could do", [("available", charts.GOOD), *outages]),
        "latency": ("How long requests took: p50 (line) and p99 (dashed)", latencies),
        "failed": ("Failed requests" + _per_step(behind.course), [("failed", charts.FAILED)]),
        "events": ("What servers said", []),
    }
    return [
        _Plot(
            name=name,
            caption=caption,
            said=page_words.in_words(name, measures, requests),
            legend=legend,
            element=Markup(drawn.elements[name]),  # noqa: S704 - Bokeh's own, without a text from outside
        )
        for name, (caption, legend) in captions.items()
        if name in drawn.elements
    ]


def _per_step(course: Course) -> str:
    if course.requests is None:
        return ""
    step_s = course.requests.step_ns / 1e9
    return " each second" if step_s == 1 else f" in each {step_s:g} s"


def _request_headers(course: Course) -> tuple[str, ...]:
    if course.requests is None:
        return ()
    return ("at", *(f"{one.capability} {q}" for one in course.requests.latencies for q in ("p50", "p99")), "failed")


@cache
def _template() -> Template:
    """Compiled once: that takes longer than filling it in."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        seconds=words.seconds,
        milliseconds=words.milliseconds,
        bounds=words.bounds,
        places=words.places,
        recovered=words.recovered,
        judged=words.judged,
    )
    return environment.get_template("report.html.j2")
