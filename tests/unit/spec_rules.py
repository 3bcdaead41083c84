"""Rules of a few made-up kinds of faults, so that tests of the files do not depend on the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds
from harness.core.experiment import Fault
from harness.core.rules import FaultRules, Peer
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import NoOptions


@dataclass(frozen=True, kw_only=True)
class CutOptions:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    direction: Literal["both", "one_way"] = "both"
    percent: Annotated[float, Bounds(1, 100)]


def never(topology: Topology, fault: Fault) -> str:
    return ""


def needs_three_nodes(topology: Topology, fault: Fault) -> str:
    return "" if topology.workbench.nodes >= 3 else "expected three nodes"


RULES = {
    "kill": FaultRules(options=NoOptions, roles=frozenset(), peer=Peer.NONE, refusal=never),
    "pause": FaultRules(
        options=NoOptions, roles=frozenset({Role.WORKBENCH}), peer=Peer.NONE, refusal=needs_three_nodes
    ),
    "partition": FaultRules(options=CutOptions, roles=frozenset(), peer=Peer.REQUIRED, refusal=never),
}
