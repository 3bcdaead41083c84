"""How whoever needs the database reaches it, whichever product that is."""

from __future__ import annotations

from harness.components import patroni, postgresql
from harness.core.specs import NodeContext
from harness.core.topology import Patroni, Topology

__all__ = ["gate", "url"]


def url(topology: Topology, context: NodeContext, node: int) -> str:
    """How the hub of a node reaches its database; holds the password."""
    if isinstance(topology.database, Patroni):
        return patroni.url(topology, context, node)
    return postgresql.url(topology, context, node)


def gate(topology: Topology) -> str:
    """The container that takes their connections: the server itself, or what leads to the primary."""
    return patroni.gate(topology) if isinstance(topology.database, Patroni) else postgresql.gate(topology)
