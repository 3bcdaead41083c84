"""The storage: NFS-Ganesha that exports the users' homes, one server, or a pair with a virtual address on one disk."""

from __future__ import annotations

from typing import Final

from harness.components import keepalived
from harness.components.base import STORAGE_HOST, STORAGE_VIP_HOST
from harness.components.hops import Hop, hop
from harness.core.products import Storage
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["EXPORT", "IMAGE", "IMAGES", "NAME", "PORTS", "READBACK", "VOLUME", "containers", "names", "readback", "way"]

IMAGE: Final = "storage"
IMAGES: Final = (IMAGE,)
NAME: Final = "storage"
EXPORT: Final = "/export"
#: The homes' disk.
VOLUME: Final = "homes"
#: NFS and MOUNT, both fixed in its configuration, TCP only: no port mapper is needed.
PORTS: Final = (2049, 20048)

# Reads the disk itself, past every client's cache: what is not here is lost to whoever logs in elsewhere.
# A user without the file has saved nothing, which is fine; a file that can't be read is not, and fails the command,
# because a missing measurement must not read as a lost write. Lines that are no number are torn writes.
_READBACK: Final = """\
cd {folder} || exit 1
status=0
for file in */saves.log; do
  [ -e "$file" ] || continue
  USER_NAME="${{file%/saves.log}}" awk '/^[0-9]+$/ {{ print ENVIRON["USER_NAME"] "," $0 }}' < "$file" || status=1
done
exit $status
"""


def readback(folder: str) -> tuple[str, ...]:
    """A command that prints a line `user,value` for every value in the saves.log of every home in `folder`."""
    return ("sh", "-c", _READBACK.format(folder=folder))


#: To be run in a storage container.
READBACK: Final = readback(EXPORT)


def way(topology: Topology, context: NodeContext, node: int) -> dict[str, str]:
    """The environment that tells a node where its homes are, and what to do while they are away."""
    storage = settings(topology)
    nfs, mount = (
        hop(topology, (Role.WORKBENCH, node), (Role.STORAGE, 0), Hop(NAME, STORAGE_HOST, port), service)
        for service, port in enumerate(PORTS)
    )
    server = context.address(STORAGE_VIP_HOST) if storage.vip else nfs.name
    found = {"HOMES_SERVER": f"{server}:{EXPORT}"}
    if (nfs.port, mount.port) != PORTS:
        found |= {"HOMES_NFS_PORT": str(nfs.port), "HOMES_MOUNT_PORT": str(mount.port)}
    if storage.mount == "soft":
        found["HOMES_SOFT_S"] = str(storage.soft_timeout_s)
    return found


def names(topology: Topology) -> tuple[str, ...]:
    """`storage`, or `storage-0` and `storage-1`."""
    count = topology.size(Role.STORAGE)
    return (NAME,) if count == 1 else tuple(f"{NAME}-{index}" for index in range(count))


def settings(topology: Topology) -> Storage:
    """The role's knobs."""
    assert topology.storage is not None, "asked for topologies with storage only"
    return topology.storage


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The servers; the homes are on a volume, so that they outlive the containers. A pair has the same one."""
    storage = settings(topology)
    everybody = names(topology)
    return tuple(
        ContainerSpec(
            name=name,
            role=Role.STORAGE,
            image=IMAGE,
            host_number=STORAGE_HOST + index,
            environment={
                "NFS_GRACE_PERIOD_S": str(storage.grace_period_s),
                **_pair_environment(storage, context, index),
            },
            files=_pair_files(storage, context, everybody, name),
            mounts=(Mount(volume=VOLUME, path=EXPORT, size_mb=storage.size_mb),),
            writes=("/var/lib/nfs",),
            # Ganesha opens files by handle; without the capability it says INITIALIZED and exports nothing.
            capabilities=("DAC_READ_SEARCH", *(keepalived.CAPABILITIES if storage.vip else ())),
            security_options=("seccomp=unconfined",),
            ready=ReadyProbe(
                argv=("/usr/local/bin/ready",),
                proves="the homes' export can be mounted, and of a pair the virtual address answers too",
            ),
        )
        for index, name in enumerate(everybody)
    )


def _pair_environment(storage: Storage, context: NodeContext, index: int) -> dict[str, str]:
    if not storage.vip:
        return {}
    return {keepalived.VIRTUAL_ADDRESS: context.address(STORAGE_VIP_HOST), "NFS_SERVER_NUMBER": str(index)}


def _pair_files(storage: Storage, context: NodeContext, everybody: tuple[str, ...], name: str) -> dict[str, str]:
    """Who holds the virtual address: one whose server answers calls."""
    if not storage.vip:
        return {}
    text = keepalived.config(
        name,
        {member: context.address(STORAGE_HOST + index) for index, member in enumerate(everybody)},
        virtual=context.address(STORAGE_VIP_HOST),
        router_id=STORAGE_VIP_HOST,
        interval_s=storage.vrrp_interval_s,
        check=f"/usr/local/bin/answers 127.0.0.1 {PORTS[0]}",
        notify="/usr/local/bin/address-moved",
    )
    return {keepalived.CONFIG_PATH: text}
