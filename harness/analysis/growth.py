"""How many people the platform carried: what the history says about a growth, and what of the rows it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.core.history import EventKind, GrowthEnd, GrowthStep, History

__all__ = ["GrowthFacts", "GrowthStepFacts", "before_growth", "read_growth"]


@dataclass(frozen=True, kw_only=True)
class GrowthStepFacts:
    """One group that came, and how everybody was at the end of its step. Stamps are monotonic nanoseconds."""

    began_ns: int
    ended_ns: int
    users_before: int
    users_after: int
    working: int
    """How many could work at the end of the step."""
    carried: bool
    """Whether that was enough."""


@dataclass(frozen=True, kw_only=True)
class GrowthFacts:
    """A growth that began, or that could not begin because too few people could work."""

    began_ns: int | None
    """Before the first group came; None where nobody came."""
    users: int
    """People before growth."""
    working: int
    """How many of them could work then."""
    steps: tuple[GrowthStepFacts, ...]
    ended: GrowthEnd | None
    """None: the run ended in mid-growth."""

    @property
    def users_carried(self) -> int:
        """The largest number that was carried; none where growth could not begin."""
        if self.began_ns is None:
            return 0
        return max((step.users_after for step in self.steps if step.carried), default=self.users)

    @property
    def broke(self) -> bool:
        """Whether the limit was found; otherwise the platform carries at least so many."""
        return self.ended in (GrowthEnd.NOT_BEGUN, GrowthEnd.NOT_CARRIED)


def read_growth(history: History) -> GrowthFacts | None:
    """What a run recorded about its growth; None where it never came to that."""
    events = history.of(EventKind.GREW)
    by_step = {step: [event for event in events if event.data.get("step") == step] for step in GrowthStep}
    begin, end = by_step[GrowthStep.BEGIN], by_step[GrowthStep.END]
    if not begin and not end:
        return None
    first = (begin or end)[0]
    return GrowthFacts(
        began_ns=first.t_ns if begin else None,
        users=int(first.data["users"]),
        working=int(first.data["working"]),
        steps=tuple(_step(event.data, event.t_ns) for event in by_step[GrowthStep.STEP]),
        ended=GrowthEnd(end[0].data["how"]) if end else None,
    )


def _step(data: Mapping[str, Any], ended_ns: int) -> GrowthStepFacts:
    return GrowthStepFacts(
        began_ns=int(data["began_ns"]),
        ended_ns=ended_ns,
        users_before=int(data["users_before"]),
        users_after=int(data["users_after"]),
        working=int(data["working"]),
        carried=bool(data["carried"]),
    )


def before_growth(rows: pd.DataFrame, growth: GrowthFacts | None) -> pd.DataFrame:
    """Operations or probes that say something about the time before people were overloaded on purpose.

    What was sent later does not, nor what was in flight then and failed: that may be the overload's doing.
    """
    if growth is None or growth.began_ns is None:
        return rows
    answered = (rows["ok"] == 1) | (rows["end_ns"] <= growth.began_ns)
    return rows[(rows["send_ns"] < growth.began_ns) & answered].reset_index(drop=True)
