"""User-uptime, and how many sessions were in which state when.

User-uptime is Hauer, Hoffmann, Lunney, Ardelean, Diwan: Meaningful Availability, NSDI 2020:
sum of the users' up time / sum of the users' (up + down) time. A user is down from the send of the first failed
operation to the completion of the next good one. Rungs of the recovery ladder do not count as good: who can log in
but has no kernel yet is still down.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Window
from harness.analysis.intervals import seconds, union
from harness.analysis.sessions import SessionRow
from harness.analysis.windowed import DownTimes, WorstWindow, windowed
from harness.core.clock import NS_PER_S, to_s
from harness.core.words import LEAVE, SessionOutcome

__all__ = ["GRID_NS", "SessionState", "Timeline", "UserUptime", "down_times", "session_timeline", "user_uptime"]

Ints = npt.NDArray[np.int64]
#: Step of the timeline: a quarter of a second shows a 1 s outage without hiding its edges, and stays small.
GRID_NS = NS_PER_S // 4


@dataclass(frozen=True, kw_only=True)
class UserUptime:
    """Availability as the users met it, in the window."""

    users: int
    ratio: float | None
    """User-uptime; None without users: nothing is not good."""
    outage_s: float | None
    """User-weighted outage: mean down time of a user. Half of the users down for 3 s is 1.5 s."""
    union_s: float | None
    """Time in which at least one user was down. Half of the users down for 3 s is 3 s."""
    worst_s: float | None
    """Down time of the user who fared worst."""
    windowed: tuple[WorstWindow, ...]
    """The worst user-uptime for each window length, shortest first; empty without users, and where people came and
    went: then not everybody is there in every window."""


class SessionState(StrEnum):
    """What a session was doing at a moment."""

    STARTING = "starting"
    WORKING = "working"
    RESTARTED = "restarted"  # works again, without the memory it had
    DISTURBED = "disturbed"
    LOST = "lost"  # disturbed, and stayed so


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Number of sessions in each state on a regular grid."""

    start_ns: int
    step_ns: int
    states: dict[SessionState, tuple[int, ...]]

    @property
    def times_ns(self) -> tuple[int, ...]:
        """The moments of the grid."""
        points = len(next(iter(self.states.values()), ()))
        return tuple(self.start_ns + self.step_ns * index for index in range(points))


def user_uptime(operations: pd.DataFrame, window: Window | None, *, come_and_go: bool = False) -> UserUptime:
    """User-uptime of everybody who did anything by the end of the window; where people come and go, in the time in
    which they were there. `operations` as from `operations_of`."""
    down = None if window is None else down_times(operations, window)
    if window is None or down is None:
        return UserUptime(users=0, ratio=None, outage_s=None, union_s=None, worst_s=None, windowed=())
    away_ns = _away_ns(operations, window) if come_and_go else 0
    lengths = down.end_ns - down.start_ns
    total_ns = int(lengths.sum())
    return UserUptime(
        users=down.users,
        ratio=1.0 - total_ns / max(1, down.users * (window.end_ns - window.start_ns) - away_ns),
        outage_s=to_s(total_ns) / down.users,
        union_s=seconds(union(zip(down.start_ns.tolist(), down.end_ns.tolist(), strict=True))),
        worst_s=to_s(int(np.bincount(down.user, weights=lengths).max())) if len(lengths) else 0.0,
        windowed=() if come_and_go else windowed(down, window),
    )


def _away_ns(operations: pd.DataFrame, window: Window) -> int:
    """Time of all users together in which they were not there because they did not want to be: after they went, until
    they came back; and before they came, where that was in the window."""
    user = operations["user"].cat.codes.to_numpy()
    send, end = (operations[name].to_numpy() for name in ("send_ns", "end_ns"))
    first = np.append(True, user[1:] != user[:-1])[: len(user)]
    # their first operation by the end of the window: who came later is not among the users
    came = np.flatnonzero(first & (send > window.start_ns) & (send < window.end_ns))
    went = np.flatnonzero((operations["capability"] == LEAVE).to_numpy() & (end < window.end_ns))
    back = np.append(np.where(first, window.end_ns, send), window.end_ns)[went + 1]
    away = np.minimum(back, window.end_ns) - np.maximum(end[went], window.start_ns)
    return int((send[came] - window.start_ns).sum() + np.maximum(away, 0).sum())


