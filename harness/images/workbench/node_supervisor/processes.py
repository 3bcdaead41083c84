"""The processes that the supervisor keeps, and the processes of sessions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from session_forker.request import MARK

from node_supervisor.log import log
from node_supervisor.settings import Settings

__all__ = ["DatabaseProxy", "Kept", "Proxy", "SessionForker", "end_sessions", "is_session", "session_pids"]

RESTART_S = 0.2
#: It imports for a second or so; one that dies of that must not take a whole processor.
FORKER_RESTART_S = 0.5
#: Bytes; a session's environment takes about 2,000, its command line 200.
ENVIRONMENT_ROOM = 4096
#: Of the node's environment; the last where the clock can be set (harness/core/preload.py).
_KEPT = ("PATH", "LANG", "RES_OPTIONS", "LD_PRELOAD")
ARGUMENTS_ROOM = 512


class Kept(ABC):
    """A process of the node, started again when it ends if the node is supervised."""

    def __init__(self, name: str, pid_file: Path, restart_s: float, *, supervised: bool) -> None:
        self._supervised = supervised
        self._name = name
        self._pid_file = pid_file
        self._restart_s = restart_s
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0

    @abstractmethod
    def _start(self) -> subprocess.Popen[bytes]:
        """Starts it."""

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def keep(self) -> bool:
        """Starts it when it does not run.

        Returns:
            Whether it was started, and so knows nothing of what was before.
        """
        if self.alive or time.monotonic_ns() - self._started_ns < self._restart_s * 1e9:
            return False
        if self._process is not None and not self._supervised:
            return False
        if self._process is not None:
            log(self._name, f"ended with {self._process.returncode}, starting it again")
        self._started_ns = time.monotonic_ns()
        self._process = self._start()
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        return True

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait()


class Proxy(Kept):
    """configurable-http-proxy; when it ends, its routes and the connections through it are gone."""

    def __init__(self, settings: Settings, pid_file: Path) -> None:
        super().__init__("proxy", pid_file, RESTART_S, supervised=settings.supervised)
        self._settings = settings

    def _start(self) -> subprocess.Popen[bytes]:
        hub = f"http://127.0.0.1:{self._settings.hub_port}"
        arguments = {
            "--ip": "0.0.0.0",
            "--port": str(self._settings.proxy_port),
            "--api-ip": "127.0.0.1",
            "--api-port": str(self._settings.proxy_api_port),
            "--default-target": hub,
            "--error-target": f"{hub}/hub/error",
            "--log-level": "warn",
        }
        command = ["configurable-http-proxy", *(word for pair in arguments.items() for word in pair)]
        return subprocess.Popen(command, cwd="/srv/hub")


class DatabaseProxy(Kept):
    """HAProxy between this node and the database's servers, where each node has one of its own."""

    CONFIG = Path("/etc/haproxy/database.cfg")

    def __init__(self, settings: Settings, pid_file: Path) -> None:
        super().__init__("database-proxy", pid_file, RESTART_S, supervised=settings.supervised)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["haproxy", "-db", "-f", str(self.CONFIG)], cwd="/srv/hub")


class SessionForker(Kept):
    """The warm parent of sessions; those it has forked live on when it ends."""

    def __init__(self, settings: Settings, pid_file: Path) -> None:
        super().__init__("sessions", pid_file, FORKER_RESTART_S, supervised=settings.supervised)

    def _start(self) -> subprocess.Popen[bytes]:
        # None of the node's secrets: what is in the parent's environment, every child can read. The mark stands first
        # and both fillers leave the children room to say in /proc what they are.
        environment = {
            MARK: "(warm parent)",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "HOME": "/srv/hub",
            # debugpy reads it when it is imported
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "ROOM": "-" * ENVIRONMENT_ROOM,
        }
        command = [sys.executable, "-m", "session_forker", " " * ARGUMENTS_ROOM]
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, cwd="/opt/node")


def is_session(environment: bytes) -> bool:
    """Whether a process with this environment (as in /proc/PID/environ) belongs to a user's session.

    Every single-user server is started with the mark, and every kernel and program of the user inherits it. A forked
    process has it from its first moment, as its warm parent, which counts as one of them, has it too.
    """
    prefix = MARK.encode() + b"="
    return any(entry.startswith(prefix) for entry in environment.split(b"\0"))


def session_pids(proc: Path = Path("/proc")) -> list[int]:
    """Single-user servers, kernels and whatever they have started."""
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue  # gone meanwhile, or root's
            if is_session(environment):
                found.append(int(entry.name))
    return found


def end_sessions(limit_s: float = 5.0) -> int:
    """Kills every session's processes, looking again until there are none: one may just have started another.

    Returns:
        How many were killed.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + limit_s
    while pids := session_pids():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        killed.update(pids)
        if time.monotonic() > deadline:
            log("fence", f"still there: {pids}")
            break
        time.sleep(0.02)
    return len(killed)
