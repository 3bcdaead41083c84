"""A packet each millisecond from the witness to the rig, with a number: which of them were lost tells, to about a
millisecond, when packets were really cut off.

The agent's stamps around the call that puts a filter in, or takes it out, are up to 20 ms apart (most of that is the
kernel's wait until nobody uses the old rules), and nothing says where between them it took effect.
"""

from __future__ import annotations

import socket
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness.core.clock import to_ns
from harness.load.pacing import Grid
from harness.load.priority import use_realtime
from harness.load.rig.events import Loop
from harness.load.rig.supervisor import NUMBER

__all__ = ["PERIOD_S", "Witness", "main"]

PERIOD_S = 0.001


class Witness:
    """Sends numbers, and remembers when."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._before_ns, self._after_ns = array("q"), array("q")
        self._grid = Grid(0, to_ns(PERIOD_S))
        self._due_ns: int | None = None
        self._loop = Loop({"start": self.start, "sent": self.sent}, time.monotonic_ns)

    def run(self) -> None:
        """Until the harness closes the input."""
        self._loop.run(self._due_in_s, self._send)

    def start(self, *, address: str, port: int) -> Mapping[str, Any]:
        """Begin to send."""
        self._socket.connect((address, port))
        self._due_ns = self._grid.first_at_or_after(time.monotonic_ns())
        return {}

    def sent(self, *, numbers: Sequence[int]) -> Mapping[str, Any]:
        """Before and after the call that sent each of these numbers, monotonic nanoseconds."""
        return {"sent": [[self._before_ns[number], self._after_ns[number]] for number in numbers]}

    def _due_in_s(self) -> float | None:
        return None if self._due_ns is None else max(0.0, (self._due_ns - time.monotonic_ns()) / 1e9)

    def _send(self) -> None:
        if self._due_ns is None or time.monotonic_ns() < self._due_ns:
            return
        number = NUMBER.pack(len(self._before_ns))
        before_ns = time.monotonic_ns()
        with suppress(OSError):  # one that could not be sent is lost like any other
            self._socket.send(number)
        after_ns = time.monotonic_ns()
        self._before_ns.append(before_ns)
        self._after_ns.append(after_ns)
        self._due_ns = self._grid.after(self._due_ns, after_ns)


def main() -> None:
    """Answer the harness until it closes the standard input."""
    use_realtime()
    Witness().run()
