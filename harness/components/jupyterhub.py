"""The Workbench nodes: JupyterHub with live notebook kernels, one container a node."""

from __future__ import annotations

from typing import Final

from harness.components import databases, ganesha
from harness.components.base import WORKBENCH_FIRST_HOST, pick
from harness.components.hops import link_containers
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "ACTIVE_PATH",
    "ACTIVE_PORT",
    "ACTIVE_PROBE",
    "IMAGE",
    "IMAGES",
    "LOG_IN_PATH",
    "PORTS",
    "PROXY_PORT",
    "containers",
    "names",
]

IMAGE: Final = "workbench"
IMAGES: Final = (IMAGE,)
PROXY_PORT: Final = 8000
LOG_IN_PATH: Final = "/hub/login"
#: Answers 200 on the node that holds the lock and serves, 503 or nothing on the others.
ACTIVE_PORT: Final = 8002
ACTIVE_PATH: Final = "/active"
#: Where a balancer reaches a node: what people want, and the health check.
PORTS: Final = (PROXY_PORT, ACTIVE_PORT)

#: Resolves `workbench[active]`: run in each node, it exits 0 exactly on the active one. urlopen raises for a 503.
ACTIVE_PROBE: Final = (
    "python3",
    "-I",
    "-c",
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{ACTIVE_PORT}{ACTIVE_PATH}', timeout=2)",
)


def names(topology: Topology) -> tuple[str, ...]:
    """`workbench-0` and so on."""
    return tuple(f"workbench-{index}" for index in range(topology.workbench.nodes))


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """One container a node, all alike: which one is active is decided at run time, by the lock."""
    return tuple(_node(topology, context, index, name) for index, name in enumerate(names(topology)))


def _node(topology: Topology, context: NodeContext, index: int, name: str) -> ContainerSpec:
    workbench, database = topology.workbench, topology.database
    return ContainerSpec(
        name=name,
        role=Role.WORKBENCH,
        image=IMAGE,
        host_number=WORKBENCH_FIRST_HOST + index,
        environment={
            "NODE_NAME": name,
            "HUB_MODE": workbench.mode,
            "TAKEOVER": workbench.takeover,
            "PEERS": " ".join(
                context.address(WORKBENCH_FIRST_HOST + other) for other in range(workbench.nodes) if other != index
            ),
            "STANDBY_POLL_S": str(workbench.standby_poll_s),
            "LEASE_TTL_S": str(workbench.lease_ttl_s),
            "DB_KEEPALIVES_IDLE_S": str(database.keepalives_idle_s),
            "DB_KEEPALIVES_INTERVAL_S": str(database.keepalives_interval_s),
            "DB_KEEPALIVES_COUNT": str(database.keepalives_count),
            "DB_TCP_USER_TIMEOUT_MS": str(database.user_timeout_s * 1000),
            "SESSION_START": workbench.session_start,
            **ganesha.way(topology, index),
            "HOMES_CLIENT": workbench.homes_client,
        },
        secrets={
            "HUB_DB_URL": databases.url(topology, context, index),
            **pick(context.secrets, "HUB_COOKIE_SECRET", "CONFIGPROXY_AUTH_TOKEN", "USER_PASSWORD"),
        },
        # The homes are mounted inside the node, so that cutting the node off cuts its storage too.
        capabilities=("SYS_ADMIN",),
        devices=("/dev/fuse",),
        security_options=("apparmor=unconfined", "seccomp=unconfined"),
        depends_on=(
            databases.gate(topology),
            *ganesha.names(topology),
            *link_containers(topology, Role.WORKBENCH, Role.DATABASE),
            *link_containers(topology, Role.WORKBENCH, Role.STORAGE),
        ),
        ready=ReadyProbe(
            argv=("/usr/local/bin/ready",), proves="the node serves, or stands by, with its homes mounted"
        ),
    )
