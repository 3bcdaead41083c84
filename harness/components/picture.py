"""A plan as a picture: who talks to whom, by the roles of its containers and the topology's knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.components import backup, databases, etcd, haproxy, jupyterhub, patroni
from harness.components.base import LOAD_BALANCER_VIP_HOST, STORAGE_VIP_HOST
from harness.components.client import ROLE as CLIENT_ROLE
from harness.components.hops import link_containers
from harness.core.names import LINK_ROLE, link_name
from harness.core.picture import Arrow, Column, Group, Kind, Node, Picture
from harness.core.products import LoadBalancer, Patroni, Storage, Workbench
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["PEOPLE", "picture"]

PEOPLE: Final = "people"
_PRODUCTS: Final[Mapping[str, str]] = {
    "haproxy": "HAProxy",
    "jupyterhub": "JupyterHub",
    "postgresql": "PostgreSQL",
    "patroni": "PostgreSQL, Patroni",
    "nfs-ganesha": "NFS-Ganesha",
    "toxiproxy": "Toxiproxy",
}
_COLUMNS: Final[Mapping[Role, Column]] = {
    Role.LOAD_BALANCER: Column.LOAD_BALANCER,
    Role.WORKBENCH: Column.WORKBENCH,
    Role.DATABASE: Column.DATABASE,
    Role.STORAGE: Column.STORAGE,
}
#: Within a column: a link or a virtual address, what leads to the members, the members, what they rest on.
_FRONT, _GATE, _MEMBERS, _BEHIND = range(4)
_VIP_HOSTS: Final = {Role.LOAD_BALANCER: LOAD_BALANCER_VIP_HOST, Role.STORAGE: STORAGE_VIP_HOST}
_MODES: Final[Mapping[str, str]] = {
    "single": "one node",
    "separate": "separate: each team has its own",
    "active-active": "active-active: each serves its own people",
    "active-passive": "active-passive: the lease says who serves",
}


@dataclass(frozen=True)
class _Plan:
    """The topology and its containers."""

    topology: Topology
    specs: Sequence[ContainerSpec]

    def named(self, role: str) -> tuple[str, ...]:
        """The containers of a role."""
        return tuple(spec.name for spec in self.specs if spec.role == role)

    def has_vip(self, role: Role) -> bool:
        """Whether a role is reached by a virtual address."""
        return bool(getattr(getattr(self.topology, role), "vip", False))


def picture(topology: Topology, specs: Sequence[ContainerSpec]) -> Picture:
    """Every container of the plan, the load client as people. A pure function."""
    plan, columns = _Plan(topology, specs), list(Column)
    return Picture(
        title=topology.name,
        nodes=tuple(sorted(_nodes(plan), key=lambda node: (columns.index(node.column), node.step))),
        groups=tuple(_groups(plan)),
        arrows=tuple(_arrows(plan)),
    )


def _vip(role: Role) -> str:
    """What the virtual address of a role is called in the picture."""
    return f"{role}-address"


# -- nodes ---------------------------------------------------------------------------------------------------------


def _nodes(plan: _Plan) -> Iterator[Node]:
    yield Node(PEOPLE, (), Kind.PEOPLE, Column.PEOPLE)
    for role, host in _VIP_HOSTS.items():
        if plan.has_vip(role):
            yield Node(_vip(role), ("virtual address", f".{host}"), Kind.ADDRESS, _COLUMNS[role], _GATE)
    targets = {link_name(link.from_, link.to): link.to for link in plan.topology.links}
    for spec in plan.specs:
        if spec.role == CLIENT_ROLE:
            continue
        column, step, kind, product = _place(plan, spec, targets)
        details = (product, *_own_disk(plan, spec), f".{spec.host_number}")
        yield Node(spec.name, details, kind, column, step)


def _place(plan: _Plan, spec: ContainerSpec, link_targets: Mapping[str, Role]) -> tuple[Column, int, Kind, str]:
    """Column, step, kind and product of a container."""
    if spec.role in list(Role):
        role = Role(spec.role)
        kind = Kind.STORE if role in (Role.DATABASE, Role.STORAGE) else Kind.MACHINE
        product = getattr(plan.topology, role).product
        return _COLUMNS[role], _MEMBERS, kind, _PRODUCTS.get(product, product)
    if spec.role == LINK_ROLE:
        return _COLUMNS[link_targets[spec.name]], _FRONT, Kind.LINK, _PRODUCTS["toxiproxy"]
    if spec.role == patroni.PROXY_ROLE:
        return Column.DATABASE, _GATE, Kind.MACHINE, _PRODUCTS["haproxy"]
    if spec.role == etcd.ROLE:
        return Column.DATABASE, _BEHIND, Kind.STORE, "etcd"
    if spec.role in (jupyterhub.STANDBY_ROLE, backup.ROLE):
        what = "snapshots elsewhere" if plan.topology.backup else f"{plan.topology.workbench.standby} standby"
        return Column.STORAGE, _BEHIND, Kind.MACHINE, what
    return Column.OTHER, 0, Kind.MACHINE, spec.image


def _own_disk(plan: _Plan, spec: ContainerSpec) -> Iterator[str]:
    """What a node keeps to itself because no other role has it."""
    if spec.role != Role.WORKBENCH:
        return
    if plan.topology.database is None:
        yield "SQLite on its disk"
    if plan.topology.storage is None:
        yield "homes on its disk"


# -- groups --------------------------------------------------------------------------------------------------------


def _serving(workbench: Workbench) -> str:
    """Who of the nodes is at work, and how many there may be."""
    policy = workbench.autoscale
    how_many = f", {policy.nodes_at_least} to {policy.nodes_at_most} by a policy" if policy else ""
    return _MODES.get(workbench.mode, workbench.mode) + how_many


def _groups(plan: _Plan) -> Iterator[Group]:
    titles = {
        Role.LOAD_BALANCER: "pair: one holds the address",
        Role.WORKBENCH: _serving(plan.topology.workbench),
        Role.DATABASE: _cluster(plan),
        Role.STORAGE: "pair on one disk: one holds the address",
        etcd.ROLE: "etcd: a majority decides",
    }
    for role, title in titles.items():
        members = plan.named(role)
        if len(members) > 1:
            yield Group(f"{role}-group", title, members)


def _cluster(plan: _Plan) -> str:
    database = plan.topology.database
    if not isinstance(database, Patroni):
        return "database"
    copies = "synchronous" if database.synchronous else "asynchronous"
    return f"Patroni: one primary, {copies} replicas"


# -- arrows --------------------------------------------------------------------------------------------------------


def _arrows(plan: _Plan) -> Iterator[Arrow]:
    yield from _from_people(plan)
    yield from _from_balancer(plan)
    yield from _to_database(plan)
    yield from _to_storage(plan)
    yield from _to_standby(plan)
    yield from _to_backup(plan)


def _to_backup(plan: _Plan) -> Iterator[Arrow]:
    """Drawn from what lies beside it; the databases' way would cross everything."""
    if plan.topology.backup is not None:
        label = ("snapshots, databases too", f"every {plan.topology.backup.every_s} s")
        yield Arrow(plan.named(Role.STORAGE), plan.named(backup.ROLE), label)


