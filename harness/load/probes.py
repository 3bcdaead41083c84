"""The instruments: open-loop probes of each capability, attributed at the moment they are sent.

Each probe has a connection of its own; those of start_session go on with the log-in of their account.

Several places (`keeper`) and several entrances take turns on one grid; each probe says in `via` whose turn it was.

No probe waits for another, and none for the keepers. gevent rather than threads or asyncio: one client serves users and
probes, and its timer enforces a total deadline over blocking calls, which a thread can't.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent.event

from harness.core.clock import to_ns
from harness.core.entrances import Entrance, parse_entrances
from harness.core.words import Capability
from harness.errors import UsageError
from harness.load.balancer_watch import BalancerWatch, addresses
from harness.load.database_writer import DatabaseWriter, Driver, Way
from harness.load.deadlines import START_PROBE_DEADLINE_S
from harness.load.hub_writer import HubWriters
from harness.load.instruments import Instruments
from harness.load.jupyterhub import JupyterHubClient
from harness.load.keeper import Keepers
from harness.load.open_loop import OpenLoop
from harness.load.priority import use_realtime
from harness.load.starts import Account, accounts_needed, clean
from harness.load.stdio import serve_stdio

__all__ = ["Probes", "main"]

# The period bounds how exactly an outage is known (1/rate + L0/2), the cost bounds the period: an instrument must not
# be the load. Measured on a node of two cores, one kind at a time: 6%, 10% and 3% of a core. A websocket costs 26 ms
# (Jupyter Server opens ZeroMQ sockets for each), so one carries reconnect and work. How often a session is started is
# the experiment's choice (`load.start_probe_every_s`), because it costs so much more.
LOG_IN_PERIOD_S = 0.25
SESSION_PERIOD_S = 0.25
SAVE_PERIOD_S = 0.25

#: Used in turn, so that a hub that locks one account up does not look like one that is down.
LOG_IN_ACCOUNTS = 4
#: Probe files in the home, written in turn, so that two saves in flight rarely meet in one file.
SAVE_FILES = 8

_CAPABILITIES = tuple(capability.value for capability in Capability)


class Probes:
    """All instruments of one run."""

    def __init__(
        self,
        entrances: Sequence[Entrance],
        password: str,
        path: Path,
        *,
        serving_nodes: int,
        starts_after_s: float,
        start_every_s: float,
        driver: Driver | None,
        writer: str,
        writes_path: Path,
        hub_writes_path: Path,
    ) -> None:
        """`driver` is the way into the database, None where there is none; `writer` is whose numbers are written."""
        self._entrances = entrances
        # people's own first sessions go before those of the instruments: until then these would only slow the ramp
        self._starts_from_ns = time.monotonic_ns() + to_ns(starts_after_s)
        self._password = password
        self._stop = gevent.event.Event()
        self._loop = OpenLoop(path, _CAPABILITIES, self._stop)
        self._instruments = Instruments(self._loop, self._stop)
        self._database_writer = DatabaseWriter(driver, writer, writes_path, self._stop)
        self._hub_writers = HubWriters(
            entrances, password, hub_writes_path, self._stop, serving_nodes=serving_nodes, writer=writer
        )
        self._keepers = Keepers(entrances, serving_nodes, password, self._stop)
        self._work_turns, self._save_turns = self._keepers.turns(), self._keepers.turns()
        self._start_every_s = start_every_s
        # entrances take turns, so each has a session started that much less often
        each = accounts_needed(start_every_s * len(entrances))
        self._accounts = [
            [Account(self._client(f"probe-start-{where * each + k}", where)) for k in range(each)]
            for where in range(len(entrances))
        ]
        self._start_turns = itertools.cycle(range(len(entrances)))
        self._log_in_turns = itertools.cycle(itertools.product(range(LOG_IN_ACCOUNTS), range(len(entrances))))
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Begin with everything; returns at once."""
        for keeper in self._keepers.everybody:
            self._loop.tend(keeper.run, self._keepers.earlier(keeper))
        for account in itertools.chain(*self._accounts):
            self._loop.tend(clean, account, self._stop)
        # different phases, so that the kinds do not compete with one another for the processor at each full second
        self._loop.drive(LOG_IN_PERIOD_S, 0.0, self._log_in, lambda: True)
        self._loop.drive(SESSION_PERIOD_S, 0.06, self._work, self._has_session)
        self._loop.drive(SAVE_PERIOD_S, 0.15, self._save, self._has_session)
        self._loop.drive(self._start_every_s, 0.11, self._start_session, self._has_account)
        self._loop.send(self._database_writer.run)
        for hub_writer in self._hub_writers.everybody:
            self._loop.send(hub_writer.run, self._hub_writers.earlier(hub_writer))

    def snapshot(self) -> Mapping[str, Any]:
        """The state of every capability. Raises `RunError` if an instrument broke: that is not the platform's doing."""
        return self._loop.snapshot()

    def stop(self) -> tuple[int, int, int]:
        """Send no more probes, wait for those in flight, close the files; returns how many probes, writes into the
        database and writes of hubs there were."""
        self._stop.set()
        self._keepers.trouble()
        try:
            rows = self._loop.close(START_PROBE_DEADLINE_S + 1)
        finally:
            writes, hub_writes = self._database_writer.close(), self._hub_writers.close()
        return rows, writes, hub_writes

    def _has_session(self) -> bool:
        return self._keepers.ready

    def _has_account(self) -> bool:
        free = all(any(account.free for account in accounts) for accounts in self._accounts)
        return free and time.monotonic_ns() >= self._starts_from_ns

    # -- one probe each --------------------------------------------------------------------------------------------

    def _log_in(self, due_ns: int) -> None:
        account, where = next(self._log_in_turns)
        client = self._client(f"probe-login-{account}", where)
        self._instruments.measure(Capability.LOG_IN, due_ns, client, client.log_in, self._via(where))
        client.close()

    def _save(self, due_ns: int) -> None:
        keeper = next(self._save_turns)
        client = keeper.visitor()
        number = next(self._numbers)

        def put() -> None:
            client.put_file(f"probe-{number % SAVE_FILES}.txt", f"{number}\n")

        if not self._instruments.measure(Capability.SAVE, due_ns, client, put, str(keeper.number)):
            keeper.trouble()
        client.close()

    def _work(self, due_ns: int) -> None:
        keeper = next(self._work_turns)
        client = keeper.visitor()
        if not self._instruments.run_cell(due_ns, client, next(self._numbers), str(keeper.number)):
            keeper.trouble()
        client.leave()

    def _start_session(self, due_ns: int) -> None:
        where = next(self._start_turns)
        self._instruments.start_session(due_ns, self._accounts[where], self._entrances[where].node, self._via(where))

    def _client(self, name: str, where: int) -> JupyterHubClient:
        entrance = self._entrances[where]
        return JupyterHubClient(entrance.url, name, self._password, node=entrance.node)

    def _via(self, where: int) -> str:
        """The mark of a probe that came through this entrance."""
        return str(where) if len(self._entrances) > 1 else ""


