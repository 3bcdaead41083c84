"""The real host: processes through /proc and signals, containers through the engine's socket."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from harness.core.names import LABEL_RUN, container_name
from harness.faults.agent import links
from harness.faults.agent.engine_api import EngineApi
from harness.faults.base import ContainerState, GuardError

__all__ = ["HOST_CGROUPS", "RealHost"]

#: Where the runtime mounts the host's control groups, read-only.
HOST_CGROUPS = Path("/host/sys/fs/cgroup")
#: An orderly shutdown may take this long before the engine kills the rest; Docker's own default is 10 s.
STOP_GRACE_S = 20


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat (proc(5)): when the process started, in clock ticks since boot; 0 if there is none.

    A zombie counts as gone: nothing runs in it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
    state, start = fields[0], fields[19]
    return 0 if state in "ZX" else int(start)


def host_network_process() -> int:
    """A process in the network namespace of the engine's host.

    The first process has it; where that one may not be looked at (some are marked so that even CAP_SYS_PTRACE does not
    help), its neighbour, the kernel's own thread. Raises `GuardError` if neither can be read: then nothing is touched.
    """
    for pid in (1, 2):
        try:
            Path(f"/proc/{pid}/ns/net").readlink()
        except (PermissionError, FileNotFoundError):
            continue
        return pid
    raise GuardError("the host's own network namespace can't be read, so a target can't be told from the host: refused")


def own_namespaces(pid: int) -> bool:
    """Whether the process has a network and a PID namespace of its own; the agent itself is in the host's for PIDs."""
    try:
        network, processes = (str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("net", "pid"))
    except FileNotFoundError:
        return False  # it ended while we looked
    of_host = str(Path(f"/proc/{host_network_process()}/ns/net").readlink())
    return network != of_host and processes != str(Path("/proc/self/ns/pid").readlink())


def frozen(pid: int) -> bool:
    """Whether the kernel has frozen the control group of a process, in version 1 or 2 of control groups."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    groups = {controllers: path.lstrip("/") for _, controllers, path in (line.split(":", 2) for line in lines)}
    if "freezer" in groups:
        state = HOST_CGROUPS / "freezer" / groups["freezer"] / "freezer.state"
        return state.is_file() and state.read_text(encoding="ascii").strip() == "FROZEN"
    events = HOST_CGROUPS / groups.get("", "") / "cgroup.events"
    return events.is_file() and "frozen 1" in events.read_text(encoding="ascii").splitlines()


class RealHost:
    """Acts on containers of one run only.

    Needs the host's PID namespace and control groups, CAP_KILL and CAP_SYS_PTRACE for processes, CAP_SYS_ADMIN to
    enter network namespaces and CAP_NET_ADMIN to switch links.
    """

    def __init__(self, run_id: str, engine: EngineApi) -> None:
        self._run_id = run_id
        self._engine = engine

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def container(self, name: str) -> ContainerState:
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
        )

    def process_alive(self, pid: int, start_ticks_then: int) -> bool:
        return pid > 0 and start_ticks(pid) == start_ticks_then

    def kill_process(self, pid: int) -> None:
        if pid <= 1:
            raise GuardError(f"refused to kill process {pid}")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # already gone is what was wanted

    def start_container(self, container_id: str) -> None:
        self._engine.start(container_id)

    def stop_container(self, container_id: str) -> None:
        self._engine.stop(container_id, STOP_GRACE_S)

    def pause_container(self, container_id: str) -> None:
        self._engine.pause(container_id)

    def unpause_container(self, container_id: str) -> None:
        self._engine.unpause(container_id)

    def outer_device(self, pid: int) -> str:
        return links.outer_device(pid, host_network_process())

    def set_link(self, device: str, *, up: bool) -> None:
        links.set_link(device, host_network_process(), up=up)

    def link_is_up(self, device: str) -> bool:
        return links.is_up(device, host_network_process())
