"""How whoever needs the database reaches it, whichever product that is, or none: then each node has a file."""

from __future__ import annotations

from typing import Final

from harness.components import etcd, patroni, postgresql
from harness.components.base import DATABASE_HOST, DATABASE_PROXY_HOST
from harness.core.names import HUB_NOTE_PATTERN
from harness.core.products import Patroni, PostgresServer
from harness.core.specs import NodeContext
from harness.core.topology import Topology

__all__ = [
    "BACK_UP_FILE",
    "FILE_FOLDER",
    "FILE_READBACK",
    "PUT_BACK_FILE",
    "chosen",
    "cluster",
    "direct_hosts",
    "direct_url",
    "files",
    "gate",
    "gates",
    "hub_database",
    "limits",
    "url",
]

#: On the node's own disk, which outlives the death of the machine.
FILE_FOLDER: Final = "/srv/hub"
_PATH: Final = f"{FILE_FOLDER}/jupyterhub.sqlite"
_FILE: Final = f"sqlite:///{_PATH}"
# Where no hub ever ran there is no file or no table, which is fine. Nothing is changed (`query_only`), but for what a
# hub that died in the middle of a write left half done: whoever opens the file next takes that back, for which it must
# be open for writing. With `mode=ro` that file can't be read at all.
_READ_FILE: Final = f"""\
import contextlib, os, re, sqlite3
if os.path.exists("{_PATH}"):
    with contextlib.closing(sqlite3.connect("file:{_PATH}?mode=rw", uri=True, timeout=20)) as database:
        database.execute("pragma query_only = on")
        there = database.execute("select 1 from sqlite_master where name = 'api_tokens'").fetchone()
        for (note,) in database.execute("select note from api_tokens order by id") if there else ():
            if re.match("{HUB_NOTE_PATTERN}", note or ""):
                print(note.replace("/", ","))
"""  # noqa: S608 - names that stand in the code
#: A copy of that file beside it, as of one moment; and what tells a node that is started to begin with the copy.
_COPY: Final = f"{_PATH}.before"
BACK_UP_FILE: Final = (
    "python3",
    "-I",
    "-c",
    "import sqlite3\n"
    f"with sqlite3.connect('{_PATH}') as now, sqlite3.connect('{_COPY}') as copy:\n"
    "    now.backup(copy)",
)
PUT_BACK_FILE: Final = {"HUB_FILE_FROM": _COPY, "HUB_FILE": _PATH}
#: Run in a node with a file of its own: prints a line `writer,value` for every number that its hub wrote into it, in
#: the order in which they were written.
FILE_READBACK: Final = ("python3", "-I", "-c", _READ_FILE)


def chosen(topology: Topology) -> PostgresServer | None:
    """What was chosen for its servers; None in a topology without a database."""
    return topology.database


def url(topology: Topology, context: NodeContext, node: int) -> str:
    """How the hub of a node reaches its database; holds the password where there is one.

    Nodes that are active at the same time each have a database of their own on the server: a hub keeps what it has read
    in its memory, so two of them must not share one.
    """
    if topology.database is None:
        return _FILE
    name = hub_database(topology, node)
    if isinstance(topology.database, Patroni):
        return patroni.url(topology, context, node, name)
    return postgresql.url(topology, context, node, name)


def files(topology: Topology, context: NodeContext) -> dict[str, str]:
    """What a node needs besides: the configuration of its own HAProxy towards the servers, if it has one."""
    return patroni.node_files(topology, context) if isinstance(topology.database, Patroni) else {}


def hub_database(topology: Topology, node: int) -> str:
    """The name of the database of a node's hub on the server; empty where it has a file of its own."""
    if topology.database is None:
        return ""
    return postgresql.databases(topology)[node if topology.workbench.mode != "active-passive" else 0]


def cluster(topology: Topology) -> tuple[str, ...]:
    """All that a clustered database talks to among itself: servers, and their memory of who is primary."""
    if isinstance(topology.database, Patroni):
        return (*patroni.names(topology), *etcd.names(topology.database.etcd_nodes))
    return postgresql.names(topology) if topology.database else ()


def direct_url(topology: Topology, context: NodeContext) -> str:
    """How the load client reaches the database: by address, past every link; holds the password.

    Where no machine leads to the primary it is told of all servers, and libpq looks for the one that takes writes.
    """
    hosts = direct_hosts(topology, context)
    query = "?target_session_attrs=read-write" if len(hosts) > 1 else ""
    servers = ",".join(f"{host}:{postgresql.PORTS[0]}" for host in hosts)
    return f"postgresql://{postgresql.USER}:{context.secrets['DB_PASSWORD']}@{servers}/{postgresql.WRITES}{query}"


def direct_hosts(topology: Topology, context: NodeContext) -> tuple[str, ...]:
    """The addresses of whom the nodes connect to, past every link."""
    hosts = [DATABASE_HOST]
    if isinstance(topology.database, Patroni):
        hosts = [DATABASE_PROXY_HOST]
        if topology.database.proxy == "per-node":
            hosts = [DATABASE_HOST + index for index in range(topology.database.nodes)]
    return tuple(context.address(host) for host in hosts)


def limits(database: PostgresServer) -> dict[str, str]:
    """The environment that tells a client of the database how soon to give up a connection."""
    return {
        "DB_KEEPALIVES_IDLE_S": str(database.keepalives_idle_s),
        "DB_KEEPALIVES_INTERVAL_S": str(database.keepalives_interval_s),
        "DB_KEEPALIVES_COUNT": str(database.keepalives_count),
        "DB_TCP_USER_TIMEOUT_MS": str(database.user_timeout_s * 1000),
    }


def gate(topology: Topology) -> str:
    """The one container that takes the nodes' connections: the server itself, or what leads to the primary; empty where
    there is none."""
    gates_ = gates(topology)
    return gates_[0] if len(gates_) == 1 else ""


def gates(topology: Topology) -> tuple[str, ...]:
    """The containers that the nodes connect to."""
    if topology.database is None:
        return ()
    return patroni.gates(topology) if isinstance(topology.database, Patroni) else postgresql.names(topology)
