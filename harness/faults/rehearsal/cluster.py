"""The rehearsal's database clusters: three servers each, of which the first that somebody asks is the primary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.faults.host.cluster import HERE, ClusterMember
from harness.faults.rehearsal.paper import Paper

__all__ = ["PaperCluster"]

_SIZE = 3


class _Machines(Protocol):
    def of_pid(self, pid: int) -> str: ...


class PaperCluster:
    """See `harness.faults.host.cluster.Cluster`. A server's address is its name."""

    def __init__(self, paper: Paper, machines: _Machines) -> None:
        self._paper = paper
        self._machines = machines
        self._primary = ""  # whoever it is: nothing is out of order

    def members(self, pid: int) -> Sequence[ClusterMember]:
        own = self._machines.of_pid(pid)
        self._primary = self._primary or own
        names = sorted({own, *(f"{own.rpartition('-')[0]}-{number}" for number in range(_SIZE))})
        return [
            ClusterMember(name, name, name == self._primary, "running" if name == self._primary else "streaming")
            for name in names
        ]

    def is_primary(self, pid: int, address: str = HERE) -> bool:
        name = self._machines.of_pid(pid) if address == HERE else address
        self._primary = self._primary or name
        return name == self._primary

    def switch_over(self, pid: int, leader: str) -> None:
        if self._paper.do(f"patronictl switchover --leader {leader} --force"):
            self._primary = next(member.name for member in self.members(pid) if not member.leader)
