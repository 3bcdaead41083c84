"""Every number of a run, with one definition each, ready to be drawn or written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from harness.analysis.availability import Timeline, UserUptime
from harness.analysis.facts import Facts
from harness.analysis.outages import CapabilityMeasures, Outage
from harness.analysis.sessions import SessionCount, SessionRow
from harness.analysis.writes import WriteMeasures
from harness.core.clock import to_s
from harness.core.verdict import Verdict
from harness.core.words import Recovery, SessionOutcome

__all__ = ["DEFINITIONS", "SCHEMA_VERSION", "Measures", "Parts"]

SCHEMA_VERSION = 1

#: What each number of a report means, in one sentence.
DEFINITIONS: Mapping[str, str] = {
    "outage": "An interval in which open-loop probes of a capability failed at least once; its edges lie between the "
    "last good and the first bad probe, and between the last bad probe and the first success. The number is the "
    "difference of the midpoints, the range is what the edges allow.",
    "availability": "1 - sum of a capability's outages / length of the observation window. Measured in this window "
    "under this fault; not a projection for a year.",
    "user-uptime": "Sum of the users' up time / sum of their up and down time; a user is down from the send of the "
    "first failed operation to the completion of the next good one (Hauer et al., NSDI 2020).",
    "user-weighted outage": "Mean down time of a user.",
    "disturbed": "From the send of a session's first failed operation to the completion of its next good work.",
    "undisturbed": "No failed operation.",
    "kept": "Failures, then the same kernel with its memory.",
    "restarted": "Works again, but the kernel's memory is gone.",
    "lost": "Could not work again by the end of the observation; of writes: acknowledged, and missing afterwards.",
    "aborted": "The experiment's own condition for going too far was met: every fault was undone at once. The seconds "
    "from there to the end of the last outage are given.",
    "targeted": "Served by a target of a fault when that fault was injected.",
    "recovered by design": "The capability was back before the undoing of the fault began.",
    "recovered by repair": "The capability came back only after the undoing of the fault had begun.",
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What was measured, before it is judged."""

    facts: Facts
    capabilities: tuple[CapabilityMeasures, ...]
    sessions: tuple[SessionRow, ...]
    session_counts: tuple[SessionCount, ...]
    logged_in_again: int
    """Sessions whose user had to log in again."""
    writes: WriteMeasures
    user_uptime: UserUptime
    timeline: Timeline | None

    @property
    def outages(self) -> tuple[Outage, ...]:
        """All outages of all capabilities, by their start."""
        every = [outage for one in self.capabilities for outage in one.outages]
        return tuple(sorted(every, key=lambda outage: (outage.start_ns, outage.capability)))

    @property
    def worst_recovery(self) -> Recovery:
        """The worst over all capabilities."""
        return max((one.recovery for one in self.capabilities), key=lambda r: r.severity, default=Recovery.UNAFFECTED)

    @property
    def worst_session(self) -> SessionOutcome | None:
        """The worst outcome of any session; None without sessions."""
        return max((row.outcome for row in self.sessions), key=lambda outcome: outcome.severity, default=None)

    @property
    def abort_to_recovery_s(self) -> float | None:
        """From the abort to the end of the last outage; None where there was no abort or an outage did not end."""
        aborted_ns = self.facts.aborted_ns
        if aborted_ns is None or not all(outage.ended for outage in self.outages):
            return None
        return max(0.0, *(to_s(outage.end_ns - aborted_ns) for outage in self.outages), 0.0)

    @property
    def sessions_lost(self) -> int:
        """Sessions that did not work again."""
        return sum(row.outcome is SessionOutcome.LOST for row in self.sessions)


@dataclass(frozen=True, kw_only=True)
class Measures(Parts):
    """The result of `analyse`: what was measured, and the verdict."""

    topology: str
    topology_description: str
    experiment: str
    experiment_description: str
    experiment_source: str
    run: Mapping[str, Any]
    verdict: Verdict
    known_broken: str = ""
    """Why the topology's file says that its promise for this experiment does not hold; empty where it says nothing."""

    def seconds_from_origin(self, t_ns: int) -> float:
        """Seconds since the first injection (without faults: since the start of the window)."""
        return to_s(t_ns - (self.facts.origin_ns or 0))

    def outage_rows(self) -> list[dict[str, Any]]:
        """One flat mapping for each outage, for a table. Seconds count from the first injection."""
        return [
            {
                "capability": outage.capability,
                "start_s": self.seconds_from_origin(outage.start_ns),
                "end_s": self.seconds_from_origin(outage.end_ns) if outage.ended else None,
                "seconds": outage.seconds,
                "seconds_lower": outage.seconds_lower,
                "seconds_upper": outage.seconds_upper,
                "during_fault": outage.during_fault,
                "recovery": outage.recovery.value,
            }
            for outage in self.outages
        ]

    def session_rows(self) -> list[dict[str, Any]]:
        """One flat mapping for each session, for a table."""
        rows = []
        for row in self.sessions:
            flat = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "disturbances"}
            flat["outcome"] = row.outcome.value
            flat["disturbances"] = len(row.disturbances)
            rows.append(flat)
        return rows

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types, keys sorted as declared; `schema` tells versions apart."""
        plain: dict[str, Any] = {"schema": SCHEMA_VERSION, **_plain(self)}
        plain["outages"] = self.outage_rows()
        plain["abort_to_recovery_s"] = self.abort_to_recovery_s
        plain["worst_recovery"] = self.worst_recovery.value
        plain["worst_session"] = self.worst_session.value if self.worst_session else None
        plain["definitions"] = dict(DEFINITIONS)
        return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
