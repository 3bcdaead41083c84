"""When an experiment goes too far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.clock import to_s
from harness.core.experiment import AbortWhen

__all__ = ["AbortCondition"]


class AbortCondition:
    """Looks at every snapshot of the people; met once too few could work for too long without a break."""

    def __init__(self, abort_when: AbortWhen | None, users: int) -> None:
        self._abort_when = abort_when
        self._users = users
        self._below_since_ns: int | None = None

    def met(self, snapshot: Mapping[str, Any]) -> str:
        """Why the experiment must be given up now; empty if it need not be."""
        if self._abort_when is None:
            return ""
        working = snapshot["users"].get("working", 0)
        there = self._users - snapshot["users"].get("away", 0)
        if working * 100 >= self._abort_when.working_below_percent * there:
            self._below_since_ns = None
            return ""
        if self._below_since_ns is None:
            self._below_since_ns = snapshot["t_ns"]
        seconds = to_s(snapshot["t_ns"] - self._below_since_ns)
        if seconds < self._abort_when.for_s:
            return ""
        return (
            f"fewer than {self._abort_when.working_below_percent:g}% of {there} people could work for "
            f"{seconds:.1f} s, {working} at last"
        )
