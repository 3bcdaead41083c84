"""Probes of the rig's server: on the same grids, with the same deadlines' timer, classification and rows as all others.

Only what is asked is the rig's own: connect anew, read the server's word to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent.event
from gevent import socket

from harness.errors import UsageError
from harness.load.failures import BadAnswer
from harness.load.open_loop import OpenLoop, timed
from harness.load.priority import use_realtime
from harness.load.rig.supervisor import WORD
from harness.load.stdio import serve_stdio

__all__ = ["RigProbes", "main"]

#: Between the phases of two series, so that they do not compete for the processor.
_APART_S = 0.003


class RigProbes:
    """One series of probes for each rate."""

    def __init__(self, path: Path, address: tuple[str, int], periods_s: Mapping[str, float], deadline_s: float) -> None:
        self._address = address
        self._periods_s = periods_s
        self._deadline_s = deadline_s
        self._stop = gevent.event.Event()
        self._loop = OpenLoop(path, tuple(periods_s), self._stop)

    def start(self) -> None:
        """Begin; returns at once."""
        for place, (series, period_s) in enumerate(self._periods_s.items()):
            self._loop.drive(period_s, place * _APART_S, self._probe_of(series), lambda: True)

    def snapshot(self) -> Mapping[str, Any]:
        """The state of every series."""
        return self._loop.snapshot()

    def stop(self) -> int:
        """Send no more, wait for what is in flight; returns the number of rows."""
        self._stop.set()
        return self._loop.close(self._deadline_s + 1)

    def _probe_of(self, series: str) -> Any:
        def probe(due_ns: int) -> None:
            self._loop.sample(series, due_ns, timed(self._ask, self._deadline_s), self._deadline_s)

        return probe

    def _ask(self) -> None:
        said = b""
        with socket.create_connection(self._address) as connection:
            while part := connection.recv(64):
                said += part
        if said != WORD:
            raise BadAnswer(f"{said[:20]!r} where {WORD!r} was expected")


class _Server:
    """Answers the harness."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scheduler = use_realtime()
        self._probes: RigProbes | None = None

    def start(self, *, address: str, port: int, periods_s: Mapping[str, float], deadline_s: float) -> Mapping[str, Any]:
        if self._probes is not None:
            raise UsageError("the probes were started before")
        self._probes = RigProbes(self._path, (address, port), periods_s, deadline_s)
        self._probes.start()
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        return {"capabilities": self._require().snapshot()}

    def stop(self) -> Mapping[str, Any]:
        rows = self._require().stop()
        return {"probes": {"path": str(self._path), "rows": rows}, "probe_scheduler": self._scheduler}

    def _require(self) -> RigProbes:
        if self._probes is None:
            raise UsageError("the probes were not started")
        return self._probes


def main(path: Path = Path("/data/probes.csv")) -> None:
    """Answer the harness until it closes the standard input."""
    server = _Server(path)
    serve_stdio({"start": server.start, "snapshot": server.snapshot, "stop": server.stop})
