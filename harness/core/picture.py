"""Who talks to whom on a platform, as plain data. `components` make it, `report` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

__all__ = ["Arrow", "Column", "Group", "Kind", "Node", "Picture"]


class Column(StrEnum):
    """What stands under one another, from left to right."""

    PEOPLE = "people"
    LOAD_BALANCER = "load balancer"
    WORKBENCH = "workbench"
    DATABASE = "database"
    STORAGE = "storage"
    OTHER = "other"


class Kind(Enum):
    """How something is drawn."""

    PEOPLE = "people"
    MACHINE = "machine"
    STORE = "store"
    """A machine that keeps what must not be lost."""
    ADDRESS = "address"
    """A virtual address, which moves between machines."""
    LINK = "link"


@dataclass(frozen=True)
class Node:
    """A container, a virtual address, or the people."""

    name: str
    """As in the plan: `workbench-0`."""
    details: tuple[str, ...]
    """Short lines: product, last octet of the address."""
    kind: Kind
    column: Column
    step: int = 0
    """Its place in the column, from left to right: what talks to what within a role."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is written on it. A virtual address has no name of its own: its details say what it is."""
        return self.details if self.kind is Kind.ADDRESS else (self.name, *self.details)


@dataclass(frozen=True)
class Group:
    """Machines that do one thing together: a pair, a cluster."""

    name: str
    title: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Arrow:
    """Everybody of `sources` opens connections to everybody of `targets`."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    label: tuple[str, ...]
    """Lines: protocol, health check."""
    one_of: bool = False
    """At any time only one of the targets is meant."""
    mutual: bool = False
    """Both sides speak."""


@dataclass(frozen=True)
class Picture:
    """A platform."""

    title: str
    nodes: tuple[Node, ...]
    groups: tuple[Group, ...]
    arrows: tuple[Arrow, ...]
