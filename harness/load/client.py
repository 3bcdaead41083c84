"""The load client: people in this process, instruments in a child, so that a busy crowd never delays a measurement."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import gevent
import gevent.event
import gevent.pool

from harness.core.attendance import DayPoint, Stay
from harness.core.conversation import parse_answer, request
from harness.core.entrances import Entrance, parse_entrances
from harness.core.names import writer_name
from harness.core.rows import Operation, RowWriter
from harness.errors import PeerError, UsageError
from harness.load.deadlines import DEADLINE_S, START_PROBE_DEADLINE_S
from harness.load.people import People, Plan
from harness.load.stdio import serve_stdio
from harness.load.users import LoadEnvironment, WorkbenchUser
from harness.load.visit import Visit

__all__ = ["LoadClient", "ProbeProcess", "Running", "main"]

P = TypeVar("P", bound=Plan)

OPERATIONS = "operations.csv"
PROBES = "probes.csv"
DATABASE_WRITES = "database_writes.csv"
HUB_WRITES = "hub_writes.csv"
BALANCER = "balancer.csv"

_ANSWER_S = 5.0
_ENDS_AT_ONCE = 8
#: A group that comes to grow the crowd is spread over this: all at one instant would measure how the hub stands a burst
#: of log-ins, which no crowd is, instead of how many people it carries. A step takes 5 s at least.
_GROUP_COMES_WITHIN_S = 2.0
#: An operation in flight ends by its own deadline; the longest are no longer waited for once the run ends.
STOP_USERS_S = max(seconds for seconds in DEADLINE_S.values() if seconds < 60) + 5
_STOP_PROBES_S = START_PROBE_DEADLINE_S + 5


class ProbeProcess:
    """The probe process, and the conversation with it."""

    def __init__(self, program: str = "harness.load") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, "probes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._requests = 0

    def call(self, op: str, *, timeout_s: float = _ANSWER_S, **args: Any) -> Mapping[str, Any]:
        """Ask for `op`; raises `PeerError` if there is no good answer in time."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        self._requests += 1
        with gevent.Timeout(timeout_s, PeerError(f"the probe process did not answer {op!r} within {timeout_s:g} s")):
            try:
                stdin.write(request(self._requests, op, args))
                stdin.flush()
                line = stdout.readline()
            except OSError as error:
                raise PeerError(f"the probe process is gone: {error}") from error
        if not line:
            raise PeerError(
                f"the probe process ended with status {self._process.poll()} instead of an answer to {op!r}"
            )
        return parse_answer(line, self._requests, "the probe process")

    def end(self) -> None:
        """End the process; its input ending is enough unless it hangs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Running(Generic[P]):
    """What exists between start and stop."""

    def __init__(self, plan: P, folder: Path) -> None:
        self.plan = plan
        self.stop = gevent.event.Event()
        self.operations = RowWriter(folder / OPERATIONS, Operation)
        self.people = People(plan, time.monotonic_ns(), self.operations.write, self.stop)
        self.environment = LoadEnvironment(self.people, stop_timeout_s=STOP_USERS_S)
        self.runner = self.environment.create_local_runner()


class LoadClient:
    """Answers the harness: start, grow, come_and_go, snapshot, visit, visited, stop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: Running[Plan] | None = None
        self._visits = 0
        self._visit: Visit | None = None
        self._probes = ProbeProcess()  # now, so that `start` does not wait for its imports

    def start(self, *, entrances: str, **arguments: Any) -> Mapping[str, Any]:
        """Begin with everything; returns at once. `entrances` as in the environment, the rest as in `Plan`."""
        if self._running is not None:
            raise UsageError("the load was started before; a client serves one run")
        plan = Plan(entrances=parse_entrances(entrances), **arguments)
        running = self._running = Running(plan, self._folder)
        self._probes.call(
            "start",
            entrances=entrances,
            serving_nodes=plan.serving_nodes,
            password=plan.password,
            path=str(self._folder / PROBES),
            balancer_path=str(self._folder / BALANCER),
            starts_after_s=plan.ramp_s,
            start_every_s=plan.start_probe_every_s,
            writer=writer_name(plan.prefix),
            writes_path=str(self._folder / DATABASE_WRITES),
            hub_writes_path=str(self._folder / HUB_WRITES),
            timeout_s=15,
        )
        # all at once: each waits for a turn of its own, where Locust would let them come in batches once a second
        running.runner.start(plan.users, spawn_rate=plan.users)
        return {}

    def grow(self, *, users: int) -> Mapping[str, Any]:
        """Let so many more people come; returns at once."""
        running = self._require()
        running.people.invite(users, time.monotonic_ns(), _GROUP_COMES_WITHIN_S)
        # exactly so many: a new target for `start` would also replace whoever gave up
        running.runner.spawn_users({WorkbenchUser.__name__: users})
        return {}

    def come_and_go(self, *, stay: Mapping[str, Any] | None, day: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """From now on people end their sessions and come back as `Stay` says, or come and go by the curve of a day;
        returns at once."""
        running = self._require()
        if stay is not None:
            running.people.stay(Stay(**stay))
        if more := running.people.follow([DayPoint(**point) for point in day]):
            running.runner.spawn_users({WorkbenchUser.__name__: more})
        return {}

    def snapshot(self) -> Mapping[str, Any]:
        """Users by state, and what the probes see."""
        running = self._require()
        capabilities = self._probes.call("snapshot")["capabilities"]
        people = running.people
        return {
            "t_ns": time.monotonic_ns(),
            "users": people.by_state(),
            "nodes": people.by_node(),
            "capabilities": capabilities,
        }

    def visit(self, *, url: str, node: str) -> Mapping[str, Any]:
        """Let somebody come to one node, past the balancer; returns at once, `visited` says what came of it."""
        running = self._require()
        self._visits += 1
        name = f"{running.plan.prefix}visitor-{self._visits:03d}"
        self._visit = Visit(Entrance(url, node), name, running.plan.password, running.stop)
        return {}

    def visited(self) -> Mapping[str, Any]:
        """What came of the last visit so far: `over`, and `why_not`, empty where everything worked."""
        if self._visit is None:
            raise UsageError("nobody was sent to visit a node")
        return {"over": self._visit.over, "why_not": self._visit.why_not}

    def stop(self, *, end_sessions: bool = False) -> Mapping[str, Any]:
        """End users and probes, wait for what is in flight, close all files; with `end_sessions` have the hub stop
        everybody's session then."""
        running = self._require()
        running.stop.set()
        stopping = gevent.spawn(self._probes.call, "stop", timeout_s=_STOP_PROBES_S + _ANSWER_S)
        running.runner.quit()
        running.operations.close()
        probes = stopping.get()
        operations = {"path": str(self._folder / OPERATIONS), "rows": running.operations.rows}
        if end_sessions:
            gevent.pool.Pool(_ENDS_AT_ONCE).map(lambda person: person.end_session(), running.people.everybody)
        return {"operations": operations, **probes}

    def end(self) -> None:
        """The harness is gone or done: leave nothing behind."""
        if self._running is not None:
            self._running.stop.set()
        self._probes.end()

    def _require(self) -> Running[Plan]:
        if self._running is None:
            raise UsageError("the load was not started")
        return self._running


def main(folder: Path = Path("/data")) -> None:
    """Serve the harness until it closes the standard input."""
    # each user holds several connections; running out of files here would read as downtime there
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    client = LoadClient(folder)
    names = ("start", "grow", "come_and_go", "snapshot", "visit", "visited", "stop")
    serve_stdio({name: getattr(client, name) for name in names})
    client.end()
