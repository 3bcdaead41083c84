"""How the hub and the single-user servers ask for a forked process. Standard library only: the hub imports it."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from session_forker.processes import start_ticks

__all__ = ["LAUNCHER", "MARK", "SOCKET", "Forked", "ForkedProcess", "Request", "fork", "has_ended"]

SOCKET = Path("/run/node/session-forker.sock")
#: In the environment of every process of a session, and of the warm parent, so that its children have it from the
#: start; by this the node finds whom to end when it is fenced.
MARK = "JUPYTERHUB_SERVICE_PREFIX"
#: The module by which a kernel's command line is known as IPython's.
LAUNCHER = "ipykernel_launcher"
#: A warm parent that has died is back, and warm, after about 1.5 s.
RETRY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be forked."""

    kind: Literal["server", "kernel"]
    arguments: Sequence[str]
    """Command line as an exec would have it."""
    environment: Mapping[str, str]
    folder: str
    """Working folder, made if need be. It may lie on storage that does not answer: only the child touches it."""
    lives_with: tuple[int, int] | None = None
    """Process number and start ticks of the process that it must not outlive."""

    def encoded(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decoded(cls, line: bytes) -> Request:
        """The reverse; raises ValueError or TypeError for anything else."""
        fields = json.loads(line)
        if fields.get("lives_with"):
            fields["lives_with"] = tuple(fields["lives_with"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Forked:
    """A process that has been started; as leader of a session of its own, so its number is also its group's."""

    pid: int
    started_ticks: int


async def fork(request: Request, limit_s: float, path: Path = SOCKET) -> Forked:
    """Has a process forked; waits while there is no warm parent.

    Raises:
        TimeoutError: nobody has answered within `limit_s`.
    """
    async with asyncio.timeout(limit_s):
        while True:
            try:
                return await _ask(request, path)
            # there is no warm parent, or the child died before it was anything: asking again starts no second one
            except (OSError, ValueError):
                await asyncio.sleep(RETRY_S)


async def _ask(request: Request, path: Path) -> Forked:
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        writer.write(request.encoded())
        answer = json.loads(await reader.readline())
    finally:
        writer.close()
    return Forked(pid=answer["pid"], started_ticks=answer["started_ticks"])


def has_ended(pidfd: int, timeout_s: float | None = 0) -> bool:
    """Whether the process has ended, within `timeout_s`; None waits for it. poll(2): select(2) stops at 1,024 files."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(None if timeout_s is None else timeout_s * 1000))


class ForkedProcess:
    """What jupyter_client needs of a `subprocess.Popen`, for a process that is somebody else's child.

    It holds the process itself (pidfd_open(2)), not its number, which may come to be another's.
    """

    stdin = stdout = stderr = None

    def __init__(self, forked: Forked) -> None:
        self.pid = forked.pid
        #: 0 when the process has ended, whatever its exit code: only its parent learns that.
        self.returncode: int | None = None
        self._fd = -1
        try:
            self._fd = os.pidfd_open(forked.pid)
        except ProcessLookupError:
            self.returncode = 0
        if self.returncode is None and start_ticks(forked.pid) != forked.started_ticks:
            self._ended()

    def poll(self) -> int | None:
        """None while it lives."""
        if self.returncode is None and has_ended(self._fd):
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Blocks until it has ended. Raises subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(f"forked process {self.pid}", timeout or 0)
            has_ended(self._fd, left)
        return 0

    def send_signal(self, number: int) -> None:
        """Sends a signal; nothing happens when the process has ended."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._fd, number)
            except ProcessLookupError:
                self._ended()

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self) -> None:
        self.returncode = 0
        os.close(self._fd)
        self._fd = -1

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
