"""What a test holds in its hands: its platform, its people, its faults and what has happened so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.analysis import Measures
from harness.components.registry import members
from harness.core.experiment import Experiment, Load
from harness.core.history import Event, EventKind
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import UsageError
from harness.faults.registry import RULES
from harness.pytest_plugin.choice import KEY
from harness.run.step_by_step import StepByStep, StepOfGrowth
from harness.runtime.base import Deployment as Containers
from harness.runtime.base import ExecResult
from harness.spec.loader import check_pair, read_fault

if TYPE_CHECKING:
    from harness.pytest_plugin.scene import Scene

__all__ = ["Deployment", "Faults", "HistorySoFar", "InForce", "LoadOfPeople"]


class Deployment:
    """The platform."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @property
    def topology(self) -> Topology:
        """What it was built from."""
        return self.scene.topology

    @property
    def run_id(self) -> str:
        """By which its containers are found: they are called `chaos-<run id>-<name>`."""
        return self._deployment.run_id

    def members(self, role: str) -> tuple[str, ...]:
        """The short names of the containers of a role, as `workbench-0`."""
        return members(self.topology, Role(role))

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        """Run a command in a container. Raises `DeploymentError` where that is not possible."""
        return self._deployment.execute(name, argv, timeout_s=timeout_s)

    def log(self, name: str) -> str:
        """What a container has written so far."""
        return self._deployment.log(name)

    def watch(self, seconds: float) -> None:
        """Let time go by. (`time.sleep` does too, but nobody can stop it, nor a simulated clock follow.)"""
        __tracebackhide__ = True
        self.scene.do(lambda run: run.watch(seconds))

    @property
    def _deployment(self) -> Containers:
        if self.scene.run.over:
            raise UsageError("the run has ended, and the platform with it")
        return self.scene.run.deployment


class LoadOfPeople:
    """People at work."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def start(
        self,
        users: int = Load.users,
        *,
        beat_s: float = Load.beat_s,
        save_every: int = Load.save_every,
        ramp_s: float = Load.ramp_s,
        start_probe_every_s: float = Load.start_probe_every_s,
        steady_state_s: float = Experiment.steady_state_s,
    ) -> None:
        """People log in and work; returns once everybody works and every capability was good for `steady_state_s`. From
        then on is measured. Fails the test as INCONCLUSIVE if it does not come to that."""
        __tracebackhide__ = True
        load = Load(
            users=users,
            beat_s=beat_s,
            save_every=save_every,
            ramp_s=ramp_s,
            start_probe_every_s=start_probe_every_s,
        )
        self._scene.do(lambda run: run.let_people_come(load, steady_state_s, self._scene.machine))

    def add(self, users: int, *, within_s: float = 60.0) -> bool:
        """So many more come; whether everybody works within the time. They count like those who came first."""
        __tracebackhide__ = True
        return self._scene.do(lambda run: run.add_people(users, within_s))

    def overload(self, users: int, *, within_s: float = 20.0, steady_s: float = 5.0) -> StepOfGrowth:
        """So many more come, to find out how many are carried: everybody must work within the time, and for `steady_s`
        without a break; 95% are enough when the time is over. From the first of them on outages and sessions are not
        measured any more, acknowledged writes are."""
        __tracebackhide__ = True
        return self._scene.do(lambda run: run.overload(users, within_s, steady_s))

    def everybody_works(self, *, within_s: float, steady_s: float = 0.0) -> bool:
        """Wait until everybody works, and does so for `steady_s` without a break; whether it came to that."""
        __tracebackhide__ = True
        return self._scene.do(lambda run: run.until_everybody_works(within_s, steady_s)) is not None

    def stop(self) -> None:
        """People go home. With that the observation ends: what is broken is undone, and everything is collected."""
        __tracebackhide__ = True
        self._scene.measured()

    @property
    def room(self) -> int:
        """How many more people the engine's memory has room for; more than that are refused."""
        return self._scene.run.room

    @property
    def users(self) -> Mapping[str, int]:
        """How many are at what, as of now: starting, working, recovering."""
        return dict(self._scene.do(lambda run: run.snapshot())["users"])

    @property
    def working(self) -> int:
        """How many work, as of now."""
        return self.users.get("working", 0)

    @property
    def nodes(self) -> Mapping[str, int]:
        """How many work on which node, as of now."""
        return dict(self._scene.do(lambda run: run.snapshot())["nodes"])

    @property
    def capabilities(self) -> Mapping[str, bool]:
        """Whether the last probe of each capability was good."""
        found = self._scene.do(lambda run: run.snapshot())["capabilities"]
        return {name: bool(state["last_ok"]) for name, state in found.items()}


class InForce:
    """A fault that was injected. As a context manager it is undone at the end of the block."""

    def __init__(self, scene: Scene, index: int) -> None:
        self._scene = scene
        self._index = index

    @property
    def active(self) -> bool:
        """Whether it is in force."""
        return self._scene.run.in_force(self._index)

    @property
    def targets(self) -> tuple[str, ...]:
        """The containers that it hit, by their short names."""
        return self._scene.run.targets(self._index)

    @property
    def evidence(self) -> Any:
        """What showed that it took effect."""
        return self._scene.run.evidence(self._index)

    def undo(self) -> None:
        """Undo it, with proof. A second call does nothing. Without proof the test fails as INCONCLUSIVE."""
        __tracebackhide__ = True
        self._scene.do(lambda run: run.undo(self._index))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._scene.run.over:
            self.undo()


class Faults:
    """Breaks parts of the platform, each with proof."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._injected: list[InForce] = []

    def inject(
        self, kind: str, target: str, *, peer: str = "", blast_radius: int | None = None, **options: Any
    ) -> InForce:
        """Inject a fault of `harness list --faults` and wait for the proof that it took effect; without one the test
        fails as INCONCLUSIVE. `options` are those of docs/faults.md. More than one container at a time must be said:
        `blast_radius=2`.

        Raises `SpecError` for what does not exist or can't be done to this platform; nothing is injected then.
        """
        __tracebackhide__ = True
        said = {"fault": kind, "target": target, "options": options, "at_s": 0, "hold_s": 0}
        if peer:
            said["peer"] = peer
        index = self._scene.do(lambda run: self._inject(run, said, blast_radius))
        self._injected.append(InForce(self._scene, index))
        return self._injected[-1]

    def undo_all(self) -> None:
        """Undo what is in force, the latest first."""
        __tracebackhide__ = True
        for fault in reversed(self._injected):
            fault.undo()

    def _inject(self, run: StepByStep, said: Mapping[str, Any], blast_radius: int | None) -> int:
        where = self._scene.item.path
        fault = read_fault(said, RULES, str(where.name))
        alone = Experiment(description="", source="", faults=(fault,), blast_radius=blast_radius or 1_000)
        check_pair(self._scene.topology, alone, self._scene.item.stash[KEY].path, where, RULES)
        return run.inject(fault, blast_radius)


class HistorySoFar:
    """What happened."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def events(self, kind: str = "") -> list[Event]:
        """What was recorded so far; of one kind (`fault`, `grew`, `ready`, ...), if it is said."""
        return [event for event in self._scene.events() if not kind or event.kind is EventKind(kind)]

    def measures(self) -> Measures:
        """Everything that was measured, by the same analysis as that of `harness run`. The first call ends the
        observation: what is broken is undone, and people go home. Fails the test as INCONCLUSIVE where the run proves
        nothing."""
        __tracebackhide__ = True
        return self._scene.measured()
