"""A topology of two nodes, and what its components make of it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.components import SECRETS, plan
from harness.core.products import Database, LoadBalancer, Storage, Workbench
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology

__all__ = ["CONTEXT", "TOPOLOGY", "planned"]

TOPOLOGY = Topology(
    name="pair",
    description="two nodes",
    load_balancer=LoadBalancer(),
    workbench=Workbench(),
    database=Database(),
    storage=Storage(),
)
CONTEXT = NodeContext(run_id="r1", subnet_prefix="10.71.4", secrets={name: f"value-of-{name}" for name in SECRETS})


def planned(topology: Topology = TOPOLOGY) -> Mapping[str, ContainerSpec]:
    return {spec.name: spec for spec in plan(topology, CONTEXT)}
