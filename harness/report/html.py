"""The report as one self-contained page: it loads nothing, so it can be archived and opened anywhere."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from harness.analysis.availability import SessionState
from harness.analysis.measures import DEFINITIONS, Measures
from harness.core.words import Recovery
from harness.report import checks, tables, words

__all__ = ["render_html"]

#: More session rows than this make a page that nobody reads and browsers choke on; sessions.csv has them all.
SESSIONS_SHOWN = 500


def render_html(measures: Measures) -> str:
    """The page. Texts from outside are escaped; only Bokeh's own script and element are inserted as they are."""
    from harness.report import charts  # noqa: PLC0415 - Bokeh takes most of a second to import

    drawn = charts.timeline(measures)
    worst_first = sorted(measures.sessions, key=lambda row: (-row.outcome.severity, row.user, row.session))
    return _template().render(
        m=measures,
        title=words.title(measures),
        sentence=words.plain_sentence(measures),
        known_broken=words.known_broken(measures),
        carried=words.carried(measures),
        calibrated=words.calibrated(measures.run),
        two_servers=words.two_servers(measures),
        sessions=worst_first[:SESSIONS_SHOWN],
        sessions_hidden=max(0, len(worst_first) - SESSIONS_SHOWN),
        versions=list(words.flatten(measures.run)),
        total_headers=tables.TOTALS_HEADERS,
        total_rows=tables.total_rows(measures),
        effect_headers=tables.EFFECTS_HEADERS,
        effect_rows=tables.effect_rows(measures),
        window_headers=tables.WINDOWS_HEADERS,
        window_rows=tables.window_rows(measures),
        first_examples=list(tables.first_examples(measures)),
        write_rows=list(words.write_rows(measures.writes)),
        definitions=DEFINITIONS,
        check_headers=checks.HEADERS,
        check_rows=[(row, checks.is_bad(row.verdict)) for row in checks.check_rows(measures)],
        states=[(state.value, charts.STATE_COLOURS[state]) for state in charts.STATE_COLOURS if _seen(measures, state)],
        recoveries=[
            (
                f"outage, recovered {words.recovered(how)}"
                if how is not Recovery.NOT_RECOVERED
                else "outage, not ended",
                c,
            )
            for how, c in charts.OUTAGE_COLOURS.items()
            if any(outage.recovery is how for outage in measures.outages)
        ],
        resources=charts.resources() if drawn else "",
        script=drawn[0] if drawn else "",
        element=drawn[1] if drawn else "",
    )


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


def _seen(measures: Measures, state: SessionState) -> bool:
    return measures.timeline is not None and any(measures.timeline.states[state])
