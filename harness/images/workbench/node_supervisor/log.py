"""One line an event on stdout, where the container's log is."""

from __future__ import annotations

import time

__all__ = ["log"]


def log(who: str, text: str) -> None:
    """Writes the line with UTC time and, for the history, the monotonic clock."""
    moment = time.strftime("%H:%M:%S", time.gmtime())
    print(f"[{moment} {time.monotonic():.3f} {who}] {text}", flush=True)
