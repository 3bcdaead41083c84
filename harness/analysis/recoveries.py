"""Which fault an interruption is put down to, and how it ended: one rule for what probes see and what people meet."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.facts import FaultFacts
from harness.core.words import Recovery

__all__ = ["began_ns", "fault_at", "recovery_of", "worst"]


def began_ns(send_ns: int, end_ns: int, slow_ns: int | None) -> int:
    """When an interruption had surely begun whose first bad request was sent at `send_ns` and ended at `end_ns`.

    The request may have been in flight when the fault came: up to `slow_ns` after its send, until when a good one might
    still have been answered, it was not yet bad. None: nothing is known about good ones.
    """
    flight_ns = end_ns - send_ns
    return send_ns + (flight_ns if slow_ns is None else min(flight_ns, slow_ns))


def fault_at(faults: Iterable[FaultFacts], t_ns: int) -> FaultFacts | None:
    """The fault that was injected last by then."""
    begun = [f for f in faults if f.inject_before_ns is not None and f.inject_before_ns <= t_ns]
    return max(begun, key=lambda fault: fault.inject_before_ns or 0, default=None)


def recovery_of(back_ns: int | None, fault: FaultFacts | None, *, good_ns: int | None) -> Recovery:
    """How it ended; `good_ns` is when all was last seen to be well before it, `back_ns` when it was surely over.

    By design only if that was before the repair began, or if all was well after the repair was complete: what went away
    then did not wait for it.
    """
    if back_ns is None:
        return Recovery.NOT_RECOVERED
    if fault is None or fault.undo_before_ns is None or back_ns < fault.undo_before_ns:
        return Recovery.BY_DESIGN
    if good_ns is not None and fault.undo_after_ns is not None and good_ns > fault.undo_after_ns:
        return Recovery.BY_DESIGN
    return Recovery.BY_REPAIR


def worst(recoveries: Iterable[Recovery]) -> Recovery:
    """The worst of them; UNAFFECTED without any."""
    return max(recoveries, key=lambda recovery: recovery.severity, default=Recovery.UNAFFECTED)
