"""The outages of one capability together: one long one and many short ones of the same sum are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["OutageTotals", "Timed", "outage_totals"]


class Timed(Protocol):
    """An outage, as far as its length goes."""

    @property
    def seconds(self) -> float: ...
    @property
    def seconds_lower(self) -> float: ...
    @property
    def seconds_upper(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class OutageTotals:
    """All outages of a capability. Zeros are measured: where nothing was probed there is no such object."""

    number: int
    total_s: float
    """Seconds of all of them inside the window: the union over places, so one place of two away for 3 s is 3 s."""
    total_lower_s: float
    total_upper_s: float | None
    """What their edges allow; None where one did not end."""
    longest_s: float
    place_weighted_s: float
    """Mean over the places of the seconds for which the place was away: one of two for 3 s is 1.5 s."""


def outage_totals(outages: Sequence[Timed], total_s: float, away_s: Sequence[float]) -> OutageTotals:
    """`total_s`: seconds of the outages inside the window; `away_s`: the same for each place by itself."""
    uppers = [outage.seconds_upper for outage in outages]
    known = [upper for upper in uppers if upper is not None]
    return OutageTotals(
        number=len(outages),
        total_s=total_s,
        total_lower_s=sum(outage.seconds_lower for outage in outages),
        total_upper_s=sum(known) if len(known) == len(uppers) else None,
        longest_s=max((outage.seconds for outage in outages), default=0.0),
        place_weighted_s=sum(away_s) / len(away_s),
    )
