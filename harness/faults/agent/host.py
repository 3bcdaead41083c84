"""The real host: containers through the engine's socket, everything else through the kernel."""

from __future__ import annotations

import time
from typing import Any

from harness.core.names import LABEL_RUN, container_name
from harness.faults.agent.cgroups import frozen
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.links import RealLinks
from harness.faults.agent.namespaces import own_namespaces
from harness.faults.agent.processes import RealProcesses, start_ticks
from harness.faults.host import ContainerState, GuardError

__all__ = ["RealHost"]

#: An orderly shutdown may take this long before the engine kills the rest; Docker's own default is 10 s.
STOP_GRACE_S = 20


class RealMachines:
    """See `harness.faults.host.Machines`. Only containers with the run's label."""

    def __init__(self, run_id: str, engine: EngineApi) -> None:
        self._run_id = run_id
        self._engine = engine

    def look(self, name: str) -> ContainerState:
        found = self._engine.inspect(container_name(self._run_id, name))
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
        )

    def start(self, container_id: str) -> None:
        self._engine.start(container_id)

    def stop(self, container_id: str) -> None:
        self._engine.stop(container_id, STOP_GRACE_S)

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

    def now_ns(self) -> int:
        return time.monotonic_ns()


def _address(found: Any) -> str:
    return next((network["IPAddress"] for network in found["NetworkSettings"]["Networks"].values()), "")
