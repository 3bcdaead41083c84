"""What the servers noticed, in lines for every report."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.detections import FaultDetection
from harness.analysis.measures import Measures

__all__ = ["missing_line", "noticed_lines"]


def noticed_lines(measures: Measures) -> Iterator[str]:
    """For each fault that was injected when a server noticed it first, and what it said."""
    kinds = {fault.index: fault.kind for fault in measures.facts.faults}
    for one in measures.detections:
        yield f"{one.fault} {kinds[one.fault]}: {_noticed(one)}"


def missing_line(measures: Measures) -> str:
    """Whose events are not known, or not all; empty where nothing is missing."""
    by_why: dict[str, list[str]] = {}
    for one in measures.server_events_missing:
        by_why.setdefault(one.why, []).append(one.source)
    each = "; ".join(f"{', '.join(sources)}: {why}" for why, sources in by_why.items())
    return f"not all that the servers said is known: {each}" if each else ""


def _noticed(one: FaultDetection) -> str:
    if one.detected is None:
        return "no server said before the undoing that it noticed"
    bounds = f"{one.detected.seconds_lower:.2f} to {one.detected.seconds_upper:.2f}"
    return f"noticed after {one.detected.seconds:.2f} s ({bounds}) by {one.source}: {one.text}"