class _Server:
    """Answers the load client."""

    def __init__(self) -> None:
        self._scheduler = use_realtime()
        self._probes: Probes | None = None
        self._path = self._writes_path = self._hub_writes_path = ""
        self._balancers: BalancerWatch | None = None

    def start(
        self,
        *,
        entrances: str,
        serving_nodes: int,
        password: str,
        path: str,
        starts_after_s: float,
        start_every_s: float,
        writer: str,
        writes_path: str,
        hub_writes_path: str,
        balancer_path: str,
    ) -> Mapping[str, Any]:
        if self._probes is not None:
            raise UsageError("the probes were started before")
        self._path, self._writes_path, self._hub_writes_path = path, writes_path, hub_writes_path
        database = Way.from_environment(os.environ)
        self._probes = Probes(
            parse_entrances(entrances),
            password,
            Path(path),
            serving_nodes=serving_nodes,
            starts_after_s=starts_after_s,
            start_every_s=start_every_s,
            driver=database.driver() if database else None,
            writer=writer,
            writes_path=Path(writes_path),
            hub_writes_path=Path(hub_writes_path),
        )
        self._probes.start()
        self._balancers = BalancerWatch(addresses(os.environ), Path(balancer_path))
        self._balancers.start()
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        capabilities = self._require().snapshot()
        if self._balancers is not None:
            self._balancers.check()
        return {"capabilities": capabilities}

    def stop(self) -> Mapping[str, Any]:
        probes, writes, hub_writes = self._require().stop()
        answer = {
            "probes": {"path": self._path, "rows": probes},
            "database_writes": {"path": self._writes_path, "rows": writes},
            "hub_writes": {"path": self._hub_writes_path, "rows": hub_writes},
            "probe_scheduler": self._scheduler,
        }
        if self._balancers is not None:
            answer["balancer"] = self._balancers.stop()
        return answer

    def _require(self) -> Probes:
        if self._probes is None:
            raise UsageError("the probes were not started")
        return self._probes


def main() -> None:
    """Serve the load client until it closes the standard input."""
    server = _Server()
    serve_stdio({"start": server.start, "snapshot": server.snapshot, "stop": server.stop})
