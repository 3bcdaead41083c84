"""What a fault may do to the volumes of a run that are file systems of their own.

Part of `harness.faults.host`. A volume is called by its name at the engine. None of this needs the container that uses
the volume to be alive: the agent has a mount of its own. What is done to a volume that has gone does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Attempt", "Limit", "Rate", "Usage", "Volumes"]


@dataclass(frozen=True)
class Usage:
    """As `df` shows it, in KiB."""

    size_kb: int
    free_kb: int


@dataclass(frozen=True)
class Attempt:
    """What became of writing one block and syncing it."""

    error: str
    """As in errno(3), for instance `ENOSPC`; empty if the block is on the disk."""
    hangs: bool
    """It has not returned so far."""
    took_ms: float
    """Until it returned, or until now."""

    def __str__(self) -> str:
        if self.hangs:
            return f"a write has not returned for {self.took_ms:.0f} ms"
        return (
            f"a write failed with {self.error}"
            if self.error
            else f"a write was on the disk after {self.took_ms:.0f} ms"
        )


@dataclass(frozen=True)
class Limit:
    """How much a control group may read and, apart from that, write; 0 means without limit."""

    iops: int = 0
    """Operations per second."""
    kb_per_s: int = 0
    """KiB per second."""

    def __str__(self) -> str:
        words = [f"{self.iops} operations/s"] if self.iops else []
        words += [f"{self.kb_per_s} KiB/s"] if self.kb_per_s else []
        return " and ".join(words) or "no limit"


@dataclass(frozen=True)
class Rate:
    """What was measured."""

    iops: float
    kb_per_s: float

    def __str__(self) -> str:
        return f"{self.iops:.0f} operations/s, {self.kb_per_s:.0f} KiB/s"


class Volumes(Protocol):
    """Volumes that are file systems of their own."""

    def used_by(self, container: str) -> str:
        """The volume of one of the run's containers. Raises `GuardError` if it has none that is a file system of its
        own, or more than one."""
        ...

    def stalls(self, container: str) -> bool:
        """Whether a file system of its own that one of the run's containers uses does not answer."""
        ...

    def exists(self, volume: str) -> bool:
        """Whether it is still there; one whose containers and agent all died is not."""
        ...

    def usage(self, volume: str) -> Usage:
        """How full it is."""
        ...

    def attempt(self, volume: str) -> Attempt:
        """Write one block and sync it, in a process of its own: one that hangs is left behind, ends when it can, and
        is what the next attempt asks about."""
        ...

    def fill(self, volume: str, tag: str, leave_kb: int) -> None:
        """Take all space but so much, with a file that is named after the tag."""
        ...

    def drain(self, volume: str, tag: str) -> None:
        """Remove that file."""
        ...

    def report_error(self, volume: str, tag: str) -> None:
        """Have the file system find itself damaged, whereupon it makes itself read-only."""
        ...

    def damage(self, volume: str) -> str:
        """What the kernel says is wrong with it: that it is read-only, or had errors since it was last checked."""
        ...

    def repair(self, volume: str) -> None:
        """Unmount, check and mount it. No container may be using it."""
        ...

    def freeze(self, volume: str) -> None:
        """Let every write to it wait."""
        ...

    def thaw(self, volume: str) -> None:
        """Let them go on."""
        ...

    def throttle(self, volume: str, pid: int, start_ticks: int, limit: Limit) -> None:
        """Limit what the control group of a process reads from and writes to it; `Limit()` takes that back.

        Raises `GuardError` where the host can't do that.
        """
        ...

    def throttled(self, volume: str, pid: int, start_ticks: int) -> Limit:
        """The limit of writing that the kernel has for that control group; `Limit()` if the process is gone."""
        ...

    def measure(self, volume: str, pid: int, start_ticks: int) -> Rate:
        """What a process in that control group can write, for about half a second, past every cache."""
        ...

    def handle(self, volume: str) -> str:
        """A file handle, as an NFS server gives it to its clients, of something in the volume's topmost folder."""
        ...

    def is_stale(self, volume: str, handle: str) -> bool:
        """Whether opening by this handle fails with ESTALE."""
        ...

    def replace(self, volume: str, tag: str) -> None:
        """Replace everything in its topmost folder by a copy. No container may be using it."""
        ...

    def forget_replaced(self, volume: str, tag: str) -> None:
        """Remove what a replacement left: the old, or the unfinished copy."""
        ...
