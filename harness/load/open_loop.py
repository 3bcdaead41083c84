"""Open-loop probes on absolute grids: no probe waits for another, each is a row, attributed at the moment it was sent.

What a probe does is the caller's; when it is sent, how long it may take, how it is classified and how it is written is
the same for every instrument, so that what is shown of one of them (`harness calibrate`) holds for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent.pool

from harness.core.clock import to_ns
from harness.core.rows import ProbeSample, RowWriter
from harness.errors import RunError
from harness.load.bookkeeping import Ledger
from harness.load.deadlines import classify, deadline
from harness.load.failures import FAILURES, describe
from harness.load.ladder import Event
from harness.load.pacing import Grid, ticks

__all__ = ["OpenLoop", "Timed", "timed"]

#: Send time, end time and failure of one action; no failure is an empty text.
Timed = tuple[int, int, str]


def timed(action: Callable[[], None], limit_s: float) -> Timed:
    """Carry out an action, for `limit_s` at the most. Only what counts against the platform is a failure."""
    failure = ""
    send_ns = time.monotonic_ns()
    try:
        with deadline(limit_s):
            action()
    except FAILURES as error:
        failure = describe(error)
    return send_ns, time.monotonic_ns(), failure


class OpenLoop:
    """All probes of one process: their grids, their rows, and the state that the harness polls."""

    def __init__(self, path: Path, series: tuple[str, ...], stop: Event) -> None:
        """`series` are the capabilities that are probed; once `stop` is set nothing more is sent."""
        self._rows = RowWriter(path, ProbeSample)
        self._ledger = Ledger(series)
        self._stop = stop
        self._upkeep = gevent.pool.Group()
        self._in_flight = gevent.pool.Group()
        self._broken = ""

    def tend(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run something beside the probes that nobody waits for at the end."""
        self._spawn(self._upkeep, function, *arguments)

    def send(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run something that is waited for at the end, as every probe is."""
        self._spawn(self._in_flight, function, *arguments)

    def drive(self, period_s: float, phase_s: float, probe: Callable[[int], None], begun: Callable[[], bool]) -> None:
        """Send `probe` at each point of its grid, from when there is first anything to probe with."""
        self.tend(self._drive, period_s, phase_s, probe, begun)

    def sample(self, series: str, due_ns: int, what: Timed, limit_s: float, *, node: str = "", via: str = "") -> bool:
        """Classify what a probe met, against its deadline, and write it down; returns whether it was good."""
        send_ns, end_ns, failure = what
        ok, detail = classify(send_ns, end_ns, failure, limit_s)
        sample = ProbeSample(series, due_ns, send_ns, end_ns, ok, node, detail, via)
        self._rows.write(sample)
        self._ledger.observe(sample)
        return bool(ok)

    def snapshot(self) -> Mapping[str, Any]:
        """The state of every series. Raises `RunError` if an instrument broke: that is not the platform's doing."""
        self._check()
        return self._ledger.snapshot()

    def close(self, timeout_s: float) -> int:
        """Wait for what is in flight and close the file; returns the number of rows. Raises as `snapshot` does."""
        self._in_flight.join(timeout=timeout_s)
        self._rows.close()
        self._check()
        return self._rows.rows

    def _drive(self, period_s: float, phase_s: float, probe: Callable[[int], None], begun: Callable[[], bool]) -> None:
        while not begun() and not self._stop.is_set():
            self._stop.wait(period_s)
        grid = Grid(to_ns(phase_s), to_ns(period_s))
        for due_ns in ticks(grid, self._stop):
            self.send(probe, due_ns)

    def _spawn(self, group: Any, function: Callable[..., None], *arguments: Any) -> None:
        group.spawn(function, *arguments).link_exception(self._note_broken)

    def _note_broken(self, greenlet: Any) -> None:
        # gevent has printed the traceback; the harness hears of it with the next request
        self._broken = self._broken or f"{type(greenlet.exception).__name__}: {greenlet.exception}"

    def _check(self) -> None:
        if self._broken:
            raise RunError(f"a probe broke: {self._broken}")
