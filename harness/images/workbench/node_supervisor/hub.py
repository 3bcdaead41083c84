"""The hub as the supervisor sees it: start, death, answers."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from node_supervisor.log import log
from node_supervisor.settings import Settings

__all__ = ["HubProcess", "HubWatch"]

#: A hub that cannot start (no database) is not started again sooner.
RESTART_S = 0.5
PROBE_S = 0.5
STARTING_PROBE_S = 0.1
PROBE_TIMEOUT_S = 2.0


class HubProcess:
    """The forker and the hub it has forked."""

    def __init__(self, config: Path, pid_file: Path, *, supervised: bool, warm: bool) -> None:
        self._warm = warm
        self._supervised = supervised
        self._config = config
        self._pid_file = pid_file
        self._started_ns = 0
        self._buffer = b""
        self.pid = 0
        #: From the order to start until its death is known.
        self.alive = False
        self._launch_forker()

    def _launch_forker(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._forker = subprocess.Popen(
                [
                    *(sys.executable, "-m", "node_supervisor.hub_forker"),
                    *(str(theirs.fileno()), str(self._config), "warm" if self._warm else "cold"),
                ],
                pass_fds=[theirs.fileno()],
            )
        ours.setblocking(False)
        self._channel = ours

    def start(self) -> None:
        """Orders a hub, unless the last order is too recent; a forker that still imports finds it later.

        A hub that ended, on a node that is not supervised, stays away.
        """
        if time.monotonic_ns() - self._started_ns < RESTART_S * 1e9:
            return
        if self._started_ns and not self._supervised:
            return
        self._started_ns = time.monotonic_ns()
        try:
            self._channel.send(b"start\n")
        except OSError:
            return  # the forker has died; poll() brings a new one
        self.alive = True

    def poll(self) -> None:
        """Takes in what the forker has to say."""
        if self._forker.poll() is not None:
            log("hub", f"forker ended with {self._forker.returncode}, starting another")
            self._channel.close()
            self._buffer = b""
            self._gone()
            self._launch_forker()
            return
        try:
            self._buffer += self._channel.recv(4096)
        except BlockingIOError:
            return
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            if word == b"pid":
                self.pid = int(number)
                self._pid_file.write_text(f"{self.pid}\n", encoding="ascii")
                log("hub", f"started, process {self.pid}")
            else:
                log("hub", f"ended with {int(number)}")
                self._gone()

    def kill(self) -> None:
        """Ends the hub at once and waits until it is gone."""
        deadline = time.monotonic() + 5
        while self.alive and time.monotonic() < deadline:
            if self.pid:
                with contextlib.suppress(ProcessLookupError):  # dead, not yet reported
                    os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
            self.poll()

    def _gone(self) -> None:
        self.pid = 0
        self.alive = False
        self._pid_file.unlink(missing_ok=True)


class HubWatch(threading.Thread):
    """Asks the hub whether it answers, and has it fill a restarted proxy; a thread, as a stuck hub blocks."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="hub-watch", daemon=True)
        self._settings = settings
        self._tenure_ns = 0
        self._answered_ns: int | None = None
        #: Set when the proxy has lost its routes.
        self.routes_lost = threading.Event()

    def new_tenure(self) -> None:
        """Answers so far are those of an earlier hub."""
        self._tenure_ns = time.monotonic_ns()

    @property
    def answered_ns(self) -> int | None:
        """The last answer in this tenure, monotonic."""
        answered = self._answered_ns
        return answered if answered is not None and answered > self._tenure_ns else None

    def run(self) -> None:
        while True:
            asked = time.monotonic_ns()
            answers = self._call("GET", "/hub/health") == 200
            if answers:
                self._answered_ns = asked
                if self.routes_lost.is_set() and self._call("POST", "/hub/api/proxy") == 200:
                    self.routes_lost.clear()
                    log("hub", "routes of the restarted proxy restored")
            time.sleep(PROBE_S if answers else STARTING_PROBE_S)

    def _call(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._settings.hub_port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request(method, path, headers={"Authorization": f"token {self._settings.service_token}"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        else:
            return answer.status
        finally:
            connection.close()
