"""The words that topologies, experiments, records and reports share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["LEAVE", "Capability", "Recovery", "Role", "ServerEventKind", "SessionOutcome", "Store", "counted"]


#: In the rows of operations, where others have a capability: the owner of a session ended it and went. It is always
#: good, whatever the platform made of it; nothing is promised for it.
LEAVE: Final = "leave"


class Role(StrEnum):
    """What a part of the platform is for."""

    LOAD_BALANCER = "load_balancer"
    WORKBENCH = "workbench"
    DATABASE = "database"
    STORAGE = "storage"


class Capability(StrEnum):
    """Something a person can do on the platform; outages are measured for each."""

    LOG_IN = "log_in"
    START_SESSION = "start_session"
    WORK = "work"
    SAVE = "save"
    RECONNECT = "reconnect"


class Store(StrEnum):
    """Where acknowledged writes are looked for afterwards."""

    HOME = "home"
    DATABASE = "database"
    """A table of the load's own, which is written to past the hub."""
    HUB = "hub"
    """The hub's own tables, which are written to through its API."""

    @property
    def where(self) -> str:
        """As it reads after a number of writes: `3 in homes`."""
        return {
            Store.HOME: "in homes",
            Store.DATABASE: "in the database",
            Store.HUB: "in the hub's database",
        }[self]


class SessionOutcome(StrEnum):
    """What became of one session, mildest first."""

    UNDISTURBED = "undisturbed"
    KEPT = "kept"
    RESTARTED = "restarted"
    LOST = "lost"

    @property
    def severity(self) -> int:
        """0 for the mildest, growing."""
        return list(SessionOutcome).index(self)


class Recovery(StrEnum):
    """How the platform came back, best first."""

    UNAFFECTED = "unaffected"
    BY_DESIGN = "by_design"
    BY_REPAIR = "by_repair"
    NOT_RECOVERED = "not_recovered"

    @property
    def severity(self) -> int:
        """0 for the best, growing."""
        return list(Recovery).index(self)


class ServerEventKind(StrEnum):
    """What a program of the platform said that it did or found."""

    NODE_DOWN = "node_down"
    """A balancer sends nobody to a node any more."""
    NODE_UP = "node_up"
    DATABASE_DOWN = "database_down"
    """A node, or the proxy in front of the database, does not reach it, or not this server as the primary."""
    DATABASE_UP = "database_up"
    STORAGE_DOWN = "storage_down"
    """A node has no connection to the storage."""
    STORAGE_UP = "storage_up"
    PROMOTED = "promoted"
    """A server of the database made itself the primary."""
    DEMOTED = "demoted"
    ADDRESS_MOVED = "address_moved"
    """A member of a pair took the address that people, or nodes, come to: the storage fails over by that too."""
    ADDRESS_LOST = "address_lost"
    LEASE_TAKEN = "lease_taken"
    """A node holds the lease of the active one."""
    LEASE_LOST = "lease_lost"
    ELECTED = "elected"
    """A member of the lease store was elected its leader."""
    STOPPED = "stopped"
    """A program ended, or was told to."""
    RESTARTED = "restarted"
    """A program was started."""
    SERVING = "serving"
    """It is ready for whoever comes."""


def counted(count: int, thing: str) -> str:
    """`1 cell`, `2 cells`; of things whose plural ends in `s`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
