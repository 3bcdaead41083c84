"""Ctrl-C and SIGTERM as a wish to stop, honoured only where stopping leaves nothing half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.errors import RunInterrupted

__all__ = ["Interrupts"]


class Interrupts:
    """Inside `allowed` a signal raises `RunInterrupted` at once; elsewhere it waits for the next `allowed`."""

    def __init__(self) -> None:
        self._pending = ""
        self._depth = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the signals while a run lasts."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A part that may be cut short."""
        self._raise_pending()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._pending = signal.Signals(number).name
        if self._depth:
            self._raise_pending()

    def _raise_pending(self) -> None:
        if self._pending:
            by, self._pending = self._pending, ""
            raise RunInterrupted(by)
