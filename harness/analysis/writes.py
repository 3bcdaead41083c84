"""Acknowledged writes against what readers that did not write them found afterwards, in homes and in the database."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Facts
from harness.core.clock import to_ns, to_s
from harness.core.words import Capability, Store

__all__ = ["StoreWrites", "WriteMeasures", "acknowledged_numbers", "acknowledged_saves", "measure_writes"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class StoreWrites:
    """What was written into one store. Numbers of what was found are None where it was not read back."""

    store: Store
    acknowledged: int
    """Writes that were answered as done: saves after their fsync, numbers after their commit."""
    acknowledged_before_fault: int
    """Those of the steady state: from when the gate had seen all capabilities good until the first injection (without
    one: until the end of the window)."""
    found: int | None
    """Acknowledged values that are there."""
    lost: int | None
    """Acknowledged values that are missing: each is a broken word."""
    lost_elsewhere: int | None
    """Those of them that lie on another node than the one on which their person looks; only where each node has homes
    of its own."""
    first_lost: str | None
    """The first of them, by the time of its acknowledgement."""
    first_lost_ns: int | None
    """That time."""
    duplicated: int | None
    """Values that are at one place more than once, counted beyond the first: a retry that had succeeded before."""
    unacknowledged_present: int | None
    """Values that are there although nobody was told: allowed, but worth knowing."""
    longest_gap_s: float | None
    """Longest time in the window without an acknowledgement; None where nothing was tried, and for homes, which people
    write to in a rhythm of their own."""

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

    def of(self, store: Store) -> StoreWrites | None:
        """One store; None where the topology has none."""
        return next((one for one in self.stores if one.store is store), None)

    @property
    def lost_of(self) -> str:
        """How many were lost of how many in each store; only of what was read back."""
        return ", ".join(one.lost_of for one in self.stores)


def acknowledged_saves(operations: pd.DataFrame, saved: pd.DataFrame, *, shared_homes: bool) -> pd.DataFrame:
    """Acknowledged saves, one row for each user and value: user, session, value, end_ns, present, elsewhere.

    Where each node has homes of its own a save is present only where its person looks: on the node that served them
    last. What lies on another node alone is `elsewhere`.
    """
    rows = operations[(operations["capability"] == Capability.SAVE.value) & (operations["ok"] == 1)]
    values = rows["found"].where(rows["found"] >= 0, rows["expected"])
    acked = rows[["user", "session", "end_ns"]].assign(value=values)
    homes = saved[saved["store"] == Store.HOME.value]
    own = homes if shared_homes else homes[homes["place"] == homes["user"].map(_last_nodes(operations))]
    return _looked_up(acked, own, homes)


def acknowledged_numbers(writes: pd.DataFrame, saved: pd.DataFrame) -> pd.DataFrame:
    """Acknowledged numbers in the database, with the columns of `acknowledged_saves`; `user` is the writer."""
    rows = writes[writes["ok"] == 1]
    acked = rows[["value", "end_ns"]].assign(user=rows["writer"], session="")
    there = saved[saved["store"] == Store.DATABASE.value]
    return _looked_up(acked, there, there)


def _last_nodes(operations: pd.DataFrame) -> pd.Series:
    """User -> the node of their last good operation."""
    served = operations[(operations["ok"] == 1) & (operations["node"] != "")]
    return served.sort_values(["end_ns", "send_ns", "seq"], kind="stable").groupby("user")["node"].last()


def measure_writes(
    saves: pd.DataFrame,
    numbers: pd.DataFrame | None,
    saved: pd.DataFrame,
    facts: Facts,
    steady_state_s: float,
    *,
    tried: int,
) -> WriteMeasures:
    """Compare `saves` (from `acknowledged_saves`) and `numbers` (from `acknowledged_numbers`; None where the topology
    has no database) with the values read back. `tried` is how many numbers were tried to write."""
    stores = [_measure(Store.HOME, saves, saved, facts, steady_state_s, longest_gap_s=None)]
    if numbers is not None:
        gap_s = _longest_gap_s(numbers["end_ns"].to_numpy(dtype=np.int64), facts) if tried else None
        stores.append(_measure(Store.DATABASE, numbers, saved, facts, steady_state_s, longest_gap_s=gap_s))
    read_back = facts.readback_rows is not None
    firsts = [(one.first_lost_ns, one.first_lost) for one in stores if one.first_lost_ns is not None]
    return WriteMeasures(
        read_back=read_back,
        stores=tuple(stores),
        acknowledged=sum(one.acknowledged for one in stores),
        lost=sum(one.lost or 0 for one in stores) if read_back else None,
        first_lost=min(firsts)[1] if firsts else None,
    )


def _looked_up(acked: pd.DataFrame, own: pd.DataFrame, anywhere: pd.DataFrame) -> pd.DataFrame:
    acked = acked.sort_values(["end_ns", "user", "value"]).drop_duplicates(["user", "value"])
    wanted = pd.MultiIndex.from_frame(acked[["user", "value"]])
    present, known = (wanted.isin(pd.MultiIndex.from_frame(there[["user", "value"]])) for there in (own, anywhere))
    return acked.assign(present=present, elsewhere=known & ~present)


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
            duplicated=None,
            unacknowledged_present=None,
            longest_gap_s=longest_gap_s,
        )
    there = saved[saved["store"] == store.value]
    lost = acked[~acked["present"].to_numpy(dtype=bool)]
    distinct = there.drop_duplicates(["user", "value"])
    told = pd.MultiIndex.from_frame(acked[["user", "value"]])
    unknown = ~pd.MultiIndex.from_frame(distinct[["user", "value"]]).isin(told)
    return StoreWrites(
        store=store,
        acknowledged=len(acked),
        acknowledged_before_fault=early,
        found=len(acked) - len(lost),
        lost=len(lost),
        lost_elsewhere=int(lost["elsewhere"].sum()),
        first_lost=_named(store, lost.iloc[0]) if len(lost) else None,
        first_lost_ns=int(lost.iloc[0]["end_ns"]) if len(lost) else None,
        duplicated=int(there.duplicated(["place", "user", "value"]).sum()),
        unacknowledged_present=int(unknown.sum()),
        longest_gap_s=longest_gap_s,
    )


def _named(store: Store, row: pd.Series) -> str:
    if store is Store.HOME:
        return f"value {row['value']} of {row['user']} (session {row['session'] or 'unknown'})"
    return f"value {row['value']} of {row['user']} {store.where}"


def _before_fault(end_ns: Ints, facts: Facts, steady_state_s: float) -> int:
    if facts.window is None:
        return 0
    until_ns = facts.window.end_ns if facts.first_inject_ns is None else facts.first_inject_ns
    since_ns = facts.window.start_ns - to_ns(steady_state_s)
    return int(((end_ns >= since_ns) & (end_ns <= until_ns)).sum())


def _longest_gap_s(end_ns: Ints, facts: Facts) -> float | None:
    """The edges of the window count as acknowledgements, so that a database that did not come back shows."""
    if facts.window is None:
        return None
    start_ns, stop_ns = facts.window.start_ns, facts.window.end_ns
    inside = np.sort(end_ns[(end_ns >= start_ns) & (end_ns <= stop_ns)])
    return to_s(int(np.diff(np.concatenate(([start_ns], inside, [stop_ns]))).max()))