def down_times(operations: pd.DataFrame, window: Window) -> DownTimes | None:
    """When each user was down; None where nobody did anything by the end of the window."""
    user = operations["user"].cat.codes.to_numpy()
    send: Ints = operations["send_ns"].to_numpy()
    end: Ints = operations["end_ns"].to_numpy()
    users = len(np.unique(user[send < window.end_ns]))
    if not users:
        return None
    failed = operations["ok"].to_numpy() != 1
    counts = (send >= window.start_ns) & (send < window.end_ns) & (failed | (operations["rung"] == "").to_numpy())
    rows = np.flatnonzero(counts)
    failed, user = failed[rows], user[rows]
    new = np.append(True, user[1:] != user[:-1])[: len(rows)]
    first_failed = np.flatnonzero(failed & (new | ~np.roll(failed, 1)))
    # The next good row of the same user; without one the user stays down until the end of the window.
    good = np.append(np.flatnonzero(~failed), len(rows))
    back = good[np.searchsorted(good, first_failed)]
    same = np.append(user, -1)[back] == user[first_failed]
    stop = np.where(same, np.append(end[rows], window.end_ns)[back], window.end_ns)
    whose: Ints = user[first_failed].astype(np.int64)
    # One user's may overlap where rows do: each begins where those before it ended. Users follow each other on a line.
    length = window.end_ns - window.start_ns
    line = whose * (length + 1) - window.start_ns
    reach = np.maximum.accumulate(np.minimum(stop, window.end_ns) + line)
    begin = np.maximum(send[rows[first_failed]] + line, np.append(np.int64(0), reach[:-1])[: len(reach)])
    return DownTimes(users=users, user=whose, start_ns=begin - line, end_ns=np.maximum(begin, reach) - line)


def session_timeline(
    ledger: tuple[SessionRow, ...], window: Window | None, *, come_and_go: bool = False
) -> Timeline | None:
    """Sessions by state in the window, where people come and go only while they were there; None without a window or
    sessions."""
    if window is None or not ledger:
        return None
    points = (window.end_ns - window.start_ns) // GRID_NS + 1
    steps = {state: np.zeros(points + 1, dtype=np.int64) for state in SessionState}
    for row in ledger:
        changes = _changes(row, window, come_and_go=come_and_go)
        for (since_ns, state), until in zip(changes, [*(t for t, _ in changes[1:]), row.ended_ns], strict=True):
            begin = _index(since_ns, window, points)
            stop = points if until is None else _index(until, window, points)
            if stop > begin:
                steps[state][begin] += 1
                steps[state][stop] -= 1
    return Timeline(
        start_ns=window.start_ns,
        step_ns=GRID_NS,
        states={state: tuple(np.cumsum(delta[:-1]).tolist()) for state, delta in steps.items()},
    )


def _changes(row: SessionRow, window: Window, *, come_and_go: bool) -> list[tuple[int, SessionState]]:
    """When the session entered which state, in order."""
    working = SessionState.WORKING
    changes = [(max(window.start_ns, row.began_ns) if come_and_go else window.start_ns, SessionState.STARTING)]
    if row.first_work_ns is not None:
        changes.append((max(window.start_ns, row.first_work_ns), working))
    for one in row.disturbances:
        lost = row.outcome is SessionOutcome.LOST and one.end_ns is None
        changes.append((one.start_ns, SessionState.LOST if lost else SessionState.DISTURBED))
        if one.restarted:
            working = SessionState.RESTARTED
        if one.end_ns is not None:
            changes.append((one.end_ns, working))
    return sorted(changes, key=lambda change: change[0])


def _index(t_ns: int, window: Window, points: int) -> int:
    """The first point of the grid at or after `t_ns`."""
    return min(points, max(0, -((window.start_ns - t_ns) // GRID_NS)))
