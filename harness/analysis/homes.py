"""Duplicated homes: two or more servers of one person at once, on one home.

The processes of all nodes are looked at once a second (`faults/agent/servers.py`). What a look shows holds until the
next one; two servers that one look shows ran at once. So seconds are right to one period of the looks at either end,
and what comes and goes between two looks is not seen. Longer without a look than `GAP_S` is a gap: nothing is known of
it, no second of it counts, and nobody's home is said not to have been duplicated in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.core.clock import to_ns, to_s

__all__ = ["GAP_S", "DuplicatedHomes", "WatchedServers", "count_duplicated"]

#: Looks are 1 s apart; one may come late on a busy machine, or fail.
GAP_S = 2.5
#: As many servers of one person at once make a duplicated home.
_AT_ONCE = 2

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class DuplicatedHomes:
    """What the watch on the nodes' processes says about all people together."""

    looks: int
    """How often all nodes were looked at; 0 where nobody did."""
    longest_gap_s: float | None
    """The longest time between two looks; None with fewer than two."""
    people: int | None
    """How many people had two servers at once; None where nobody looked."""
    people_unknown: int
    """Of how many it is not known."""
    longest_s: float | None
    """The largest `duplicated_s` of any of them; None where nobody had two."""


class WatchedServers:
    """Whose servers ran where, from what the looks showed."""

    def __init__(self, servers: pd.DataFrame, until_ns: int | None) -> None:
        """`servers` as from `servers_of`; what was seen from `until_ns` on does not count."""
        if until_ns is not None:
            servers = servers[servers["send_ns"] < until_ns]
        of_look = (servers["node"] == "").to_numpy()
        send = servers["send_ns"].to_numpy(dtype=np.int64)
        self._looks: Ints = send[of_look]
        apart = np.diff(self._looks)
        self._gaps: list[tuple[int, int]] = [
            (int(self._looks[at]), int(self._looks[at + 1])) for at in np.flatnonzero(apart > to_ns(GAP_S))
        ]
        self.longest_gap_s = to_s(int(apart.max())) if len(apart) else None
        self._watched: Ints = np.concatenate([[0], np.cumsum(np.where(apart > to_ns(GAP_S), 0, apart))])
        self._spans = self._find(servers[~of_look], np.cumsum(of_look)[~of_look] - 1)

    @property
    def looks(self) -> int:
        """How many there were."""
        return len(self._looks)

    def duplicated(self, user: str, since_ns: int, until_ns: int, *, starts: int) -> tuple[bool | None, float | None]:
        """Whether two or more servers of this person ran at once at any time, and for how long; None, None where it is
        not known. They asked for `starts` servers between the two moments: of one alone there are no two."""
        if user in self._spans:
            return True, to_s(sum(int(self._watched[end] - self._watched[at]) for at, end in self._spans[user]))
        return (False, 0.0) if starts <= 1 or self._without_gap(since_ns, until_ns) else (None, None)

    def _without_gap(self, since_ns: int, until_ns: int) -> bool:
        """Whether the nodes were looked at all the time between."""
        if not self.looks or self._looks[0] > since_ns + to_ns(GAP_S) or self._looks[-1] < until_ns - to_ns(GAP_S):
            return False
        return not any(begin < until_ns and since_ns < end for begin, end in self._gaps)

    def _find(self, changes: pd.DataFrame, look: Ints) -> Mapping[str, list[tuple[int, int]]]:
        """By person, from which look on, and until which look, there were two or more; to the last look if need be."""
        running: dict[str, Counter[str]] = defaultdict(Counter)
        begun: dict[str, int] = {}
        spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
        rows = zip(look.tolist(), changes["user"], changes["node"], changes["servers"].tolist(), strict=True)
        for at, of_look in groupby(rows, key=itemgetter(0)):
            changed = set()
            for _, user, node, servers in of_look:
                running[user][node] = servers
                changed.add(user)
            for user in changed:  # once all of a look is known: somebody who moved is not at two places
                if running[user].total() >= _AT_ONCE:
                    begun.setdefault(user, at)
                elif user in begun:
                    spans[user].append((begun.pop(user), at))
        for user, at in begun.items():
            spans[user].append((at, self.looks - 1))
        return dict(spans)


def count_duplicated(homes: Mapping[str, tuple[bool | None, float | None]], watched: WatchedServers) -> DuplicatedHomes:
    """`homes`: of each person whether, and for how long."""
    return DuplicatedHomes(
        looks=watched.looks,
        longest_gap_s=watched.longest_gap_s,
        people=sum(bool(one) for one, _ in homes.values()) if watched.looks else None,
        people_unknown=sum(one is None for one, _ in homes.values()),
        longest_s=max((seconds for one, seconds in homes.values() if one and seconds is not None), default=None),
    )
