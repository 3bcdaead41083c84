"""One monotonic clock for everything that is recorded.

All times in a run are nanoseconds of the *engine host's* CLOCK_MONOTONIC: containers, agent, load and probes share it
because they share the kernel. Where the harness runs on that same kernel its own clock is the same one; on a remote
engine `MonotonicClock` adds the offset measured through the agent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

NS_PER_S = 1_000_000_000


def to_ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NS_PER_S)


def to_s(nanoseconds: int) -> float:
    """Nanoseconds as seconds."""
    return nanoseconds / NS_PER_S


class Clock(Protocol):
    """Time and waiting, so that tests can run hours in milliseconds."""

    def now_ns(self) -> int:
        """Nanoseconds of the engine host's monotonic clock."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; a negative or zero duration returns at once."""
        ...


class MonotonicClock:
    """The real clock, shifted by `offset_ns` to the engine host's monotonic clock."""

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns

    def now_ns(self) -> int:
        return time.monotonic_ns() + self.offset_ns

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


class FakeClock:
    """A clock that only moves when somebody sleeps on it. For tests and the fake runtime."""

    def __init__(self, start_ns: int = 1_000 * NS_PER_S) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        self._now_ns += max(0, to_ns(seconds))


def wait_until(condition: Callable[[], bool], *, clock: Clock, timeout_s: float, interval_s: float = 0.1) -> bool:
    """Poll `condition` until it holds or `timeout_s` is over; returns whether it held."""
    deadline_ns = clock.now_ns() + to_ns(timeout_s)
    while not condition():
        if clock.now_ns() >= deadline_ns:
            return False
        clock.sleep(interval_s)
    return True
