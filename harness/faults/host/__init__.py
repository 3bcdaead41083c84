"""What a fault may look at and do on the engine's host, by families: a protocol each.

Real in `agent`, on paper in `rehearsal`. Every method that acts is idempotent, and what is already gone is fine.
"""

from __future__ import annotations

from typing import Protocol

from harness.faults.host.balancer import Balancer
from harness.faults.host.clocks import Clocks
from harness.faults.host.cluster import Cluster
from harness.faults.host.filters import Filters
from harness.faults.host.limits import Limits, Storage
from harness.faults.host.machines import ContainerState, GuardError, Links, Machines, Processes, ProcessState
from harness.faults.host.traffic import Traffic
from harness.faults.host.volumes import Volumes

__all__ = ["ContainerState", "GuardError", "Host", "Links", "Machines", "ProcessState", "Processes"]


class Host(Protocol):
    """All families."""

    def now_ns(self) -> int:
        """The host's monotonic clock."""
        ...

    @property
    def machines(self) -> Machines: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def links(self) -> Links: ...

    @property
    def filters(self) -> Filters: ...

    @property
    def traffic(self) -> Traffic: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def storage(self) -> Storage: ...

    @property
    def cluster(self) -> Cluster: ...

    @property
    def volumes(self) -> Volumes: ...

    @property
    def balancer(self) -> Balancer: ...

    @property
    def clocks(self) -> Clocks: ...
