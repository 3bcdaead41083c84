"""A disaster and the way back from it, done to real machines: what is lost, and what the plan has kept of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.components import backup, jupyterhub, postgresql
from harness.core.change import ChangeStep, Disaster
from harness.core.clock import Clock, to_ns, to_s
from harness.core.words import Role
from harness.errors import ChangeFailed, DeploymentError
from harness.run.changes.nodes import Nodes
from harness.run.changes.steps import Step
from harness.run.interrupts import Interrupts
from harness.run.stage import Stage
from harness.run.targets import said_to_be
from harness.runtime.base import Deployment

__all__ = ["Recovering"]

#: Between two looks whether a node is healthy; each is a command in it.
_LOOK_S = 0.5
#: A terabyte from a slow disk takes hours; the homes of a run are small.
_RESTORE_LIMIT_S = 900.0


class Recovering:
    """The machines of a platform that runs, until they are gone, and those that take their places."""

    def __init__(
        self,
        stage: Stage,
        nodes: Nodes,
        clock: Clock,
        *,
        interrupts: Interrupts,
        watch_until: Callable[[int], None],
        keep_log: Callable[[str, str], None],
    ) -> None:
        """`nodes` tries whether somebody can work; `keep_log` gets the log of a container that is about to go."""
        self._stage = stage
        self._nodes = nodes
        self._clock = clock
        self._interrupts = interrupts
        self._watch_until = watch_until
        self._keep_log = keep_log

    @property
    def _deployment(self) -> Deployment:
        deployment = self._stage.deployment
        assert deployment is not None, "there are people at work"
        return deployment

    def take(self, step: Step, disaster: Disaster) -> str:
        """Carry out one step; returns what was seen. Raises `ChangeFailed` where it does not come out as it must."""
        acts: Mapping[ChangeStep, Callable[[], str]] = {
            ChangeStep.DESTROY: lambda: self._destroy(step.nodes),
            ChangeStep.START: lambda: self._start(step.nodes),
            ChangeStep.RESTORE: lambda: self._restore(step.nodes[0]),
            ChangeStep.PROMOTE: lambda: self._promote(*step.nodes, limit_s=disaster.gate_s),
            ChangeStep.GATE: lambda: self._nodes.gate(step.nodes[0], disaster.gate_s),
        }
        return acts[step.what]()

    def _destroy(self, names: tuple[str, ...]) -> str:
        comes_again = self._stage.topology.backup is not None
        self._stage.gone = frozenset(names)
        volumes = self._deployment.destroy(
            names, lambda name: self._keep_log(f"{name}-1" if comes_again else name, name)
        )
        return f"{', '.join(names)} gone with the volumes {', '.join(volumes)}"

    def _start(self, names: tuple[str, ...]) -> str:
        """New machines with empty disks, in the places of those that are gone."""
        seconds: dict[str, float] = {}
        specs = [backup.beside(self._stage.node(name)) for name in names]
        try:
            with self._interrupts.allowed():
                self._deployment.start(specs, lambda spec, ready_s: seconds.__setitem__(spec.name, ready_s))
        except DeploymentError as error:
            raise ChangeFailed(error.message) from error
        self._stage.gone -= frozenset(names)
        return f"{len(names)} machines, the last one ready after {max(seconds.values()):.1f} s"

    def _restore(self, machine: str) -> str:
        said = self._execute(machine, jupyterhub.RESTORE)
        topology = self._stage.topology
        for name in backup.database_names(topology) if topology.backup else ():
            primary = said_to_be(self._deployment, topology, Role.DATABASE, "primary")
            self._execute(primary[0], postgresql.take_name(name))
        return said

    def _promote(self, standby: str, node: str, *, limit_s: float) -> str:
        """People know an address: once the standby is healthy it gets that of the machine that is gone, as one would
        point a name elsewhere."""
        said = self._execute(standby, jupyterhub.PROMOTE)
        began_ns = self._clock.now_ns()
        while problem := self._problem(standby):
            if to_s(self._clock.now_ns() - began_ns) >= limit_s:
                raise ChangeFailed(f"{standby} was not healthy within {limit_s:g} s: {problem}")
            self._watch_until(self._clock.now_ns() + to_ns(_LOOK_S))
        healthy_s = to_s(self._clock.now_ns() - began_ns)
        self._deployment.take_place(standby, node)
        self._stage.stand_ins[node] = standby
        return " ".join(filter(None, [said, f"healthy after {healthy_s:.1f} s, then at the address of {node}"]))

    def _problem(self, standby: str) -> str:
        try:
            answer = self._deployment.execute(standby, jupyterhub.READY)
        except DeploymentError as error:
            return error.message
        return "" if answer.exit_code == 0 else answer.output.strip()[-300:] or f"exit code {answer.exit_code}"

    def _execute(self, container: str, argv: tuple[str, ...]) -> str:
        try:
            answer = self._deployment.execute(container, argv, timeout_s=_RESTORE_LIMIT_S)
        except DeploymentError as error:
            raise ChangeFailed(error.message) from error
        if answer.exit_code != 0:
            raise ChangeFailed(f"{container}: {argv[0]}: exit code {answer.exit_code}: {answer.output.strip()[-500:]}")
        return answer.output.strip()
