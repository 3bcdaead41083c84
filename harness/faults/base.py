"""The life cycle of a fault.

    prepare -> inject -> confirm -> undo -> confirm_recovery -> cleanup

`prepare` looks and changes nothing; what it returns is written to the journal before `inject` acts, so `undo` works
from the journal alone, in another process, after a crash. `undo` is idempotent. `confirm` and `confirm_recovery`
return evidence read from the system, never from the fact that a command returned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from harness.core.experiment import Fault
from harness.core.rules import FaultRules, Peer
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.host import Host

__all__ = ["Aim", "Evidence", "FaultKind", "NoOptions", "State"]

#: What `prepare` found out and `undo` needs: JSON-able. `container` names the target in messages.
State = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """For kinds that have nothing to choose."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Evidence:
    """What the system showed, and whether that is the effect that was looked for."""

    shown: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What one act is to do to one container."""

    target: str
    """The container's short name."""
    tag: str
    """Tells this act from every other of all runs: it names the rules, files and limits that the act makes."""
    peers: tuple[str, ...] = ()
    """Short names of the containers on the other side, for faults between two sides."""
    options: Any = field(default_factory=NoOptions)
    """An instance of the kind's `Options`."""


class FaultKind(ABC):
    """One kind of fault. Instances hold no state: all of it goes through `State`."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    """One line for `harness list --faults`."""
    leaves: ClassVar[str]
    """What would be left behind if nobody undid it, for `harness doctor`."""
    Options: ClassVar[type] = NoOptions
    """A frozen dataclass, keyword-only, with `__pydantic_config__` as in `NoOptions`: the keys of `options:`."""
    roles: ClassVar[frozenset[Role]] = frozenset()
    """Which roles it may hit; empty: any."""
    peer: ClassVar[Peer] = Peer.NONE
    preloads_clock: ClassVar[bool] = False
    """Whether the containers of the role it hits must be started with a clock that can be set (`core.preload`)."""

    def refusal(self, topology: Topology, fault: Fault) -> str:  # noqa: ARG002 - most kinds fit every topology
        """Why this fault can't be done to this topology, for the person who wrote it; empty if it can."""
        return ""

    @abstractmethod
    def prepare(self, host: Host, aim: Aim) -> State:
        """Look at the target and guard; changes nothing. Raises `GuardError`."""

    @abstractmethod
    def inject(self, host: Host, state: State) -> None:
        """Make it happen."""

    @abstractmethod
    def confirm(self, host: Host, state: State) -> Evidence:
        """Look whether it took effect; asked again until it did or time is up."""

    @abstractmethod
    def undo(self, host: Host, state: State) -> None:
        """Take it back; may be called any number of times, also when `inject` never happened."""

    @abstractmethod
    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        """Look whether the effect is gone; asked again until it is or time is up."""

    def cleanup(self, host: Host, state: State) -> None:  # noqa: B027 - most kinds need nothing of the kind
        """Remove what only the fault itself needed."""

    def rules(self) -> FaultRules:
        """For whoever reads experiment files."""
        return FaultRules(options=self.Options, roles=self.roles, peer=self.peer, refusal=self.refusal)
