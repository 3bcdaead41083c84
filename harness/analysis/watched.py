"""What a watch over an existing system says: nothing is broken on purpose, so what happens is what is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.analysis.measures import Parts
from harness.analysis.record import RunRecord
from harness.core.attach import AttachedSystem
from harness.core.verdict import Check

__all__ = ["availability_checks", "is_watch", "watch_doubts"]


def is_watch(record: RunRecord) -> bool:
    """Whether an existing system was observed and nothing was done to it."""
    return isinstance(record.topology, AttachedSystem) and not record.experiment.faults


def availability_checks(at_least_percent: float, parts: Parts) -> Iterator[Check]:
    """One for each capability, and one for the people: what was measured of the time in which it was there.

    `1 - sum of outages / window`, and user-uptime of Hauer et al. (NSDI 2020).
    """
    measured = [(one.capability, one.availability) for one in parts.capabilities]
    for name, ratio in (*measured, ("people", parts.user_uptime.ratio)):
        if ratio is not None:
            yield Check(
                name=f"available: {name}",
                source="objective",
                expected=f"at least {at_least_percent:g}%",
                observed=f"{math.floor(ratio * 1e5 + 1e-6) / 1e3:.3f}%",  # down: what was missed must show
                kept=ratio * 100 >= at_least_percent - 1e-9,  # floats of 99.9 are a little less
            )


def watch_doubts(record: RunRecord, parts: Parts) -> Iterator[str]:
    """Why a watch without a target is neither good nor bad, with what was seen in it."""
    if record.experiment.objectives.available_at_least_percent is not None:
        return
    away = [
        f"{one.capability} was away for {one.totals.total_s:.1f} s"
        for one in parts.capabilities
        if one.outages and one.totals is not None
    ]
    disturbed = sum(bool(row.disturbances) for row in parts.sessions)
    people = [f"{disturbed} of {len(parts.sessions)} people were disturbed"] if disturbed else []
    seen = ", ".join(away + people) or "nothing was away and nobody was disturbed"
    yield f"observed only, no target was stated (`--target 99.9`): {seen}"
