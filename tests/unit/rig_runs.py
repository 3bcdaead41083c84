"""The rig of a calibration on a fake clock: faults go through the real life cycle on a rehearsed host, and the probes'
samples are worked out at the end from what the server went through, moment by moment."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.components import rig
from harness.core.calibration import Away, CalibrationPlan
from harness.core.clock import FakeClock, to_ns
from harness.core.history import Phase
from harness.core.rows import ProbeSample, RowWriter
from harness.core.specs import ContainerSpec
from harness.errors import PeerError
from harness.faults.base import FaultKind
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.runtime.base import ExecResult, Progress

MACHINE = {"engine_version": "fake", "kernel": "fake", "cores": 2, "memory_bytes": 25_000_000_000}
SHORT = CalibrationPlan(durations_s=(0.5,), repetitions=2)
_PACKET_NS = 1_000_000


@dataclass
class Behaviour:
    """How the simulated rig behaves, and what goes wrong with it."""

    latency_s: float = 0.001
    late_s: float = 0.0
    """How late every probe is sent, at the most; drawn by lot."""
    deaf: bool = False
    """The probes see no outage at all."""
    seen_longer_s: float = 0.0
    """Probes fail for so much longer than the server is away."""
    false_outage: bool = False
    """The server refuses once while nothing is wrong."""
    never_up: bool = False
    lose_row: bool = False
    witness_deaf: bool = False
    """Packets are cut off, and none of the witness's is lost."""
    faults: Mapping[str, FaultKind] = field(default_factory=lambda: FAULTS)
    on_snapshot: Callable[[int], None] | None = None
    """Called with the number of the snapshot, to make something happen in between."""


@dataclass
class Watcher:
    notes: list[str] = field(default_factory=list)

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        self.notes.append(f"{phase}: {detail}")

    def note(self, text: str) -> None:
        self.notes.append(text)

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        assert snapshot["capabilities"]


class RigRuntime:
    """See `harness.runtime.base.Runtime`."""

    def __init__(self, clock: FakeClock, folder: Path, behaviour: Behaviour, machine: Mapping[str, Any]) -> None:
        self.clock, self.folder, self.behaviour, self.machine = clock, folder, behaviour, machine
        self.deployments: list[RigDeployment] = []

    def describe(self) -> Mapping[str, Any]:
        return self.machine

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        return {name: f"sha256:{name}" for name in names}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> RigDeployment:
        self.deployments.append(RigDeployment(run_id, self.clock, self.folder, self.behaviour))
        return self.deployments[-1]


