"""The machine that backs up a platform with database and storage: every database and all homes, as snapshots on a
disk elsewhere. After a disaster a new one restores the newest of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.components import databases, ganesha, jupyterhub, postgresql
from harness.components.base import BACKUP_HOST, PATIENT_S
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["IMAGE", "IMAGES", "NAME", "ROLE", "beside", "containers", "database_names", "lost_in_a_disaster", "names"]

IMAGE: Final = jupyterhub.IMAGE
IMAGES: Final = (IMAGE,)
NAME: Final = "backup"
_DATABASES: Final = "DB_NAMES"
ROLE: Final = "backup"


def names(topology: Topology) -> tuple[str, ...]:
    """One machine, or none."""
    return (NAME,) if topology.backup else ()


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """It has the nodes' software, because a snapshot belongs to its version, and the homes' disk, as a second head of
    an array has it: nothing that breaks a way to the storage breaks a backup. It waits for nobody: a snapshot that
    can't be taken yet is taken at the next turn."""
    if topology.backup is None:
        return ()
    assert topology.storage is not None, "the contradictions want both"
    return (
        ContainerSpec(
            name=NAME,
            role=ROLE,
            image=jupyterhub.IMAGE,
            host_number=BACKUP_HOST,
            command=("backup",),
            environment={
                "NODE_NAME": NAME,
                "SNAPSHOT_EVERY_S": str(topology.backup.every_s),
                _DATABASES: " ".join(database_names(topology)),
                "PGHOST": ",".join(databases.direct_hosts(topology, context)),
                "PGPORT": str(postgresql.PORTS[0]),
                "PGUSER": postgresql.USER,
                "PGTARGETSESSIONATTRS": "read-write",
                "PGCONNECT_TIMEOUT": "5",
            },
            secrets={"PGPASSWORD": context.secrets["DB_PASSWORD"]},
            mounts=(
                Mount(volume=ganesha.VOLUME, path=jupyterhub.HOMES, size_mb=topology.storage.size_mb),
                jupyterhub.BACKUP,
            ),
            ready=ReadyProbe(
                argv=("/usr/local/bin/standby-ready",),
                proves="the software answers, and the backup disk is there",
                interval_s=PATIENT_S,
            ),
        ),
    )


def database_names(topology: Topology) -> tuple[str, ...]:
    """The databases of the hubs that are there, and the load client's; a place for a node that may join has none."""
    workbench = topology.workbench
    hubs = 1 if workbench.mode == "active-passive" else workbench.nodes
    return (*postgresql.databases(topology)[:hubs], postgresql.WRITES)


def beside(spec: ContainerSpec) -> ContainerSpec:
    """A new machine after a disaster: what is restored has another name until all of it is there."""
    names_ = spec.environment.get(_DATABASES, "").split()
    if spec.role == ROLE:
        return replace(spec, environment={**spec.environment, "DB_RESTORED_AS": postgresql.COMING})
    if not names_ or spec.role != Role.DATABASE:
        return spec
    coming = " ".join(f"{name}{postgresql.COMING}" for name in names_)
    return replace(spec, environment={**spec.environment, _DATABASES: coming})


def lost_in_a_disaster(topology: Topology) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The machines that serve people or keep what they wrote: first those that a restore needs, then the others, which
    start from what was restored. Balancers keep nothing, and stay."""
    first = dict.fromkeys([*databases.cluster(topology), *databases.gates(topology), *names(topology)])
    storage = ganesha.names(topology) if Role.STORAGE in topology.roles() else ()
    return tuple(first), (*storage, *jupyterhub.names(topology))
