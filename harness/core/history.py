"""The append-only history of a run: what happened, when, as evidence.

One JSON object a line: `{"seq": 0, "t_ns": ..., "kind": "...", "data": {...}}`. The last line is of kind `closed` and
states how many events came before it and their SHA-256, so that a truncated or mixed history is recognised.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from harness.core.clock import NS_PER_S, Clock, to_s
from harness.errors import RecordError, RecordOfOtherVersion, RunError, UnfinishedRecord

__all__ = [
    "Event",
    "EventKind",
    "FaultStep",
    "GrowthEnd",
    "GrowthStep",
    "History",
    "HistoryWriter",
    "Phase",
    "read_history",
    "readable_events",
]

SCHEMA_VERSION = 1
#: Agent and harness stamp events; from a remote engine the offset of the clocks is known to within a round trip.
_BACK_AT_MOST_NS = NS_PER_S // 2


class EventKind(StrEnum):
    """What an event says. The keys of `data` are listed beside each."""

    OPENED = "opened"  # schema, run_id, topology, experiment, spec_sha256 of spec.resolved.yaml
    SPEC = "spec"  # sha256 of spec.resolved.yaml, which a script wrote again when it was known what it did
    CLOCK = "clock"  # offset_ns, round_trip_ns: events before this one are stamped with the harness's own clock
    WALL = "wall"  # offset_ns: the engine host's wall clock minus its monotonic one
    PHASE = "phase"  # name: one of Phase
    READY = "ready"  # container, role, seconds
    STEADY = "steady"  # reached: bool, seconds, working: how many people work, reason
    FAULT = "fault"  # index, fault, target, targets, step: FaultStep, before_ns, after_ns, ok, evidence or message
    ROWS = "rows"  # name, rows, sha256 of the Parquet file
    READBACK = "readback"  # users: number of homes with values, rows: number of values, stores: by `Store`
    INTERRUPTED = "interrupted"  # by
    ABORTED = "aborted"  # why: the experiment's own condition was met
    GREW = "grew"  # step: GrowthStep, with what is listed there
    CHANGE = "change"  # index, step: ChangeStep, nodes, began_ns, ok, evidence
    CHANGED = "changed"  # index, how: ChangeEnd, reason
    AUTOSCALE = (
        "autoscale"  # a look of the policy: sessions (by node), nodes, wanted, drain, index of the change it began
    )
    TRUTH = "truth"  # of `harness calibrate`: index, away, nominal_s, and what `analysis.truth` reads the outage from
    ERROR = "error"  # type, message, detail
    CLOSED = "closed"  # events, sha256


class Phase(StrEnum):
    """The parts of a run, in order."""

    IMAGES = "images"
    CONTAINERS = "containers"
    RAMP = "ramp"
    FAULTS = "faults"
    SETTLE = "settle"
    DRAIN = "drain"
    TEARDOWN = "teardown"


class FaultStep(StrEnum):
    """The life cycle of a fault."""

    PREPARE = "prepare"
    INJECT = "inject"
    CONFIRM = "confirm"
    UNDO = "undo"
    CONFIRM_RECOVERY = "confirm_recovery"
    CLEANUP = "cleanup"


class GrowthStep(StrEnum):
    """The parts of a growth. The further keys of `data` are listed beside each."""

    BEGIN = "begin"  # users, working: before the first group comes
    STEP = "step"  # began_ns, users_before, users_after, working (at its end), carried: bool
    END = "end"  # how: GrowthEnd, users, working, reason


class GrowthEnd(StrEnum):
    """Why a growth ended."""

    NOT_BEGUN = "not_begun"  # too few could work before anybody more had come
    NOT_CARRIED = "not_carried"  # too few could work at the end of a step
    AT_MOST = "at_most"  # everybody has come, and was carried
    UNDONE = "undone"  # a fault was undone before


@dataclass(frozen=True)
class Event:
    """One thing that happened at `t_ns` (engine host's monotonic clock)."""

    seq: int
    t_ns: int
    kind: EventKind
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_line(self) -> str:
        record = {"seq": self.seq, "t_ns": self.t_ns, "kind": self.kind.value, "data": dict(self.data)}
        return json.dumps(record, separators=(",", ":"), sort_keys=True) + "\n"


@dataclass(frozen=True)
class History:
    """All events of a closed run, in order."""

    events: tuple[Event, ...]

    def of(self, kind: EventKind) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.kind is kind)


