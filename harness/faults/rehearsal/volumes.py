"""The rehearsal's volumes: every machine has one, which is a file system of its own."""

from __future__ import annotations

from harness.faults.host.volumes import Attempt, Limit, Rate, Usage
from harness.faults.rehearsal.paper import Paper

__all__ = ["PaperVolumes"]

_SIZE_KB, _USED_KB = 1024 * 1024, 64 * 1024
_HANGS_MS = 60_000.0
_FAST = Rate(iops=5000.0, kb_per_s=20_000.0)


class PaperVolumes:
    """What is wrong with a volume is wrong with the machine that it is called after."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._replaced: dict[str, int] = {}

    def used_by(self, container: str) -> str:
        return f"volume-of-{container}"

    def stalls(self, container: str) -> bool:
        return self._paper.is_wrong("disk frozen", container)

    def exists(self, volume: str) -> bool:
        return volume.startswith("volume-of-")

    def usage(self, volume: str) -> Usage:
        left_kb = self._paper.wrong.get(("disk full", _machine(volume)), _SIZE_KB - _USED_KB)
        return Usage(_SIZE_KB, left_kb)

    def attempt(self, volume: str) -> Attempt:
        machine = _machine(volume)
        if self._paper.is_wrong("disk frozen", machine):
            return Attempt("", hangs=True, took_ms=_HANGS_MS)
        if self._paper.is_wrong("disk read-only", machine):
            return Attempt("EROFS", hangs=False, took_ms=1.0)
        return Attempt("" if self.usage(volume).free_kb else "ENOSPC", hangs=False, took_ms=1.0)

    def fill(self, volume: str, tag: str, leave_kb: int) -> None:
        if self._paper.do(f"fallocate --length <all but {leave_kb} KiB> <{volume}>/.{tag}"):
            self._paper.break_("disk full", _machine(volume), leave_kb)

    def drain(self, volume: str, tag: str) -> None:
        if self._paper.do(f"rm -f <{volume}>/.{tag}"):
            self._paper.mend("disk full", _machine(volume))

    def report_error(self, volume: str, tag: str) -> None:
        if self._paper.do(f"echo {tag} > /sys/fs/ext4/<{volume}>/trigger_fs_error"):
            self._paper.break_("disk read-only", _machine(volume))

    def damage(self, volume: str) -> str:
        return "read-only" if self._paper.is_wrong("disk read-only", _machine(volume)) else ""

    def repair(self, volume: str) -> None:
        if self._paper.do(f"umount <{volume}>; e2fsck -f -y <{volume}>; mount <{volume}>"):
            self._paper.mend("disk read-only", _machine(volume))

    def freeze(self, volume: str) -> None:
        if self._paper.do(f"fsfreeze --freeze <{volume}>"):
            self._paper.break_("disk frozen", _machine(volume))

    def thaw(self, volume: str) -> None:
        if self._paper.do(f"fsfreeze --unfreeze <{volume}>"):
            self._paper.mend("disk frozen", _machine(volume))

    def throttle(self, volume: str, pid: int, start_ticks: int, limit: Limit) -> None:  # noqa: ARG002 - the volume tells
        if not self._paper.do(f"docker update <{limit} on {volume}> {_machine(volume)}"):
            return
        if limit == Limit():
            self._paper.mend("disk slow", _machine(volume))
        else:
            self._paper.break_("disk slow", _machine(volume), limit)

    def throttled(self, volume: str, pid: int, start_ticks: int) -> Limit:  # noqa: ARG002 - the volume tells
        found: Limit = self._paper.wrong.get(("disk slow", _machine(volume)), Limit())
        return found

    def measure(self, volume: str, pid: int, start_ticks: int) -> Rate:
        limit = self.throttled(volume, pid, start_ticks)
        return Rate(limit.iops or _FAST.iops, limit.kb_per_s or _FAST.kb_per_s)

    def handle(self, volume: str) -> str:
        return f"{self._replaced.get(volume, 0)}"

    def is_stale(self, volume: str, handle: str) -> bool:
        return handle != self.handle(volume)

    def replace(self, volume: str, tag: str) -> None:
        if self._paper.do(f"cp -a <{volume}>/* <{volume}>/.{tag}/ and swap them"):
            self._replaced[volume] = self._replaced.get(volume, 0) + 1

    def forget_replaced(self, volume: str, tag: str) -> None:
        self._paper.do(f"rm -rf <{volume}>/.{tag}")


def _machine(volume: str) -> str:
    return volume.removeprefix("volume-of-")
