"""What faults of a database cluster may do on the engine's host: one family of `harness.faults.host`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["HERE", "Cluster", "ClusterMember"]

#: A server's own address, as seen from inside it.
HERE = "127.0.0.1"


@dataclass(frozen=True)
class ClusterMember:
    """One server of a cluster, as Patroni describes it."""

    name: str
    address: str
    leader: bool
    """It holds the lease of the primary."""
    state: str
    """`running` of a primary, `streaming` of a replica that follows it; anything else is on its way, or not well."""

    @property
    def well(self) -> bool:
        """Whether it does its part."""
        return self.state == ("running" if self.leader else "streaming")


class Cluster(Protocol):
    """Servers under Patroni, asked from inside the network namespace of one of them, by its PID 1.

    Everything raises `GuardError` if that process is gone or its namespace is the host's own.
    """

    def members(self, pid: int) -> Sequence[ClusterMember]:
        """The whole cluster, as the server sees it; empty if its Patroni does not answer."""
        ...

    def is_primary(self, pid: int, address: str = HERE) -> bool:
        """Whether the server at `address` says that it is the primary, as balancers ask it; no answer is none."""
        ...

    def switch_over(self, pid: int, leader: str) -> None:
        """Ask the server to hand over, if `leader` still leads. Returns when that is under way; raises `PeerError` with
        Patroni's words if it is refused."""
        ...
