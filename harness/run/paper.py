"""A plan on paper, for whoever wants to see it and start nothing."""

from __future__ import annotations

from harness.components.attached import attached_picture
from harness.components.base import SECRETS
from harness.components.picture import picture
from harness.components.registry import plan
from harness.core.attach import AttachedSystem
from harness.core.picture import Picture
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology

__all__ = ["paper_picture", "paper_plan"]


def paper_plan(topology: Topology) -> tuple[ContainerSpec, ...]:
    """Every container, with words in place of secrets and of the run's id."""
    # TEST-NET-1 (RFC 5737) stands for the subnet, because certificates name real addresses
    context = NodeContext(run_id="RUN", subnet_prefix="192.0.2", secrets=dict.fromkeys(SECRETS, "SECRET"))
    return plan(topology, context)


def paper_picture(topology: Topology) -> Picture:
    """Who talks to whom. Of an existing system only what its file says: where people come to, and its machines."""
    if isinstance(topology, AttachedSystem):
        return attached_picture(topology)
    return picture(topology, paper_plan(topology))
