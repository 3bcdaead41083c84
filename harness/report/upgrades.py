"""The same upgrade by several strategies: whom each disturbed, and what was away for how long."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from harness.analysis.measures import Measures
from harness.core.clock import to_s
from harness.report import words
from harness.report.terminal import STYLES, table_of

__all__ = ["render_side_by_side", "side_by_side_rows"]


def side_by_side_rows(upgrades: Sequence[Measures]) -> list[tuple[str, ...]]:
    """What was measured, and its value for each upgrade; a capability that was never away has no row."""
    met = [[row for row in one.sessions if row.disturbances] for one in upgrades]
    restarted = [[row for row in rows if any(each.restarted for each in row.disturbances)] for rows in met]
    lost = [sum(step.lost for step in one.change_steps) for one in upgrades]
    longest_s = [max((each.seconds for row in rows for each in row.disturbances), default=0.0) for rows in met]
    names = dict.fromkeys(capability.capability for one in upgrades for capability in one.capabilities)
    away_s = {name: [_away_s(one, name) for one in upgrades] for name in names}
    return [
        ("people disturbed", *(str(len(rows)) for rows in met)),
        ("of them lost their memory", *(str(len(rows)) for rows in restarted)),
        ("of them never worked again", *map(str, lost)),
        ("longest disturbance", *map(words.seconds, longest_s)),
        *((f"{name} away", *map(words.seconds, each)) for name, each in away_s.items() if any(each)),
        ("from the first step to the last", *(words.seconds(_lasted_s(one)) for one in upgrades)),
    ]


def _away_s(measures: Measures, name: str) -> float:
    found = (one for one in measures.capabilities if one.capability == name)
    return sum(outage.seconds for one in found for outage in one.outages)


def _lasted_s(measures: Measures) -> float | None:
    steps = [one.step for one in measures.change_steps]
    return to_s(steps[-1].ended_ns - steps[0].began_ns) if steps else None


def render_side_by_side(topology: str, upgrades: Sequence[Measures], console: Console) -> None:
    """Print the table: a column for each upgrade, headed by its strategy."""
    console.rule(Text(f"{topology}: side by side"), characters="-")
    changes = [", ".join(change.how for change in one.facts.changes) for one in upgrades]
    table = table_of("", "", *changes, numbers=len(upgrades))
    answers = (Text(words.outcome_word(one), style=STYLES[one.verdict.outcome]) for one in upgrades)
    table.add_row("answer", *answers)
    for row in side_by_side_rows(upgrades):
        table.add_row(*map(escape, row))
    console.print(table)
    console.print()
