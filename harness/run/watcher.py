"""Whoever shows a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from harness.core.history import Phase

__all__ = ["Watcher"]


class Watcher(Protocol):
    """Is told what happens; decides nothing."""

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """A phase began, or another part of the one that goes on; `seconds` is how long it should take, where that is
        known."""
        ...

    def note(self, text: str) -> None:
        """Something happened that is worth a line."""
        ...

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """How people are right now."""
        ...
