"""When the rig of a calibration was really away: from stamps of the agent, of the server and of packets, never from
its probes.

A truth is an interval with two edges, each of them known to lie between two stamps:

- killed: from the agent's stamp before the signal to the supervisor's when the kernel had closed the server's files;
  back between the next server's own stamps around `listen`;
- stalled: between the agent's stamps around SIGSTOP, and around SIGCONT;
- dropped: between the send of the last packet of the witness that arrived and that of the first one that did not, and
  between the agent's stamps around the act; back likewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.facts import FaultFacts
from harness.core.calibration import Away
from harness.core.clock import to_s
from harness.core.history import EventKind, History

__all__ = ["Truth", "truths_of"]

_Bracket = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One outage as it was. Monotonic nanoseconds."""

    index: int
    away: Away
    nominal_s: float
    start_lower_ns: int
    start_upper_ns: int
    end_lower_ns: int
    end_upper_ns: int

    @property
    def seconds(self) -> float:
        """Between the middles of its edges."""
        return to_s(self.end_lower_ns + self.end_upper_ns - self.start_lower_ns - self.start_upper_ns) / 2

    @property
    def plus_minus_s(self) -> float:
        """It was at most this much longer or shorter."""
        return to_s(self.end_upper_ns - self.end_lower_ns + self.start_upper_ns - self.start_lower_ns) / 2


def truths_of(history: History, faults: Sequence[FaultFacts]) -> tuple[list[Truth], list[str]]:
    """Every outage that was made, and for each of which nothing can be said, why."""
    by_index = {fault.index: fault for fault in faults}
    found, missing = [], []
    for event in history.of(EventKind.TRUTH):
        index, away = int(event.data["index"]), Away(event.data["away"])
        edges = _edges(away, event.data, by_index.get(index))
        if isinstance(edges, str):
            missing.append(f"outage {index} ({away}): {edges}")
            continue
        (start_lower, start_upper), (end_lower, end_upper) = edges
        found.append(
            Truth(
                index=index,
                away=away,
                nominal_s=float(event.data["nominal_s"]),
                start_lower_ns=start_lower,
                start_upper_ns=start_upper,
                end_lower_ns=end_lower,
                end_upper_ns=end_upper,
            )
        )
    return found, missing


def _edges(away: Away, data: Mapping[str, Any], fault: FaultFacts | None) -> tuple[_Bracket, _Bracket] | str:
    """Both edges, or why they are not known."""
    if fault is None or fault.problems:
        return "; ".join(fault.problems) if fault else "no fault was injected"
    stamps = (fault.inject_before_ns, fault.inject_after_ns, fault.undo_before_ns, fault.undo_after_ns)
    injecting, injected, undoing, undone = (stamp if stamp is not None else -1 for stamp in stamps)
    if min(injecting, injected, undoing, undone) < 0:
        return "it was not injected and undone"
    if away is Away.STALL:
        return ((injecting, injected), (undoing, undone)) if fault.confirmed else "no proof that the server was stopped"
    if away is Away.KILL:
        before, after = data["listening_ns"]
        return ((injecting, data["ended_ns"]), (before, after)) if before >= data["ended_ns"] else "it did not end"
    return _cut((injecting, injected), (undoing, undone), data["gaps"])


def _cut(inject: _Bracket, undo: _Bracket, gaps: Sequence[Sequence[_Bracket]]) -> tuple[_Bracket, _Bracket] | str:
    """From the longest gap between packets that arrived. Each gap has the stamps around four sends: the last that
    arrived, the first and the last that were lost, the first that arrived again."""
    if not gaps:
        return "no packet of the witness was lost"
    arrived, lost, lost_last, again = max(gaps, key=lambda gap: gap[3][0] - gap[0][0])
    start = max(arrived[0], inject[0]), min(lost[1], inject[1])
    end = max(lost_last[0], undo[0]), min(again[1], undo[1])
    if start[0] > start[1] or end[0] > end[1]:
        return "packets were not lost between the agent's stamps: some other thing lost them"
    return start, end
