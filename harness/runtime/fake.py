"""A runtime without Docker, on a fake clock: the whole pipeline in milliseconds. For tests of the harness only.

The platform is a small model: one node is active, another takes over some seconds after it died, people restart their
sessions some seconds later. Faults go through the real life cycle, journal and fault classes on a simulated host.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.clock import FakeClock, to_ns
from harness.core.rows import Operation, ProbeSample, RowWriter
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.core.words import Capability
from harness.errors import DeploymentError, PeerError
from harness.faults.base import FaultKind
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.runtime.base import ExecResult, Progress

__all__ = ["Behaviour", "FakeDeployment", "FakeRuntime"]

_MACHINE = {"engine_version": "fake", "kernel": "fake", "cores": 2, "memory_bytes": 25_000_000_000}


@dataclass
class Behaviour:
    """How the simulated platform and harness behave, and what goes wrong with them."""

    takeover_s: float = 3.0
    """From the death of the active node until the standby serves."""
    boot_s: float = 4.0
    """From the start of a node until it could serve."""
    restart_s: float = 2.0
    """From the moment somebody serves again until a person's session works again."""
    probe_rate_hz: float = 10.0
    latency_s: float = 0.02
    never_ready: str = ""
    """The name of a container that never gets ready."""
    steady: bool = True
    """Whether people ever work."""
    carries: int | None = None
    """How many people the platform carries: whoever comes beyond that never works, and every probe fails from then on.
    None: as many as come."""
    lose_save: bool = False
    """The last acknowledged write of one user is missing afterwards."""
    lose_row: bool = False
    """A row of the operations is missing from the file."""
    faults: Mapping[str, FaultKind] = field(default_factory=lambda: FAULTS)
    on_sleep: Callable[[int], None] | None = None
    """Called with the time at every snapshot, to make something happen in mid-run."""


class FakeRuntime:
    """Makes fake deployments; keeps them so that tests can look at what was left."""

    def __init__(self, clock: FakeClock, topology: Topology, behaviour: Behaviour | None = None) -> None:
        self._clock = clock
        self._topology = topology
        self._behaviour = behaviour or Behaviour()
        self.deployments: list[FakeDeployment] = []

    def describe(self) -> Mapping[str, Any]:
        return _MACHINE

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        for name in names:
            progress(name, "ready")
        return {name: f"sha256:{name}" for name in names}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:  # noqa: ARG002 - the protocol's
        self.deployments.append(FakeDeployment(run_id, self._clock, self._topology, self._behaviour))
        return self.deployments[-1]


class _Platform:
    """Who is up and who is active, now and at any moment before.

    A machine with which anything at all is wrong serves nobody.
    """

    def __init__(self, clock: FakeClock, topology: Topology, behaviour: Behaviour, run_id: str) -> None:
        self.clock = clock
        self._topology = topology
        self._behaviour = behaviour
        self.host = RehearsalHost(clock.now_ns, run_id, self._changed)
        self._names: list[str] = []
        self._serving: set[str] = set()
        self._changes_ns: list[int] = []
        self._active: list[str] = []

    def boot(self, name: str) -> None:
        """A machine starts."""
        self._names.append(name)
        self.host.machines.look(name)
        self._changed(name)

    def runs(self, name: str) -> bool:
        """Whether a command can be run in it."""
        return name in self._names and not self.host.paper.is_wrong("down", name)

    def _changed(self, name: str) -> None:
        if name not in self._names:
            return
        serves = not any(where == name for _, where in self.host.paper.wrong)
        if serves and name not in self._serving:
            self._serving.add(name)
            self._offer(name)
        elif not serves and name in self._serving:
            self._serving.remove(name)
            self._leave(name)

    def _leave(self, name: str) -> None:
        now_ns = self.clock.now_ns()
        if self.active_at(now_ns) != name:
            return
        self._change(now_ns, "")
        heirs = [n for n in self._names if n.startswith("workbench") and n in self._serving]
        if heirs and self._topology.workbench.takeover == "automatic":
            self._change(now_ns + to_ns(self._behaviour.takeover_s), heirs[0])

    def _offer(self, name: str) -> None:
        """The node becomes active after its boot, if nobody is and the topology lets it."""
        if not name.startswith("workbench") or self.active_at(self.clock.now_ns() + to_ns(3600)) != "":
            return
        first_holder = self._topology.workbench.takeover == "first-holder" and self._active
        if not first_holder or name == self._active[0]:
            boot_s = self._behaviour.boot_s if self._active else 0.0
            self._change(self.clock.now_ns() + to_ns(boot_s), name)

    def active_at(self, t_ns: int) -> str:
        """The node that serves at that moment, or nothing."""
        index = bisect_right(self._changes_ns, t_ns) - 1
        return self._active[index] if index >= 0 else ""

    def serving_since(self, t_ns: int) -> int:
        """When the state of that moment began."""
        index = bisect_right(self._changes_ns, t_ns) - 1
        return self._changes_ns[index] if index >= 0 else 0

    def _change(self, t_ns: int, name: str) -> None:
        self._changes_ns.append(t_ns)
        self._active.append(name)


