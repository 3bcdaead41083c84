"""The sessions on the page: a row for each, and what a click on it shows, packed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.analysis.course import Course, Stretch
from harness.analysis.measures import Measures
from harness.analysis.sessions import SessionRow
from harness.core.words import SessionOutcome
from harness.report import words

__all__ = ["COLUMNS", "Cell", "Column", "pack", "session_columns", "session_table", "worst_first"]


class Column(NamedTuple):
    """A column of the table."""

    name: str
    number: bool
    """Sorted and aligned as a number."""
    about: str
    """What it means, as a hint."""


class Cell(NamedTuple):
    """What stands in a cell, and by what it is sorted; without a key by its text."""

    text: str
    key: float | None = None


COLUMNS = (
    Column("person", False, "Choose one to see what they did"),
    Column("outcome", False, "What became of the session"),
    Column("node", False, "Before the first fault, and last"),
    Column("disturbed", True, "From the first failed operation to the next good work, all together"),
    Column("longest", True, "The longest disturbance"),
    Column("recovered", False, "How the person came back"),
    Column("by", False, "The last rung of the recovery ladder that worked"),
    Column("log-in", False, "Whether they had to log in again"),
    Column("memory", True, "What the kernel still knew, of what it should"),
    Column("failed", True, "Failed operations, of all"),
    Column("saves lost", True, "Acknowledged saves that are missing, of all"),
    Column("two servers", True, "For how long two servers of one person ran at once"),
)


def worst_first(measures: Measures) -> list[SessionRow]:
    """The sessions in the order of the table, before anybody sorts it."""
    return sorted(
        measures.sessions, key=lambda row: (-row.outcome.severity, -row.disturbed_total_s, row.user, row.session)
    )


def session_columns(rows: Sequence[SessionRow]) -> tuple[Column, ...]:
    """The columns that say anything: nobody needs one about two servers where nobody had two."""
    if any(row.duplicated_home for row in rows):
        return COLUMNS
    return COLUMNS[:-1]


def session_table(rows: Sequence[SessionRow]) -> list[tuple[Cell, ...]]:
    """A row of cells for each session, as many as there are columns."""
    number = len(session_columns(rows))
    return [_cells(row)[:number] for row in rows]


def pack(course: Course, rows: Sequence[SessionRow], measures: Measures) -> str:
    """What each session did, in the order of `rows`: gzip in base64 of a list of lists of
    [from, to, ok, what, slowest in ms, remark, node], with the number of those left out at the end of a long one."""
    every = [
        [
            *(_line(stretch, measures) for stretch in course.sessions.get((row.user, row.session), ())),
            *([left_out] if (left_out := course.left_out.get((row.user, row.session))) else []),
        ]
        for row in rows
    ]
    text = json.dumps(every, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _line(stretch: Stretch, measures: Measures) -> list[Any]:
    begin, end = (measures.seconds_from_origin(t_ns) for t_ns in (stretch.start_ns, stretch.end_ns))
    latency_ms = round(stretch.latency_s * 1000, 1)
    return [round(begin, 2), round(end, 2), int(stretch.ok), stretch.what, latency_ms, stretch.remark, stretch.node]


def _cells(row: SessionRow) -> tuple[Cell, ...]:
    moved = f"{row.node_before or '?'} → {row.node_after or '?'}"
    node = moved if row.node_after != row.node_before else row.node_before or "?"
    lost = "?" if row.saves_lost is None else str(row.saves_lost)
    two = "?" if row.duplicated_home is None else f"{row.duplicated_s:.0f} s" if row.duplicated_home else "–"
    log_in = "again" if row.logged_in_again else "–" if row.outcome is SessionOutcome.LOST else "kept"
    knew = row.memory_expected >= 0
    return (
        Cell(row.user),
        Cell(row.outcome.value, row.outcome.severity),
        Cell(node + (" (targeted)" if row.on_target else "")),
        Cell(words.seconds(row.disturbed_total_s) if row.disturbances else "–", row.disturbed_total_s),
        Cell(words.seconds(row.disturbed_longest_s) if row.disturbances else "–", row.disturbed_longest_s),
        Cell(words.recovered(row.recovery), row.recovery.severity),
        Cell(row.rung or "–"),
        Cell(log_in),
        Cell(f"{row.memory_found} of {row.memory_expected}" if knew else "–", row.memory_found if knew else -1),
        Cell(f"{row.failed} of {row.operations}", row.failed),
        Cell(f"{lost} of {row.saves_acknowledged}", -1 if row.saves_lost is None else row.saves_lost),
        Cell(two, row.duplicated_s or 0),
    )
