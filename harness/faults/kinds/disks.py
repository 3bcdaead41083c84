"""Faults of disks: of a volume that is a file system of its own (`size_mb` of the role in the topology).

None of their undoings needs the container to be alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from harness.core.constraints import Bounds, Count
from harness.core.experiment import Fault
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.host.volumes import Limit
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["DiskFault", "DiskFull", "IoSlow", "IoStall", "ReadOnly"]

GONE = Evidence(True, "the volume has gone since")
#: A write that has not returned for this long counts as hanging. A synced write takes 1 ms, 50 ms on a busy machine;
#: and the attempt's own process starts within that time.
HANGS_AFTER_MS = 200.0
#: What ext4 keeps for itself of a file system that is as full as can be: a few blocks.
_SLACK_KB = 64
#: The kernel's throttle lets one slice of 0.1 s through at once, which is a fifth of the time that is measured.
_BURST_RATIO = 1.5


class DiskFault(FaultKind):
    """What they share: the target's volume."""

    roles: ClassVar[frozenset[Role]] = frozenset({Role.STORAGE, Role.DATABASE})

    def refusal(self, topology: Topology, fault: Fault) -> str:
        role = Role.STORAGE if fault.target.startswith(Role.STORAGE) else Role.DATABASE
        owner = topology.storage if role is Role.STORAGE else topology.database
        if owner is not None and owner.size_mb == 0:
            return f"{role}.size_mb is 0, so its volume is no file system of its own that could be broken"
        return ""

    @staticmethod
    def shared(topology: Topology, fault: Fault) -> str:
        """Why a fault that ends with the disk taken from its one machine can't be done: a pair has one together."""
        if not fault.target.startswith(Role.STORAGE) or topology.size(Role.STORAGE) == 1:
            return ""
        return "both servers of the storage have that disk, so one of them would still use it while it is put right"

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        volume = host.volumes.used_by(aim.target)
        attempt = host.volumes.attempt(volume)
        if attempt.hangs or attempt.error:
            raise GuardError(
                f"the disk of {aim.target} is broken already: {attempt}",
                hint="does an earlier fault of this experiment still hold? Two faults of one disk must not overlap",
            )
        return {**machine_state(container), "volume": volume, "tag": aim.tag, **self.details(host, volume, aim.options)}

    def details(self, host: Host, volume: str, options: Any) -> Mapping[str, Any]:  # noqa: ARG002 - some have none
        """What else belongs into the state."""
        return {}

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not host.volumes.exists(state["volume"]):
            return GONE
        attempt = host.volumes.attempt(state["volume"])
        return Evidence(not attempt.error and not attempt.hangs, str(attempt))


class DiskFull(DiskFault):
    """The disk is full: a file takes all the space that is left."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """How full."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        leave_mb: Count = 0
        """Space that is left, in MiB."""

    kind: ClassVar[str] = "disk_full"
    summary: ClassVar[str] = "the disk of the database or of the homes is full until undone"
    leaves: ClassVar[str] = "a file that fills a volume"

    def details(self, host: Host, volume: str, options: Options) -> Mapping[str, Any]:
        leave_kb, usage = options.leave_mb * 1024, host.volumes.usage(volume)
        if usage.free_kb <= leave_kb:
            raise GuardError(
                f"only {usage.free_kb // 1024} MiB of {volume} are free, so {options.leave_mb} can't be left",
                hint="a smaller leave_mb, or a larger size_mb in the topology",
            )
        return {"leave_kb": leave_kb}

    def inject(self, host: Host, state: State) -> None:
        host.volumes.fill(state["volume"], state["tag"], state["leave_kb"])

    def confirm(self, host: Host, state: State) -> Evidence:
        usage = host.volumes.usage(state["volume"])
        text = f"{usage.free_kb} of {usage.size_kb} KiB are free"
        if state["leave_kb"]:  # a write of more than is left would take that too for a moment
            return Evidence(usage.free_kb <= state["leave_kb"] + _SLACK_KB, text)
        attempt = host.volumes.attempt(state["volume"])
        return Evidence(attempt.error == "ENOSPC", f"{attempt}, {text}")

    def undo(self, host: Host, state: State) -> None:
        host.volumes.drain(state["volume"], state["tag"])


