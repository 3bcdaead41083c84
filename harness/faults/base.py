"""The life cycle of a fault and what it may do to a machine.

    prepare -> inject -> confirm -> undo -> confirm_recovery -> cleanup

`prepare` looks and changes nothing; what it returns is written to the journal before `inject` acts, so `undo` works
from the journal alone, in another process, after a crash. `undo` is idempotent. `confirm` and `confirm_recovery`
return evidence read from the system, never from the fact that a command returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from harness.errors import HarnessError

__all__ = ["ContainerState", "Evidence", "FaultKind", "GuardError", "Host", "State"]

#: What `prepare` found out and `undo` needs: JSON-able.
State = Mapping[str, Any]


class GuardError(HarnessError):
    """A fault was refused because it could reach something that is not the run's own container."""


@dataclass(frozen=True)
class Evidence:
    """What the system showed, and whether that is the effect that was looked for."""

    shown: bool
    text: str


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


class Host(Protocol):
    """What a fault may look at and do on the engine's host. Real in `agent.host`, simulated in `runtime.fake`."""

    def now_ns(self) -> int:
        """The host's monotonic clock."""
        ...

    def container(self, name: str) -> ContainerState:
        """Look up one of the run's containers. Raises `GuardError` if it is not the run's."""
        ...

    def process_alive(self, pid: int, start_ticks: int) -> bool:
        """Whether that very process (not a later one with its number) still exists and is no zombie."""
        ...

    def kill_process(self, pid: int) -> None:
        """SIGKILL; a process that is already gone is fine."""
        ...

    def start_container(self, container_id: str) -> None:
        """Start a container that does not run; one that runs is fine."""
        ...

    def stop_container(self, container_id: str) -> None:
        """Shut a container down in an orderly way and wait until it is; one that does not run is fine."""
        ...

    def pause_container(self, container_id: str) -> None:
        """Freeze every process of a container."""
        ...

    def unpause_container(self, container_id: str) -> None:
        """Thaw them; a container that is not paused is fine."""
        ...

    def outer_device(self, pid: int) -> str:
        """The host's end of the link of the container with that PID 1. Raises `GuardError` unless it is a veth device
        whose peer is the container's."""
        ...

    def set_link(self, device: str, *, up: bool) -> None:
        """Switch a device of the host on or off; one that is gone is fine. Raises `GuardError` unless it is veth."""
        ...

    def link_is_up(self, device: str) -> bool:
        """Whether the device exists and is switched on."""
        ...


class FaultKind(Protocol):
    """One kind of fault. Instances hold no state: all of it goes through `State`."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    """One line for `harness list --faults`."""

    def prepare(self, host: Host, target: str) -> State:
        """Look at the target and guard; changes nothing. Raises `GuardError`."""
        ...

    def inject(self, host: Host, state: State) -> None:
        """Make it happen."""
        ...

    def confirm(self, host: Host, state: State) -> Evidence:
        """Look whether it took effect; asked again until it did or time is up."""
        ...

    def undo(self, host: Host, state: State) -> None:
        """Take it back; may be called any number of times, also when `inject` never happened."""
        ...

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        """Look whether the effect is gone; asked again until it is or time is up."""
        ...

    def cleanup(self, host: Host, state: State) -> None:
        """Remove what only the fault itself needed."""
        ...
