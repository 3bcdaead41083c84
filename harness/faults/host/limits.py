"""Families of a host that have to do with what a machine may use, and with what the storage answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Burn", "CpuLimit", "Limits", "MemoryLimit", "Storage"]


@dataclass(frozen=True)
class CpuLimit:
    """What the processes of a control group may use of the processors together."""

    quota_us: int | None
    """Microseconds of processor in each period; None: as much as there is."""
    period_us: int
    held_back: int
    """Periods, since the group was made, in which it wanted more than it got."""


@dataclass(frozen=True)
class Burn:
    """What a process of ours that wants a whole core got in a control group."""

    lasted_s: float
    got_s: float
    """Seconds of processor."""
    held_back: int
    """Periods in which the kernel held the group back meanwhile."""


@dataclass(frozen=True)
class MemoryLimit:
    """What the processes of a control group use of the memory together, and may."""

    limit_bytes: int | None
    """None: as much as there is."""
    swap_limit_bytes: int | None
    """Of memory and swap together where the kernel counts them so (version 1 of control groups), of swap alone
    elsewhere; None: as much as there is."""
    used_bytes: int
    """What can't be given back at once: the working set, that is everything but inactive file pages."""
    oom_kills: int
    """Processes that the kernel killed in it for lack of memory, since it was made."""


class Limits(Protocol):
    """Control groups of containers. A group is named by its path under the host's `/sys/fs/cgroup`; one that is gone
    (its machine was stopped) is fine everywhere, because its limits went with it."""

    def cpu_group(self, container_id: str, pid: int) -> str:
        """The group of the container with that PID 1. Raises `GuardError` unless it is that container's own."""
        ...

    def cpu(self, group: str) -> CpuLimit | None:
        """What the kernel says; None if the group is gone."""
        ...

    def set_cpu(self, group: str, quota_us: int | None) -> None:
        """Limit the processors to `quota_us` in each period, or no longer."""
        ...

    def burn(self, group: str) -> Burn | None:
        """Run a process of ours in the group for about two periods, which takes as much of one core as it gets; None
        if the group is gone."""
        ...

    def memory_group(self, container_id: str, pid: int) -> str:
        """As `cpu_group`, for memory."""
        ...

    def memory(self, group: str) -> MemoryLimit | None:
        """What the kernel says; None if the group is gone."""
        ...

    def squeeze_memory(self, group: str, limit_bytes: int) -> None:
        """Limit the memory, and the swap to what is used of it now. Raises `PeerError` if more memory than that is in
        use and the kernel can't take it back."""
        ...

    def set_memory(self, group: str, limit_bytes: int | None, swap_limit_bytes: int | None) -> None:
        """Set both limits as `memory` gave them."""
        ...

    def eat(self, group: str, pid: int, tag: str) -> None:
        """Start a program that eats memory in the group until the kernel has killed something there, then keeps what
        it has. It ends with the agent, and with process `pid`, the machine's PID 1."""
        ...

    def eaters(self, tag: str) -> Sequence[int]:
        """The PIDs of such programs with that tag, whoever started them."""
        ...

    def stop_eating(self, tag: str) -> None:
        """Kill them; returns when they are gone."""
        ...


class Storage(Protocol):
    """NFS servers, asked from inside their own machine."""

    def answers(self, pid: int) -> str:
        """Make an empty call (procedure 0) to the NFS server of the machine with that PID 1; empty if it was answered,
        else what happened instead."""
        ...
