"""The storage: one NFS-Ganesha server that exports the users' homes."""

from __future__ import annotations

from typing import Final

from harness.components.base import STORAGE_HOST
from harness.components.hops import Hop, hop
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["EXPORT", "IMAGE", "IMAGES", "NAME", "PORTS", "READBACK", "containers", "names", "way"]

IMAGE: Final = "storage"
IMAGES: Final = (IMAGE,)
NAME: Final = "storage"
EXPORT: Final = "/export"
#: NFS and MOUNT, both fixed in its configuration, TCP only: no port mapper is needed.
PORTS: Final = (2049, 20048)

# Reads the server's own disk, past every client's cache: what is not here is lost to whoever logs in elsewhere.
# A user without the file has saved nothing, which is fine; a file that can't be read is not, and fails the command,
# because a missing measurement must not read as a lost write. Lines that are no number are torn writes.
_READBACK: Final = f"""\
cd {EXPORT} || exit 1
status=0
for file in */saves.log; do
  [ -e "$file" ] || continue
  USER_NAME="${{file%/saves.log}}" awk '/^[0-9]+$/ {{ print ENVIRON["USER_NAME"] "," $0 }}' < "$file" || status=1
done
exit $status
"""
#: Run in the storage container: prints a line `user,value` for every value in every home's saves.log.
READBACK: Final = ("sh", "-c", _READBACK)


def way(topology: Topology, node: int) -> dict[str, str]:
    """The environment that tells a node where its homes are."""
    nfs, mount = (
        hop(topology, (Role.WORKBENCH, node), (Role.STORAGE, 0), Hop(NAME, STORAGE_HOST, port), service)
        for service, port in enumerate(PORTS)
    )
    found = {"HOMES_SERVER": f"{nfs.name}:{EXPORT}"}
    if (nfs.port, mount.port) != PORTS:
        found |= {"HOMES_NFS_PORT": str(nfs.port), "HOMES_MOUNT_PORT": str(mount.port)}
    return found


def names(_topology: Topology) -> tuple[str, ...]:
    """One server."""
    return (NAME,)


def containers(topology: Topology, _context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The server; the homes are on a volume, so that they outlive the container."""
    return (
        ContainerSpec(
            name=NAME,
            role=Role.STORAGE,
            image=IMAGE,
            host_number=STORAGE_HOST,
            environment={"NFS_GRACE_PERIOD_S": str(topology.storage.grace_period_s)},
            mounts=(Mount(volume="homes", path=EXPORT, size_mb=topology.storage.size_mb),),
            # Ganesha opens files by handle; without the capability it says INITIALIZED and exports nothing.
            capabilities=("DAC_READ_SEARCH",),
            security_options=("seccomp=unconfined",),
            ready=ReadyProbe(argv=("/usr/local/bin/ready",), proves="the homes' export can be mounted"),
        ),
    )
