"""Raw measurements as CSV files that can't lose a row unnoticed.

The client writes them, the recorder checks them. Every row has a sequence number; the last line is
`#end,<rows>,<sha256 of everything before it>`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Generic, TypeVar

from harness.core.words import Store
from harness.errors import RecordError

__all__ = [
    "END_MARK",
    "UNREACHABLE",
    "BalancerView",
    "DatabaseWrite",
    "HubWrite",
    "Operation",
    "ProbeSample",
    "RowType",
    "RowWriter",
    "SavedValue",
    "ServersSeen",
    "columns",
    "split_checked",
    "values_of",
]

END_MARK = "#end"
#: `BalancerView.status` where the balancer did not answer.
UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Operation:
    """One operation of one user, as the user saw it. Times: engine host's monotonic nanoseconds."""

    user: str
    session: str
    """Identifies the session the user started; it stays the same over a restart of its kernel. Who ended one and comes
    back has another."""
    capability: str
    """Or `LEAVE`, the last row of a session that its owner ended."""
    due_ns: int
    send_ns: int
    end_ns: int
    ok: int
    """1: answered correctly within the deadline. 0: failed; `detail` says how."""
    node: str
    """The node that served the answer, or the last one known."""
    kernel: str
    rung: str
    """Empty, or the rung of the recovery ladder this operation was."""
    expected: int
    """work: the counter the kernel's memory should hold; save: the number written. -1 where there is none."""
    found: int
    """work: the counter the kernel answered; save: the number acknowledged. -1 where there is none."""
    detail: str


@dataclass(frozen=True)
class ProbeSample:
    """One open-loop probe of one capability."""

    capability: str
    due_ns: int
    """Its place on the absolute grid."""
    send_ns: int
    end_ns: int
    ok: int
    node: str
    detail: str
    via: str
    """Which instrument sent it: the keeper's number for what needs a session; else the entrance's number where
    people have several, and empty where they have one. Each value is a series of its own."""


@dataclass(frozen=True)
class DatabaseWrite:
    """One attempt to write a number into the database. Each number is used once, whatever came of it."""

    writer: str
    """Whose numbers these are: several experiments on one deployment write into one table."""
    value: int
    due_ns: int
    """Its place on the absolute grid; after a failure the moment of the next try."""
    send_ns: int
    end_ns: int
    ok: int
    """1: the server acknowledged the commit. 0: it did not, which says nothing about whether the number is there."""
    server: str
    """Address of the server that the connection led to; empty where there was no connection."""
    detail: str


@dataclass(frozen=True)
class HubWrite:
    """One attempt to have a hub write a number into its own database. Each number is used once, whatever came of it."""

    writer: str
    """Whose numbers these are; each place where people come in has a writer of its own."""
    value: int
    due_ns: int
    """Its place on the absolute grid."""
    send_ns: int
    end_ns: int
    ok: int
    """1: the hub answered that it is done. 0: it did not, which says nothing about whether the number is there."""
    node: str
    """The node whose hub answered, or the last one known."""
    detail: str


@dataclass(frozen=True)
class SavedValue:
    """One value found after the run by a reader that did not write it."""

    user: str
    """Whose home, or whose number in a database."""
    value: int
    store: str = Store.HOME.value
    """One of `Store`."""
    place: str = ""
    """The container in which it was found: the server of the homes, a node with a disk of its own, the primary. Where
    each hub has a database of its own, the node of that hub, wherever the database is."""


@dataclass(frozen=True)
class BalancerView:
    """What a load balancer said about one server at one moment; one answer gives a row for each server.

    Times: engine host's monotonic nanoseconds.
    """

    send_ns: int
    end_ns: int
    balancer: str
    backend: str
    """Empty where the balancer did not answer."""
    server: str
    """Empty where the balancer did not answer."""
    status: str
    """The balancer's own word (UP, DOWN, MAINT, DRAIN, "no check"; "UP 1/2" while checks fail), or `UNREACHABLE`."""
    check: str
    """What its last check found (L7OK/200), or why there was no answer."""


@dataclass(frozen=True)
class ServersSeen:
    """What one look at the processes of all nodes showed: one row for the look itself, and one for each person and node
    of whom another number of servers was there than at the look before.

    Times: engine host's monotonic nanoseconds; all rows of one look have the same.
    """

    send_ns: int
    """When the look began."""
    end_ns: int
    """When it was over."""
    node: str
    """Empty in the row of the look itself."""
    user: str
    """Whose single-user servers; empty in the row of the look itself."""
    servers: int
    """How many run from this look on, on a node that is frozen too; in the row of the look itself those of everybody on
    all nodes."""


Row = TypeVar("Row", Operation, ProbeSample, DatabaseWrite, HubWrite, SavedValue, BalancerView, ServersSeen)
RowType = (
    type[Operation]
    | type[ProbeSample]
    | type[DatabaseWrite]
    | type[HubWrite]
    | type[SavedValue]
    | type[BalancerView]
    | type[ServersSeen]
)


def columns(row_type: RowType) -> list[str]:
    """`seq` and the row's fields, in the order of the file."""
    return ["seq", *(field.name for field in fields(row_type))]


def values_of(row_type: RowType) -> Callable[[object], tuple[object, ...]]:
    """Takes the values out of a row, in the order of the file.

    Not `dataclasses.astuple`, which copies each of them deeply: 13 µs a row instead of 0.2.
    """
    return attrgetter(*(field.name for field in fields(row_type)))


class RowWriter(Generic[Row]):
    """Writes rows of one type to a file, line by line; `close` writes the end mark."""

    def __init__(self, path: Path, row_type: type[Row]) -> None:
        self._file = path.open("x", encoding="utf-8", newline="")
        self._digest = hashlib.sha256()
        self._values = values_of(row_type)
        self.rows = 0
        self._emit(columns(row_type))

    def write(self, row: Row) -> None:
        self._emit([self.rows, *self._values(row)])
        self.rows += 1

    def close(self) -> None:
        """Write the end mark; a second call does nothing."""
        if not self._file.closed:
            self._file.write(f"{END_MARK},{self.rows},{self._digest.hexdigest()}\n")
            self._file.close()

    def _emit(self, values: Sequence[object]) -> None:
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerow(values)
        line = buffer.getvalue()
        self._digest.update(line.encode())
        self._file.write(line)


def split_checked(data: bytes, row_type: RowType, source: str) -> tuple[bytes, int]:
    """The CSV (with its header, without the end mark) and its number of rows.

    Raises `RecordError` where the end mark is missing or does not match: a lost row is an error, never silence.
    """
    body, separator, last = data.rstrip(b"\n").rpartition(b"\n")
    mark = last.decode(errors="replace").split(",")
    if not separator or len(mark) != 3 or mark[0] != END_MARK:
        raise RecordError(f"{source}: no end mark, so rows may be missing; the last line is {last[:80]!r}")
    body += b"\n"
    if hashlib.sha256(body).hexdigest() != mark[2]:
        raise RecordError(f"{source}: the rows do not match the SHA-256 of the end mark ({mark[1]} rows were written)")
    header = body.split(b"\n", 1)[0].decode()
    expected = ",".join(columns(row_type))
    if header != expected:
        raise RecordError(f"{source}: columns {header!r}, expected {expected!r}", hint="written by another version")
    return body, int(mark[1])
