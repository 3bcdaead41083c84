"""Answers the harness and does other things in between, in one thread: to fork, and to be on time."""

from __future__ import annotations

import os
import selectors
import sys
from collections.abc import Callable, Mapping
from typing import Any

from harness.core.conversation import Handler, answer

__all__ = ["Loop"]

_CHUNK = 65536


class Loop:
    """Calls what is registered for a file when it can be read, and answers requests until the input ends."""

    def __init__(self, handlers: Mapping[str, Handler], clock: Callable[[], int]) -> None:
        """`clock` is what a `ping` is answered with."""
        self._handlers = {"ping": lambda: {"now_ns": clock()}, **handlers}
        self._selector = selectors.SelectSelector()  # epoll's time limit has steps of a millisecond, this one's of a µs
        self._requests = b""
        self._open = True
        self.watch(sys.stdin.fileno(), self._read_requests)

    def watch(self, file: Any, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read."""
        self._selector.register(file, selectors.EVENT_READ, readable)

    def forget(self, file: Any) -> None:
        """Watch it no longer."""
        self._selector.unregister(file)

    def run(self, due_in_s: Callable[[], float | None], act: Callable[[], None]) -> None:
        """Until the input ends: call `act` after each event, and when `due_in_s` (None: nothing is due) is over."""
        while self._open:
            for key, _ in self._selector.select(due_in_s()):
                key.data()
            act()

    def _read_requests(self) -> None:
        data = os.read(sys.stdin.fileno(), _CHUNK)
        self._open = bool(data)
        *lines, self._requests = (self._requests + data).split(b"\n")
        for line in lines:
            if line.strip():
                sys.stdout.write(answer(line.decode(), self._handlers))
                sys.stdout.flush()
