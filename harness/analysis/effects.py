"""What each fault did when: from its injection to the first edge of an outage, and to the last; stamped apart from the
injection, because a fault that is in force has not yet reached anybody.

An outage counts for the fault in whose time it began (`recoveries.fault_at`). All times are intervals: the edges of an
outage are (`outages`), and so is the injection, which lies between the agent's two stamps around the act.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.facts import Facts, FaultFacts
from harness.analysis.outages import Outage
from harness.analysis.recoveries import worst
from harness.core.clock import to_s
from harness.core.words import Recovery

__all__ = ["Elapsed", "FaultEffect", "elapsed", "fault_effects", "injection"]


@dataclass(frozen=True, kw_only=True)
class Elapsed:
    """Time from one thing to another, of which both are known as intervals."""

    seconds: float | None
    """The middle of the bounds; None where it had not come by the end of the observation."""
    seconds_lower: float
    seconds_upper: float | None


@dataclass(frozen=True, kw_only=True)
class FaultEffect:
    """What one fault did to one capability."""

    fault: int
    capability: str | None
    """None: to any of them, the first effect and the last recovery."""
    outages: int
    effect: Elapsed | None
    """From the injection to the first edge; None where no outage was seen."""
    recovery_time: Elapsed | None
    """From the injection to the last edge; None where no outage was seen."""
    recovery_time_after_undo: Elapsed | None
    """From the beginning of the undoing to the last edge; only where the repair ended it."""
    recovery: Recovery


def fault_effects(facts: Facts, outages: Iterable[Outage]) -> tuple[FaultEffect, ...]:
    """For each fault that was injected what it did to any capability, then to each that had an outage."""
    every = list(outages)
    return tuple(_effects(facts, every))


def _effects(facts: Facts, outages: Sequence[Outage]) -> Iterator[FaultEffect]:
    for fault in facts.faults:
        if fault.inject_before_ns is None:
            continue
        own = [outage for outage in outages if outage.during_fault == fault.index]
        for capability in (None, *dict.fromkeys(outage.capability for outage in own)):
            yield _effect(fault, capability, [o for o in own if capability in (None, o.capability)])


def _effect(fault: FaultFacts, capability: str | None, outages: Sequence[Outage]) -> FaultEffect:
    injected = injection(fault)
    undone = _bracket(fault.undo_before_ns, fault.undo_after_ns)
    recovery = worst(outage.recovery for outage in outages)
    begun: Elapsed | None = None
    over: Elapsed | None = None
    repaired: Elapsed | None = None
    if outages and injected:
        first = (min(o.start_lower_ns for o in outages), min(o.start_upper_ns for o in outages))
        ends = [o.end_upper_ns for o in outages if o.end_upper_ns is not None]
        last = (max(o.end_lower_ns for o in outages), max(ends) if len(ends) == len(outages) else None)
        begun, over = elapsed(injected, first), elapsed(injected, last)
        if undone and recovery is Recovery.BY_REPAIR:
            repaired = elapsed(undone, last)
    return FaultEffect(
        fault=fault.index,
        capability=capability,
        outages=len(outages),
        effect=begun,
        recovery_time=over,
        recovery_time_after_undo=repaired,
        recovery=recovery,
    )


def injection(fault: FaultFacts) -> tuple[int, int] | None:
    """The moments between which a fault was injected; None where it was not."""
    return _bracket(fault.inject_before_ns, fault.inject_after_ns)


def _bracket(before_ns: int | None, after_ns: int | None) -> tuple[int, int] | None:
    """When the act happened; one that failed has no second stamp."""
    if before_ns is None:
        return None
    return before_ns, before_ns if after_ns is None else after_ns


def elapsed(since: tuple[int, int], until: tuple[int, int | None]) -> Elapsed:
    """From one thing to what it caused, each known as an interval; an end of None has not come.

    Nothing comes before its cause, so what the bounds allow before it is left out.
    """
    lower_ns = max(0, until[0] - since[1])
    if until[1] is None:
        return Elapsed(seconds=None, seconds_lower=to_s(lower_ns), seconds_upper=None)
    upper_ns = max(lower_ns, until[1] - since[0])
    return Elapsed(seconds=to_s(lower_ns + upper_ns) / 2, seconds_lower=to_s(lower_ns), seconds_upper=to_s(upper_ns))
