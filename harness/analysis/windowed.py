"""Windowed user-uptime: the worst user-uptime over all windows of one length, for each of several lengths.

Hauer, Hoffmann, Lunney, Ardelean, Diwan: Meaningful Availability, NSDI 2020, call the curve the minimal cumulative
ratio. One long outage and many short ones of the same sum have the same user-uptime; the curve tells them apart.

It is exact. Down time, summed over users, grows piecewise linearly with time, and so does its difference over a window
that is moved along, which can turn only where one of the window's ends meets an edge. So a worst window begins or ends
at an edge, or at one of the observation, and no other start has to be tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.facts import Window
from harness.core.clock import NS_PER_S, to_s

__all__ = ["DownTimes", "WorstWindow", "windowed"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class DownTimes:
    """When each user was down: intervals inside the observation, by user and start; one user's never overlap."""

    users: int
    """Everybody, also those who never were."""
    user: Ints
    start_ns: Ints
    end_ns: Ints


@dataclass(frozen=True, kw_only=True)
class WorstWindow:
    """The worst of all windows of one length."""

    window_s: float
    ratio: float
    """User-uptime in it. Of two lengths of which one is a multiple of the other the longer never has the lower one."""
    start_ns: int | None
    """Where the first of the worst begins; None where nobody was ever down."""


def windowed(down: DownTimes, window: Window) -> tuple[WorstWindow, ...]:
    """The curve: 1, 2, 4, ... seconds, each a multiple of those before, and at last the whole observation."""
    length_ns = window.end_ns - window.start_ns
    doubling = [NS_PER_S << power for power in range(((length_ns - 1) // NS_PER_S).bit_length())]
    edges = np.concatenate(([window.start_ns], down.start_ns, down.end_ns))
    change = np.repeat(np.array([0, 1, -1]), (1, len(down.start_ns), len(down.end_ns)))
    times, at = np.unique(edges, return_inverse=True)
    users_down = np.cumsum(np.bincount(at, weights=change).astype(np.int64))
    lost = np.append(0, np.cumsum(users_down[:-1] * np.diff(times)))

    def until(t_ns: Ints) -> Ints:
        """Down time of all users from the start of the observation until then."""
        before = np.searchsorted(times, t_ns, side="right") - 1
        total: Ints = lost[before] + users_down[before] * (t_ns - times[before])
        return total

    def worst(width_ns: int) -> WorstWindow:
        starts = np.concatenate((times, times - width_ns)).clip(window.start_ns, window.end_ns - width_ns)
        down_ns = until(starts + width_ns) - until(starts)
        most_ns = int(down_ns.max())
        return WorstWindow(
            window_s=to_s(width_ns),
            ratio=1.0 - most_ns / (down.users * width_ns),
            start_ns=int(starts[down_ns == most_ns].min()) if most_ns else None,
        )

    return tuple(worst(width_ns) for width_ns in (*doubling, length_ns))
