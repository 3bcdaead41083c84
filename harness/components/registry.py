"""Which module makes which product's containers, one line each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from harness.components import (
    client,
    databases,
    ganesha,
    haproxy,
    jupyterhub,
    keepalived,
    patroni,
    postgresql,
    toxiproxy,
)
from harness.components.base import Component
from harness.core.preload import CLOCK_ENVIRONMENT, CLOCK_IMAGES
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "COMPONENTS",
    "MEMBER_PROBES",
    "READBACKS",
    "database_readback",
    "entrance",
    "entrances",
    "hub_readbacks",
    "images",
    "member_probe",
    "members",
    "other_side",
    "plan",
    "platform",
    "readback",
    "serving_nodes",
]

#: Product -> the module that makes its containers.
COMPONENTS: Final[Mapping[str, Component]] = MappingProxyType(
    {
        "haproxy": haproxy,
        "jupyterhub": jupyterhub,
        "nfs-ganesha": ganesha,
        "patroni": patroni,
        "postgresql": postgresql,
    }
)
#: Product, word of a target -> the command that, run in each member, exits 0 exactly where the word applies.
MEMBER_PROBES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = MappingProxyType(
    {
        ("haproxy", "holder"): keepalived.HOLDER_PROBE,
        ("jupyterhub", "active"): jupyterhub.ACTIVE_PROBE,
        ("nfs-ganesha", "active"): keepalived.HOLDER_PROBE,
        ("patroni", "primary"): patroni.PRIMARY_PROBE,
    }
)
#: Product -> the ports on which it is reached by other roles, in the order in which its callers count them.
PORTS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "jupyterhub": jupyterhub.PORTS,
        "nfs-ganesha": ganesha.PORTS,
        "patroni": patroni.PORTS,
        "postgresql": postgresql.PORTS,
    }
)
#: Product -> the command that reads back what was written: the users' saves, or the numbers in the database.
READBACKS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "jupyterhub": jupyterhub.READBACK,
        "nfs-ganesha": ganesha.READBACK,
        "patroni": postgresql.READBACK,
        "postgresql": postgresql.READBACK,
    }
)
#: Mode of the nodes -> how many of so many serve people at the same time.
_SERVING: Final[Mapping[str, Callable[[int], int]]] = MappingProxyType(
    {
        "single": lambda _nodes: 1,
        "separate": lambda nodes: nodes,
        "active-active": lambda nodes: nodes,
        "active-passive": lambda _nodes: 1,
    }
)


def plan(topology: Topology, context: NodeContext, *, clock_roles: Collection[Role] = ()) -> tuple[ContainerSpec, ...]:
    """Every container of the topology and the load client, each after those it depends on.

    Those of `clock_roles` get a wall clock that a fault can set, where their image has what it takes.
    """
    parts = (*_components(topology).values(), client)
    specs = tuple(spec for part in parts for spec in part.containers(topology, context))
    reached = _as_links_see_them(topology, specs)
    links = (toxiproxy.container(link, context, reached, PORTS[_product(topology, link.to)]) for link in topology.links)
    return tuple(_with_clock(spec) if spec.role in clock_roles else spec for spec in (*links, *specs))


def platform(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The platform itself, without the load client: what `harness up` starts and `harness export` hands over."""
    return tuple(spec for spec in plan(topology, context) if spec.role != client.ROLE)


def images(topology: Topology) -> tuple[str, ...]:
    """The images that `plan` needs, each once."""
    parts = [image for part in (*_components(topology).values(), client) for image in part.IMAGES]
    return tuple(dict.fromkeys([*(toxiproxy.IMAGE for _ in topology.links), *parts]))


def members(topology: Topology, role: Role) -> tuple[str, ...]:
    """The names of a role's containers; `role[i]` is the i-th."""
    return _components(topology)[role].names(topology)


def other_side(topology: Topology, role: Role, selector: str) -> tuple[str, ...] | None:
    """The containers that a peer `role[selector]` means, where these are not just members of the role: all that others
    reach it through (`*`), or all that it is among itself (`cluster`). None where they are."""
    if role is Role.DATABASE and selector == "*":
        return tuple(dict.fromkeys([*members(topology, role), *databases.gates(topology)]))
    if role is Role.DATABASE and selector == "cluster":
        return databases.cluster(topology)
    return None


