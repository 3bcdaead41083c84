"""What each step of a planned change did to people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.analysis.change_facts import ChangeFacts, StepFacts
from harness.analysis.outages import CapabilityMeasures
from harness.analysis.sessions import SessionRow
from harness.core.words import SessionOutcome

__all__ = ["StepEffect", "step_effects"]


@dataclass(frozen=True, kw_only=True)
class StepEffect:
    """What people met that began in a step, or after it before the next one."""

    change: int
    step: StepFacts
    disturbed: int
    """Sessions."""
    restarted: int
    """Of those, whose memory was gone."""
    lost: int
    """Of those, that never worked again."""
    longest_s: float
    """The longest disturbance among them."""
    away_s: tuple[tuple[str, float], ...]
    """Capability, and the sum of its outages that had surely begun then; none where there was none."""


def step_effects(
    changes: Iterable[ChangeFacts], sessions: Sequence[SessionRow], capabilities: Sequence[CapabilityMeasures]
) -> tuple[StepEffect, ...]:
    """For each step of each change. A disturbance belongs to the last step that had begun when it began, so that each
    is counted once; an outage when it had surely begun: by its estimate it would often be put down to the step before,
    which ended a moment earlier."""
    steps = [(change.index, step) for change in changes for step in change.steps]
    found = []
    for number, (change, step) in enumerate(steps):
        until_ns = steps[number + 1][1].began_ns if number + 1 < len(steps) else None

        def in_it(t_ns: int, since_ns: int = step.began_ns, until_ns: int | None = until_ns) -> bool:
            return t_ns >= since_ns and (until_ns is None or t_ns < until_ns)

        met = [(row, one) for row in sessions for one in row.disturbances if in_it(one.start_ns)]
        lost = {row.session for row, one in met if one.end_ns is None and row.outcome is SessionOutcome.LOST}
        away = {
            one.capability: sum(outage.seconds for outage in one.outages if in_it(outage.start_upper_ns))
            for one in capabilities
        }
        found.append(
            StepEffect(
                change=change,
                step=step,
                disturbed=len({row.session for row, _ in met}),
                restarted=len({row.session for row, one in met if one.restarted}),
                lost=len(lost),
                longest_s=max((one.seconds for _, one in met), default=0.0),
                away_s=tuple((name, seconds) for name, seconds in away.items() if seconds),
            )
        )
    return tuple(found)
