"""The Workbench nodes: JupyterHub with live notebook kernels, one container a node; and the standby."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from harness.components import databases, ganesha
from harness.components.base import PATIENT_S, WORKBENCH_FIRST_HOST, WORKBENCH_STANDBY_HOST, pick
from harness.components.hops import link_containers
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "ACTIVE_PATH",
    "ACTIVE_PORT",
    "ACTIVE_PROBE",
    "BACKUP",
    "HOMES",
    "HUB_HEALTH_PATH",
    "IMAGE",
    "IMAGES",
    "LOG_IN_CHECK_PATH",
    "LOG_IN_PATH",
    "PORTS",
    "PROMOTE",
    "PROXY_HEALTH_PATH",
    "PROXY_PORT",
    "READBACK",
    "READY",
    "RESTORE",
    "STANDBY",
    "STANDBY_ROLE",
    "containers",
    "names",
    "own_disk",
    "spare_names",
    "spares",
]

IMAGE: Final = "workbench"
IMAGES: Final = (IMAGE,)
STANDBY: Final = "workbench-standby"
#: A part of the platform, but no member of the role: nobody works there.
STANDBY_ROLE: Final = "standby"
#: Node and standby both have it; a disk of another machine's, as far as a disaster of the node is concerned.
BACKUP: Final = Mount(volume="backup", path="/backup", elsewhere=True)
#: Where a node has the disk of its warm standby.
COPIES: Final = "/standby"
#: Run in the standby: the newest snapshot is unpacked, and the node's software is started.
RESTORE: Final = ("restore-snapshot",)
PROMOTE: Final = ("promote",)
#: Run in a node: whether it can do its part.
READY: Final = ("/usr/local/bin/ready",)
PROXY_PORT: Final = 8000
LOG_IN_PATH: Final = "/hub/login"
#: Configurable-http-proxy's own word on itself.
PROXY_HEALTH_PATH: Final = "/_chp_healthz"
#: JupyterHub's own word on itself, through the proxy; it never asks the database.
HUB_HEALTH_PATH: Final = "/hub/health"
#: The supervisor's pages: 200 where the node serves (with a lease, where it holds it), 503 or nothing elsewhere ...
ACTIVE_PORT: Final = 8002
ACTIVE_PATH: Final = "/active"
#: ... and 200 where somebody could also log in, as far as the node can tell: hub and database answer.
LOG_IN_CHECK_PATH: Final = "/log-in"
#: Answers every connection with a share in percent, which HAProxy's agent check takes for the node's weight.
LOAD_PORT: Final = 8003
#: Where a balancer reaches a node: what people want, the health checks, the load.
PORTS: Final = (PROXY_PORT, ACTIVE_PORT, LOAD_PORT)
#: Where a node has the homes, mounted or its own.
HOMES: Final = "/homes"
#: Where homes are on the node's own disk: prints a line `user,value` for every value in every home's saves.log, as the
#: storage's own command does.
READBACK: Final = ganesha.readback(HOMES)

#: Resolves `workbench[active]`: run in each node, it exits 0 exactly on those that serve. urlopen raises for a 503.
ACTIVE_PROBE: Final = (
    "python3",
    "-I",
    "-c",
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{ACTIVE_PORT}{ACTIVE_PATH}', timeout=2)",
)


def names(topology: Topology) -> tuple[str, ...]:
    """`workbench-0` and so on."""
    return tuple(f"workbench-{index}" for index in range(topology.workbench.nodes))


def own_disk(topology: Topology) -> dict[str, str]:
    """What a node, or its standby, keeps on its own disk because no other role has it: what it is -> its folder.

    It outlives the death of the machine, but no disaster.
    """
    hub = {} if topology.database else {"hub": databases.FILE_FOLDER}
    return hub if topology.storage else {**hub, "homes": HOMES}


def spare_names(topology: Topology) -> tuple[str, ...]:
    """The names of those who may join later; they follow the nodes'."""
    nodes, spares = topology.workbench.nodes, topology.workbench.spare_nodes
    return tuple(f"workbench-{index}" for index in range(nodes, nodes + spares))


