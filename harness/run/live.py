"""Shows a run while it goes on: one moving line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from harness.core.history import Phase

__all__ = ["LiveWatcher"]


class LiveWatcher:
    """Prints notes with the seconds since the start; people and capabilities as they change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()
        self._lock = threading.Lock()  # containers get ready in threads of their own
        self._status: Status | None = None
        self._phase = ""
        self._phase_end: float | None = None
        self._users: Mapping[str, int] = {}
        self._away: frozenset[str] = frozenset()

    def __enter__(self) -> LiveWatcher:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """See `harness.run.watcher.Watcher`."""
        self._phase = phase.value
        self._phase_end = None if seconds is None else time.monotonic() + seconds
        self._line(f"[bold]{phase.value}[/bold]: {escape(detail)}")
        self._update()

    def note(self, text: str) -> None:
        """See `harness.run.watcher.Watcher`."""
        self._line("  " + escape(text))

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """See `harness.run.watcher.Watcher`."""
        users = {state: number for state, number in snapshot["users"].items() if number}
        away = frozenset(name for name, c in snapshot["capabilities"].items() if c["samples"] and not c["last_ok"])
        if not self._status and users != self._users:
            self._line("  people: " + _counts(users))
        for name in sorted(away - self._away):
            self._line(f"  {name} is away: {escape(str(snapshot['capabilities'][name]['last_detail']))}")
        for name in sorted(self._away - away):
            self._line(f"  {name} is back")
        self._users, self._away = users, away
        self._update()

    def _update(self) -> None:
        if not self._status:
            return
        left = "" if self._phase_end is None else f", {max(0.0, self._phase_end - time.monotonic()):.0f} s left"
        away = f"; away: {', '.join(sorted(self._away))}" if self._away else ""
        people = f"; people: {_counts(self._users)}" if self._users else ""
        self._status.update(f"{self._phase}{left}{escape(people)}{escape(away)}")

    def _line(self, text: str) -> None:
        with self._lock:
            stamp = f"{time.monotonic() - self._start:6.1f} s"
            self._console.print(f"[dim]{stamp}[/dim]  {text}", highlight=False, soft_wrap=True)


def _counts(users: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in users.items())
