"""Processes of containers, through /proc and signals. The agent is in the host's PID namespace."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.faults.host import GuardError, ProcessState

__all__ = ["RealProcesses", "processes_of", "start_ticks"]


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is none.

    A zombie counts as gone: nothing runs in it.
    """
    found = _stat(pid)
    return 0 if found is None or found.state in "ZX" else found.start_ticks


def processes_of(container_pid: int) -> Iterator[ProcessState]:
    """Every process in the PID namespace of a container."""
    try:
        namespace = Path(f"/proc/{container_pid}/ns/pid").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if (folder / "ns/pid").readlink() != namespace:
                continue
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is marked so that nobody may look: then it is not in a container
        found = _stat(int(folder.name))
        if found is not None and found.state not in "ZX":
            yield found


class RealProcesses:
    """See `harness.faults.host.Processes`. Needs CAP_KILL and CAP_SYS_PTRACE."""

    def alive(self, pid: int, start_ticks_then: int) -> bool:
        return self.look(pid, start_ticks_then) is not None

    def kill(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGKILL)

    def freeze(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGSTOP)

    def thaw(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGCONT)

    def find(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        called = {p.pid: p for p in processes_of(container_pid) if name in _names(p)}
        return [process for pid, process in sorted(called.items()) if _parent(pid) not in called]

    def look(self, pid: int, start_ticks_then: int) -> ProcessState | None:
        found = _stat(pid) if pid > 0 else None
        return found if found and found.state not in "ZX" and found.start_ticks == start_ticks_then else None

    def _signal(self, pid: int, start_ticks_then: int, number: signal.Signals) -> None:
        if pid <= 1:
            raise GuardError(f"refused to send {number.name} to process {pid}")
        if self.look(pid, start_ticks_then) is None:
            return  # already gone; its number may be somebody else's now
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return  # it ended at this very moment


def _stat(pid: int) -> ProcessState | None:
    """Fields 1, 2, 3 and 22 of /proc/PID/stat (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = stat.rpartition(")")  # the name in brackets may hold anything
    fields = tail.split()
    return ProcessState(pid, int(fields[19]), head.partition("(")[2], fields[0])


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def _names(process: ProcessState) -> set[str]:
    """What a process is called: its comm, its program, and the script or module that an interpreter runs."""
    try:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return {process.name}
    return {process.name, *(PurePosixPath(word).name for word in words[:3] if word)}
