"""Acknowledged writes against what a reader that did not write them found afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.core.words import Capability

__all__ = ["WriteMeasures", "acknowledged_saves", "measure_writes"]


@dataclass(frozen=True, kw_only=True)
class WriteMeasures:
    """Values saved in the users' homes."""

    acknowledged: int
    """Saves that were answered as done, after their fsync."""
    read_back: bool
    """Whether the homes were read after the run; without that nothing is known and the numbers below are None."""
    found: int | None
    """Acknowledged values that are there."""
    lost: int | None
    """Acknowledged values that are missing: each is a broken word."""
    first_lost: str | None
    """The first of them, by the time of its acknowledgement."""
    duplicated: int | None
    """Values that are there more than once, counted beyond the first: a retry that had succeeded before."""
    unacknowledged_present: int | None
    """Values that are there although nobody was told: allowed, but worth knowing."""


def acknowledged_saves(operations: pd.DataFrame, saved: pd.DataFrame) -> pd.DataFrame:
    """Acknowledged saves, one row for each user and value: user, session, value, end_ns, present."""
    rows = operations[(operations["capability"] == Capability.SAVE.value) & (operations["ok"] == 1)]
    values = rows["found"].where(rows["found"] >= 0, rows["expected"])
    acked = rows[["user", "session", "end_ns"]].assign(value=values).sort_values(["end_ns", "user", "value"])
    acked = acked.drop_duplicates(["user", "value"])
    there = pd.MultiIndex.from_frame(saved[["user", "value"]])
    return acked.assign(present=pd.MultiIndex.from_frame(acked[["user", "value"]]).isin(there))


def measure_writes(acked: pd.DataFrame, saved: pd.DataFrame, *, read_back: bool) -> WriteMeasures:
    """Compare `acked` (from `acknowledged_saves`) with the values read back."""
    if not read_back:
        return WriteMeasures(
            acknowledged=len(acked),
            read_back=False,
            found=None,
            lost=None,
            first_lost=None,
            duplicated=None,
            unacknowledged_present=None,
        )
    lost = acked[~acked["present"].to_numpy(dtype=bool)]
    distinct = saved.drop_duplicates(["user", "value"])
    told = pd.MultiIndex.from_frame(acked[["user", "value"]])
    unknown = ~pd.MultiIndex.from_frame(distinct[["user", "value"]]).isin(told)
    first = None
    if len(lost):
        row = lost.iloc[0]
        first = f"value {row['value']} of {row['user']} (session {row['session'] or 'unknown'})"
    return WriteMeasures(
        acknowledged=len(acked),
        read_back=True,
        found=len(acked) - len(lost),
        lost=len(lost),
        first_lost=first,
        duplicated=len(saved) - len(distinct),
        unacknowledged_present=int(unknown.sum()),
    )