class ReadOnly(DiskFault):
    """The file system finds an error on the disk and makes itself read-only, as Debian's installer sets file systems up
    (`errors=remount-ro`). That can't be taken back while it is mounted.

    Undone as an administrator does it: shut the machine down, check the file system, start the machine.
    """

    kind: ClassVar[str] = "read_only"
    summary: ClassVar[str] = "a disk error: the file system makes itself read-only until it is repaired"
    leaves: ClassVar[str] = "a file system that is read-only"

    def refusal(self, topology: Topology, fault: Fault) -> str:
        return super().refusal(topology, fault) or self.shared(topology, fault)

    def inject(self, host: Host, state: State) -> None:
        host.volumes.report_error(state["volume"], state["tag"])

    def confirm(self, host: Host, state: State) -> Evidence:
        attempt = host.volumes.attempt(state["volume"])
        damage = host.volumes.damage(state["volume"])
        return Evidence(
            bool(damage) and attempt.error == "EROFS", f"{attempt}, the kernel says: {damage or 'all is well'}"
        )

    def undo(self, host: Host, state: State) -> None:
        if not host.volumes.exists(state["volume"]):
            return
        if host.volumes.damage(state["volume"]):
            host.volumes.thaw(state["volume"])
            host.machines.unpause(state["id"])
            host.machines.stop(state["id"])
            host.volumes.repair(state["volume"])
        host.machines.start(state["id"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        found = super().confirm_recovery(host, state)
        if found is GONE:
            return found
        container = host.machines.look(state["container"])
        return Evidence(found.shown and container.running, f"{found.text}, engine says {container.status}")


class IoStall(DiskFault):
    """The disk does not answer: whoever writes waits, and can't be killed meanwhile."""

    kind: ClassVar[str] = "io_stall"
    summary: ClassVar[str] = "writes to the disk of the database or of the homes hang until undone"
    leaves: ClassVar[str] = "a frozen file system"

    def inject(self, host: Host, state: State) -> None:
        host.volumes.freeze(state["volume"])

    def confirm(self, host: Host, state: State) -> Evidence:
        attempt = host.volumes.attempt(state["volume"])
        return Evidence(attempt.hangs and attempt.took_ms >= HANGS_AFTER_MS, str(attempt))

    def undo(self, host: Host, state: State) -> None:
        host.volumes.thaw(state["volume"])


class IoSlow(DiskFault):
    """The disk is slow: the kernel lets the machine read, and apart from that write, only so much per second."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """How slow; at least one of both. Reading and writing are limited each for itself."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        iops: Annotated[int, Bounds(10, 100_000)] | None = None
        """Operations per second."""
        kb_per_s: Annotated[int, Bounds(64, 10_000_000)] | None = None
        """KiB per second."""

    kind: ClassVar[str] = "io_slow"
    summary: ClassVar[str] = "the disk of the database or of the homes is slow until undone"
    leaves: ClassVar[str] = "a limit on what a container writes and reads"

    def refusal(self, topology: Topology, fault: Fault) -> str:
        if fault.options.get("iops") is None and fault.options.get("kb_per_s") is None:
            return "it needs options: iops or kb_per_s, else nothing becomes slow"
        return super().refusal(topology, fault)

    def details(self, host: Host, volume: str, options: Options) -> Mapping[str, Any]:  # noqa: ARG002 - as above
        return {"limit": asdict(Limit(options.iops or 0, options.kb_per_s or 0))}

    def inject(self, host: Host, state: State) -> None:
        host.volumes.throttle(state["volume"], state["pid"], state["start_ticks"], Limit(**state["limit"]))

    def confirm(self, host: Host, state: State) -> Evidence:
        wanted = Limit(**state["limit"])
        where = state["volume"], state["pid"], state["start_ticks"]
        found = host.volumes.throttled(*where)
        if found != wanted:
            return Evidence(False, f"the kernel has {found}, expected {wanted}")
        rate = host.volumes.measure(*where)
        slow = (not wanted.iops or rate.iops <= wanted.iops * _BURST_RATIO) and (
            not wanted.kb_per_s or rate.kb_per_s <= wanted.kb_per_s * _BURST_RATIO
        )
        return Evidence(slow, f"the kernel has {found}, measured were {rate}")

    def undo(self, host: Host, state: State) -> None:
        host.volumes.throttle(state["volume"], state["pid"], state["start_ticks"], Limit())

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not host.processes.alive(state["pid"], state["start_ticks"]):
            return Evidence(True, "the machine has gone since, and its limit with it")
        found = host.volumes.throttled(state["volume"], state["pid"], state["start_ticks"])
        return Evidence(found == Limit(), f"the kernel has {found}")
