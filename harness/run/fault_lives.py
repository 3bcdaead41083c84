"""The faults of a run through their lives: aimed, injected, shown to take effect, undone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.clock import Clock
from harness.core.experiment import Fault
from harness.core.history import FaultStep, HistoryWriter
from harness.core.topology import Topology
from harness.errors import RunError
from harness.run.recorded import take_step
from harness.run.targets import lot_of, resolve, resolve_peer
from harness.runtime.base import Deployment

__all__ = ["FaultLives"]


@dataclass
class _Life:
    fault: Fault
    targets: tuple[str, ...]
    peers: tuple[str, ...]
    injected_ns: int | None = None
    """Since when it is, or may be, in force."""
    evidence: Any = None
    recovered: bool = False
    answer: Mapping[str, Any] | None = None
    """Of the agent to the last step."""


class FaultLives:
    """The faults by their numbers in the experiment. It has the agent take each step and records it."""

    def __init__(
        self, topology: Topology, seed: int, *, history: HistoryWriter, clock: Clock, note: Callable[[str], None]
    ) -> None:
        self._topology = topology
        self._seed = seed
        self._history = history
        self._clock = clock
        self._note = note
        self._lives: dict[int, _Life] = {}

    def aim(self, deployment: Deployment, index: int, fault: Fault, sessions: Mapping[str, int]) -> None:
        """Find out which containers are meant, by the sessions of each node where the words ask for that. Raises
        `UsageError` where there are none."""
        targets, peers = (
            how(deployment, self._topology, words, sessions=sessions, lot=lot_of(self._seed, index, words))
            if words
            else ()
            for how, words in ((resolve, fault.target), (resolve_peer, fault.peer))
        )
        self._lives[index] = _Life(fault, targets, peers)

    def guard_blast_radius(self, index: int, admitted: int) -> None:
        """Raises `RunError` before more containers are hit at one time than the experiment admits."""
        hit = {name for other in (index, *self.in_force) for name in self._lives[other].targets}
        if len(hit) > admitted:
            raise RunError(
                f"{', '.join(sorted(hit))} would be hit at the same time, expected at most {admitted}",
                hint=f"say `blast_radius: {len(hit)}` in the experiment if that is meant",
            )

    def inject(self, deployment: Deployment, index: int) -> bool:
        """False if the fault could not be shown to have taken effect; it is in force, or may be, all the same."""
        life = self._lives[index]
        self._step(deployment, index, FaultStep.PREPARE)
        life.injected_ns = self._clock.now_ns()  # before the call: what may be in force must be undone
        self._step(deployment, index, FaultStep.INJECT)
        proved = self._step(deployment, index, FaultStep.CONFIRM)
        what = f"{life.fault.fault} on {life.fault.target}"
        if proved:
            life.evidence = life.answer and life.answer.get("evidence")
            self._note(f"{what} ({', '.join(life.targets)}), held {life.fault.hold_s:g} s")
        else:
            self._note(f"{what}: no evidence that it took effect; giving up")
        return proved

    def undo(self, deployment: Deployment, index: int) -> None:
        """Undo it, look whether it is undone, remove what it needed."""
        life = self._lives[index]
        self._step(deployment, index, FaultStep.UNDO)
        life.recovered = self._step(deployment, index, FaultStep.CONFIRM_RECOVERY)
        self._step(deployment, index, FaultStep.CLEANUP)
        life.injected_ns = None
        self._note(f"{life.fault.fault} on {life.fault.target} undone")

    @property
    def in_force(self) -> list[int]:
        """Those that are, or may be, in force; the latest first."""
        since = {index: life.injected_ns for index, life in self._lives.items() if life.injected_ns is not None}
        return sorted(since, key=lambda index: since[index], reverse=True)

    def injected_ns(self, index: int) -> int:
        """When it was injected; of one that is in force."""
        injected_ns = self._lives[index].injected_ns
        assert injected_ns is not None, "only what is in force is held or undone"
        return injected_ns

    def targets(self, index: int) -> tuple[str, ...]:
        """The containers that it hits."""
        return self._lives[index].targets

    def evidence(self, index: int) -> Any:
        """What showed that it took effect; None without."""
        return self._lives[index].evidence

    def recovered(self, index: int) -> bool:
        """Whether its undoing was shown."""
        return self._lives[index].recovered

    def said(self, index: int) -> str:
        """What the agent said to its last step, where it said anything."""
        answer = self._lives[index].answer or {}
        return str(answer.get("message") or answer.get("evidence") or "")

    def _step(self, deployment: Deployment, index: int, step: FaultStep) -> bool:
        life = self._lives[index]
        details: dict[str, Any] = {}
        if step is FaultStep.PREPARE:
            details = {
                "fault": life.fault.fault,
                "targets": list(life.targets),
                "peers": list(life.peers),
                "options": dict(life.fault.options),
            }
        life.answer = take_step(
            deployment.agent,
            self._history,
            self._clock,
            step,
            index=index,
            fault=life.fault.fault,
            target=life.fault.target,
            targets=life.targets,
            details=details,
        )
        return bool(life.answer["ok"])
