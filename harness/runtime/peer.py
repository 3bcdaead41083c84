"""The conversation with a program in a container, over its attached standard input and output.

When this process ends, however it ends, the engine closes the program's input; that is how the agent knows.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from docker.models.containers import Container

from harness.core.conversation import answered_number, parse_answer, request
from harness.errors import PeerError

__all__ = ["AttachedPeer"]

#: Well below the agent's limit for silence.
_HEARTBEAT_S = 2.0
#: Docker Engine API, "Stream format" of ContainerAttach: one byte stream type, three zero, four length, big-endian.
_FRAME_HEADER = struct.Struct(">BxxxL")
_STDOUT = 1


class _Socket(Protocol):
    def recv(self, size: int, /) -> bytes: ...

    def shutdown(self, how: int, /) -> None: ...

    def sendall(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...


class AttachedPeer:
    """One request at a time; a thread keeps the conversation warm so that silence means death."""

    def __init__(self, container: Container, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._number = 0
        self._closed = threading.Event()
        self._broken = ""
        attached: Any = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        # over a Unix socket docker hands out a raw SocketIO whose socket is the thing to talk through
        self._socket: _Socket = getattr(attached, "_sock", attached)
        self._attached = attached  # closed together: dropping it would close the socket
        with suppress(AttributeError, OSError):
            attached._sock.settimeout(None)
        threading.Thread(target=self._read, daemon=True, name=f"peer-{name}").start()

    def keep_alive(self) -> None:
        """Ping in the background from now on."""
        threading.Thread(target=self._heartbeat, daemon=True, name=f"heartbeat-{self._name}").start()

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:
        """See `harness.runtime.base.Peer`."""
        with self._lock:
            if self._broken or self._closed.is_set():
                raise PeerError(f"{self._name} can't be asked for {op}: {self._broken or 'the conversation is over'}")
            self._number += 1
            try:
                self._socket.sendall(request(self._number, op, args).encode())
                line = self._answer_to(self._number, timeout_s)
            except queue.Empty:
                raise PeerError(f"{self._name}: {op} was not answered within {timeout_s:g} s") from None
            except OSError as error:
                self._broken = f"the connection broke: {error}"
                raise PeerError(f"{self._name}: {self._broken}") from error
            if line is None:
                self._broken = f"it ended while {op} was asked for"
                raise PeerError(f"{self._name}: {self._broken}")
            return parse_answer(line, self._number, self._name)

    def close(self) -> None:
        """End the conversation; the program sees the end of its input."""
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # a plain close would leave the reading thread's hold on it
            self._socket.close()
            self._attached.close()

    def _answer_to(self, number: int, timeout_s: float) -> str | None:
        """The answer to this request; late ones to requests that were given up are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            if line is None or answered_number(line) >= number:
                return line

    def _heartbeat(self) -> None:
        while not self._closed.wait(_HEARTBEAT_S):
            with suppress(
                PeerError
            ):  # a slow answer is no reason to fall silent, and a broken end is found by the next call
                self.call("ping")
            if self._broken:
                return

    def _read(self) -> None:
        text = b""
        try:
            for chunk in self._stdout_frames():
                text += chunk
                *lines, text = text.split(b"\n")
                for line in lines:
                    self._answers.put(line.decode())
        except OSError as error:
            if not self._closed.is_set():
                self._broken = f"the connection broke: {error}"
        self._answers.put(None)

    def _stdout_frames(self) -> Iterator[bytes]:
        while header := self._receive(_FRAME_HEADER.size):
            stream, size = _FRAME_HEADER.unpack(header)
            body = self._receive(size)
            if stream == _STDOUT:
                yield body

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                return b""
            data += chunk
        return data