class HistoryWriter:
    """Appends events; the operating system has each before `append` returns: a killed harness leaves what it knew."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Raises `RunError` naming `path` if the file can't be made."""
        self._clock = clock
        try:
            self._file: TextIO = path.open("x", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{path}: could not be written: {error.strerror}") from error
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # says that a run is going on; ends with the process
        self._digest = hashlib.sha256()
        self._seq = 0
        self.broken: OSError | None = None
        self._lock = threading.Lock()  # containers get ready in threads of their own

    def append(self, kind: EventKind, data: Mapping[str, Any] | None = None, *, t_ns: int | None = None) -> Event:
        """Record an event; `t_ns` is now unless the moment is known better.

        The first event that can't be written raises the OSError (a full disk, say) and is kept in `broken`. Later ones
        pass without being written: what is left to do then is to tear down, and the history stays unclosed.
        """
        with self._lock:
            event = Event(self._seq, self._clock.now_ns() if t_ns is None else t_ns, kind, data or {})
            if self.broken:
                return event
            try:
                line = event.to_line()
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                self.broken = error
                raise
            self._digest.update(line.encode())
            self._seq += 1
        return event

    def close(self) -> None:
        """Write the closing line; a second call does nothing, and neither does one of a history that is `broken`."""
        if not self._file.closed:
            with suppress(OSError):
                self.append(EventKind.CLOSED, {"events": self._seq, "sha256": self._digest.hexdigest()})
            with suppress(OSError):  # what does not fit any more is in `broken`
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_history(path: Path) -> History:
    """Read a closed history.

    Raises `RecordError` naming the file and the line where it is missing, truncated (`UnfinishedRecord`), out of order,
    of another schema (`RecordOfOtherVersion`), not what was written, or where the clock went back.
    """
    lines = _lines(path)
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(_event(path, number, line))
        except RecordError:
            if number == len(lines) and not line.endswith(b"\n"):
                break  # the line that was being written when the harness was killed, or the disk was full
            raise
    if not events or events[-1].kind is not EventKind.CLOSED:
        raise UnfinishedRecord(
            f"{path}:{len(lines)}: the history was not closed, so it may be truncated",
            hint="the harness was killed in this run, or its disk was full; nothing can be concluded from it",
        )
    closing = events[-1].data
    digest = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
    if closing.get("events") != len(events) - 1 or closing.get("sha256") != digest:
        raise RecordError(
            f"{path}:{len(lines)}: the closing line does not match the {len(events) - 1} events before it"
        )
    schema = events[0].data.get("schema") if events[0].kind is EventKind.OPENED else None
    if schema != SCHEMA_VERSION:
        raise RecordOfOtherVersion(
            f"{path}:1: schema {schema!r}, expected {SCHEMA_VERSION}", hint="written by another version"
        )
    for before, event in pairwise(events):
        # an event `clock` says that the clock is another one from here on
        if event.kind is not EventKind.CLOCK and event.t_ns < before.t_ns - _BACK_AT_MOST_NS:
            raise RecordError(
                f"{path}:{event.seq + 1}: stamped {to_s(before.t_ns - event.t_ns):.3f} s before the event before it",
                hint="a clock that jumps makes every duration wrong; nothing can be concluded from this run",
            )
    return History(tuple(events))


def readable_events(path: Path) -> tuple[Event, ...]:
    """The events of a history that is not whole, up to the first line that is none; to say how far a run came, never
    to measure. Empty where there is no history."""
    events: list[Event] = []
    try:
        for number, line in enumerate(_lines(path), start=1):
            events.append(_event(path, number, line))
    except RecordError:
        pass  # `read_history` says what is wrong
    return tuple(events)


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError as error:
        raise RecordError(f"{path}: there is no history", hint="is this a run's folder?") from error
    except OSError as error:
        raise RecordError(f"{path}: can't be read: {error.strerror}") from error


def _event(path: Path, number: int, line: bytes) -> Event:
    shown = line[:80].decode("utf-8", errors="replace")
    try:
        record = json.loads(line.decode("utf-8"))
        event = Event(record["seq"], record["t_ns"], EventKind(record["kind"]), record["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}:{number}: not an event: {shown!r}") from error
    if not isinstance(event.t_ns, int) or not isinstance(event.data, dict):
        raise RecordError(f"{path}:{number}: not an event: {shown!r}")
    if event.seq != number - 1:
        raise RecordError(f"{path}:{number}: event {event.seq} where {number - 1} was expected")
    return event
