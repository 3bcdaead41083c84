"""What a block diagram promises: the roles in series, the nodes of a role in parallel.

A machine is up A = 1 / (1 + rate x repair / year) of the time, by its failure rate and its repair time. A role of which
k of n machines are needed is up

    sum over i from k to n of  n! / (i! (n - i)!)  A^i (1 - A)^(n - i)

of the time, which is 1 - (1 - A)^n where one is enough and A^n where all are needed. The platform is up while every
role is: the product.

It assumes that machines fail and are repaired independently of each other, with as many people to repair as it takes;
that switching from one to the other takes no time and always works; that one node carries everybody; and that nothing
but machines fails. A measured downtime above it is where redundancy did not deliver.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb, prod

from harness.analysis.nines.posterior import YEAR_S
from harness.core.products import Patroni
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["Block", "Diagram", "block_diagram", "machine_availability"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Machines that stand for each other."""

    name: str
    role: Role
    machines: int
    needed: int
    """So many of them must be up."""
    availability: float

    @property
    def downtime_s(self) -> float:
        """Seconds of a year."""
        return (1 - self.availability) * YEAR_S


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """All blocks, in series."""

    failures_per_year: float
    """Of any machine."""
    repair_s: float
    blocks: tuple[Block, ...]

    @property
    def availability(self) -> float:
        """The product over all blocks."""
        return prod(block.availability for block in self.blocks)

    @property
    def downtime_s(self) -> float:
        """Seconds of a year."""
        return (1 - self.availability) * YEAR_S


def machine_availability(failures_per_year: float, repair_s: float) -> float:
    """Share of the time in which a machine is up: time between failures / (that + time to repair)."""
    return 1 / (1 + failures_per_year * repair_s / YEAR_S)


def block_diagram(topology: Topology, failures_per_year: float, repair_s: float) -> Diagram:
    """The block diagram of a topology."""
    one = machine_availability(failures_per_year, repair_s)
    blocks = (
        Block(name=name, role=role, machines=machines, needed=needed, availability=_at_least(needed, machines, one))
        for name, role, machines, needed in _blocks(topology)
    )
    return Diagram(failures_per_year=failures_per_year, repair_s=repair_s, blocks=tuple(blocks))


def _blocks(topology: Topology) -> Iterator[tuple[str, Role, int, int]]:
    """Name, role, machines, and how many of them must be up."""
    for role in topology.roles():
        machines = topology.size(role)
        # where each node is a team's own, none stands for another
        separate = role is Role.WORKBENCH and topology.workbench.mode == "separate"
        yield role.value, role, machines, machines if separate else 1
    if isinstance(topology.database, Patroni):
        if topology.database.proxy == "shared":
            yield "proxy to the primary", Role.DATABASE, 1, 1
        if not topology.database.failsafe_mode:  # with it the primary goes on without etcd
            members = topology.database.etcd_nodes
            yield "etcd", Role.DATABASE, members, members // 2 + 1


def _at_least(needed: int, machines: int, one: float) -> float:
    return sum(comb(machines, up) * one**up * (1 - one) ** (machines - up) for up in range(needed, machines + 1))
