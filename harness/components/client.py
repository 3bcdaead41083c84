"""The load client: users and probes, in one container on the platform's network."""

from __future__ import annotations

from typing import Final

from harness.components import haproxy
from harness.components.base import CLIENT_HOST, LOAD_BALANCER_HOST
from harness.core.entrances import ENTRANCES_VARIABLE, Entrance, format_entrances
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology

__all__ = ["AUTHORITY_PATH", "IMAGE", "IMAGES", "NAME", "ROLE", "containers", "names"]

IMAGE: Final = "client"
IMAGES: Final = (IMAGE,)
NAME: Final = "client"
ROLE: Final = "client"
#: What it verifies the platform's certificate with.
AUTHORITY_PATH: Final = "/etc/platform-authority.pem"


def names(_topology: Topology) -> tuple[str, ...]:
    """One client."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The client. It has no probe: it answers as soon as it runs. The first request tells it the users' password."""
    scheme, _ = haproxy.entrance(topology.load_balancer)
    authority = haproxy.authority(topology, context)
    return (
        ContainerSpec(
            name=NAME,
            role=ROLE,
            image=IMAGE,
            host_number=CLIENT_HOST,
            command=("python3", "-m", "harness.load"),
            # Without the port, as browsers do it: Jupyter Server compares Origin with Host, which has no default port.
            # By address: a name that does not resolve is a fault of its own, not part of every other one.
            environment={
                ENTRANCES_VARIABLE: format_entrances([Entrance(f"{scheme}://{context.address(LOAD_BALANCER_HOST)}")]),
                **({"PLATFORM_AUTHORITY": AUTHORITY_PATH} if authority else {}),
            },
            files={AUTHORITY_PATH: authority} if authority else {},
            # Probes run under SCHED_RR, so that a busy machine does not look like a slow platform.
            capabilities=("SYS_NICE",),
            depends_on=haproxy.names(topology),
            conversation=True,
        ),
    )
