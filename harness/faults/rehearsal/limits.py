"""The rehearsal's control groups and NFS servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.faults.host.limits import Burn, CpuLimit, MemoryLimit
from harness.faults.rehearsal.paper import Paper

__all__ = ["PaperLimits", "PaperStorage"]

_PERIOD_US = 100_000
_USED_BYTES = 100 * 2**20


class PaperLimits:
    """See `harness.faults.host.limits.Limits`. A group is called after its machine."""

    def __init__(self, paper: Paper) -> None:
        self._paper = paper
        self._kills: dict[str, int] = {}

    def cpu_group(self, container_id: str, pid: int) -> str:  # noqa: ARG002 - the id says enough on paper
        return f"cpu/{container_id}"

    def cpu(self, group: str) -> CpuLimit | None:
        return CpuLimit(self._paper.wrong.get(("cpu limit", group)), _PERIOD_US, 0)

    def set_cpu(self, group: str, quota_us: int | None) -> None:
        if not self._paper.do(f"echo {-1 if quota_us is None else quota_us} > /sys/fs/cgroup/{group}/cpu.cfs_quota_us"):
            return
        self._set("cpu limit", group, quota_us)

    def burn(self, group: str) -> Burn | None:
        quota_us = self._paper.wrong.get(("cpu limit", group))
        if quota_us is None:
            return Burn(lasted_s=0.2, got_s=0.2, held_back=0)
        return Burn(lasted_s=0.2, got_s=0.2 * quota_us / _PERIOD_US, held_back=2)

    def memory_group(self, container_id: str, pid: int) -> str:  # noqa: ARG002 - the id says enough on paper
        return f"memory/{container_id}"

    def memory(self, group: str) -> MemoryLimit | None:
        limits = self._paper.wrong.get(("memory limit", group), (None, None))
        return MemoryLimit(
            limit_bytes=limits[0],
            swap_limit_bytes=limits[1],
            used_bytes=_USED_BYTES,
            oom_kills=self._kills.get(group, 0),
        )

    def squeeze_memory(self, group: str, limit_bytes: int) -> None:
        self.set_memory(group, limit_bytes, limit_bytes)

    def set_memory(self, group: str, limit_bytes: int | None, swap_limit_bytes: int | None) -> None:
        number = -1 if limit_bytes is None else limit_bytes
        if not self._paper.do(f"echo {number} > /sys/fs/cgroup/{group}/memory.limit_in_bytes"):
            return
        self._set("memory limit", group, None if limit_bytes is None else (limit_bytes, swap_limit_bytes))

    def eat(self, group: str, pid: int, tag: str) -> None:
        if self._paper.do(f"<a program of process {pid}'s machine eats its memory, {tag}>"):
            self._paper.break_("memory eaten", tag)
            self._kills[group] = self._kills.get(group, 0) + 1

    def eaters(self, tag: str) -> Sequence[int]:
        return [4242] if self._paper.is_wrong("memory eaten", tag) else []

    def stop_eating(self, tag: str) -> None:
        if self._paper.do(f"kill -KILL <what eats memory for {tag}>"):
            self._paper.mend("memory eaten", tag)

    def _set(self, what: str, group: str, how: object) -> None:
        if how is None:
            self._paper.mend(what, group)
        else:
            self._paper.break_(what, group, how)


class PaperStorage:
    """See `harness.faults.host.limits.Storage`."""

    def __init__(self, answers: Callable[[int], bool]) -> None:
        self._answers = answers

    def answers(self, pid: int) -> str:
        return "" if self._answers(pid) else "no answer on paper"
