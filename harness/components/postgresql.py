"""The database: one PostgreSQL server, which also holds the lock that decides which node is active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.components.base import DATABASE_HOST, pick
from harness.components.hops import Hop, hop
from harness.core.names import HUB_NOTE_PATTERN, WRITES_TABLE
from harness.core.products import Database, PostgresServer
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "COMING",
    "DATABASE",
    "IMAGE",
    "IMAGES",
    "MAX_CONNECTIONS",
    "NAME",
    "PORTS",
    "READBACK",
    "USER",
    "WRITES",
    "back_up",
    "containers",
    "databases",
    "every_database",
    "hub_readback",
    "names",
    "parameters",
    "put_back",
    "settings",
    "take_name",
    "url",
]

IMAGE: Final = "database"
IMAGES: Final = (IMAGE,)
NAME: Final = "database"
_PORT: Final = 5432
#: Where it is reached, in the order of a link's listeners.
PORTS: Final = (_PORT,)
#: What the hub uses, or the first of several hubs.
DATABASE: Final = "hub"
#: What the load client writes into: not a hub's, so that putting a hub's database back takes nothing from it.
WRITES: Final = "harness"
USER: Final = "hub"
MAX_CONNECTIONS: Final = 200
_SERVER: Final = Hop(NAME, DATABASE_HOST, _PORT)

# The superuser over the local socket: no way that a fault broke lies between, and no password is needed. Where nobody
# ever wrote there is no table, which is fine; a table that can't be read fails the command, because a missing
# measurement must not read as a lost write. Notices and warnings would stand between the values.
_READ: Final = """\
export PGOPTIONS='-c client_min_messages=error -c statement_timeout=20000'
exec setpriv --reuid postgres --regid postgres --init-groups \\
  psql -X -q -A -t -F , -v ON_ERROR_STOP=1 -h /run/postgresql -U postgres -d "$1" <<'SQL'
select to_regclass('public.{table}') is not null as there \\gset
\\if :there
{query};
\\endif
SQL
"""
_NUMBERS: Final = _READ.format(table=WRITES_TABLE, query=f"select writer, value from public.{WRITES_TABLE}")  # noqa: S608 - a name that stands in the code
_TOKENS: Final = _READ.format(
    table="api_tokens",
    query=f"select replace(note, '/', ',') from public.api_tokens where note ~ '{HUB_NOTE_PATTERN}' order by id",  # noqa: S608 - as above
)
# A dump sees everything as of one moment, whoever writes meanwhile; in a database beside it, it is on every replica.
_SUPERUSER: Final = """\
set -e
as() { setpriv --reuid postgres --regid postgres --init-groups "$@"; }
sql() { as psql -X -q -v ON_ERROR_STOP=1 -h /run/postgresql -U postgres -d postgres -c "$1"; }
"""
_BACK_UP: Final = f"""{_SUPERUSER}
sql "drop database if exists \"$1_before\""
sql "create database \"$1_before\" owner {USER}"
as pg_dump -h /run/postgresql -U postgres -d "$1" | \
  as psql -X -q -o /dev/null -v ON_ERROR_STOP=1 -h /run/postgresql -U postgres -d "$1_before"
"""
_PUT_BACK: Final = f"""{_SUPERUSER}
sql "drop database \"$1\" with (force)"
sql "alter database \"$1_before\" rename to \"$1\""
"""
# Until then nobody but the restore finds it, so nobody writes into what is about to be replaced.
_TAKE_NAME: Final = f"""{_SUPERUSER}
sql "alter database \"$1$2\" rename to \"$1\""
"""
#: Behind the names of databases that are being restored.
COMING: Final = "_coming"
#: Run in the primary: prints a line `writer,value` for every row of the load client's table.
READBACK: Final = ("sh", "-c", _NUMBERS, "sh", WRITES)


def url(topology: Topology, context: NodeContext, node: int, name: str, direct: Hop = _SERVER) -> str:
    """How the hub of a node reaches its database `name`, on the server that is at `direct`; holds the password."""
    way = hop(topology, (Role.WORKBENCH, node), (Role.DATABASE, 0), direct)
    return f"postgresql://{USER}:{context.secrets['DB_PASSWORD']}@{way.name}:{way.port}/{name}"


def databases(topology: Topology) -> tuple[str, ...]:
    """The names of the hubs' databases on the server: one for each that runs at the same time, or may join later."""
    workbench = topology.workbench
    hubs = 1 if workbench.mode == "active-passive" else workbench.nodes + workbench.spare_nodes
    return (DATABASE, *(f"{DATABASE}_{index}" for index in range(1, hubs)))


def every_database(topology: Topology) -> tuple[str, ...]:
    """The hubs' and the load client's."""
    return (*databases(topology), WRITES)


def hub_readback(name: str) -> tuple[str, ...]:
    """Run in the primary: prints a line `writer,value` for every number that a hub wrote into its database `name`, in
    the order in which they were written."""
    return ("sh", "-c", _TOKENS, "sh", name)


def back_up(name: str) -> tuple[str, ...]:
    """Run in the primary: makes a copy of a hub's database `name` beside it, as of now."""
    return ("bash", "-o", "pipefail", "-c", _BACK_UP, "bash", name)


def put_back(name: str) -> tuple[str, ...]:
    """Run in the primary while no hub uses it: the database `name` is as it was copied, what was written since is
    lost."""
    return ("bash", "-c", _PUT_BACK, "bash", name)


def take_name(name: str) -> tuple[str, ...]:
    """Run in the primary: the database that was restored beside `name` becomes that."""
    return ("bash", "-c", _TAKE_NAME, "bash", name, COMING)


def parameters(database: PostgresServer) -> Mapping[str, int]:
    """What every server is told, alone or in a cluster: how soon it gives up a client that is gone, and with it that
    client's lock."""
    return {
        "tcp_keepalives_idle": database.keepalives_idle_s,
        "tcp_keepalives_interval": database.keepalives_interval_s,
        "tcp_keepalives_count": database.keepalives_count,
        "tcp_user_timeout": database.user_timeout_s * 1000,  # in milliseconds, unlike the others
    }


def settings(database: PostgresServer) -> tuple[str, ...]:
    """The server's arguments."""
    return tuple(word for name, value in parameters(database).items() for word in ("-c", f"{name}={value}"))


def names(_topology: Topology) -> tuple[str, ...]:
    """One server."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The server; its data is on a volume, so that it outlives the container."""
    database = topology.database
    assert isinstance(database, Database), "the registry asks this module for product postgresql only"
    return (
        ContainerSpec(
            name=NAME,
            role=Role.DATABASE,
            image=IMAGE,
            host_number=DATABASE_HOST,
            command=settings(database),
            environment={"DB_NAMES": " ".join(every_database(topology)), "DB_USER": USER},
            secrets=pick(context.secrets, "DB_PASSWORD"),
            mounts=(Mount(volume="database", path="/var/lib/postgresql/data", size_mb=database.size_mb),),
            ready=ReadyProbe(argv=("/usr/local/bin/ready",), proves="a durable write is acknowledged over TCP"),
        ),
    )
