"""How whoever needs the database reaches it, whichever product that is."""

from __future__ import annotations

from harness.components import patroni, postgresql
from harness.components.base import DATABASE_HOST, DATABASE_PROXY_HOST
from harness.core.specs import NodeContext
from harness.core.topology import Patroni, PostgresServer, Topology

__all__ = ["chosen", "direct_url", "gate", "limits", "url"]


def chosen(topology: Topology) -> PostgresServer | None:
    """What was chosen for its servers; None in a topology without a database."""
    return topology.database


def url(topology: Topology, context: NodeContext, node: int) -> str:
    """How the hub of a node reaches its database; holds the password."""
    if isinstance(topology.database, Patroni):
        return patroni.url(topology, context, node)
    return postgresql.url(topology, context, node)


def direct_url(topology: Topology, context: NodeContext) -> str:
    """How the load client reaches the database: by the address of the gate, past every link; holds the password."""
    host = DATABASE_PROXY_HOST if isinstance(topology.database, Patroni) else DATABASE_HOST
    password = context.secrets["DB_PASSWORD"]
    return (
        f"postgresql://{postgresql.USER}:{password}@{context.address(host)}:{postgresql.PORTS[0]}/{postgresql.DATABASE}"
    )


def limits(database: PostgresServer) -> dict[str, str]:
    """The environment that tells a client of the database how soon to give up a connection."""
    return {
        "DB_KEEPALIVES_IDLE_S": str(database.keepalives_idle_s),
        "DB_KEEPALIVES_INTERVAL_S": str(database.keepalives_interval_s),
        "DB_KEEPALIVES_COUNT": str(database.keepalives_count),
        "DB_TCP_USER_TIMEOUT_MS": str(database.user_timeout_s * 1000),
    }


def gate(topology: Topology) -> str:
    """The container that takes their connections: the server itself, or what leads to the primary."""
    return patroni.gate(topology) if isinstance(topology.database, Patroni) else postgresql.gate(topology)
