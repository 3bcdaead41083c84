"""The load balancer: HAProxy in front of the Workbench nodes, alone or as a pair with a virtual address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.components import jupyterhub, keepalived
from harness.components.base import LOAD_BALANCER_HOST, LOAD_BALANCER_VIP_HOST
from harness.components.certificates import certificates
from harness.components.haproxy_config import MONITOR_PATH, MONITOR_PORT, STATISTICS_AS_CSV, STATISTICS_PORT, Server
from harness.components.haproxy_config import config as _config
from harness.components.hops import Hop, hop, link_containers
from harness.core.products import LoadBalancer
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe
from harness.core.tls import AUTHORITY_PATH, EXPIRED_PATH, SERVED_PATH, TLS_PORT
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "CONFIG_PATH",
    "IMAGE",
    "IMAGES",
    "NAME",
    "PORT",
    "address",
    "authority",
    "containers",
    "entrance",
    "names",
    "settings",
    "statistics_urls",
]

IMAGE: Final = "load_balancer"
IMAGES: Final = (IMAGE,)
NAME: Final = "load-balancer"
PORT: Final = 80
CONFIG_PATH: Final = "/etc/haproxy/haproxy.cfg"
_READY_TIMEOUT_S: Final = 150.0


def entrance(balancer: LoadBalancer) -> tuple[str, int]:
    """The scheme by which people come, and the port; it is the scheme's own, so no address has to name it."""
    return ("https", TLS_PORT) if balancer.tls else ("http", PORT)


def address(balancer: LoadBalancer, context: NodeContext) -> str:
    """Where people come to: the balancer's own address, or the virtual one of a pair."""
    return context.address(LOAD_BALANCER_VIP_HOST if balancer.vip else LOAD_BALANCER_HOST)


def statistics_urls(topology: Topology, context: NodeContext) -> tuple[str, ...]:
    """Where each balancer says what it believes about its nodes, as CSV: at its own address, never the virtual one.

    The fragment is its name, for whoever reads what it said; it is never sent.
    """
    hosts = ((name, context.address(LOAD_BALANCER_HOST + index)) for index, name in enumerate(names(topology)))
    return tuple(f"http://{host}:{STATISTICS_PORT}{STATISTICS_AS_CSV}#{name}" for name, host in hosts)


def authority(topology: Topology, context: NodeContext) -> str:
    """What clients verify the balancer with, as text in PEM; empty where it does not speak TLS."""
    return _certificate_files(settings(topology), context).get(AUTHORITY_PATH, "")


def names(topology: Topology) -> tuple[str, ...]:
    """`load-balancer`, or `load-balancer-0` and `load-balancer-1`."""
    count = topology.size(Role.LOAD_BALANCER)
    return (NAME,) if count == 1 else tuple(f"{NAME}-{index}" for index in range(count))


def settings(topology: Topology) -> LoadBalancer:
    """The role's knobs."""
    assert topology.load_balancer is not None, "the registry asks this module for topologies with a balancer only"
    return topology.load_balancer


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The balancers. They start beside the nodes and are ready when the log-in page comes through, so that their own
    readiness is the platform's."""
    balancer = settings(topology)
    everybody = names(topology)
    peers = {name: context.address(LOAD_BALANCER_HOST + index) for index, name in enumerate(everybody)}
    return tuple(
        ContainerSpec(
            name=name,
            role=Role.LOAD_BALANCER,
            image=IMAGE,
            host_number=LOAD_BALANCER_HOST + index,
            files={
                CONFIG_PATH: _config(
                    balancer,
                    entrance(balancer)[1],
                    servers(topology, context, index),
                    peers if balancer.vip else {},
                    name,
                ),
                **_certificate_files(balancer, context),
                **_pair_files(balancer, context, peers, name),
            },
            environment={keepalived.VIRTUAL_ADDRESS: address(balancer, context)} if balancer.vip else {},
            capabilities=keepalived.CAPABILITIES if balancer.vip else (),
            depends_on=link_containers(topology, Role.LOAD_BALANCER, Role.WORKBENCH),
            ready=ReadyProbe(
                argv=("/usr/local/bin/ready", jupyterhub.LOG_IN_PATH),
                proves="the log-in page comes through the balancer, and of a pair through the virtual address too",
                # beyond the limit of nodes and databases, whose own words say more
                timeout_s=_READY_TIMEOUT_S,
                interval_s=0.5,
            ),
        )
        for index, name in enumerate(everybody)
    )


def servers(topology: Topology, context: NodeContext, number: int) -> tuple[Server, ...]:
    """How balancer `number` reaches each node: by its own address, or by that of a link in between."""
    found = []
    spares = jupyterhub.spare_names(topology)
    for node, spec in enumerate((*jupyterhub.containers(topology, context), *jupyterhub.spares(topology, context))):
        ends = (Role.LOAD_BALANCER, number), (Role.WORKBENCH, node)
        direct = [Hop(spec.name, spec.host_number, port) for port in jupyterhub.PORTS]
        work, status, load = (hop(topology, *ends, hop_, service) for service, hop_ in enumerate(direct))
        ports = (work.port, status.port, load.port)
        found.append(Server(spec.name, context.address(work.host_number), ports, closed=spec.name in spares))
    return tuple(found)


def _pair_files(balancer: LoadBalancer, context: NodeContext, members: Mapping[str, str], name: str) -> dict[str, str]:
    """Who holds the virtual address: one that serves, and that does not reach fewer nodes than the other."""
    if not balancer.vip:
        return {}
    own, other = (
        f"http://{host}:{MONITOR_PORT}{MONITOR_PATH}"
        for host in ("127.0.0.1", members[keepalived.peer_of(name, members)])
    )
    text = keepalived.config(
        name,
        members,
        virtual=address(balancer, context),
        router_id=LOAD_BALANCER_VIP_HOST,
        interval_s=balancer.vrrp_interval_s,
        check=f"/usr/local/bin/may-hold {own} {other}",
    )
    return {keepalived.CONFIG_PATH: text}


def _certificate_files(balancer: LoadBalancer, context: NodeContext) -> dict[str, str]:
    """The expired one too, so that a fault needs no key of its own."""
    if not balancer.tls:
        return {}
    own = [context.address(LOAD_BALANCER_HOST + index) for index in range(balancer.nodes)] if balancer.vip else []
    made = certificates(context, address(balancer, context), NAME, own=own)
    return {SERVED_PATH: made.served, EXPIRED_PATH: made.expired, AUTHORITY_PATH: made.authority}
