"""When a platform counts as steady: everybody works and every capability is good, for long enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.clock import to_s
from harness.errors import RunError

__all__ = ["not_steady"]


def not_steady(snapshot: Mapping[str, Any], users: int, needed_s: float, working_since_ns: int | None) -> str:
    """What is still missing for the steady state; empty when nothing is."""
    working = snapshot["users"].get("working", 0)
    if working < users:
        return f"{working} of {users} people work"
    if working_since_ns is None or to_s(snapshot["t_ns"] - working_since_ns) < needed_s:
        return f"everybody works, but not for {needed_s:g} s yet"
    for name, state in snapshot["capabilities"].items():
        since_ns = state["good_since_ns"]
        if since_ns is None:
            return f"{name} is not good: {state['last_detail'] or 'not probed yet'}"
        if to_s(snapshot["t_ns"] - since_ns) < needed_s:
            return f"{name} is not good for {needed_s:g} s yet"
    if not snapshot["capabilities"]:
        raise RunError("the client probes no capability")
    return ""
