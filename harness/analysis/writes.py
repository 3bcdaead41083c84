"""Acknowledged writes against what readers that did not write them found afterwards, in homes, in the database and in
each hub's own database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Facts
from harness.core.clock import to_ns, to_s
from harness.core.words import Capability, Store

__all__ = [
    "StoreWrites",
    "WriteMeasures",
    "Written",
    "acknowledged_numbers",
    "acknowledged_saves",
    "acknowledged_tokens",
    "measure_writes",
]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: Numbers that stand for rows stay below this, so that they fit into 64 bits.
_IDS_AT_MOST = 2**62


@dataclass(frozen=True, kw_only=True)
class StoreWrites:
    """What was written into one store. Numbers of what was found are None where it was not read back."""

    store: Store
    acknowledged: int
    """Writes that were answered as done: saves after their fsync, numbers after their commit, tokens by the hub."""
    acknowledged_before_fault: int
    """Those of the steady state: from when the gate had seen all capabilities good until the first injection (without
    one: until the end of the window)."""
    found: int | None
    """Acknowledged values that are there."""
    lost: int | None
    """Acknowledged values that are missing: each is a broken word."""
    lost_elsewhere: int | None
    """Those of them that lie on another node than the one on which their person looks, or in another hub's database
    than that of the hub that acknowledged them; only where each has its own."""
    first_lost: str | None
    """The first of them, by the time of its acknowledgement."""
    first_lost_ns: int | None
    """That time."""
    recovery_point_s: float | None
    """The age of the oldest write of a loss when it was lost; of several losses the longest. None where none was lost.

    A loss is a run of lost writes of one writer without a found one between. It happened with the first injection of a
    fault after its last write was acknowledged, if that was before the next write that was found; otherwise while it
    went on, and its age is counted to its last write.
    """
    duplicated: int | None
    """Values that are at one place more than once, counted beyond the first: a retry that had succeeded before."""
    first_duplicated: str | None
    """The first of them, in the order in which they were found."""
    reordered: int | None
    """Acknowledged values that stand after one that was written later; None for the database: a table has no order."""
    first_reordered: str | None
    """The first of them, in the order in which they were found."""
    unacknowledged_present: int | None
    """Values that are there although nobody was told: allowed, but worth knowing."""
    longest_gap_s: float | None
    """Longest time in the window without an acknowledgement, of several writers the longest; None where nothing was
    tried, and for homes, which people write to in a rhythm of their own."""

    @property
    def lost_of(self) -> str:
        """How many were lost of how many, and where; only of what was read back."""
        elsewhere = f" ({self.lost_elsewhere} of them on another node)" if self.lost_elsewhere else ""
        return f"{self.lost} of {self.acknowledged} {self.store.where}{elsewhere}"


@dataclass(frozen=True, kw_only=True)
class WriteMeasures:
    """All stores of the topology."""

    read_back: bool
    """Whether they were read after the run; without that nothing is known about what was lost."""
    stores: tuple[StoreWrites, ...]
    acknowledged: int
    """Sum over the stores."""
    lost: int | None
    """Sum over the stores; None where they were not read back."""
    first_lost: str | None
    """The first of all lost writes, by the time of its acknowledgement."""
    recovery_point_s: float | None
    """The longest over the stores; None where none was lost."""

    def of(self, store: Store) -> StoreWrites | None:
        """One store; None where the topology has none."""
        return next((one for one in self.stores if one.store is store), None)

    @property
    def lost_of(self) -> str:
        """How many were lost of how many in each store; only of what was read back."""
        return ", ".join(one.lost_of for one in self.stores)


@dataclass(frozen=True)
class Written:
    """What instruments wrote into one store."""

    tried: pd.DataFrame
    """Every attempt; `writer` is used."""
    acknowledged: pd.DataFrame
    """From `acknowledged_numbers` or `acknowledged_tokens`."""


def acknowledged_saves(operations: pd.DataFrame, saved: pd.DataFrame, *, shared_homes: bool) -> pd.DataFrame:
    """Acknowledged saves, one row for each user and value: user, session, value, end_ns, present, elsewhere.

    Where each node has homes of its own a save is present only where its person looks: on the node that served them
    last. What lies on another node alone is `elsewhere`.
    """
    good = (operations["capability"] == Capability.SAVE.value) & (operations["ok"] == 1)
    acked = operations.loc[good, ["user", "session", "end_ns", "expected", "found"]]
    acked["value"] = acked["found"].where(acked["found"] >= 0, acked["expected"])
    acked = acked.drop(columns=["expected", "found"])
    homes = saved.loc[saved["store"] == Store.HOME.value, ["user", "value", "place"]]
    if shared_homes:
        return _looked_up(acked, homes, homes)
    here = homes["place"].astype("str") == homes["user"].astype("str").map(_last_nodes(operations))
    return _looked_up(acked, homes[here], homes)


def acknowledged_numbers(writes: pd.DataFrame, saved: pd.DataFrame) -> pd.DataFrame:
    """Acknowledged numbers in the database, with the columns of `acknowledged_saves`; `user` is the writer."""
    rows = writes[writes["ok"] == 1]
    acked = rows[["value", "end_ns"]].assign(user=rows["writer"], session="")
    there = saved[saved["store"] == Store.DATABASE.value]
    return _looked_up(acked, there, there)


def acknowledged_tokens(writes: pd.DataFrame, saved: pd.DataFrame, *, shared: bool) -> pd.DataFrame:
    """Acknowledged numbers in the hubs' own databases, with the columns of `acknowledged_saves`; `user` is the writer.

    Where each hub has a database of its own, not `shared` by all, a number is present only in that of the node whose
    hub acknowledged it.
    """
    rows = writes[writes["ok"] == 1]
    acked = rows[["value", "end_ns"]].assign(user=rows["writer"], session="")
    there = saved[saved["store"] == Store.HUB.value]
    if shared:
        return _looked_up(acked, there, there)
    told, found = _numbered((acked.assign(place=rows["node"]), there), "place", "user", "value")
    return _looked_up(acked, there[np.isin(found, told)], there)


def _last_nodes(operations: pd.DataFrame) -> pd.Series:
    """User -> the node of their last good operation."""
    served = operations.loc[(operations["ok"] == 1) & (operations["node"] != ""), ["user", "end_ns", "node"]]
    last = served.sort_values("end_ns", kind="stable").drop_duplicates("user", keep="last")
    return last.astype({"user": "str", "node": "str"}).set_index("user")["node"]


def measure_writes(
    saves: pd.DataFrame,
    written: Mapping[Store, Written],
    saved: pd.DataFrame,
    facts: Facts,
    steady_state_s: float,
) -> WriteMeasures:
    """Compare `saves` (from `acknowledged_saves`), and what was `written` into the other stores that the topology has,
    with the values read back."""
    stores = [_measure(Store.HOME, saves, saved, facts, steady_state_s, longest_gap_s=None)]
    for store, one in written.items():
        gap_s = _longest_gap_s(one, facts)
        stores.append(_measure(store, one.acknowledged, saved, facts, steady_state_s, longest_gap_s=gap_s))
    read_back = facts.readback_rows is not None
    firsts = [(one.first_lost_ns, one.first_lost) for one in stores if one.first_lost_ns is not None]
    return WriteMeasures(
        read_back=read_back,
        stores=tuple(stores),
        acknowledged=sum(one.acknowledged for one in stores),
        lost=sum(one.lost or 0 for one in stores) if read_back else None,
        first_lost=min(firsts)[1] if firsts else None,
        recovery_point_s=max((s.recovery_point_s for s in stores if s.recovery_point_s is not None), default=None),
    )


def _looked_up(acked: pd.DataFrame, own: pd.DataFrame, anywhere: pd.DataFrame) -> pd.DataFrame:
    """Each acknowledged value once, as it was acknowledged first, in the order of acknowledgements."""
    acked = acked.sort_values("end_ns", kind="stable")
    wanted, *there = _numbered((acked, own, anywhere), "user", "value")
    fresh = ~pd.Series(wanted).duplicated().to_numpy()
    acked, wanted = acked[fresh], wanted[fresh]
    present, known = (np.isin(wanted, ids) for ids in there)
    return acked.assign(present=present, elsewhere=known & ~present)


def _numbered(frames: Sequence[pd.DataFrame], *names: str) -> list[Ints]:
    """A number for each row of each frame: the same number exactly where rows are equal in these columns."""
    ids: list[Ints] = [np.zeros(len(frame), dtype=np.int64) for frame in frames]
    room = 1
    for name in names:
        ranks, size = _ranks([frame[name] for frame in frames])
        if room * size > _IDS_AT_MOST:
            packed = np.unique(np.concatenate(ids))
            ids, room = [np.searchsorted(packed, some) for some in ids], len(packed)
        ids, room = [some * size + rank for some, rank in zip(ids, ranks, strict=True)], room * size
    return ids


def _ranks(columns: Sequence[pd.Series]) -> tuple[list[Ints], int]:
    """A number from 0 for each text or value, the same in all columns, and how many numbers there may be."""
    if isinstance(columns[0].dtype, pd.CategoricalDtype):
        words = pd.Index(sorted({word for column in columns for word in column.cat.categories}), dtype="object")
        places = [words.get_indexer(column.cat.categories.astype("object")) for column in columns]
        codes = [column.cat.codes.to_numpy() for column in columns]
        return [place.take(code).astype(np.int64) for place, code in zip(places, codes, strict=True)], len(words) + 1
    values: list[Ints] = [column.to_numpy(dtype=np.int64) for column in columns]
    distinct = np.unique(np.concatenate(values))
    return [np.searchsorted(distinct, some) for some in values], len(distinct) + 1


def _measure(
    store: Store,
    acked: pd.DataFrame,
    saved: pd.DataFrame,
    facts: Facts,
    steady_state_s: float,
    *,
    longest_gap_s: float | None,
) -> StoreWrites:
    early = _before_fault(acked["end_ns"].to_numpy(dtype=np.int64), facts, steady_state_s)
    if facts.readback_rows is None:
        return StoreWrites(
            store=store,
            acknowledged=len(acked),
            acknowledged_before_fault=early,
            found=None,
            lost=None,
            lost_elsewhere=None,
            first_lost=None,
            first_lost_ns=None,
            recovery_point_s=None,
            duplicated=None,
            first_duplicated=None,
            reordered=None,
            first_reordered=None,
            unacknowledged_present=None,
            longest_gap_s=longest_gap_s,
        )
    there = saved[saved["store"] == store.value]
    lost = acked[~acked["present"].to_numpy(dtype=bool)]
    told, found = _numbered((acked, there), "user", "value")
    again = pd.Series(_numbered((there,), "place", "user", "value")[0]).duplicated().to_numpy()
    known = np.isin(found, told)
    late = None if store is Store.DATABASE else _late(there, known)
    return StoreWrites(
        store=store,
        acknowledged=len(acked),
        acknowledged_before_fault=early,
        found=len(acked) - len(lost),
        lost=len(lost),
        lost_elsewhere=int(lost["elsewhere"].sum()),
        first_lost=_lost_name(store, lost.iloc[0]) if len(lost) else None,
        first_lost_ns=int(lost.iloc[0]["end_ns"]) if len(lost) else None,
        recovery_point_s=_recovery_point_s(acked, facts),
        duplicated=int(again.sum()),
        first_duplicated=_name(store, there.iloc[int(again.argmax())]) if again.any() else None,
        reordered=None if late is None else len(late),
        first_reordered=f"{_name(store, there.iloc[late[0][0]])}, after value {late[0][1]}" if late else None,
        unacknowledged_present=len(np.unique(found[~known])),
        longest_gap_s=longest_gap_s,
    )


def _late(there: pd.DataFrame, told: Flags) -> list[tuple[int, int]]:
    """Row and the largest value before it, for each acknowledged value that stands after a larger one of its user.

    A writer's numbers grow, and each is used once and only after the one before was answered or given up. So of two in
    the wrong order the smaller was acknowledged before the larger was sent. Of a value that is there twice the first
    one counts.
    """
    value: Ints = there["value"].to_numpy()
    (log,) = _numbered((there,), "place", "user")
    rows = np.argsort(log, kind="stable")
    rows = rows[~pd.DataFrame({"log": log[rows], "value": value[rows]}).duplicated().to_numpy()]
    distinct, rank = np.unique(value[rows], return_inverse=True)
    begin = log[rows] * len(distinct)  # logs follow each other on one line
    largest = np.maximum.accumulate(begin + rank)
    late = np.flatnonzero((begin + rank < largest) & told[rows])
    found = zip(rows[late].tolist(), distinct[largest[late] - begin[late]].tolist(), strict=True)
    return sorted(found)


def _recovery_point_s(acked: pd.DataFrame, facts: Facts) -> float | None:
    """See `StoreWrites.recovery_point_s`; `acked` in the order of acknowledgements."""
    if acked["present"].all():
        return None
    rows = acked.sort_values("user", kind="stable")
    writer, end, lost = rows["user"].cat.codes.to_numpy(), rows["end_ns"].to_numpy(), ~rows["present"].to_numpy()
    same = writer[1:] == writer[:-1]
    begins = np.flatnonzero(lost & ~np.append(False, same & lost[:-1]))
    lasts = np.flatnonzero(lost & ~np.append(same & lost[1:], False))
    never = np.iinfo(np.int64).max
    back = np.where(np.append(same, False)[lasts], np.append(end[1:], never)[lasts], never)
    injections = sorted(f.inject_before_ns for f in facts.faults if f.inject_before_ns is not None)
    following = np.array([*injections, never], dtype=np.int64)
    injected = following[np.searchsorted(following[:-1], end[lasts])]
    lost_at = np.where((injected < back) & (injected < never), injected, end[lasts])
    return to_s(int((lost_at - end[begins]).max()))


def _name(store: Store, row: pd.Series[Any]) -> str:
    return f"value {row['value']} of {row['user']} {store.where}"


def _lost_name(store: Store, row: pd.Series[Any]) -> str:
    if store is Store.HOME:
        return f"value {row['value']} of {row['user']} (session {row['session'] or 'unknown'})"
    return _name(store, row)


def _before_fault(end_ns: Ints, facts: Facts, steady_state_s: float) -> int:
    if facts.window is None:
        return 0
    until_ns = facts.window.end_ns if facts.first_inject_ns is None else facts.first_inject_ns
    since_ns = facts.window.start_ns - to_ns(steady_state_s)
    return int(((end_ns >= since_ns) & (end_ns <= until_ns)).sum())


def _longest_gap_s(written: Written, facts: Facts) -> float | None:
    """The edges of the window count as acknowledgements, so that a database that did not come back shows."""
    if facts.window is None or written.tried.empty:
        return None
    start_ns, stop_ns = facts.window.start_ns, facts.window.end_ns
    writer, end_ns = (written.acknowledged[name].to_numpy() for name in ("user", "end_ns"))
    longest_ns = 0
    for name in written.tried["writer"].unique():
        inside = np.sort(end_ns[(writer == name) & (end_ns >= start_ns) & (end_ns <= stop_ns)])
        longest_ns = max(longest_ns, int(np.diff(np.concatenate(([start_ns], inside, [stop_ns]))).max()))
    return to_s(longest_ns)