def spares(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The containers of nodes that may join later; they are like the others."""
    first = topology.workbench.nodes
    return tuple(_node(topology, context, first + index, name) for index, name in enumerate(spare_names(topology)))


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """One container a node, all alike: where only one is active, that is decided at run time, by the lock. Then the
    standby, if there is one."""
    nodes = tuple(_node(topology, context, index, name) for index, name in enumerate(names(topology)))
    return nodes if topology.workbench.standby == "none" else (*nodes, _standby(topology, nodes[0]))


def _node(topology: Topology, context: NodeContext, index: int, name: str) -> ContainerSpec:
    workbench = topology.workbench
    return ContainerSpec(
        name=name,
        role=Role.WORKBENCH,
        image=IMAGE,
        host_number=WORKBENCH_FIRST_HOST + index,
        environment={
            "NODE_NAME": name,
            "HUB_MODE": workbench.mode,
            "SUPERVISED": "yes" if workbench.supervised else "no",
            "SESSION_START": workbench.session_start,
            "HUB_START": workbench.hub_start,
            **_lease(topology, context, index),
            **(databases.limits(topology.database) if topology.database else {}),
            **_homes(topology, context, index),
            **({"SNAPSHOT_EVERY_S": str(workbench.snapshot_every_s)} if workbench.snapshot_every_s else {}),
            **({"COPY_EVERY_S": f"{workbench.copy_every_s:g}"} if workbench.standby == "warm" else {}),
        },
        files=databases.files(topology, context),
        secrets={
            "HUB_DB_URL": databases.url(topology, context, index),
            "HUB_COOKIE_SECRET": _cookie_secret(topology, context, name),
            **pick(context.secrets, "CONFIGPROXY_AUTH_TOKEN", "USER_PASSWORD"),
        },
        mounts=(*_own_disk(topology, name), *_backup(topology), *_copies(topology)),
        # the hub's folder, and the people's where nothing is mounted yet
        writes=("/srv/hub", HOMES),
        # The homes are mounted inside the node, so that cutting the node off cuts its storage too.
        capabilities=("SYS_ADMIN",) if topology.storage else (),
        devices=("/dev/fuse",) if topology.storage else (),
        security_options=("apparmor=unconfined", "seccomp=unconfined"),
        # Not on database and storage: a node waits for both by itself, and most of its start needs neither.
        depends_on=(
            *link_containers(topology, Role.WORKBENCH, Role.DATABASE),
            *link_containers(topology, Role.WORKBENCH, Role.STORAGE),
        ),
        ready=ReadyProbe(
            argv=READY,
            proves="the node serves, or stands by, and its homes can be written",
            interval_s=PATIENT_S,
        ),
    )


def _own_disk(topology: Topology, name: str) -> tuple[Mount, ...]:
    """On volumes, so that a new release of the node's software finds what the old one wrote."""
    return tuple(Mount(volume=f"{name}-{what}", path=path) for what, path in own_disk(topology).items())


def _backup(topology: Topology) -> tuple[Mount, ...]:
    return (BACKUP,) if topology.workbench.snapshot_every_s else ()


def _copies(topology: Topology) -> tuple[Mount, ...]:
    """The warm standby's own disk, as the node has it."""
    disk = own_disk(topology) if topology.workbench.standby == "warm" else {}
    return tuple(Mount(volume=f"{STANDBY}-{what}", path=f"{COPIES}/{what}") for what in disk)


def _standby(topology: Topology, node: ContainerSpec) -> ContainerSpec:
    """The machine on which the node's last snapshot can be restored, or to which all it has is copied.

    A restore needs no secret, but a machine that is to take the node's place does, and what a container is told is
    fixed when it is made. So it has the node's own, the cookie secret included: log-ins survive. Its name is another,
    so that a hub which finds the node's servers in the restored database does not take them for its own.
    """
    return replace(
        node,
        name=STANDBY,
        role=STANDBY_ROLE,
        host_number=WORKBENCH_STANDBY_HOST,
        command=("standby",),
        # it copies to nobody
        environment={**{k: v for k, v in node.environment.items() if k != "COPY_EVERY_S"}, "NODE_NAME": STANDBY},
        mounts=(*_own_disk(topology, STANDBY), *_backup(topology)),
        depends_on=(),
        ready=ReadyProbe(
            argv=("/usr/local/bin/standby-ready",),
            proves="the software answers, and a backup disk is there if it needs one",
            interval_s=PATIENT_S,
        ),
    )


def _lease(topology: Topology, context: NodeContext, index: int) -> dict[str, str]:
    """What only nodes of which one is active need to know."""
    workbench = topology.workbench
    if workbench.mode != "active-passive":
        return {}
    everybody = workbench.nodes + workbench.spare_nodes
    others = (WORKBENCH_FIRST_HOST + other for other in range(everybody) if other != index)
    return {
        "TAKEOVER": workbench.takeover,
        "PEERS": " ".join(context.address(other) for other in others),
        "STANDBY_POLL_S": str(workbench.standby_poll_s),
        "LEASE_TTL_S": str(workbench.lease_ttl_s),
    }


def _homes(topology: Topology, context: NodeContext, index: int) -> dict[str, str]:
    if topology.storage is None:
        return {"HOMES_SERVER": "local"}
    return {**ganesha.way(topology, context, index), "HOMES_CLIENT": topology.workbench.homes_client}


def _cookie_secret(topology: Topology, context: NodeContext, name: str) -> str:
    """Nodes that share nothing do not know each other's cookies either."""
    shared = context.secrets["HUB_COOKIE_SECRET"]
    return shared if topology.database else hashlib.sha256(f"{shared}/{name}".encode()).hexdigest()
