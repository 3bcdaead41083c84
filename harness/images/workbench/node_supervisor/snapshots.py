"""Snapshots and copies at regular times, each by a process of its own: a slow one delays nobody, a failed one ends
nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from node_supervisor.log import log

__all__ = ["COMMAND", "COPY", "Snapshots"]

_NICE = ("nice", "-n", "10")  # people go first
COMMAND = (*_NICE, "/usr/local/bin/take-snapshot")
COPY = (*_NICE, "/usr/local/bin/copy-to-standby")


class Snapshots:
    """Starts the command every `every_s` seconds, one at a time; never with 0."""

    def __init__(self, every_s: float, command: Sequence[str] = COMMAND) -> None:
        self._every_ns = int(every_s * 1e9)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._due_ns = 0

    def keep(self, now_ns: int, *, active: bool) -> None:
        """Looks after the one that runs and starts one that is due; returns at once.

        The first is due as soon as the node is active: before that the hub's database may not be there.
        """
        if not self._every_ns:
            return
        self._look()
        if not active or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._every_ns
        if self._process is None:
            self._start(now_ns)
        else:
            running_s = (now_ns - self._started_ns) / 1e9
            log("snapshot", f"skipped: the one before still runs, for {running_s:.1f} s now")

    def _look(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            if code:
                log("snapshot", f"failed with {code}; the next one comes at its time")

    def _start(self, now_ns: int) -> None:
        self._started_ns = now_ns
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        except OSError as error:  # no memory for one more process, say: that is no reason to end the node
            log("snapshot", f"could not be started: {error}; the next one comes at its time")
