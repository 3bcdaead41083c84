"""When the platform noticed each fault: from the injection to the first server's event that names the target as down,
or by which another one takes its place.

Stamped apart from the effect on people (`effects`): a check may notice what nobody felt, and people may be cut off by
what no check sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.analysis.effects import Elapsed, elapsed, injection
from harness.analysis.facts import Facts, FaultFacts
from harness.analysis.server_events import ServerEvent
from harness.core.clock import to_ns
from harness.core.names import role_of
from harness.core.words import ServerEventKind

__all__ = ["FaultDetection", "fault_detections"]

Kind = ServerEventKind

_NAMES_DOWN: Final = frozenset({Kind.NODE_DOWN, Kind.DATABASE_DOWN, Kind.STORAGE_DOWN, Kind.STOPPED})
_TAKES_OVER: Final = frozenset({Kind.ADDRESS_MOVED, Kind.PROMOTED, Kind.LEASE_TAKEN, Kind.ELECTED})


@dataclass(frozen=True, kw_only=True)
class FaultDetection:
    """Who noticed a fault first, and when; None and empty where nobody did before its undoing began."""

    fault: int
    """Index of the fault."""
    detected: Elapsed | None
    """From the injection to the event."""
    source: str
    kind: ServerEventKind | None
    text: str


def fault_detections(facts: Facts, events: Sequence[ServerEvent]) -> tuple[FaultDetection, ...]:
    """One for each fault that was injected."""
    return tuple(_detection(facts, fault, events) for fault in facts.faults if fault.inject_before_ns is not None)


def _detection(facts: Facts, fault: FaultFacts, events: Iterable[ServerEvent]) -> FaultDetection:
    injected, origin_ns = injection(fault), facts.origin_ns
    assert injected is not None, "only faults that were injected are asked for"
    assert origin_ns is not None, "an injection is an origin"
    for event in events:
        if not _notices(event, fault):
            continue
        at = tuple(origin_ns + to_ns(at_s) for at_s in (event.at_lower_s, event.at_upper_s))
        if at[1] < injected[0]:
            continue
        if fault.undo_before_ns is not None and origin_ns + to_ns(event.at_s) >= fault.undo_before_ns:
            break
        return FaultDetection(
            fault=fault.index,
            detected=elapsed(injected, (at[0], at[1])),
            source=event.source,
            kind=event.kind,
            text=event.text,
        )
    return FaultDetection(fault=fault.index, detected=None, source="", kind=None, text="")


def _notices(event: ServerEvent, fault: FaultFacts) -> bool:
    """Whether it says of a target that it is down, or another member of its role took what one of them has."""
    roles = {role_of(target) for target in fault.targets}
    if event.kind in _NAMES_DOWN:
        return event.about in fault.targets or event.about in roles
    return event.kind in _TAKES_OVER and event.source not in fault.targets and role_of(event.source) in roles