class RigDeployment:
    """See `harness.runtime.base.Deployment`."""

    subnet_prefix = "192.0.2"

    def __init__(self, run_id: str, clock: FakeClock, folder: Path, behaviour: Behaviour) -> None:
        self.run_id, self.clock, self.behaviour = run_id, clock, behaviour
        self.folder = folder / run_id
        self.folder.mkdir()
        self.host = RehearsalHost(clock.now_ns, run_id, self._changed)
        self.changes: list[tuple[int, Away | None]] = [(clock.now_ns(), None)]
        lifecycle = Lifecycle(
            self.host, Journal(self.folder / "journal.jsonl"), behaviour.faults, run_id=run_id, pause=clock.sleep
        )
        self.agent = _Peer({"ping": lambda: {"now_ns": clock.now_ns()}, "fault": lifecycle.step})
        self.specs: Sequence[ContainerSpec] = ()
        self.asked: dict[str, Any] = {}
        self.began_ns = self.snapshots = 0
        self.removed = False

    def _changed(self, _where: str) -> None:
        wrong = {what.split(" 0x")[0] for what, _ in self.host.paper.wrong}
        away = next((how for how, word in _WRONG.items() if any(what.startswith(word) for what in wrong)), None)
        self.changes.append((self.clock.now_ns(), away))

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        self.specs = specs
        for spec in specs:
            self.host.machines.look(spec.name)
            on_ready(spec, 0.5)

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        raise NotImplementedError

    def retire(self, name: str) -> None:
        raise NotImplementedError

    def destroy(self, names: Sequence[str], last_look: Callable[[str], None]) -> Sequence[str]:
        raise NotImplementedError

    def take_place(self, name: str, of: str) -> None:
        raise NotImplementedError

    def peer(self, name: str) -> _Peer:
        return {
            rig.SERVER: _Peer(
                {
                    "down": lambda seconds: {},
                    "lives": self._lives,
                    "gaps": lambda: {"gaps": [] if self.behaviour.witness_deaf else list(self._gaps())},
                    "processors": lambda: {"busy": self.clock.now_ns() // 4, "all": self.clock.now_ns()},
                }
            ),
            rig.WITNESS: _Peer({"start": self._witness, "sent": self._sent}),
            rig.PROBES: _Peer({"start": self._begin, "snapshot": self._snapshot, "stop": self._stop}),
        }[name]

    # -- what the server and the packets went through --------------------------------------------------------------

    def away_at(self, t_ns: int) -> tuple[Away | None, int]:
        """What was wrong at that moment, and until when."""
        at = max((index for index, (since_ns, _) in enumerate(self.changes) if since_ns <= t_ns), default=0)
        after = [since_ns for since_ns, away in self.changes[at + 1 :] if away != self.changes[at][1]]
        return self.changes[at][1], min(after, default=1 << 62)

    def intervals(self, away: Away) -> Iterator[tuple[int, int]]:
        for (start_ns, how), (end_ns, _) in zip(self.changes, self.changes[1:], strict=False):
            if how is away:
                yield start_ns, end_ns

    def _lives(self) -> Mapping[str, Any]:
        began_ns, lives = self.changes[0][0], []
        for start_ns, end_ns in self.intervals(Away.KILL):
            lives.append({"listening_before_ns": began_ns, "listening_after_ns": began_ns, "ended_ns": start_ns})
            began_ns = end_ns
        return {"lives": [*lives, {"listening_before_ns": began_ns, "listening_after_ns": began_ns, "ended_ns": None}]}

    def _witness(self, *, address: str, port: int) -> Mapping[str, Any]:
        assert address == f"{self.subnet_prefix}.{rig.SERVER_HOST}"
        self.asked["witness_ns"] = self.clock.now_ns()
        return {}

    def _sent(self, *, numbers: Sequence[int]) -> Mapping[str, Any]:
        at = [self.asked["witness_ns"] + number * _PACKET_NS for number in numbers]
        return {"sent": [[t_ns, t_ns + 20_000] for t_ns in at]}

    def _gaps(self) -> Iterator[tuple[int, int]]:
        for start_ns, end_ns in self.intervals(Away.DROP):
            first_lost = -((self.asked["witness_ns"] - start_ns) // _PACKET_NS)
            yield first_lost - 1, -((self.asked["witness_ns"] - end_ns) // _PACKET_NS)

    # -- probes ----------------------------------------------------------------------------------------------------

    def _begin(self, **asked: Any) -> Mapping[str, Any]:
        self.asked |= asked
        self.began_ns = self.clock.now_ns()
        return {}

    def _snapshot(self) -> Mapping[str, Any]:
        self.snapshots += 1
        if self.behaviour.on_snapshot:
            self.behaviour.on_snapshot(self.snapshots)
        since_ns = None if self.behaviour.never_up else self.began_ns
        state = {"samples": 9, "good_since_ns": since_ns, "last_ok": since_ns is not None, "last_detail": "refused"}
        return {"capabilities": {series: dict(state) for series in self.asked["periods_s"]}}

    def _stop(self) -> Mapping[str, Any]:
        path = self.folder / "probes.csv"
        writer = RowWriter(path, ProbeSample)
        for series, period_s in self.asked["periods_s"].items():
            for sample in self._samples(series, to_ns(period_s)):
                writer.write(sample)
        writer.close()
        if self.behaviour.lose_row:
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(lines[:5] + lines[6:]))
        return {"probes": {"path": "/data/probes.csv", "rows": writer.rows}, "probe_scheduler": "fake"}

    def _samples(self, series: str, period_ns: int) -> Iterator[ProbeSample]:
        lot = random.Random(series)
        false_ns = self.began_ns + to_ns(6.5)  # after the steady state, before the first outage
        for due_ns in range(-(-self.began_ns // period_ns) * period_ns, self.clock.now_ns(), period_ns):
            send_ns = due_ns + to_ns(lot.uniform(0, self.behaviour.late_s))
            end_ns, detail = self._met(send_ns)
            if self.behaviour.false_outage and false_ns <= due_ns < false_ns + to_ns(0.3):
                end_ns, detail = send_ns + to_ns(self.behaviour.latency_s), "refused"
            yield ProbeSample(series, due_ns, send_ns, end_ns, int(not detail), "", detail, "")

    def _met(self, send_ns: int) -> tuple[int, str]:
        """When a probe that was sent then ended, and how it failed."""
        answered_ns, given_up_ns = send_ns + to_ns(self.behaviour.latency_s), send_ns + to_ns(self.asked["deadline_s"])
        away, until_ns = self.away_at(send_ns)
        if away is None and self.behaviour.seen_longer_s:
            away, until_ns = self.away_at(send_ns - to_ns(self.behaviour.seen_longer_s))
        if away is None or self.behaviour.deaf:
            return answered_ns, ""
        if away is Away.KILL:
            return answered_ns, "ConnectionRefusedError: ECONNREFUSED"
        if away is Away.STALL and until_ns < given_up_ns:
            return max(until_ns + to_ns(self.behaviour.latency_s), answered_ns), ""
        return given_up_ns, "deadline"

    # -- the rest of a deployment ----------------------------------------------------------------------------------

    def container_name(self, name: str) -> str:
        return f"fake-{name}"

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        raise NotImplementedError

    def read_file(self, name: str, path: str) -> bytes:
        return (self.folder / Path(path).name).read_bytes()

    def log(self, name: str, *, stamped: bool = False) -> str:
        return f"{name} said nothing\n"

    def inspect(self, name: str) -> Mapping[str, Any]:
        return {"Name": name}

    def remove(self) -> None:
        self.removed = True


#: As the rehearsal's paper calls what is wrong.
_WRONG = {Away.KILL: "process gone", Away.STALL: "process stopped", Away.DROP: "packet filter"}


class _Peer:
    def __init__(self, handlers: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
        self._handlers = handlers

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:
        if op not in self._handlers:
            raise PeerError(f"unknown request {op!r}")
        return self._handlers[op](**args)
