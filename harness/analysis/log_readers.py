"""What the products' own words mean: one small reader each, and the registry of them.

A new product is a function and a row in `READERS`. A reader knows changes of state and nothing else: what a program
does all day is no event. The words were read off the logs of real runs; HAProxy's for maintenance and drain off its
source (`src/server.c`, 2.6).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from harness.core.names import role_of
from harness.core.words import Role, ServerEventKind

__all__ = ["READERS", "Reader", "Said", "readers_of"]

Kind = ServerEventKind


@dataclass(frozen=True)
class Said:
    """What one line means."""

    kind: ServerEventKind
    text: str
    about: str = ""
    """The container, or the role, that the kind is said of, where that is not the one that said it."""
    subject: str = ""
    """What is in the state, where `about` does not tell it: a balancer has several backends with one server."""
    afresh: bool = False
    """Whether the program knows nothing of before from here on."""


@dataclass(frozen=True)
class Reader:
    """Reads the lines of one product."""

    product: str
    roles: frozenset[str]
    """In the logs of which containers its lines are."""
    words: tuple[str, ...]
    """A line without any of them is not its own, or of no interest; looked for in every line, so few and plain."""
    read: Callable[[str, str], Said | None]
    """Of a container's short name and a line without its stamps; None where the line tells nothing."""
    dated: bool = True
    """Whether its lines have stamps of their own."""


_HAPROXY: Final = re.compile(
    r"(?:Backup )?Server (\S+)/(\S+) "
    r"(is UP|is DOWN|is going DOWN for maintenance|was DOWN and now enters maintenance|enters drain state)"
    r"(?:, reason: ([^,]+))?"
)
_KEEPALIVED: Final = re.compile(r"\(\S+\) Entering (MASTER|BACKUP|FAULT) STATE")
_POSTGRESQL: Final = re.compile(r"\[\d+\] LOG:  (.*)")
_ETCD: Final = re.compile(r'"msg":"[0-9a-f]+ (became leader at term \d+)"')
_GANESHA: Final = re.compile(
    r"ganesha\.nfsd-\d+\[.*?:\s*(NFS SERVER INITIALIZED|ganesha\.nfsd Starting.*|NFS EXIT: stop.*)"
)
_SUPERVISOR: Final = re.compile(r"(supervisor|hub|lease|database)\] (.*)")
#: Port 2049 is what carries homes; the other one is asked at the mounting only.
_NFSFUSE: Final = re.compile(r"nfsfuse: (connected to|connection to|no answer from) \S+:2049\b(.*)")


def _haproxy(_container: str, text: str) -> Said | None:
    if "Loading success" in text:
        return Said(Kind.RESTARTED, "HAProxy: Loading success", afresh=True)
    # each is written twice, and with a mark before it the second time
    found = _HAPROXY.match(text)
    if found is None:
        return None
    backend, server, what, reason = found.groups()
    of_database = role_of(server) == Role.DATABASE
    if what == "is UP":
        kind = Kind.DATABASE_UP if of_database else Kind.NODE_UP
    else:
        kind = Kind.DATABASE_DOWN if of_database else Kind.NODE_DOWN
    return Said(
        kind,
        f"{backend}/{server} {what}" + (f": {reason}" if reason else ""),
        about=server,
        subject=f"{backend}/{server}",
    )


def _keepalived(_container: str, text: str) -> Said | None:
    if text.startswith("Starting Keepalived"):
        return Said(Kind.RESTARTED, text, afresh=True)
    found = _KEEPALIVED.match(text)
    if found is None:
        return None
    return Said(Kind.ADDRESS_MOVED if found[1] == "MASTER" else Kind.ADDRESS_LOST, text)


def _patroni(_container: str, text: str) -> Said | None:
    said = text.removeprefix("INFO: ").removeprefix("WARNING: ")
    if said.startswith("promoted self to leader"):
        return Said(Kind.PROMOTED, said)
    # one demotion is said in several ways; the first of them counts
    if said.lower().startswith(("demoting self", "demoted self")):
        return Said(Kind.DEMOTED, said)
    return None


def _postgresql(_container: str, text: str) -> Said | None:
    found = _POSTGRESQL.match(text)
    if found is None:
        return None
    said = found[1]
    if said.startswith("starting PostgreSQL"):
        return Said(Kind.RESTARTED, said.partition(" (")[0])
    if said.startswith("database system is ready to accept"):
        return Said(Kind.SERVING, said)
    if said.startswith("received ") and said.endswith(" shutdown request"):
        return Said(Kind.STOPPED, said)
    if said.startswith("terminating any other active server processes"):
        return Said(Kind.STOPPED, said)
    return None