def _to_standby(plan: _Plan) -> Iterator[Arrow]:
    standby = plan.named(jupyterhub.STANDBY_ROLE)
    if standby:
        workbench = plan.topology.workbench
        what, every_s = "snapshots on a backup disk", float(workbench.snapshot_every_s)
        if workbench.standby == "warm":
            what, every_s = "copies of what has changed", workbench.copy_every_s
        yield Arrow(plan.named(Role.WORKBENCH), standby, (what, f"every {every_s:g} s"))


def _from_people(plan: _Plan) -> Iterator[Arrow]:
    balancer, nodes = plan.topology.load_balancer, plan.named(Role.WORKBENCH)
    if balancer is None:
        lines = ("HTTP, websockets", *(("each to their team's node",) if len(nodes) > 1 else ()))
        yield Arrow((PEOPLE,), nodes, lines, one_of=len(nodes) > 1)
        return
    scheme = haproxy.entrance(balancer)[0].upper()
    yield from _to_role(plan, (PEOPLE,), Role.LOAD_BALANCER, (f"{scheme}, websockets",))
    yield from _pair(balancer, plan.named(Role.LOAD_BALANCER))


def _from_balancer(plan: _Plan) -> Iterator[Arrow]:
    balancer = plan.topology.load_balancer
    if balancer is None:
        return
    checks = [f"check: {balancer.check}, every {balancer.check_interval_s:g} s"]
    if balancer.session_check != "same":
        checks.append(f"to sessions: {balancer.session_check}")
    label = ("HTTP, websockets", *checks)
    yield from _through(plan, Role.LOAD_BALANCER, Role.WORKBENCH, plan.named(Role.WORKBENCH), label)


