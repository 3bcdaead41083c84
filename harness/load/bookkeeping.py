"""What the harness polls while a run goes on: since when is each capability good?"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.rows import ProbeSample

__all__ = ["CapabilityState", "Ledger"]


@dataclass
class CapabilityState:
    """The samples of one capability, in the order they were sent, which is not the order they end in."""

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

    def snapshot(self) -> dict[str, Any]:
        """As the conversation carries it."""
        return {
            "samples": self.samples,
            "good_since_ns": self.good_since_ns,
            "last_ok": self.last_ok,
            "last_detail": self.last_detail,
        }


class Ledger:
    """The state of every capability that is probed."""

    def __init__(self, capabilities: tuple[str, ...]) -> None:
        self._states = {name: CapabilityState() for name in capabilities}

    def observe(self, sample: ProbeSample) -> None:
        """Count a probe that ended."""
        self._states[sample.capability].observe(sample.send_ns, bool(sample.ok), sample.detail)

    def snapshot(self) -> Mapping[str, Any]:
        """Capability -> its state, as the conversation carries it."""
        return {name: state.snapshot() for name, state in self._states.items()}
