"""The balancer's checks against the truth, as the rows of a table: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harness.analysis.checks_audit import BackendAudit, CheckVerdict, Marked, ServerBelief
from harness.analysis.measures import DEFINITIONS, Measures

__all__ = ["CAPTION", "HEADERS", "CheckRow", "check_rows", "is_bad", "legend"]

CAPTION = "the balancer's checks against the truth"
HEADERS = ("fault", "backend", "node", "check said", "people could not", "check was")


class CheckRow(NamedTuple):
    """One node in the time of one fault. What holds for the whole backend stands in its first row only."""

    fault: str
    backend: str
    server: str
    said: str
    could_not: str
    verdict: str


def check_rows(measures: Measures) -> list[CheckRow]:
    """The table; empty without a fault or where no balancer was asked."""
    return [row for audit in measures.checks_audit.backends for row in _rows(audit, measures)]


def legend(measures: Measures) -> list[str]:
    """What the words mean that are in the table, a line each."""
    found = {audit.verdict for audit in measures.checks_audit.backends}
    return [f"{word.value}: {DEFINITIONS[f'check {word.value}']}" for word in CheckVerdict if word in found]


def is_bad(verdict: str) -> bool:
    """Whether the word is one to look at twice."""
    return verdict in (CheckVerdict.BLIND, CheckVerdict.FALSE_ALARM)


def _rows(audit: BackendAudit, measures: Measures) -> Iterator[CheckRow]:
    several = len({one.balancer for one in measures.checks_audit.backends}) > 1
    kinds = {fault.index: fault.kind for fault in measures.facts.faults}
    names = [name for name in (audit.balancer if several or not audit.backend else "", audit.backend) if name]
    away = ", ".join(f"{one.capability} {one.seconds:.1f} s" for one in audit.away)
    head = (f"{audit.fault} {kinds[audit.fault]}", " / ".join(names))
    tail = (away or "nothing was away", audit.verdict.value if audit.verdict else "not judged")
    for index, server in enumerate(audit.servers):
        first = index == 0
        yield CheckRow(
            *(head if first else ("", "")),
            server.server or "all",
            _said(server),
            *(tail if first else ("", "")),
        )


def _said(server: ServerBelief) -> str:
    """How long it said what, and when that changed."""
    seconds = {
        "up": server.up_s,
        "down": server.down_s,
        "no answer": server.unreachable_s,
        "not asked": server.unseen_s,
    }
    parts = [f"{word} {value:.1f} s" for word, value in seconds.items() if value >= 0.05]
    if server.marked_down is not None:
        parts.append(f"marked down after {_after(server.marked_down)}")
    if server.marked_up is not None:
        parts.append(f"up after {_after(server.marked_up)}")
    return ", ".join(parts)


def _after(marked: Marked) -> str:
    return f"{marked.seconds:.1f} s ({marked.seconds_lower:.1f} to {marked.seconds_upper:.1f})"