class _Agent:
    def __init__(self, lifecycle: Lifecycle, clock: FakeClock) -> None:
        self._lifecycle = lifecycle
        self._clock = clock

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the protocol's
        if op == "ping":
            return {"now_ns": self._clock.now_ns()}
        if op == "fault":
            return self._lifecycle.step(**args)
        if op == "undo_all":
            return {"undone": self._lifecycle.undo_all()}
        raise PeerError(f"unknown request {op!r}")


class _Client:
    """People and probes, worked out at the end from what the platform went through."""

    def __init__(self, platform: _Platform, behaviour: Behaviour, folder: Path, saved: list[tuple[str, int]]) -> None:
        """`saved` is what is in the homes already."""
        self._platform = platform
        self._behaviour = behaviour
        self._folder = folder
        self._plan: Mapping[str, Any] = {}
        self._start_ns = 0
        self._arrivals_ns: list[int] = []
        self.saved = saved

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the protocol's
        now_ns = self._platform.clock.now_ns()
        if op == "start":
            self._plan, self._start_ns = args, now_ns
            self._arrivals_ns = [now_ns] * args["users"]
            return {}
        if op == "grow":
            self._arrivals_ns += [now_ns] * args["users"]
            return {}
        if op == "snapshot":
            if self._behaviour.on_sleep:
                self._behaviour.on_sleep(now_ns)
            return self._snapshot(now_ns)
        if op == "stop":
            return self._write(now_ns)
        raise PeerError(f"unknown request {op!r}")

    def _working(self, t_ns: int) -> bool:
        """Whether a person's session works: somebody serves, for long enough to have started a session there."""
        since_ns = self._platform.serving_since(t_ns)
        pause_s = 0.0 if since_ns < self._start_ns else self._behaviour.restart_s
        return self._platform.active_at(t_ns) != "" and t_ns >= since_ns + to_ns(pause_s)

    def _carried(self, index: int) -> bool:
        """Whether the platform has room for the person who came as the `index`-th."""
        return self._behaviour.carries is None or index < self._behaviour.carries

    def _overloaded(self, t_ns: int) -> bool:
        """Whether more people have come by then than the platform carries."""
        carries = self._behaviour.carries
        return carries is not None and sum(came_ns <= t_ns for came_ns in self._arrivals_ns) > carries

    def _snapshot(self, now_ns: int) -> Mapping[str, Any]:
        works = self._behaviour.steady and self._working(now_ns)
        users = len(self._arrivals_ns)
        working = sum(map(self._carried, range(users))) if works else 0
        good = {"samples": 9, "good_since_ns": self._start_ns if works else None, "last_ok": works, "last_detail": ""}
        return {
            "t_ns": now_ns,
            "users": {"working": working, "recovering": users - working},
            "nodes": {self._platform.active_at(now_ns): working} if works else {},
            "capabilities": {capability.value: dict(good) for capability in Capability},
        }

    def _write(self, end_ns: int) -> Mapping[str, Any]:
        operations, probes = self._folder / "operations.csv", self._folder / "probes.csv"
        operation_writer = RowWriter(operations, Operation)
        for index, came_ns in enumerate(self._arrivals_ns):
            for operation in self._operations_of(index, came_ns, end_ns):
                operation_writer.write(operation)
        operation_writer.close()
        probe_writer = RowWriter(probes, ProbeSample)
        for sample in self._probe_samples(end_ns):
            probe_writer.write(sample)
        probe_writer.close()
        if self._behaviour.lose_save:
            self.saved.pop()
        if self._behaviour.lose_row:
            lines = operations.read_text().splitlines(keepends=True)
            operations.write_text("".join(lines[:5] + lines[6:]))
        return {
            "operations": {"path": "/data/operations.csv", "rows": operation_writer.rows},
            "probes": {"path": "/data/probes.csv", "rows": probe_writer.rows},
            "probe_scheduler": "fake",
        }

    def _operations_of(self, index: int, came_ns: int, end_ns: int) -> list[Operation]:
        plan, platform = self._plan, self._platform
        user, beat_ns = f"{plan['prefix']}user{index}", to_ns(plan["beat_s"])
        due_ns = came_ns + random.Random(plan["seed"] + index).randrange(beat_ns)  # noqa: S311 - a phase
        rows, counter, saves, beat = list[Operation](), 0, 0, 0
        node, session_began_ns = platform.active_at(due_ns), platform.serving_since(due_ns)
        while due_ns < end_ns:
            beat += 1
            works = self._working(due_ns) and self._carried(index)
            saving = beat % plan["save_every"] == 0
            expected = saves + 1 if saving else counter + 1
            found = -1
            if works and platform.serving_since(due_ns) != session_began_ns:
                node, session_began_ns = platform.active_at(due_ns), platform.serving_since(due_ns)
                counter, saving, found = 0, False, 1  # the first cell in a new kernel shows that the memory is gone
            elif works:
                found = expected
            if saving:
                saves += 1
                if works:
                    self.saved.append((user, saves))
            elif works:
                counter = found
            rows.append(
                Operation(
                    user=user,
                    session=f"{user}-1",
                    capability=(Capability.SAVE if saving else Capability.WORK).value,
                    due_ns=due_ns,
                    send_ns=due_ns,
                    end_ns=due_ns + to_ns(self._behaviour.latency_s),
                    ok=int(works),
                    node=node,
                    kernel=f"{user}-{session_began_ns}",
                    rung="",
                    expected=expected,
                    found=found,
                    detail="" if works else "refused",
                )
            )
            due_ns += beat_ns
        return rows

    def _probe_samples(self, end_ns: int) -> list[ProbeSample]:
        step_ns, samples = to_ns(1 / self._behaviour.probe_rate_hz), []
        for capability in Capability:
            needs_session = capability in {Capability.WORK, Capability.RECONNECT, Capability.SAVE}
            for due_ns in range(self._start_ns, end_ns, step_ns):
                ok = self._working(due_ns) if needs_session else self._platform.active_at(due_ns) != ""
                ok = ok and not self._overloaded(due_ns)
                answered_ns = due_ns + to_ns(self._behaviour.latency_s)
                node = self._platform.active_at(due_ns)
                samples.append(
                    ProbeSample(capability.value, due_ns, due_ns, answered_ns, int(ok), node, "" if ok else "refused")
                )
        return samples


