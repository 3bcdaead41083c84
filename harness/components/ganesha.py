"""The storage: one NFS-Ganesha server that exports the users' homes."""

from __future__ import annotations

from typing import Final

from harness.components.base import STORAGE_HOST
from harness.core.model import Role, Topology
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe

__all__ = ["EXPORT", "IMAGE", "NAME", "READBACK", "containers", "names"]

IMAGE: Final = "storage"
NAME: Final = "storage"
EXPORT: Final = "/export"

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
            mounts=(Mount(volume="homes", path=EXPORT),),
            # Ganesha opens files by handle; without the capability it says INITIALIZED and exports nothing.
            capabilities=("DAC_READ_SEARCH",),
            security_options=("seccomp=unconfined",),
            ready=ReadyProbe(argv=("/usr/local/bin/ready",), proves="the homes' export can be mounted"),
        ),
    )
