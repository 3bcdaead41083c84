"""Machines (containers), their processes, and the cables between them and the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.errors import HarnessError

__all__ = ["ContainerState", "GuardError", "Links", "Machines", "ProcessState", "Processes"]


class GuardError(HarnessError):
    """A fault was refused because it could reach something that is not the run's own container."""


@dataclass(frozen=True)
class ContainerState:
    """A container as the engine and the kernel see it."""

    id: str
    name: str
    run_id: str
    """The value of the run label, empty if it has none."""
    running: bool
    status: str
    pid: int
    """Of its PID 1 on the host; 0 if it does not run."""
    start_ticks: int
    """When that process started (field 22 of /proc/PID/stat), so that a reused PID is not mistaken for it."""
    own_namespaces: bool
    """Its network and PID namespaces differ from the host's."""
    frozen: bool
    """The kernel says that every process of its control group is frozen."""
    address: str
    """Its IPv4 address on the run's network; empty if it does not run."""
    oom_killed: bool = False
    """The engine says that the kernel killed some of it, since its last start, because memory ran out."""


@dataclass(frozen=True)
class ProcessState:
    """One process of a container, by its PID on the host."""

    pid: int
    start_ticks: int
    name: str
    """As the kernel knows it (comm)."""
    state: str
    """R, S, D, T (stopped) and so on, as in proc(5)."""


class Machines(Protocol):
    """Containers, each of which stands for a machine."""

    def look(self, name: str) -> ContainerState:
        """One of the run's containers. Raises `GuardError` if it is not the run's."""
        ...

    def there(self, name: str) -> ContainerState | None:
        """As `look`, or None where there is no such container any more."""
        ...

    def start(self, container_id: str) -> None:
        """Start a container that does not run; one that runs, or is gone for good, is fine."""
        ...

    def stop(self, container_id: str) -> None:
        """Shut a container down in an orderly way and wait until it is; one that does not run is fine."""
        ...

    def restart(self, container_id: str) -> None:
        """Shut a container down in an orderly way and start it at once; one that is gone for good is fine."""
        ...

    def pause(self, container_id: str) -> None:
        """Freeze every process of a container."""
        ...

    def unpause(self, container_id: str) -> None:
        """Thaw them; a container that is not paused, or is gone, is fine."""
        ...


class Processes(Protocol):
    """Processes by their PIDs on the host."""

    def alive(self, pid: int, start_ticks: int) -> bool:
        """Whether that very process (not a later one with its number) still exists and is no zombie."""
        ...

    def kill(self, pid: int, start_ticks: int) -> None:
        """SIGKILL, if it is still that very process."""
        ...

    def terminate(self, pid: int, start_ticks: int) -> None:
        """SIGTERM, if it is still that very process."""
        ...

    def freeze(self, pid: int, start_ticks: int) -> None:
        """SIGSTOP, if it is still that very process."""
        ...

    def thaw(self, pid: int, start_ticks: int) -> None:
        """SIGCONT, if it is still that very process."""
        ...

    def find(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        """The processes called `name` in the PID namespace of a container, without those whose parent is one too;
        the one that has run longest first.

        `name` is the process's own (comm), or the last part of the path of its program or of an interpreter's script.
        """
        ...

    def workers(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        """The others: those called `name` whose parent is one too."""
        ...

    def await_named(
        self, container_pid: int, name: str, limit_s: float, *, workers: bool = False
    ) -> Sequence[ProcessState]:
        """As `find`, or `workers`, but waits up to `limit_s` until there is one."""
        ...

    def titled(self, container_pid: int, pattern: str) -> Sequence[ProcessState]:
        """The processes in the PID namespace of a container whose whole command line, as `ps` shows it, begins with
        something that matches the regular expression."""
        ...

    def names(self, container_pid: int) -> Sequence[str]:
        """Every name under which `find` finds something in the PID namespace of a container."""
        ...

    def look(self, pid: int, start_ticks: int) -> ProcessState | None:
        """That very process, or None if it is gone."""
        ...


class Links(Protocol):
    """The cables between containers and the host's bridge."""

    def outer_device(self, pid: int) -> str:
        """The host's end of the link of the container with that PID 1. Raises `GuardError` unless it is a veth device
        whose peer is the container's."""
        ...

    def set(self, device: str, *, up: bool) -> None:
        """Switch a device of the host on or off; one that is gone is fine. Raises `GuardError` unless it is veth."""
        ...

    def is_up(self, device: str) -> bool:
        """Whether the device exists and is switched on."""
        ...
