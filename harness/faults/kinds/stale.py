"""The export changes under its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.core.experiment import Fault
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Evidence, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.disks import GONE, DiskFault

__all__ = ["Stale"]


class Stale(DiskFault):
    """Everything that is exported is replaced by a copy with new inodes, as after a restore from a backup: what clients
    hold open answers ESTALE, what they open by name afterwards is all there.

    The server is shut down for as long as that takes, else it would keep the old ones open. Old handles never become
    valid again: the undoing only makes sure that the server runs and that nothing is left of the old ones.
    """

    kind: ClassVar[str] = "stale"
    summary: ClassVar[str] = "every file handle that clients hold becomes stale, for good; the storage restarts"
    leaves: ClassVar[str] = "a storage that is down, and a second copy of the homes"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.STORAGE})

    def refusal(self, topology: Topology, fault: Fault) -> str:
        return super().refusal(topology, fault) or self.shared(topology, fault)

    def details(self, host: Host, volume: str, options: Any) -> Mapping[str, Any]:  # noqa: ARG002 - it has none
        usage = host.volumes.usage(volume)
        if usage.free_kb < usage.size_kb - usage.free_kb:
            raise GuardError(
                f"{volume} is more than half full ({usage.free_kb} of {usage.size_kb} KiB are free), so there is no "
                "room for a copy of everything",
                hint="a larger storage.size_mb in the topology",
            )
        return {"handle": host.volumes.handle(volume)}

    def inject(self, host: Host, state: State) -> None:
        host.machines.stop(state["id"])
        host.volumes.replace(state["volume"], state["tag"])
        host.machines.start(state["id"])

    def confirm(self, host: Host, state: State) -> Evidence:
        stale = host.volumes.is_stale(state["volume"], state["handle"])
        container = host.machines.look(state["container"])
        text = f"an old handle is {'stale' if stale else 'still good'}, engine says {container.status}"
        return Evidence(stale and container.running, text)

    def undo(self, host: Host, state: State) -> None:
        if not host.volumes.exists(state["volume"]):
            return
        host.volumes.forget_replaced(state["volume"], state["tag"])
        host.machines.start(state["id"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not host.volumes.exists(state["volume"]):
            return GONE
        fresh = host.volumes.handle(state["volume"])
        stale = host.volumes.is_stale(state["volume"], fresh)
        container = host.machines.look(state["container"])
        text = f"a fresh handle is {'stale' if stale else 'good'}, engine says {container.status}"
        return Evidence(not stale and container.running, text)