class FakeDeployment:
    """One simulated run."""

    subnet_prefix = "192.0.2"  # TEST-NET-1 (RFC 5737): nothing is ever sent there

    def __init__(self, run_id: str, clock: FakeClock, topology: Topology, behaviour: Behaviour) -> None:
        self.run_id = run_id
        self._behaviour = behaviour
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-fake-"))
        self.platform = _Platform(clock, topology, behaviour, run_id)
        journal = Journal(self._folder / "journal.jsonl")
        self.agent = _Agent(
            Lifecycle(self.platform.host, journal, behaviour.faults, run_id=run_id, pause=clock.sleep), clock
        )
        self._client = _Client(self.platform, behaviour, self._folder, [])
        self._specs: Mapping[str, ContainerSpec] = {}
        self.removed = False

    def container_name(self, name: str) -> str:
        return f"fake-{self.run_id}-{name}"

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        for spec in specs:
            if spec.name == self._behaviour.never_ready:
                raise DeploymentError(f"{spec.name} was not ready after 60 s", detail="the end of the log: boom")
            self.platform.boot(spec.name)
            self.platform.clock.sleep(0.5)
            on_ready(spec, 0.5)

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        for rows in self._folder.glob("*.csv"):
            rows.unlink()  # a new container has a disk of its own
        self._client = _Client(self.platform, self._behaviour, self._folder, self._client.saved)
        on_ready(self._specs[name], 0.5)

    def peer(self, name: str) -> _Client:
        if name != "client":
            raise PeerError(f"{name} does not talk")
        return self._client

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:  # noqa: ARG002
        if not self.platform.runs(name):
            raise DeploymentError(f"{name}: {' '.join(argv)} could not be run: the container is not running")
        if name.startswith("workbench"):
            return ExecResult(0 if self.platform.active_at(self.platform.clock.now_ns()) == name else 1, "")
        return ExecResult(0, "".join(f"{user},{value}\n" for user, value in self._client.saved))

    def read_file(self, name: str, path: str) -> bytes:  # noqa: ARG002 - the protocol's
        return (self._folder / Path(path).name).read_bytes()

    def log(self, name: str) -> str:
        return f"{name} said nothing\n"

    def inspect(self, name: str) -> Mapping[str, Any]:
        return {"Name": self.container_name(name)}

    def remove(self) -> None:
        self.removed = True
        shutil.rmtree(self._folder, ignore_errors=True)
