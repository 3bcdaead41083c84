"""The rig's server, and who starts it again: each of its lives has the stamps of its own beginning and end.

The server sends a word to whoever connects, and closes. It reads nothing, so no half-open connection can hold it up.
It dies by a fault (`crash`); whoever supervises it starts the next one after a time that was said before. An
interpreter that starts takes 20 to 100 ms, a fork 1 ms, so it is forked, and nothing else runs in this process.

Packets of the witness arrive here too: numbers in a row, of which those that are missing were lost on the way.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from harness.load.priority import use_realtime
from harness.load.rig.events import Loop

__all__ = ["NUMBER", "PORT", "PROCESS", "WORD", "main"]

#: By TCP the server, by UDP the witness's packets.
PORT: Final = 7000
#: What the server's process is called, for faults that look for one.
PROCESS: Final = "rig-server"
WORD: Final = b"here\n"
#: A packet of the witness.
NUMBER: Final = struct.Struct("!q")

#: A server that hangs for 3 s has 300 connections waiting, and more where it is probed more often.
_BACKLOG = 4096
#: For a second of packets while this process does not get to read them.
_RECEIVE_BYTES = 4 << 20


@dataclass
class Life:
    """One life of the server, monotonic nanoseconds."""

    listening_before_ns: int
    """Stamped by the server itself before and after the call from which on the kernel accepts connections for it."""
    listening_after_ns: int
    ended_ns: int | None = None
    """When its supervisor saw that it was gone: the kernel had closed its files."""


class Supervisor:
    """Keeps a server alive, and counts what is missing of the witness's numbers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._down_s = 0.0
        self._restart_at_ns: int | None = None
        self._told, self._pid = -1, 0
        self._lives: list[Life] = []
        self._last_number = -1
        self._gaps: list[tuple[int, int]] = []
        self._loop = Loop(
            {"down": self.down, "lives": self.lives, "gaps": self.gaps, "processors": processors}, time.monotonic_ns
        )
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._packets.bind(("", port))
        self._packets.setblocking(False)
        self._loop.watch(self._packets, self._count_packets)

    def run(self) -> None:
        """Until the harness closes the input."""
        self._start()
        try:
            self._loop.run(self._due_in_s, self._act)
        finally:
            if self._told >= 0:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)

    def down(self, *, seconds: float) -> Mapping[str, Any]:
        """How long the server stays away when it dies next."""
        self._down_s = seconds
        return {}

    def lives(self) -> Mapping[str, Any]:
        """Every life so far; the last one goes on."""
        return {"lives": [asdict(life) for life in self._lives]}

    def gaps(self) -> Mapping[str, Any]:
        """What is missing of the witness's numbers so far: the last before and the first after each gap."""
        return {"gaps": self._gaps}

    def _start(self) -> None:
        self._told, tell = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._told)
                self._packets.close()
                _serve(self._port, tell)
            finally:
                os._exit(1)
        os.close(tell)
        self._restart_at_ns = None
        self._loop.watch(self._told, self._listen_to_server)

    def _listen_to_server(self) -> None:
        """It says when it serves; that it can't say anything any more says that it is gone."""
        word = os.read(self._told, 256)
        now_ns = time.monotonic_ns()
        if word:
            before, after = map(int, word.split())
            self._lives.append(Life(before, after))
            return
        if not self._lives or self._lives[-1].ended_ns is not None:
            sys.exit("the rig's server ended before it served: is its port taken?")
        self._lives[-1].ended_ns = now_ns
        self._restart_at_ns = now_ns + round(self._down_s * 1e9)
        self._loop.forget(self._told)
        os.close(self._told)
        self._told = -1
        os.waitpid(self._pid, 0)

    def _due_in_s(self) -> float | None:
        return None if self._restart_at_ns is None else max(0.0, (self._restart_at_ns - time.monotonic_ns()) / 1e9)

    def _act(self) -> None:
        if self._restart_at_ns is not None and time.monotonic_ns() >= self._restart_at_ns:
            self._start()

    def _count_packets(self) -> None:
        with suppress(BlockingIOError):
            while True:
                (number,) = NUMBER.unpack(self._packets.recv(NUMBER.size))
                if number > self._last_number + 1 and self._last_number >= 0:
                    self._gaps.append((self._last_number, number))
                self._last_number = max(self._last_number, number)


def _serve(port: int, tell: int) -> None:
    # as `ps` shows it, and as faults find it
    Path("/proc/self/comm").write_text(PROCESS, encoding="ascii")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    before_ns = time.monotonic_ns()
    listener.listen(_BACKLOG)
    os.write(tell, f"{before_ns} {time.monotonic_ns()}\n".encode())
    while True:
        connection, _ = listener.accept()
        with connection, suppress(OSError):  # whoever asked has gone meanwhile
            connection.send(WORD)


def processors() -> Mapping[str, Any]:
    """What all processors of the engine's host together have done since it started, in clock ticks (proc(5), stat)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return {"busy": sum(ticks) - ticks[3] - ticks[4], "all": sum(ticks)}


def main() -> None:
    """Serve until the harness closes the standard input."""
    use_realtime()
    Supervisor(PORT).run()
