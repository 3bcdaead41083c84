"""Processes of containers, through /proc and signals. The agent is in the host's PID namespace."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.faults.host import GuardError, ProcessState

__all__ = ["RealProcesses", "is_ending", "processes_of", "start_ticks"]

_LOOK_AGAIN_S = 0.02
#: Programs whose first or second argument says what they really are: `python -m NAME`, `node NAME`.
_INTERPRETER = re.compile(r"python[\d.]*|node(js)?|perl|ruby|java|Rscript|(ba|da)?sh")
_PF_EXITING = 0x4  # of linux/sched.h; the flags are field 9 of /proc/PID/stat


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is none.

    A zombie counts as gone: nothing runs in it.
    """
    found = _stat(pid)
    return 0 if found is None or found.state in "ZX" else found.start_ticks


def is_ending(pid: int) -> bool:
    """Whether the process has been killed or is gone, even if it can't end because it waits for a disk."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return True
    pending = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd:", "ShdPnd:"))]
    flags = int(stat.rpartition(")")[2].split()[6])
    return bool(flags & _PF_EXITING) or any(mask & (1 << (signal.SIGKILL - 1)) for mask in pending)


def processes_of(container_pid: int) -> Iterator[ProcessState]:
    """Every process in the PID namespace of a container. Raises `GuardError` if that is the host's."""
    try:
        namespace = Path(f"/proc/{container_pid}/ns/pid").readlink()
    except (FileNotFoundError, ProcessLookupError):
        return
    if namespace == Path("/proc/self/ns/pid").readlink():
        raise GuardError(f"process {container_pid} is in the host's PID namespace: refused to look for others there")
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

    def terminate(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGTERM)

    def freeze(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGSTOP)

    def thaw(self, pid: int, start_ticks_then: int) -> None:
        self._signal(pid, start_ticks_then, signal.SIGCONT)

    def find(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        called = _called(container_pid, name)
        return [process for pid, process in called.items() if _parent(pid) not in called]

    def workers(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        called = _called(container_pid, name)
        return [process for pid, process in called.items() if _parent(pid) in called]

    def await_named(
        self, container_pid: int, name: str, limit_s: float, *, workers: bool = False
    ) -> Sequence[ProcessState]:
        look = self.workers if workers else self.find
        deadline = time.monotonic() + limit_s
        while not (found := look(container_pid, name)) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
        return found

    def titled(self, container_pid: int, pattern: str) -> Sequence[ProcessState]:
        return [p for p in processes_of(container_pid) if re.match(pattern, " ".join(_words(p.pid)).rstrip())]

    def names(self, container_pid: int) -> Sequence[str]:
        found = {name for process in processes_of(container_pid) for name in _names(process)}
        return sorted(name for name in found if not name.startswith("-"))  # options are no names

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


def _called(container_pid: int, name: str) -> dict[int, ProcessState]:
    """By PID, the one that has run longest first."""
    called = [process for process in processes_of(container_pid) if name in _names(process)]
    return {process.pid: process for process in sorted(called, key=lambda p: (p.start_ticks, p.pid))}


def _names(process: ProcessState) -> set[str]:
    """What a process is called: its comm, its program, and the script or module that an interpreter runs."""
    program, *arguments = [PurePosixPath(word).name for word in _words(process.pid)[:3]] or [""]
    # arguments of other programs are no names: `su postgres` is no database
    scripts = arguments if _INTERPRETER.fullmatch(program) else []
    return {process.name, *(name for name in (program, *scripts) if name)}


def _words(pid: int) -> list[str]:
    """The command line; a program that shows a title of its own there mostly has it in the first word."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
