"""The proxy's process, and the processes of sessions."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from node_supervisor.log import log
from node_supervisor.settings import Settings

__all__ = ["Proxy", "end_sessions", "is_session", "session_pids"]

RESTART_S = 0.2
#: Every single-user server is started with it, and every kernel and program of the user inherits it.
MARK = b"JUPYTERHUB_SERVICE_PREFIX="


class Proxy:
    """configurable-http-proxy, started again when it ends."""

    def __init__(self, settings: Settings, pid_file: Path) -> None:
        self._settings = settings
        self._pid_file = pid_file
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def keep(self) -> bool:
        """Starts it when it does not run.

        Returns:
            Whether it was started, and so knows no route.
        """
        if self.alive or time.monotonic_ns() - self._started_ns < RESTART_S * 1e9:
            return False
        if self._process is not None:
            log("proxy", f"ended with {self._process.returncode}, starting it again")
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
        self._started_ns = time.monotonic_ns()
        self._process = subprocess.Popen(command, cwd="/srv/hub")
        self._pid_file.write_text(f"{self._process.pid}\n", encoding="ascii")
        return True

    def kill(self) -> None:
        """Ends it at once: its routes and the connections through it are gone."""
        if self._process is not None and self.alive:
            self._process.kill()
            self._process.wait()


def is_session(environment: bytes) -> bool:
    """Whether a process with this environment (as in /proc/PID/environ) belongs to a user's session."""
    return any(entry.startswith(MARK) for entry in environment.split(b"\0"))


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