def _to_database(plan: _Plan) -> Iterator[Arrow]:
    database = plan.topology.database
    if database is None:
        return
    many = "SQL: a database for each hub" if plan.topology.workbench.nodes > 1 else "SQL: hub"
    purpose = "SQL: hub, lease" if plan.topology.workbench.mode == "active-passive" else many
    servers = plan.named(Role.DATABASE)
    gates = databases.gates(plan.topology)
    check: tuple[str, ...] = ()
    if isinstance(database, Patroni):
        check = ("to the primary", f"check: /primary, every {database.check_interval_s:g} s")
    direct = set(gates) == set(servers)
    own = ("by an HAProxy on each node", *check) if direct and check else ()
    yield from _through(plan, Role.WORKBENCH, Role.DATABASE, gates, (purpose, *own), one_of=bool(own))
    if not direct:
        yield Arrow(gates, servers, ("SQL", *check), one_of=True)
    memory = plan.named(etcd.ROLE)
    if isinstance(database, Patroni) and memory:
        yield Arrow(servers, memory, ("lease of the primary", f"every {database.loop_wait_s:g} s"))


def _to_storage(plan: _Plan) -> Iterator[Arrow]:
    storage = plan.topology.storage
    if storage is None:
        return
    patience = f", {storage.soft_timeout_s} s" if storage.mount == "soft" else ""
    nodes, label = plan.named(Role.WORKBENCH), (f"NFS ({storage.mount} mount{patience})",)
    if plan.has_vip(Role.STORAGE):
        yield from _to_role(plan, nodes, Role.STORAGE, label)
    else:
        yield from _through(plan, Role.WORKBENCH, Role.STORAGE, plan.named(Role.STORAGE), label)
    yield from _pair(storage, plan.named(Role.STORAGE))


def _to_role(plan: _Plan, sources: tuple[str, ...], role: Role, label: tuple[str, ...]) -> Iterator[Arrow]:
    """To the members of a role, by way of its virtual address if it has one."""
    members = plan.named(role)
    if not plan.has_vip(role):
        yield Arrow(sources, members, label)
        return
    yield Arrow(sources, (_vip(role),), label)
    yield Arrow((_vip(role),), members, ("held by one",), one_of=True)


def _through(
    plan: _Plan,
    source: Role,
    target: Role,
    targets: tuple[str, ...],
    label: tuple[str, ...],
    *,
    one_of: bool = False,
) -> Iterator[Arrow]:
    """From one role to `targets` of another, by way of the link between them if there is one."""
    sources, link = plan.named(source), link_containers(plan.topology, source, target)
    if not link:
        yield Arrow(sources, targets, label, one_of=one_of)
        return
    yield Arrow(sources, link, label)
    yield Arrow(link, targets, ("one listener a pair",), one_of=one_of)


def _pair(role: LoadBalancer | Storage, members: tuple[str, ...]) -> Iterator[Arrow]:
    if role.vip and len(members) == 2:
        yield Arrow(members[:1], members[1:], (f"VRRP, every {role.vrrp_interval_s:g} s",), mutual=True)
