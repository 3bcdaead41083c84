"""What a reader of experiment files must know about a kind of fault, without knowing the fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from harness.core.experiment import Fault
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["FaultRules", "Peer"]


class Peer(StrEnum):
    """Whether a fault is between its target and somebody else."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, kw_only=True)
class FaultRules:
    """What is allowed to stand under `faults:` for one kind."""

    options: type
    """A frozen dataclass: the keys of `options:`."""
    roles: frozenset[Role]
    """Which roles it may hit; empty: any."""
    peer: Peer
    refusal: Callable[[Topology, Fault], str]
    """Why this fault can't be done to this topology; empty if it can."""
