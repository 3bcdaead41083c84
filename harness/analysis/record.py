"""What analysis starts from: everything a run recorded, read and checked by others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.log_lines import ContainerLog
from harness.core.conclusion import Conclusion
from harness.core.experiment import Experiment
from harness.core.history import History
from harness.core.rows import (
    BalancerView,
    DatabaseWrite,
    HubWrite,
    Operation,
    ProbeSample,
    RowType,
    SavedValue,
    ServersSeen,
)
from harness.core.topology import Topology

__all__ = [
    "RunRecord",
    "balancer_of",
    "database_writes_of",
    "hub_writes_of",
    "operations_of",
    "ordered",
    "probes_of",
    "saved_of",
    "servers_of",
    "typed_probes",
]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A closed run. The frames have the columns of `harness.core.rows.columns`; they may be empty.

    Whoever reads millions of rows gives texts as categories, and leaves out `seq`, which says that rows stand as they
    were written.
    """

    topology: Topology
    experiment: Experiment
    history: History
    operations: pd.DataFrame
    """One row for each `Operation` of a user."""
    probes: pd.DataFrame
    """One row for each `ProbeSample`."""
    database_writes: pd.DataFrame
    """One row for each `DatabaseWrite`; none where the topology has no database."""
    hub_writes: pd.DataFrame
    """One row for each `HubWrite`."""
    saved: pd.DataFrame
    """One row for each `SavedValue` that was read back after the run."""
    balancer: pd.DataFrame
    """One row for each `BalancerView`; none in a topology without a balancer."""
    servers: pd.DataFrame
    """Rows of `ServersSeen`; none where nobody looked, as in runs of earlier versions."""
    logs: Mapping[str, ContainerLog] = field(default_factory=dict)
    """Of each container the lines that may tell of a server's event; none where no logs were kept."""
    run: Mapping[str, Any]
    """`run.json`: versions, machine, seed; shown in reports, never judged."""
    conclusion: Conclusion | None = None
    """What a pytest test expected of what it did; None where no test did it, or it has not ended."""


def operations_of(record: RunRecord, *, with_detail: bool = False) -> pd.DataFrame:
    """The operations with exact types, in the order in which each user sent them; without what nothing is measured
    from. `with_detail`: also why each failed, for whoever shows it."""
    without = frozenset({"due_ns"} if with_detail else {"due_ns", "detail"})
    return _typed(record.operations, Operation, by="user", without=without)


def probes_of(record: RunRecord) -> pd.DataFrame:
    """The probe samples with exact types, in the order in which they were sent."""
    return typed_probes(record.probes)


def typed_probes(frame: pd.DataFrame) -> pd.DataFrame:
    """As `probes_of`, of rows that are not those of a run."""
    return _typed(frame, ProbeSample, by="capability")


def database_writes_of(record: RunRecord) -> pd.DataFrame:
    """The attempts to write into the database with exact types, in the order in which they were sent."""
    return _typed(record.database_writes, DatabaseWrite, by="writer")


def hub_writes_of(record: RunRecord) -> pd.DataFrame:
    """The attempts to have a hub write with exact types, in the order in which they were sent."""
    return _typed(record.hub_writes, HubWrite, by="writer")


def balancer_of(record: RunRecord) -> pd.DataFrame:
    """What the balancers said with exact types, in the order in which each was asked."""
    return _typed(record.balancer, BalancerView, by="balancer")


def saved_of(record: RunRecord) -> pd.DataFrame:
    """The values read back with exact types, in the order in which they were found."""
    return _typed(record.saved, SavedValue, by=None)


def servers_of(record: RunRecord) -> pd.DataFrame:
    """What was seen of the servers on the nodes with exact types, in the order in which it was seen."""
    return _typed(record.servers, ServersSeen, by=None)


def _typed(
    frame: pd.DataFrame, row_type: RowType, *, by: str | None, without: frozenset[str] = frozenset()
) -> pd.DataFrame:
    """The rows as numbers and categories, by `by`, then by send, end and `seq`; without `seq`, which only orders them.

    One column at a time, and texts as categories: ten million rows must not be there twice as objects.
    """
    # a frame without `seq` is numbered as it stands
    seq = frame["seq"].to_numpy(dtype=np.int64) if "seq" in frame.columns else np.arange(len(frame))
    if by is None:
        order = ordered(seq)
    else:
        stamps = (frame[name].to_numpy(dtype=np.int64) for name in ("send_ns", "end_ns"))
        order = ordered(_categories(frame[by]).codes, *stamps, seq)
    typed: dict[str, Any] = {}
    for one in fields(row_type):
        if one.name in without:
            continue
        column: Any = frame[one.name]
        if one.type == "int":
            column = column.to_numpy(dtype=np.int8 if one.name == "ok" else np.int64)
        else:
            column = _categories(column)
        typed[one.name] = column if order is None else column.take(order)
    return pd.DataFrame(typed, copy=False)


def _categories(column: pd.Series[Any]) -> pd.Categorical[Any]:
    """Texts as categories in the order of the alphabet; a CSV reader's NaN is the empty text that was written."""
    if not isinstance(column.dtype, pd.CategoricalDtype) or column.isna().any():
        return pd.Categorical(column.astype("object").fillna("").astype("str"))
    found = column.cat.categories.astype("str")
    codes = column.cat.codes.to_numpy()
    order = found.argsort()
    places = np.empty(len(found), dtype=codes.dtype)
    places[order] = np.arange(len(found))
    return pd.Categorical.from_codes(places.take(codes), categories=found[order])


def ordered(group: npt.NDArray[Any], *keys: npt.NDArray[Any]) -> Ints | None:
    """The rows by group and keys, stable; None where they are in this order.

    Rows are written as they end, and each person does one thing after the other, so sorting by group, which takes
    linear time, is nearly always enough.
    """
    if _rises(group, *keys):
        return None
    order = np.argsort(group, kind="stable")
    if not _rises(group.take(order), *(key.take(order) for key in keys)):
        order = np.lexsort((*reversed(keys), group))
    return order


def _rises(*keys: npt.NDArray[Any]) -> bool:
    """Whether rows are ordered by the first key, those that are equal in it by the second, and so on."""
    if len(keys[0]) < 2:
        return True
    equal = np.ones(len(keys[0]) - 1, dtype=bool)
    for key in keys:
        if (equal & (key[1:] < key[:-1])).any():
            return False
        equal &= key[1:] == key[:-1]
    return True
