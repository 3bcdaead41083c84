"""How the effect of a traffic fault is told from noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.faults.base import State
from harness.faults.host import Host

__all__ = ["Proof", "alive", "over", "seconds_text", "shown"]

#: A measured delay may be so much shorter than the one that was asked for: clocks and timers are coarse.
_LEAST_SHARE = 0.8
#: What is left after undoing: more than half the effect beyond what was measured before counts as the effect.
_GONE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is measured."""

    by: Literal["least", "spread", "reset", "hang_up"]
    """least: every attempt takes so long, so that a busy moment can't be mistaken for it. spread: the longest and the
    shortest differ. reset: it breaks off. hang_up: it takes so long until the other side ends too."""
    seconds: float = 0.0
    count: int = 1
    """Attempts at once."""
    before_s: float = 0.0
    """What one took before."""

    def as_state(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def shown(proof: Proof, times: Sequence[float]) -> bool:
    """Whether these times show the effect; attempts that were not answered are not among them."""
    if len(times) < proof.count:
        return False
    if proof.by == "spread":
        return max(times) - min(times) >= _GONE_SHARE * proof.seconds
    return min(times) >= _LEAST_SHARE * proof.seconds


def over(proof: Proof, times: Sequence[float]) -> bool:
    """Whether these times show that the effect is gone."""
    if len(times) < proof.count:
        return False
    if proof.by == "spread":
        return max(times) - min(times) < _GONE_SHARE * proof.seconds
    return min(times) < proof.before_s + _GONE_SHARE * proof.seconds


def seconds_text(times: Sequence[float]) -> str:
    """For people: `12, 15 ms`."""
    return f"{', '.join(f'{1000 * took_s:.0f}' for took_s in times)} ms" if times else "no time at all: no answer"


def alive(host: Host, state: State, prefix: str = "") -> bool:
    """Whether the very process that was looked at is still there."""
    return host.processes.alive(state[f"{prefix}pid"], state[f"{prefix}start_ticks"])
