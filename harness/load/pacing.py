"""An absolute time grid, so that what is measured never moves the moment of the next measurement.

`constant_pacing` of Locust anchors every user's phase when the user is constructed, in batches, and herds them: p50 was
28-40 ms where the grid had 0.2 ms. A point that was missed is skipped, never caught up: a burst would measure itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.clock import to_s
from harness.load.ladder import Event

__all__ = ["Grid", "ticks", "wait_for_turn"]


@dataclass(frozen=True)
class Grid:
    """The points `anchor_ns + k * period_ns`, k = 0, 1, 2 ..."""

    anchor_ns: int
    period_ns: int

    def __post_init__(self) -> None:
        if self.period_ns <= 0:
            raise ValueError(f"period_ns is {self.period_ns}, expected more than 0")

    def first_at_or_after(self, now_ns: int) -> int:
        """The earliest point that is not before `now_ns`."""
        behind_ns = now_ns - self.anchor_ns
        return self.anchor_ns + max(0, -(-behind_ns // self.period_ns)) * self.period_ns

    def after(self, due_ns: int, now_ns: int) -> int:
        """The point after `due_ns`; if more than one period has gone by since, the first one not before `now_ns`."""
        following_ns = due_ns + self.period_ns
        return following_ns if now_ns < following_ns + self.period_ns else self.first_at_or_after(now_ns)


def ticks(grid: Grid, stop: Event) -> Iterator[int]:
    """Each point of the grid when it comes, in monotonic nanoseconds, until the run ends."""
    due_ns = grid.first_at_or_after(time.monotonic_ns())
    while wait_for_turn(due_ns, stop):
        yield due_ns
        due_ns = grid.after(due_ns, time.monotonic_ns())


def wait_for_turn(due_ns: int, stop: Event) -> bool:
    """Whether the moment came before the run's end. Waits may end early, by up to the event loop's lag."""
    while (left_ns := due_ns - time.monotonic_ns()) > 0 and not stop.is_set():
        stop.wait(to_s(left_ns))
    return not stop.is_set()
