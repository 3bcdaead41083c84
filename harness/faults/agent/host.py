"""The real host: containers through the engine's socket, everything else through the kernel."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from harness.core.names import LABEL_RUN, container_name
from harness.errors import PeerError
from harness.faults.agent.balancer import RealBalancer
from harness.faults.agent.cgroups import frozen
from harness.faults.agent.clocks import RealClocks
from harness.faults.agent.cluster import RealCluster
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.filters import RealFilters
from harness.faults.agent.limits import RealLimits
from harness.faults.agent.links import RealLinks
from harness.faults.agent.namespaces import own_namespaces
from harness.faults.agent.processes import RealProcesses, is_ending, start_ticks
from harness.faults.agent.storage import RealStorage
from harness.faults.agent.traffic import RealTraffic
from harness.faults.agent.volumes import RealVolumes
from harness.faults.host import ContainerState, GuardError

__all__ = ["RealHost"]

#: An orderly shutdown may take this long before the engine kills the rest; Docker's own default is 10 s.
STOP_GRACE_S = 20
#: A killed one ends at once, unless one of its processes waits for a disk.
END_TIMEOUT_S = 5.0


class RealMachines:
    """See `harness.faults.host.Machines`. Only containers with the run's label."""

    def __init__(self, run_id: str, engine: EngineApi) -> None:
        self._run_id = run_id
        self._engine = engine

    def look(self, name: str) -> ContainerState:
        return self._state(name, self._engine.inspect(container_name(self._run_id, name)))

    def there(self, name: str) -> ContainerState | None:
        found = self._engine.inspect_if_there(container_name(self._run_id, name))
        return self._state(name, found) if found is not None else None

    def _state(self, name: str, found: Mapping[str, Any]) -> ContainerState:
        run_id = found["Config"]["Labels"].get(LABEL_RUN, "")
        if run_id != self._run_id:
            raise GuardError(f"container {name} bears the run label {run_id!r}, expected {self._run_id!r}: refused")
        state = found["State"]
        pid = state["Pid"] if state["Running"] else 0
        return ContainerState(
            id=found["Id"],
            name=name,
            run_id=run_id,
            running=state["Running"],
            status=state["Status"],
            pid=pid,
            start_ticks=start_ticks(pid) if pid else 0,
            own_namespaces=own_namespaces(pid) if pid else False,
            frozen=frozen(pid) if pid else False,
            address=_address(found),
            oom_killed=state["OOMKilled"],
        )

    def start(self, container_id: str) -> None:
        deadline = time.monotonic() + END_TIMEOUT_S
        # the engine takes one that was killed for running until it has ended, and would do nothing
        while (pid := self._engine.pid_of(container_id)) and is_ending(pid):
            if time.monotonic() > deadline:
                raise PeerError(f"a killed machine does not end within {END_TIMEOUT_S:g} s: does its disk stall?")
            time.sleep(0.01)
        self._engine.start(container_id)

    def stop(self, container_id: str) -> None:
        self._engine.stop(container_id, STOP_GRACE_S)

    def restart(self, container_id: str) -> None:
        self._engine.restart(container_id, STOP_GRACE_S)

    def pause(self, container_id: str) -> None:
        self._engine.pause(container_id)

    def unpause(self, container_id: str) -> None:
        self._engine.unpause(container_id)


class RealHost:
    """Acts on containers of one run only.

    Needs the host's PID namespace and control groups, CAP_KILL and CAP_SYS_PTRACE for processes, CAP_SYS_ADMIN to
    enter namespaces and CAP_NET_ADMIN for links and packet filters.
    """

    def __init__(self, run_id: str, engine: EngineApi) -> None:
        self.machines = RealMachines(run_id, engine)
        self.processes = RealProcesses()
        self.links = RealLinks()
        self.filters = RealFilters()
        self.traffic = RealTraffic()
        self.limits = RealLimits()
        self.storage = RealStorage()
        self.cluster = RealCluster()
        self.volumes = RealVolumes(run_id, engine)
        self.balancer = RealBalancer()
        self.clocks = RealClocks()

    def now_ns(self) -> int:
        return time.monotonic_ns()


def _address(found: Any) -> str:
    return next((network["IPAddress"] for network in found["NetworkSettings"]["Networks"].values()), "")
