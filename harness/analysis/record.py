"""What analysis starts from: everything a run recorded, read and checked by others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

from harness.core.experiment import Experiment
from harness.core.history import History
from harness.core.rows import BalancerView, DatabaseWrite, Operation, ProbeSample, RowType, SavedValue
from harness.core.topology import Topology

__all__ = [
    "RunRecord",
    "balancer_of",
    "database_writes_of",
    "operations_of",
    "probes_of",
    "saved_of",
    "typed_probes",
]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A closed run. The frames have the columns of `harness.core.rows.columns`; they may be empty."""

    topology: Topology
    experiment: Experiment
    history: History
    operations: pd.DataFrame
    """One row for each `Operation` of a user."""
    probes: pd.DataFrame
    """One row for each `ProbeSample`."""
    database_writes: pd.DataFrame
    """One row for each `DatabaseWrite`; none where the topology has no database."""
    saved: pd.DataFrame
    """One row for each `SavedValue` that was read back after the run."""
    balancer: pd.DataFrame
    """One row for each `BalancerView`; none in a topology without a balancer."""
    run: Mapping[str, Any]
    """`run.json`: versions, machine, seed; shown in reports, never judged."""


def operations_of(record: RunRecord) -> pd.DataFrame:
    """The operations with exact types, in the order in which each user sent them."""
    return _typed(record.operations, Operation).sort_values(
        ["user", "send_ns", "end_ns", "seq"], kind="stable", ignore_index=True
    )


def probes_of(record: RunRecord) -> pd.DataFrame:
    """The probe samples with exact types, in the order in which they were sent."""
    return typed_probes(record.probes)


def typed_probes(frame: pd.DataFrame) -> pd.DataFrame:
    """As `probes_of`, of rows that are not those of a run."""
    return _typed(frame, ProbeSample).sort_values(
        ["capability", "send_ns", "end_ns", "seq"], kind="stable", ignore_index=True
    )


def database_writes_of(record: RunRecord) -> pd.DataFrame:
    """The attempts to write into the database with exact types, in the order in which they were sent."""
    return _typed(record.database_writes, DatabaseWrite).sort_values(
        ["writer", "send_ns", "end_ns", "seq"], kind="stable", ignore_index=True
    )


def balancer_of(record: RunRecord) -> pd.DataFrame:
    """What the balancers said with exact types, in the order in which each was asked."""
    return _typed(record.balancer, BalancerView).sort_values(
        ["balancer", "send_ns", "end_ns", "seq"], kind="stable", ignore_index=True
    )


def saved_of(record: RunRecord) -> pd.DataFrame:
    """The values read back with exact types."""
    return _typed(record.saved, SavedValue).sort_values(
        ["store", "user", "value", "seq"], kind="stable", ignore_index=True
    )


def _typed(frame: pd.DataFrame, row_type: RowType) -> pd.DataFrame:
    # A CSV reader turns an empty text into NaN and an empty file into object columns: both are undone here, once.
    # `seq` only breaks ties, so a frame without it is numbered as it stands.
    if "seq" not in frame.columns:
        frame = frame.assign(seq=range(len(frame)))
    kinds = {"seq": "int", **{field.name: field.type for field in fields(row_type)}}
    typed: dict[str, Any] = {}
    for name, kind in kinds.items():
        column = frame[name]
        if kind == "int":
            typed[name] = column.astype("int64")
        else:
            typed[name] = column.astype("object").fillna("").astype("str")
    return pd.DataFrame(typed)
