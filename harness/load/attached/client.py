"""The load client of an existing system: people in this process, instruments in a child."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.pool

from harness.core.entrances import Entrance
from harness.core.rows import BalancerView, DatabaseWrite, RowWriter
from harness.core.words import Capability
from harness.errors import UsageError
from harness.load.attached.way import Way, way_from
from harness.load.client import OPERATIONS, PROBES, ProbeProcess, Running
from harness.load.deadlines import DEADLINE_S, START_PROBE_DEADLINE_S, deadline
from harness.load.failures import FAILURES, NotLoggedIn, describe
from harness.load.ladder import Event
from harness.load.people import Plan
from harness.load.stdio import serve_stdio

__all__ = ["AttachedClient", "main"]

_PROGRAM = "harness.load.attached"
_AT_ONCE = 4
_STOP_PROBES_S = START_PROBE_DEADLINE_S + 15
#: A fresh kernel, one cell.
_READ_S = 20.0
#: People without a file to save to never come to a beat at which they would.
_NEVER = 2**62


@dataclass(frozen=True, kw_only=True)
class _AttachedPlan(Plan):
    """People with accounts that somebody gave, and what each has."""

    way: Way
    sessions: dict[str, Any] = field(default_factory=dict)

    def session(self, name: str, entrance: Entrance, stop: Event) -> Any:
        """See `Plan`."""
        del entrance  # there is one, and the way knows it
        self.sessions[name] = self.way.session(name, stop)
        return self.sessions[name]


class AttachedClient:
    """Answers the harness: knock, start, snapshot, stop, read_back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: Running[_AttachedPlan] | None = None
        self._probes = ProbeProcess(_PROGRAM)  # now, so that `start` does not wait for its imports

    def knock(self, *, way: Mapping[str, Any]) -> Mapping[str, Any]:
        """Log in once with every account, one after the other, before anything else.

        `number` counts the accounts from 1; `refused` says whether it was the account's fault, `why_not` is empty where
        all of them are let in.
        """
        known = way_from(way)
        accounts = list(dict.fromkeys(tuple(account) for account in known.accounts.values()))
        names = {tuple(account): name for name, account in known.accounts.items()}
        for number, account in enumerate(accounts, start=1):
            client = known.client(names[account])
            try:
                with deadline(DEADLINE_S[Capability.LOG_IN]):
                    client.log_in()
            except FAILURES as error:
                return {"number": number, "refused": isinstance(error, NotLoggedIn), "why_not": describe(error)}
            finally:
                client.close()
        return {"number": len(accounts), "refused": False, "why_not": ""}

    def start(self, *, way: Mapping[str, Any], probe_every_s: float, **load: Any) -> Mapping[str, Any]:
        """Begin with everything; returns at once. `way` as in `Way`, the rest as in `Plan`."""
        if self._running is not None:
            raise UsageError("the load was started before; a client serves one run")
        known = way_from(way)
        if Capability.SAVE not in known.capabilities:
            load["save_every"] = _NEVER
        plan = _AttachedPlan(
            way=known, prefix="", entrances=(Entrance(known.url),), serving_nodes=1, password="", **load
        )
        running = self._running = Running(plan, self._folder)
        self._probes.call(
            "start",
            way=way,
            path=str(self._folder / PROBES),
            every_s=probe_every_s,
            starts_after_s=plan.ramp_s,
            start_every_s=plan.start_probe_every_s,
            timeout_s=15,
        )
        running.runner.start(plan.users, spawn_rate=plan.users)
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        """Users by state, and what the probes see."""
        running = self._require()
        return {
            "t_ns": time.monotonic_ns(),
            "users": running.people.by_state(),
            "nodes": running.people.by_node(),
            "capabilities": self._probes.call("snapshot")["capabilities"],
        }

    def stop(self) -> Mapping[str, Any]:
        """End users and probes, wait for what is in flight, close all files; sessions of the instruments end."""
        running = self._require()
        running.stop.set()
        stopping = gevent.spawn(self._probes.call, "stop", timeout_s=_STOP_PROBES_S)
        running.runner.quit()
        running.operations.close()
        probes = stopping.get()
        operations = {"path": str(self._folder / OPERATIONS), "rows": running.operations.rows}
        return {"operations": operations, **self._not_measured(), **probes}

    def read_back(self) -> Mapping[str, Any]:
        """After `stop`: what each person finds of what they saved, in a fresh kernel, the file removed by that; then
        everybody's session ends. Whose file could not be read is in `unread`, with the reason."""
        running = self._require()
        values: dict[str, list[int]] = {}
        unread: dict[str, str] = {}

        def one(name: str) -> None:
            session = running.plan.sessions[name]
            try:
                if Capability.SAVE in running.plan.way.capabilities:
                    with deadline(_READ_S):
                        values[name] = session.take_saves()
            except FAILURES as error:
                unread[name] = describe(error)
                session.client.close()

        gevent.pool.Pool(_AT_ONCE).map(one, list(running.plan.sessions))
        gevent.pool.Pool(_AT_ONCE).map(lambda person: person.end_session(), running.people.everybody)
        return {"values": values, "unread": unread}

    def end(self) -> None:
        """The harness is gone or done: leave nothing behind."""
        if self._running is not None:
            self._running.stop.set()
        self._probes.end()

    def _not_measured(self) -> Mapping[str, Any]:
        """Rows that every run has and nobody writes here: no table in a database, no look at a balancer."""
        files = [self._folder / f"{name}.csv" for name in ("database_writes", "balancer")]
        RowWriter(files[0], DatabaseWrite).close()
        RowWriter(files[1], BalancerView).close()
        return {path.stem: {"path": str(path), "rows": 0} for path in files}

    def _require(self) -> Running[_AttachedPlan]:
        if self._running is None:
            raise UsageError("the load was not started")
        return self._running


def main(folder: Path) -> None:
    """Serve the harness until it closes the standard input."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    client = AttachedClient(folder)
    serve_stdio({name: getattr(client, name) for name in ("knock", "start", "snapshot", "stop", "read_back")})
    client.end()
