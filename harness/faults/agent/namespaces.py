"""Telling a container's namespaces from the host's, so that nothing of the host is ever touched; and entering them."""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from harness.errors import PeerError
from harness.faults.host import GuardError

__all__ = ["host_network_process", "in_network_of", "own_namespaces", "run_in_network_of", "run_in_network_of_host"]

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000  # of linux/sched.h; os.setns came with Python 3.12
_COMMAND_TIMEOUT_S = 10.0


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


def run_in_network_of(pid: int, argv: Sequence[str], *, text: str | None = None) -> str:
    """Run a command of the agent's image in the network namespace of a container's process; returns what it printed.

    `text` goes to its standard input. Raises `GuardError` if that is the host's own namespace, and `PeerError` with
    what it said if the command fails.
    """
    _refuse_host(pid)
    return _run(pid, argv, text)


def run_in_network_of_host(argv: Sequence[str]) -> str:
    """Run a command in the host's own network namespace: whoever calls this must be sure what it touches."""
    return _run(host_network_process(), argv, None)


def _run(pid: int, argv: Sequence[str], text: str | None) -> str:
    whole = ["nsenter", f"--net=/proc/{pid}/ns/net", *argv]
    done = subprocess.run(whole, input=text, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S)
    if done.returncode != 0:
        raise PeerError(f"{' '.join(whole)} failed: {done.stderr.strip()}")
    return done.stdout


def in_network_of(pid: int, action: Callable[[], T]) -> T:
    """Call `action` on a thread of its own in the network namespace of a container's process.

    Raises `GuardError` if that is the host's own, and whatever `action` raises.
    """
    _refuse_host(pid)
    result: list[T] = []
    failure: list[BaseException] = []

    def enter_and_act() -> None:
        try:
            with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
                _set_namespace(namespace.fileno())
            result.append(action())
        except BaseException as error:  # carried over to the thread that asked
            failure.append(error)

    thread = threading.Thread(target=enter_and_act)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


def _refuse_host(pid: int) -> None:
    if not own_namespaces(pid):
        raise GuardError(f"process {pid} has no network namespace of its own, or is gone: refused")


def _set_namespace(fd: int) -> None:
    """setns(2) for this thread only; the others stay where they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
