"""Faults of whole machines. A container stands for a machine."""

from __future__ import annotations

from typing import ClassVar

from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import ContainerState, GuardError, Host

__all__ = [
    "Kill",
    "Pause",
    "Restart",
    "Stop",
    "back",
    "guard_can_be_shut_down",
    "guard_own_machine",
    "machine_state",
]


def guard_own_machine(container: ContainerState) -> None:
    """Refuse whatever is not a running container with namespaces of its own."""
    if not container.running or container.status == "paused" or container.pid <= 1:
        raise GuardError(
            f"{container.name} is {container.status}, so there is no machine to break",
            hint="did an earlier fault of this experiment already take it away?",
        )
    if not container.own_namespaces:
        raise GuardError(f"{container.name} shares the host's network or PID namespace: refused")


def guard_can_be_shut_down(host: Host, name: str) -> None:
    """Refuse a machine whose disk does not answer: what waits for it can't even be killed, so it never goes off."""
    if host.volumes.stalls(name):
        raise GuardError(
            f"the disk of {name} does not answer, so the machine can't be shut down",
            hint="does an earlier fault of this experiment still hold? `kill` it instead, or let io_stall end first",
        )


def machine_state(container: ContainerState) -> State:
    """What tells this very incarnation of a machine from the next."""
    return {
        "container": container.name,
        "id": container.id,
        "pid": container.pid,
        "start_ticks": container.start_ticks,
    }


def gone(host: Host, state: State) -> Evidence:
    """Evidence that the machine in `state` does not run any more."""
    alive = host.processes.alive(state["pid"], state["start_ticks"])
    container = host.machines.look(state["container"])
    text = f"process {state['pid']} {'is alive' if alive else 'is gone'}, engine says {container.status}"
    return Evidence(not alive and not container.running, text)


def back(host: Host, state: State) -> Evidence:
    """Evidence that a new incarnation of the machine in `state` runs."""
    container = host.machines.look(state["container"])
    fresh = (container.pid, container.start_ticks) != (state["pid"], state["start_ticks"])
    alive = container.running and host.processes.alive(container.pid, container.start_ticks)
    text = f"engine says {container.status}, process {container.pid} {'is alive' if alive else 'is not there'}"
    return Evidence(alive and fresh, text)


def _frozen_text(container: ContainerState) -> str:
    return f"the kernel says {'frozen' if container.frozen else 'not frozen'}, engine says {container.status}"


class Kill(FaultKind):
    """The machine is gone at once, as if its power failed: SIGKILL to the container's PID 1.

    The kernel then kills everything in its PID namespace. The container has no restart policy, so it stays away until
    it is undone by starting it again; its fixed address and its disk are kept.
    """

    kind: ClassVar[str] = "kill"
    summary: ClassVar[str] = "the machine dies at once (SIGKILL to its PID 1) and stays away until undone"
    leaves: ClassVar[str] = "a machine that is down"

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        return machine_state(container)

    def inject(self, host: Host, state: State) -> None:
        host.processes.kill(state["pid"], state["start_ticks"])

    def confirm(self, host: Host, state: State) -> Evidence:
        return gone(host, state)

    def undo(self, host: Host, state: State) -> None:
        host.machines.start(state["id"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        return back(host, state)


class Stop(Kill):
    """The machine is shut down in an orderly way: the container's stop signal, then time to finish.

    What is planned (a reboot, a patch) begins like this. Undone by starting it again.
    """

    kind: ClassVar[str] = "stop"
    summary: ClassVar[str] = "the machine is shut down in an orderly way and stays off until undone"

    def prepare(self, host: Host, aim: Aim) -> State:
        state = super().prepare(host, aim)
        guard_can_be_shut_down(host, aim.target)
        return state

    def inject(self, host: Host, state: State) -> None:
        host.machines.stop(state["id"])


class Restart(Stop):
    """The machine is rebooted: shut down in an orderly way and started at once.

    The effect is a new incarnation; what comes back by itself at a boot does. Undo only makes sure that it runs.
    """

    kind: ClassVar[str] = "restart"
    summary: ClassVar[str] = "the machine is shut down in an orderly way and started again at once"

    def inject(self, host: Host, state: State) -> None:
        host.machines.restart(state["id"])

    def confirm(self, host: Host, state: State) -> Evidence:
        return back(host, state)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None:
            return Evidence(True, "the machine has gone since")
        return Evidence(container.running, f"engine says {container.status}, process {container.pid}")


class Pause(FaultKind):
    """The machine hangs: every process is frozen, connections stay open, the kernel still answers TCP's probes."""

    kind: ClassVar[str] = "pause"
    summary: ClassVar[str] = "the machine hangs (all its processes are frozen) until undone"
    leaves: ClassVar[str] = "a paused machine"

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        return machine_state(container)

    def inject(self, host: Host, state: State) -> None:
        host.machines.pause(state["id"])

    def confirm(self, host: Host, state: State) -> Evidence:
        container = host.machines.look(state["container"])
        return Evidence(container.frozen, _frozen_text(container))

    def undo(self, host: Host, state: State) -> None:
        host.machines.unpause(state["id"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.look(state["container"])
        return Evidence(not container.frozen and container.status != "paused", _frozen_text(container))
