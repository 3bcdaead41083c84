"""The database: one PostgreSQL server, which also holds the lock that decides which node is active."""

from __future__ import annotations

from typing import Final

from harness.components.base import DATABASE_HOST, pick
from harness.core.model import Database, Role, Topology
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe

__all__ = ["IMAGE", "NAME", "containers", "names", "settings", "url"]

IMAGE: Final = "database"
NAME: Final = "database"
_PORT: Final = 5432
_DATABASE: Final = "hub"
_USER: Final = "hub"


def url(context: NodeContext) -> str:
    """How the hub reaches its database; holds the password."""
    return f"postgresql://{_USER}:{context.secrets['DB_PASSWORD']}@{NAME}:{_PORT}/{_DATABASE}"


def settings(database: Database) -> tuple[str, ...]:
    """The server's arguments: how soon it gives up a client that is gone, and with it that client's lock."""
    values = {
        "tcp_keepalives_idle": database.keepalives_idle_s,
        "tcp_keepalives_interval": database.keepalives_interval_s,
        "tcp_keepalives_count": database.keepalives_count,
        "tcp_user_timeout": database.user_timeout_s * 1000,  # in milliseconds, unlike the others
    }
    return tuple(word for name, value in values.items() for word in ("-c", f"{name}={value}"))


def names(_topology: Topology) -> tuple[str, ...]:
    """One server."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The server; its data is on a volume, so that it outlives the container."""
    return (
        ContainerSpec(
            name=NAME,
            role=Role.DATABASE,
            image=IMAGE,
            host_number=DATABASE_HOST,
            command=settings(topology.database),
            environment={"DB_NAME": _DATABASE, "DB_USER": _USER},
            secrets=pick(context.secrets, "DB_PASSWORD"),
            mounts=(Mount(volume="database", path="/var/lib/postgresql/data"),),
            ready=ReadyProbe(argv=("/usr/local/bin/ready",), proves="a durable write is acknowledged over TCP"),
        ),
    )
