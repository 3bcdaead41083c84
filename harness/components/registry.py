"""Which module makes which product's containers, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from harness.components import client, ganesha, haproxy, jupyterhub, postgresql
from harness.components.base import Component
from harness.core.model import Role, Topology
from harness.core.specs import ContainerSpec, NodeContext

__all__ = [
    "COMPONENTS",
    "MEMBER_PROBES",
    "READBACKS",
    "entrance",
    "images",
    "member_probe",
    "members",
    "plan",
    "readback",
]

#: Product -> the module that makes its containers.
COMPONENTS: Final[Mapping[str, Component]] = MappingProxyType(
    {
        "haproxy": haproxy,
        "jupyterhub": jupyterhub,
        "nfs-ganesha": ganesha,
        "postgresql": postgresql,
    }
)
#: Product, word of a target -> the command that, run in each member, exits 0 exactly where the word applies.
MEMBER_PROBES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = MappingProxyType(
    {
        ("jupyterhub", "active"): jupyterhub.ACTIVE_PROBE,
    }
)
#: Product of the storage -> the command that reads the users' saves back.
READBACKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({"nfs-ganesha": ganesha.READBACK})


def plan(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """Every container of the topology and the load client, each after those it depends on."""
    parts = (*_components(topology).values(), client)
    return tuple(spec for part in parts for spec in part.containers(topology, context))


def images(topology: Topology) -> tuple[str, ...]:
    """The images that `plan` needs, each once."""
    return tuple(dict.fromkeys(part.IMAGE for part in (*_components(topology).values(), client)))


def members(topology: Topology, role: Role) -> tuple[str, ...]:
    """The names of a role's containers; `role[i]` is the i-th."""
    return _components(topology)[role].names(topology)


def member_probe(topology: Topology, role: Role, word: str) -> tuple[str, ...] | None:
    """The command that, run in each member of a role, exits 0 exactly where `word` applies, as in `database[primary]`;
    None where the product has one member only, which is then always meant."""
    product = {
        Role.LOAD_BALANCER: topology.load_balancer.product,
        Role.WORKBENCH: topology.workbench.product,
        Role.DATABASE: topology.database.product,
        Role.STORAGE: topology.storage.product,
    }[role]
    return MEMBER_PROBES.get((product, word))


def readback(topology: Topology) -> tuple[str, tuple[str, ...]]:
    """A container and the command in it that prints `user,value` for everything the users saved.

    It exits with another code than 0 if it could not read all there is.
    """
    return members(topology, Role.STORAGE)[0], READBACKS[topology.storage.product]


def entrance(topology: Topology) -> tuple[str, int, str]:
    """Where a person's browser goes: a container, its port and the path of the log-in page."""
    return members(topology, Role.LOAD_BALANCER)[0], haproxy.PORT, jupyterhub.LOG_IN_PATH


def _components(topology: Topology) -> dict[Role, Component]:
    """In the order of their dependencies."""
    return {
        Role.STORAGE: COMPONENTS[topology.storage.product],
        Role.DATABASE: COMPONENTS[topology.database.product],
        Role.WORKBENCH: COMPONENTS[topology.workbench.product],
        Role.LOAD_BALANCER: COMPONENTS[topology.load_balancer.product],
    }
