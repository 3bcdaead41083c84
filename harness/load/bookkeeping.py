"""What the harness polls while a run goes on: since when is each capability good?"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.rows import ProbeSample

__all__ = ["CapabilityState", "Ledger"]


@dataclass
class CapabilityState:
    """The samples of one capability at one place, in the order they were sent, which is not the order they end in."""

    samples: int = 0
    last_ok: bool = False
    last_detail: str = ""
    _last_send_ns: int = -1
    _last_bad_ns: int = -1
    _good_ns: list[int] = field(default_factory=list)
    """Send times of the good samples after the last bad one, sorted."""

    def observe(self, send_ns: int, ok: bool, detail: str) -> None:
        """Count a sample that ended. One that missed its deadline ends long after later ones were good."""
        self.samples += 1
        if send_ns >= self._last_send_ns:
            self._last_send_ns, self.last_ok, self.last_detail = send_ns, ok, detail
        if ok:
            if send_ns > self._last_bad_ns:
                insort(self._good_ns, send_ns)
        elif send_ns > self._last_bad_ns:
            self._last_bad_ns = send_ns
            del self._good_ns[: bisect_right(self._good_ns, send_ns)]

    @property
    def good_since_ns(self) -> int | None:
        """Send time of the first good sample of the unbroken run of good ones; None if the last one was bad."""
        return self._good_ns[0] if self._good_ns and self.last_ok else None


class Ledger:
    """The state of every capability that is probed."""

    def __init__(self, capabilities: tuple[str, ...]) -> None:
        self._states: dict[str, dict[str, CapabilityState]] = {name: {} for name in capabilities}

    def observe(self, sample: ProbeSample) -> None:
        """Count a probe that ended."""
        state = self._states[sample.capability].setdefault(sample.via, CapabilityState())
        state.observe(sample.send_ns, bool(sample.ok), sample.detail)

    def snapshot(self) -> Mapping[str, Any]:
        """Capability -> its state, as the conversation carries it."""
        return {name: _merged(list(places.values())) for name, places in self._states.items()}


def _merged(places: Sequence[CapabilityState]) -> dict[str, Any]:
    """A capability is good when it is good everywhere: one place must not look good whenever it is another's turn."""
    worst = next((state for state in places if not state.last_ok), None)
    since = [state.good_since_ns for state in places]
    good = [since_ns for since_ns in since if since_ns is not None]
    return {
        "samples": sum(state.samples for state in places),
        "good_since_ns": max(good) if good and len(good) == len(since) else None,
        "last_ok": bool(places) and worst is None,
        "last_detail": worst.last_detail if worst else "",
    }
