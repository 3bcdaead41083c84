"""The planned change of the primary database."""

from __future__ import annotations

from typing import ClassVar

from harness.core.experiment import Fault
from harness.core.products import Patroni
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["Switchover"]


class Switchover(FaultKind):
    """The primary hands over to a replica, as before a patch of its machine: asked for through Patroni, which shuts the
    primary down, promotes a replica that has everything, and starts the former primary as a replica.

    Nothing is undone: the roles stay changed, as an administrator would leave them. Which replica it is, Patroni says.
    """

    kind: ClassVar[str] = "switchover"
    summary: ClassVar[str] = "the primary database hands over to a replica, in an orderly way; the roles stay changed"
    leaves: ClassVar[str] = "nothing"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.DATABASE})

    def refusal(self, topology: Topology, fault: Fault) -> str:
        if topology.database is None:
            return "there is no database"
        if not isinstance(topology.database, Patroni):
            return (
                f"database.product is {topology.database.product}, one server, which has nobody to hand over to: "
                "product: patroni in the topology, or the fault restart"
            )
        if topology.database.nodes == 1:
            return "database.nodes is 1, and one server has nobody to hand over to: at least 2, or the fault restart"
        if fault.target != f"{Role.DATABASE}[primary]":
            return f"only the primary can hand over: target: {Role.DATABASE}[primary], not {fault.target}"
        return ""

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        members = host.cluster.members(container.pid)
        seen = ", ".join(f"{member.name} {member.state}" for member in members) or "no answer from Patroni"
        if not any(member.leader and member.name == aim.target for member in members):
            raise GuardError(f"{aim.target} is not the primary, so it has nothing to hand over ({seen})")
        if not any(member.well and not member.leader for member in members):
            raise GuardError(
                f"{aim.target} has no replica that follows it, so nobody could take over ({seen})",
                hint="did an earlier fault of this experiment take the replicas away?",
            )
        return {**machine_state(container), "servers": {member.name: member.address for member in members}}

    def inject(self, host: Host, state: State) -> None:
        if host.cluster.is_primary(state["pid"]):
            host.cluster.switch_over(state["pid"], state["container"])

    def confirm(self, host: Host, state: State) -> Evidence:
        container = host.machines.look(state["container"])
        if not container.running:
            return Evidence(False, f"{container.name} is {container.status}: it can't be asked who is primary")
        primaries = [
            name for name, address in state["servers"].items() if host.cluster.is_primary(container.pid, address)
        ]
        text = f"{', '.join(primaries) or 'nobody'} says to be the primary, it was {state['container']}"
        return Evidence(len(primaries) == 1 and primaries != [state["container"]], text)

    def undo(self, host: Host, state: State) -> None:
        """Nothing: the former primary becomes a replica by itself, and the roles stay changed."""

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None or not container.running:
            return Evidence(True, "the machine has gone since")
        members = host.cluster.members(container.pid)
        leaders = [member.name for member in members if member.leader]
        complete = {member.name for member in members} == set(state["servers"])
        text = ", ".join(f"{member.name} {member.state}" for member in members) or "no answer from Patroni"
        well = complete and len(leaders) == 1 and all(member.well for member in members)
        return Evidence(well, f"primary: {', '.join(leaders) or 'none'}; {text}")