def _etcd(_container: str, text: str) -> Said | None:
    found = _ETCD.search(text)
    return Said(Kind.ELECTED, found[1]) if found else None


def _ganesha(_container: str, text: str) -> Said | None:
    found = _GANESHA.search(text)
    if found is None:
        return None
    said = found[1]
    kind = Kind.STOPPED if "EXIT" in said else Kind.SERVING if "INITIALIZED" in said else Kind.RESTARTED
    return Said(kind, said)


def _supervisor(container: str, text: str) -> Said | None:
    found = _SUPERVISOR.match(text)
    if found is None:
        return None
    who, said = found.groups()
    return {"supervisor": _phase, "hub": _hub, "lease": _lease, "database": _own_database}[who](container, said)


def _phase(_container: str, said: str) -> Said | None:
    if said.endswith(" -> active"):
        return Said(Kind.SERVING, f"the node: {said}")
    if said.startswith(("active -> ", "told to end")):
        return Said(Kind.STOPPED, f"the node: {said}")
    return None


def _hub(container: str, said: str) -> Said | None:
    if said.startswith("started, "):
        return Said(Kind.RESTARTED, f"the hub: {said}")
    if said.startswith("ended with"):
        return Said(Kind.STOPPED, f"the hub: {said}", about=container)  # found dead by the supervisor, not told to end
    return None


def _lease(_container: str, said: str) -> Said | None:
    # the words of `node_supervisor/machine.py`
    if said == "this node holds the lease":
        return Said(Kind.LEASE_TAKEN, said)
    if said == "another node has taken the lease" or said.startswith("the database can't be asked, and "):
        return Said(Kind.LEASE_LOST, said)
    if said.startswith("database: "):
        return Said(Kind.DATABASE_DOWN, said, about=Role.DATABASE)
    if said == "another node holds the lease":  # whoever learns that has asked the database
        return Said(Kind.DATABASE_UP, said, about=Role.DATABASE)
    return None


def _own_database(_container: str, said: str) -> Said | None:
    kind = Kind.DATABASE_UP if said == "answers again" else Kind.DATABASE_DOWN
    return Said(kind, f"the database: {said}", about=Role.DATABASE)


def _nfsfuse(_container: str, text: str) -> Said | None:
    found = _NFSFUSE.match(text)
    if found is None or (found[1] == "connection to" and "lost" not in found[2]):
        return None
    kind = Kind.STORAGE_UP if found[1] == "connected to" else Kind.STORAGE_DOWN
    return Said(kind, text.removeprefix("nfsfuse: "), about=Role.STORAGE)


def _of(*roles: str) -> frozenset[str]:
    return frozenset(roles)


#: Roles of containers that are no roles of a topology.
_DATABASE_PROXY: Final = "database_proxy"
_LEASE_STORE: Final = "etcd"

READERS: Final[tuple[Reader, ...]] = (
    Reader(
        "HAProxy",
        _of(Role.LOAD_BALANCER, Role.WORKBENCH, _DATABASE_PROXY),
        ("Server ", "Loading success"),
        _haproxy,
        dated=False,
    ),
    Reader("keepalived", _of(Role.LOAD_BALANCER, Role.STORAGE), (") Entering ", "Starting Keepalived"), _keepalived),
    Reader("Patroni", _of(Role.DATABASE), ("promoted self", "emoting self", "emoted self"), _patroni),
    Reader(
        "PostgreSQL",
        _of(Role.DATABASE),
        ("LOG:  starting P", "to accept", " shutdown request", "any other"),
        _postgresql,
    ),
    Reader("etcd", _of(_LEASE_STORE), ("became leader",), _etcd),
    Reader("Ganesha", _of(Role.STORAGE), ("NFS SERVER INIT", "ganesha.nfsd Starting", "NFS EXIT: stop"), _ganesha),
    Reader(
        "the node's supervisor",
        _of(Role.WORKBENCH),
        (" supervisor] ", " hub] ", " lease] ", " database] "),
        _supervisor,
    ),
    Reader("the node's NFS client", _of(Role.WORKBENCH), (" nfsfuse: ",), _nfsfuse),
)


@cache
def readers_of(container: str) -> tuple[Reader, ...]:
    """Who may know lines of a container's log, by its short name."""
    role = role_of(container)
    return tuple(reader for reader in READERS if role in reader.roles)
