"""The instruments on an existing system: the probes of `harness.load.probes` at a rate that the file chooses, without
those that write where nobody asked them to (tokens in the hub's database, a table of their own).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent.event

from harness.core.clock import to_ns
from harness.core.entrances import Entrance
from harness.core.words import Capability
from harness.errors import UsageError
from harness.load.attached.way import KEEPER, LOG_IN, Way, start_name, way_from
from harness.load.deadlines import START_PROBE_DEADLINE_S, deadline
from harness.load.failures import FAILURES
from harness.load.instruments import Instruments
from harness.load.keeper import Keeper
from harness.load.ladder import Event
from harness.load.open_loop import OpenLoop
from harness.load.priority import use_realtime
from harness.load.starts import Account, accounts_needed, clean
from harness.load.stdio import serve_stdio

__all__ = ["AttachedProbes", "main"]

#: Probe files in the home, written in turn and removed at the end.
_SAVE_FILES = tuple(f"harness-probe-{number}.txt" for number in range(4))
_TIDY_S = 10.0


class _AttachedKeeper(Keeper):
    """A keeper with an account that somebody gave; wherever it comes to, it stays."""

    def __init__(self, way: Way, stop: Event) -> None:
        self._way = way
        super().__init__(0, Entrance(way.url), "", stop)

    def _open(self) -> None:
        self._session = self._way.session(KEEPER, self._stop)
        self._client = self._session.client

    def tidy(self) -> None:
        """Leave nothing behind: no probe's file, no server."""
        files = _SAVE_FILES if Capability.SAVE in self._way.capabilities else ()
        for path in files:
            with suppress(*FAILURES), deadline(_TIDY_S):
                self._client.remove_file(path)
        with suppress(*FAILURES), deadline(_TIDY_S):
            self._client.stop_server()
        self._client.close()


class AttachedProbes:
    """All instruments of one run."""

    def __init__(self, way: Way, path: Path, *, every_s: float, starts_after_s: float, start_every_s: float) -> None:
        self._way = way
        self._every_s = every_s
        self._start_every_s = start_every_s
        self._starts_from_ns = time.monotonic_ns() + to_ns(starts_after_s)
        self._stop = gevent.event.Event()
        self._loop = OpenLoop(path, tuple(capability.value for capability in way.capabilities), self._stop)
        self._instruments = Instruments(self._loop, self._stop)
        self._keeper = _AttachedKeeper(way, self._stop)
        accounts = accounts_needed(start_every_s) if Capability.START_SESSION in way.capabilities else 0
        self._accounts = [Account(way.client(start_name(number))) for number in range(accounts)]
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Begin with everything; returns at once."""
        self._loop.tend(self._keeper.run)
        for account in self._accounts:
            self._loop.tend(clean, account, self._stop)
        every_s, has_session = self._every_s, lambda: self._keeper.ready
        probes: dict[Capability, tuple[float, float, Callable[[int], None], Callable[[], bool]]] = {
            Capability.LOG_IN: (every_s, 0.0, self._log_in, lambda: True),
            Capability.WORK: (every_s, every_s / 4, self._work, has_session),
            Capability.SAVE: (every_s, every_s / 2, self._save, has_session),
            Capability.START_SESSION: (self._start_every_s, every_s * 3 / 4, self._start_session, self._has_account),
        }
        for capability in self._way.capabilities:
            if capability in probes:
                self._loop.drive(*probes[capability])

    def snapshot(self) -> Mapping[str, Any]:
        """The state of every capability. Raises `RunError` if an instrument broke."""
        return self._loop.snapshot()

    def stop(self) -> int:
        """Send no more probes, wait for those in flight, close the file, end the sessions; returns how many probes
        there were."""
        self._stop.set()
        self._keeper.trouble()
        try:
            return self._loop.close(START_PROBE_DEADLINE_S + 1)
        finally:
            self._keeper.tidy()
            for account in self._accounts:
                with suppress(*FAILURES), deadline(_TIDY_S):
                    account.client.stop_server()

    def _has_account(self) -> bool:
        return any(account.free for account in self._accounts) and time.monotonic_ns() >= self._starts_from_ns

    # -- one probe each --------------------------------------------------------------------------------------------

    def _log_in(self, due_ns: int) -> None:
        client = self._way.client(LOG_IN)
        self._instruments.measure(Capability.LOG_IN, due_ns, client, client.log_in)
        client.close()

    def _save(self, due_ns: int) -> None:
        client, number = self._keeper.visitor(), next(self._numbers)

        def put() -> None:
            client.put_file(_SAVE_FILES[number % len(_SAVE_FILES)], f"{number}\n")

        if not self._instruments.measure(Capability.SAVE, due_ns, client, put):
            self._keeper.trouble()
        client.close()

    def _work(self, due_ns: int) -> None:
        """Where there are kernels as `Probes` does it; else one heartbeat."""
        client: Any = self._keeper.visitor()
        if Capability.RECONNECT in self._way.capabilities:
            good = self._instruments.run_cell(due_ns, client, next(self._numbers))
        else:
            good = self._instruments.measure(Capability.WORK, due_ns, client, client.heartbeat)
        if not good:
            self._keeper.trouble()
        client.leave()

    def _start_session(self, due_ns: int) -> None:
        self._instruments.start_session(due_ns, self._accounts, "")


class _Server:
    """Answers the load client."""

    def __init__(self) -> None:
        self._scheduler = use_realtime()
        self._probes: AttachedProbes | None = None
        self._path = ""

    def start(self, *, way: Mapping[str, Any], path: str, **rates: float) -> Mapping[str, Any]:
        if self._probes is not None:
            raise UsageError("the probes were started before")
        self._path = path
        self._probes = AttachedProbes(way_from(way), Path(path), **rates)
        self._probes.start()
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        return {"capabilities": self._require().snapshot()}

    def stop(self) -> Mapping[str, Any]:
        probes = self._require().stop()
        return {"probes": {"path": self._path, "rows": probes}, "probe_scheduler": self._scheduler}

    def _require(self) -> AttachedProbes:
        if self._probes is None:
            raise UsageError("the probes were not started")
        return self._probes


def main() -> None:
    """Serve the load client until it closes the standard input."""
    server = _Server()
    serve_stdio({"start": server.start, "snapshot": server.snapshot, "stop": server.stop})