def member_probe(topology: Topology, role: Role, word: str) -> tuple[str, ...] | None:
    """The command that, run in each member of a role, exits 0 exactly where `word` applies, as in `database[primary]`;
    None where nothing tells. Of one member it need not be asked: that is always meant."""
    return MEMBER_PROBES.get((_product(topology, role), word))


def readback(topology: Topology) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The containers that keep homes, and the command that prints `user,value` in each for all that users saved there.

    It exits with another code than 0 if it could not read all there is. One server keeps all homes, and one of a pair
    sees the same disk as the other; without storage each node has its own.
    """
    role = Role.STORAGE if topology.storage else Role.WORKBENCH
    everybody = members(topology, role)
    return everybody[:1] if topology.storage else everybody, READBACKS[_product(topology, role)]


def database_readback(topology: Topology) -> tuple[str, ...] | None:
    """The command that, run in the primary, prints `writer,value` for every number that was written into the database;
    None in a topology without a database.

    It exits with another code than 0 if it could not read all there is.
    """
    database = databases.chosen(topology)
    return None if database is None else READBACKS[database.product]


def hub_readbacks(topology: Topology) -> Mapping[str, tuple[str, ...]]:
    """Node -> the command that prints `writer,value` for every number that its hub wrote into its own database, in the
    order in which they were written. Where one database is there for all nodes, the node is empty.

    It is run in the primary, or without a database in the node itself. It exits with another code than 0 if it could
    not read all there is.
    """
    nodes = members(topology, Role.WORKBENCH)
    if databases.chosen(topology) is None:
        return dict.fromkeys(nodes, databases.FILE_READBACK)
    # a node that joined has a database too, and its place one that stayed empty
    owners = [""] if topology.workbench.mode == "active-passive" else [*nodes, *jupyterhub.spare_names(topology)]
    names = postgresql.databases(topology)
    return {owner: postgresql.hub_readback(name) for owner, name in zip(owners, names, strict=True)}


def serving_nodes(topology: Topology) -> int:
    """How many nodes serve people at the same time while nothing is wrong."""
    return _SERVING[topology.workbench.mode](topology.workbench.nodes)


def entrance(topology: Topology) -> tuple[str, str, int, str]:
    """Where a person's browser goes: by which scheme, a container, its port and the path of the log-in page."""
    return entrances(topology)[0]


def entrances(topology: Topology) -> tuple[tuple[str, str, int, str], ...]:
    """Every container that people can come to, as `entrance` says it: the balancers, or each node."""
    scheme, port = "http", jupyterhub.PROXY_PORT
    if topology.load_balancer is not None:
        scheme, port = haproxy.entrance(topology.load_balancer)
    role = Role.WORKBENCH if topology.load_balancer is None else Role.LOAD_BALANCER
    return tuple((scheme, name, port, jupyterhub.LOG_IN_PATH) for name in members(topology, role))


def _as_links_see_them(topology: Topology, specs: Sequence[ContainerSpec]) -> list[ContainerSpec]:
    """Where one container takes the connections for all databases, it stands for their role."""
    gate = databases.gate(topology)
    others = (spec for spec in specs if spec.name == gate or spec.role != Role.DATABASE)
    return [replace(spec, role=Role.DATABASE) if spec.name == gate else spec for spec in others]


def _with_clock(spec: ContainerSpec) -> ContainerSpec:
    if spec.image not in CLOCK_IMAGES:
        return spec
    return replace(spec, environment={**spec.environment, **CLOCK_ENVIRONMENT})


def _product(topology: Topology, role: Role) -> str:
    return str(getattr(topology, role.value).product)


def _components(topology: Topology) -> dict[Role, Component]:
    """Of the roles that are there, in the order of their dependencies."""
    order = (Role.STORAGE, Role.DATABASE, Role.WORKBENCH, Role.LOAD_BALANCER)
    return {role: COMPONENTS[_product(topology, role)] for role in order if role in topology.roles()}
