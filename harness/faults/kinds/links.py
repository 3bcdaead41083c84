"""Faults of the network between machines."""

from __future__ import annotations

from typing import ClassVar

from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import Host
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["Isolate"]


class Isolate(FaultKind):
    """The machine's cable is pulled: the host's end of its link goes down, so that not even ARP is answered.

    Its processes go on. Packet filters would not do: they let ARP through, and a holder of a virtual address that is
    cut off like that still answers for it.
    """

    kind: ClassVar[str] = "isolate"
    summary: ClassVar[str] = "the machine is cut off from everything (its link goes down) until undone"
    leaves: ClassVar[str] = "a link that is down"

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        return {**machine_state(container), "device": host.links.outer_device(container.pid)}

    def inject(self, host: Host, state: State) -> None:
        host.links.set(state["device"], up=False)

    def confirm(self, host: Host, state: State) -> Evidence:
        up = host.links.is_up(state["device"])
        return Evidence(not up, f"link {state['device']} is {'up' if up else 'down'}")

    def undo(self, host: Host, state: State) -> None:
        host.links.set(state["device"], up=True)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not host.processes.alive(state["pid"], state["start_ticks"]):
            return Evidence(True, "the machine has gone since, and its link with it")
        up = host.links.is_up(state["device"])
        return Evidence(up, f"link {state['device']} is {'up' if up else 'down'}")
