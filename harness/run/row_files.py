"""Reads a run's files of rows, and refuses what can't be what the run recorded, naming the file and the row.

Analysis would make a number of anything. A clock that jumped, rows of two runs in one file, rows that are missing: each
would be a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.clock import to_ns, to_s
from harness.core.history import EventKind, History
from harness.core.rows import (
    BalancerView,
    DatabaseWrite,
    HubWrite,
    Operation,
    ProbeSample,
    RowType,
    ServersSeen,
    columns,
)
from harness.errors import RecordError, RecordOfOtherVersion

__all__ = ["Span", "check_rows", "read_rows", "span_of"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Who does one thing after the other: a row of theirs is sent when the one before it has ended. A balancer's answer is
#: a row for each server, so for them it is when the one before it was sent; so is a look at the nodes. Probes wait for
#: nobody.
_ONE_AFTER_THE_OTHER: Mapping[RowType, tuple[str, str]] = {
    Operation: ("user", "end_ns"),
    DatabaseWrite: ("writer", "end_ns"),
    HubWrite: ("writer", "end_ns"),
    BalancerView: ("balancer", "send_ns"),
    ServersSeen: ("node", "send_ns"),
}
#: Client, agent and harness read one kernel's clock; from a remote engine the offset is known to within a round trip.
_CLOCKS_AGREE_WITHIN_S = 0.5


@dataclass(frozen=True)
class Span:
    """The time in which a run's rows were recorded, on the engine host's clock."""

    start_ns: int
    end_ns: int


def span_of(history: History) -> Span:
    """From when the clocks were compared (what comes before may be on another one) until the history was closed."""
    compared = history.of(EventKind.CLOCK) or history.events[:1]
    return Span(compared[0].t_ns, history.events[-1].t_ns)


def read_rows(path: Path, row_type: RowType) -> pd.DataFrame:
    """The rows, column by column and without `seq`, texts as categories, so that ten million fit.

    Raises `RecordError` if the file can't be read, has other columns, or its rows are not numbered from 0 on.
    """
    texts = [name for name in columns(row_type) if name not in _integers(row_type)]
    try:
        found = pq.read_schema(path).names
        if found != columns(row_type):
            raise RecordOfOtherVersion(
                f"{path}: columns {found}, expected {columns(row_type)}", hint="written by another version"
            )
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            seq = _column(path, file, "seq", whole=True)
            bad = seq != np.arange(len(seq))
            _refuse(path, bad, lambda row: f"it is number {seq[row]}: rows are missing or out of order")
            typed = {name: _column(path, file, name, whole=name not in texts) for name in found if name != "seq"}
    except (OSError, pa.ArrowException) as error:
        raise RecordError(f"{path}: can't be read: {error}") from error
    return pd.DataFrame(typed, copy=False)


def check_rows(path: Path, row_type: RowType, frame: pd.DataFrame, span: Span) -> None:
    """Raises `RecordError` for the first row whose stamps can't be true.

    It ended before it was sent, lies outside the run, or was sent before what the same person did before had ended.
    """
    if row_type not in (*_ONE_AFTER_THE_OTHER, ProbeSample):
        return
    send, end = (frame[name].to_numpy() for name in ("send_ns", "end_ns"))
    _refuse(path, end < send, lambda row: f"it ended {_s(send[row] - end[row])} before it was sent")
    slack_ns = to_ns(_CLOCKS_AGREE_WITHIN_S)
    early_ns, late_ns = span.start_ns - slack_ns, span.end_ns + slack_ns
    _refuse(path, send < early_ns, lambda row: f"it was sent {_s(span.start_ns - send[row])} before the run began")
    _refuse(path, end > late_ns, lambda row: f"it ended {_s(end[row] - span.end_ns)} after the run had ended")
    if row_type in _ONE_AFTER_THE_OTHER:
        who, free = _ONE_AFTER_THE_OTHER[row_type]
        codes, free_ns = frame[who].cat.codes.to_numpy(), frame[free].to_numpy()
        order = np.argsort(codes, kind="stable")
        before, after = order[:-1], order[1:]
        bad = np.zeros(len(frame), dtype=bool)
        bad[after[(codes[after] == codes[before]) & (send[after] < free_ns[before])]] = True
        _refuse(path, bad, lambda row: f"{frame[who].iloc[row] or 'somebody'} sent it before their last one had ended")


def _column(path: Path, file: pq.ParquetFile, name: str, *, whole: bool) -> Any:
    """One column: whole numbers, of which `ok` needs no 64 bits, or categories."""
    column = file.read(columns=[name]).column(0).to_pandas()
    if not whole:
        return column
    if column.dtype != np.int64:
        raise RecordError(f"{path}: column {name} is of type {column.dtype}, expected whole numbers")
    return column.to_numpy(dtype=np.int8 if name == "ok" else np.int64)


def _integers(row_type: RowType) -> list[str]:
    return ["seq", *(field.name for field in fields(row_type) if field.type == "int")]


def _s(nanoseconds: int) -> str:
    return f"{to_s(int(nanoseconds)):.3f} s"


def _refuse(path: Path, bad: Flags, why: Callable[[int], str]) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise RecordError(
            f"{path}: row {row}: {why(row)} ({int(bad.sum())} such rows)",
            hint="the clock jumped, or rows of another run are among them; nothing can be concluded from this run",
        )
