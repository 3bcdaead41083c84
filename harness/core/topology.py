"""The frozen model of what is built. `spec` reads YAML into these classes.

Every field has a default that a careful administrator would choose, or none where only the user can know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import ByProduct, Count, Seconds
from harness.core.products import STRICT, Backup, Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.words import Capability, Recovery, Role, SessionOutcome

__all__ = ["Link", "Promise", "Topology"]


def _without_underscore(field_name: str) -> str:
    return field_name.rstrip("_")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A Toxiproxy through which one role reaches another, so that latency, bandwidth and broken connections can be had
    on any kernel. In the file: `links: [{from: workbench, to: database}]`."""

    # `from` is a word of Python's own
    __pydantic_config__: ClassVar[dict[str, object]] = {**STRICT, "alias_generator": _without_underscore}

    product: Literal["toxiproxy"] = "toxiproxy"
    from_: Role
    """The role that opens the connections."""
    to: Role
    """The role that accepts them."""

    POSSIBLE: ClassVar[tuple[tuple[Role, Role], ...]] = (
        (Role.LOAD_BALANCER, Role.WORKBENCH),
        (Role.WORKBENCH, Role.DATABASE),
        (Role.WORKBENCH, Role.STORAGE),
    )
    """Who talks to whom, over TCP throughout."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What whoever builds a topology believes about one experiment; a run keeps or breaks it."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    recovers: Literal[Recovery.UNAFFECTED, Recovery.BY_DESIGN, Recovery.BY_REPAIR]
    """The worst way of recovering that is still as promised."""
    session_outcome: SessionOutcome
    """The worst outcome of any session that is still as promised."""
    log_in_kept: bool
    """Nobody has to log in again."""
    outage_at_most_s: Seconds
    """Upper bound of the outage of every capability, and of every person's disturbance, that a repair does not end."""
    writes_lost_at_most: Count = 0
    """Acknowledged writes that may be missing afterwards. With `rpo_s` their age counts instead of their number."""
    rto_s: Seconds | None = None
    """Recovery time objective, of a disaster only: everybody works again within this time of its beginning."""
    rpo_s: Seconds | None = None
    """Recovery point objective, of a disaster only: no acknowledged write that was older when it struck is missing."""
    why: str
    """The mechanism that the promise rests on."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A platform, described by its roles."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    description: str
    """What is built, in a sentence or two."""
    stands_for: str = ""
    """Which arrangement of the world outside it stands for, and why people choose it."""
    load_balancer: LoadBalancer | None = None
    """Without it people go to the node itself (with `mode: separate` each to their team's)."""
    workbench: Workbench
    """The nodes that people work on."""
    database: Annotated[Database | Patroni | None, ByProduct()] = None
    """Without it each node's hub has a file of its own (SQLite) on the node's own disk."""
    storage: Storage | None = None
    """Without it homes are on each node's own disk."""
    backup: Backup | None = None
    """Snapshots of database and storage on a disk elsewhere. Without it a disaster is the end of a platform that has
    both."""
    links: tuple[Link, ...] = ()
    """Between which roles a Toxiproxy stands."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """What whoever builds it believes, keyed by the experiment's name."""
    known_broken: Mapping[str, str] = field(default_factory=dict)
    """Promises that people believe and that do not hold: the experiment's name and why. A matrix expects each of them
    to be broken."""
    name: str = ""
    """The file's name without its ending; not a key of the file."""

    def roles(self) -> tuple[Role, ...]:
        """The roles this topology has."""
        return tuple(role for role in Role if getattr(self, role.value) is not None)

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What is measured of it."""
        return tuple(Capability)

    def link(self, source: Role, target: Role) -> Link | None:
        """The link by which `source` reaches `target`, if there is one."""
        return next((link for link in self.links if (link.from_, link.to) == (source, target)), None)

    def with_links(self, links: Iterable[Link]) -> Topology:
        """The same platform with a Toxiproxy in each of these places too."""
        more = tuple(link for link in links if self.link(link.from_, link.to) is None)
        return replace(self, links=(*self.links, *more)) if more else self

    def with_spares(self, spares: int) -> Topology:
        """The same platform with places for at least so many nodes that join later."""
        if self.workbench.spare_nodes >= spares:
            return self
        return replace(self, workbench=replace(self.workbench, spare_nodes=spares))

    def why_no_link(self, link: Link) -> str:
        """What leaves no place for a link; empty if there is one."""
        for role in (link.from_, link.to):
            if role not in self.roles():
                return f"expected two roles that are there: there is no {role}"
        if link.to is Role.STORAGE and self.storage is not None and self.storage.vip:
            return "with storage.vip true, expected no link: connections follow the virtual address; leave out either"
        if link.to is Role.DATABASE and isinstance(self.database, Patroni) and self.database.proxy == "per-node":
            return (
                "with database.proxy per-node, expected proxy: shared: nodes connect to each server by themselves; say "
                "so, or leave the link out"
            )
        return ""

    def size(self, role: Role) -> int:
        """How many members a role has; 0 where the topology has not got it."""
        filled = getattr(self, role.value)
        return 0 if filled is None else int(getattr(filled, "nodes", 1))
