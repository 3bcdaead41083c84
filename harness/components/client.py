"""The load client: users and probes, in one container on the platform's network."""

from __future__ import annotations

from typing import Final

from harness.components import databases, haproxy, jupyterhub
from harness.components.base import CLIENT_HOST, WORKBENCH_FIRST_HOST
from harness.core.entrances import ENTRANCES_VARIABLE, Entrance, format_entrances
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology

__all__ = ["AUTHORITY_PATH", "IMAGE", "IMAGES", "NAME", "ROLE", "containers", "names"]

IMAGE: Final = "client"
IMAGES: Final = (IMAGE,)
NAME: Final = "client"
ROLE: Final = "client"
#: People and instruments are no part of the platform and have processors of their own in the world outside. Here they
#: go first where processors are short: when an NFS server came back on two cores, and everybody's work with it, a
#: client of the same weight as each node sent its probes up to 2 s late, and the run proved nothing.
CPU_SHARES: Final = 16 * 1024
#: What it verifies the platform's certificate with.
AUTHORITY_PATH: Final = "/etc/platform-authority.pem"


def names(_topology: Topology) -> tuple[str, ...]:
    """One client."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The client. It has no probe: it answers as soon as it runs. The first request tells it the users' password.

    It is told of the database, where there is one, because one of its instruments writes into it.
    """
    balanced = topology.load_balancer is not None
    authority = haproxy.authority(topology, context) if balanced else ""
    database = databases.chosen(topology)
    return (
        ContainerSpec(
            name=NAME,
            role=ROLE,
            image=IMAGE,
            host_number=CLIENT_HOST,
            command=("python3", "-m", "harness.load"),
            environment={
                ENTRANCES_VARIABLE: format_entrances(_entrances(topology, context)),
                **({"PLATFORM_AUTHORITY": AUTHORITY_PATH} if authority else {}),
                **_statistics(topology, context),
                **(databases.limits(database) if database else {}),
            },
            secrets={"DATABASE_URL": databases.direct_url(topology, context)} if database else {},
            files={AUTHORITY_PATH: authority} if authority else {},
            # Probes run under SCHED_RR, so that a busy machine does not look like a slow platform.
            capabilities=("SYS_NICE",),
            cpu_shares=CPU_SHARES,
            depends_on=(
                *(haproxy.names(topology) if balanced else jupyterhub.names(topology)),
                *databases.gates(topology),
            ),
            conversation=True,
        ),
    )


def _statistics(topology: Topology, context: NodeContext) -> dict[str, str]:
    """Where every balancer says what it believes, with spaces between; nothing in a topology without one."""
    if topology.load_balancer is None:
        return {}
    return {"BALANCER_STATISTICS": " ".join(haproxy.statistics_urls(topology, context))}


def _entrances(topology: Topology, context: NodeContext) -> tuple[Entrance, ...]:
    """Where people come to: the balancer, or each node, with its name.

    By address: a name that does not resolve is a fault of its own, not part of every other one. Behind a balancer
    without the port, as browsers do it: Jupyter Server compares Origin with Host, which has no default port.
    """
    balancer = topology.load_balancer
    if balancer is not None:
        scheme, _ = haproxy.entrance(balancer)
        return (Entrance(f"{scheme}://{haproxy.address(balancer, context)}"),)
    return tuple(
        Entrance(f"http://{context.address(WORKBENCH_FIRST_HOST + index)}:{jupyterhub.PROXY_PORT}", name)
        for index, name in enumerate(jupyterhub.names(topology))
    )
