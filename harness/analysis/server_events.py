"""What the servers said that they did and found, on the run's clock: from their logs and the balancers' statistics.

A line's time is brought onto the run's clock (`log_lines` says which times a line may have). The agent notes how far
the wall clock of the engine's host is ahead of its monotonic one, at the beginning and when the logs are collected;
that host's clock stamps every line, and no fault sets it. The two differ by the same in between (measured over eleven
hours: to 1 ms; NTP slews both alike). Where somebody stepped the wall clock, the bounds of every event are as wide as
the step.

Runs of earlier versions noted neither. There the offset follows from when the run was started, to 0.1 s, and times from
the products' own stamps, of which keepalived's and Ganesha's are whole seconds and HAProxy has none.

Events are changes of state in the window: a program that says the same again, or says at its start that it has what it
never lost, has no event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import pandas as pd

from harness.analysis.checks_audit import Belief, belief_of
from harness.analysis.facts import Facts
from harness.analysis.log_lines import ContainerLog, LogLine
from harness.analysis.log_readers import Said, readers_of
from harness.core.clock import NS_PER_S, to_s
from harness.core.history import EventKind, History
from harness.core.words import Role, ServerEventKind

__all__ = ["MissingSource", "ServerEvent", "WallClock", "missing_sources", "read_events", "wall_clock"]

Kind = ServerEventKind

#: The engine has a line at most so much after it was written: measured 50 ms (`log_lines`).
_ENGINE_LATE_NS: Final = NS_PER_S // 10
#: A stamp of the machine's own is believed while it is at most so much before the engine's: Patroni's thread that
#: writes the log was up to 1 s late on a busy machine. A fault that sets the clock sets it by 5 s at least.
_OWN_EARLY_NS: Final = 2 * NS_PER_S
#: Coarser own stamps are worth less than the engine's.
_OWN_EXACT_NS: Final = NS_PER_S // 1000
#: In runs of earlier versions: from `started_utc` to the first event of the history. Measured 0 to 0.09 s.
_STARTED_BEFORE_NS: Final = NS_PER_S // 10
#: The fault that sets a machine's clock: of its logs without stamps of the engine nobody knows when they were written.
_SETS_CLOCKS: Final = "clock_skew"

#: Who tells what only a balancer's statistics say.
_STATISTICS: Final = "statistics"
#: HAProxy's word for a server that it has not checked yet, and takes for up until then.
_NOT_CHECKED: Final = "INI"

#: What counts only after its opposite: a balancer that has just been started finds its servers up and tells it so.
_AFTER: Final[Mapping[Kind, Kind]] = {
    Kind.NODE_UP: Kind.NODE_DOWN,
    Kind.DATABASE_UP: Kind.DATABASE_DOWN,
    Kind.STORAGE_UP: Kind.STORAGE_DOWN,
    Kind.ADDRESS_LOST: Kind.ADDRESS_MOVED,
    Kind.LEASE_LOST: Kind.LEASE_TAKEN,
}
#: What may be said twice in a row, and in several ways, and is one change.
_ONCE: Final = frozenset({Kind.NODE_DOWN, Kind.DATABASE_DOWN, Kind.STORAGE_DOWN, Kind.ADDRESS_MOVED, Kind.DEMOTED})
#: The two of a pair are one state.
_STATE: Final[Mapping[Kind, Kind]] = {**_AFTER, Kind.DEMOTED: Kind.PROMOTED}
#: Of everything else the same words again within this time are no news: the supervisor of a node that fences itself
#: finds its proxy dead several times a second.
_NEWS_AFTER_NS: Final = 2 * NS_PER_S


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """Something that a program of the platform did or found. Seconds count from the first injection (without faults:
    from the start of the window)."""

    at_s: float
    source: str
    """The container that said so."""
    kind: ServerEventKind
    text: str
    """Its own words, shortened."""
    about: str
    """The container, or role, that was found down or up; empty where the source speaks of itself."""
    at_lower_s: float
    """It happened between these."""
    at_upper_s: float


@dataclass(frozen=True, kw_only=True)
class MissingSource:
    """Whose events are not among the others, or not all."""

    source: str
    why: str


class WallClock(NamedTuple):
    """How far the wall clock of the engine's host was ahead of its monotonic one: between these."""

    lower_ns: int
    upper_ns: int


class _Moment(NamedTuple):
    """On the run's clock."""

    at_ns: int
    lower_ns: int
    upper_ns: int


class _Told(NamedTuple):
    """One thing that was said; sorts as it was."""

    moment: _Moment
    source: str
    number: int
    """Of the line, for what was said at one moment."""
    said: Said
    product: str


def read_events(
    logs: Mapping[str, ContainerLog], balancer: pd.DataFrame, facts: Facts, wall: WallClock | None
) -> tuple[ServerEvent, ...]:
    """All events in the window, by time; `balancer` as from `record.balancer_of`, `wall` as from `wall_clock`.

    A balancer's statistics count where its log tells nothing: they are 0.5 s apart.
    """
    if facts.window is None or facts.origin_ns is None:
        return ()
    told = [
        one for name, log in logs.items() if not _of_wrong_clock(name, log, facts) for one in _read(name, log, wall)
    ]
    heard = {one.source for one in told if one.said.kind in (Kind.NODE_UP, Kind.NODE_DOWN)}
    told += (one for one in _statistics(balancer) if one.source not in heard)
    found = _changes(sorted(told, key=lambda one: one[:3]))
    inside = (one for one in found if facts.window.start_ns <= one.moment.at_ns < facts.window.end_ns)
    return tuple(_event(one, facts.origin_ns) for one in inside)


def missing_sources(
    logs: Mapping[str, ContainerLog], balancer: pd.DataFrame, history: History, facts: Facts, wall: WallClock | None
) -> tuple[MissingSource, ...]:
    """Of which containers of the platform the log says nothing, or not all, and why.

    A balancer that was asked for its statistics is not among them for what those say.
    """
    if facts.window is None:
        return ()
    asked = {str(name) for name in balancer["balancer"].unique()}
    started = {str(event.data.get("container")) for event in history.of(EventKind.READY)}
    targets = {name for fault in facts.faults for name in fault.targets}
    return tuple(
        MissingSource(source=name, why=why)
        for name in sorted({*started, *targets, *logs})
        if (why := _why_missing(name, logs, facts, wall, asked=name in asked))
    )


def wall_clock(history: History, run: Mapping[str, Any]) -> WallClock | None:
    """From what the agent noted; in runs of earlier versions from `run.json`. None where neither says it.

    An engine on another machine has a wall clock of its own, of which `run.json` says nothing.
    """
    noted = [int(event.data["offset_ns"]) for event in history.of(EventKind.WALL)]
    if noted:
        return WallClock(min(noted), max(noted))
    if not run.get("started_utc") or run.get("clock_offset_ns", 0):
        return None
    started_ns = int(datetime.fromisoformat(run["started_utc"]).timestamp() * 1e6) * 1000
    offset_ns = started_ns - history.events[0].t_ns
    return WallClock(offset_ns, offset_ns + _STARTED_BEFORE_NS)


# -- what was said -------------------------------------------------------------------------------------------------


def _read(name: str, log: ContainerLog, wall: WallClock | None) -> Iterator[_Told]:
    readers = readers_of(name)
    for line in log.lines:
        for reader in readers:
            if (said := reader.read(name, line.text)) and (moment := _moment(line, wall)):
                yield _Told(moment, name, line.number, said, reader.product)
                break


def _moment(line: LogLine, wall: WallClock | None) -> _Moment | None:
    """When a line was written; None where nothing says so."""
    if line.monotonic_ns is not None:
        return _Moment(line.monotonic_ns, line.monotonic_ns - _OWN_EXACT_NS, line.monotonic_ns + _OWN_EXACT_NS)
    known = _on_the_wall(line)
    if known is None or wall is None:
        return None
    return _Moment(
        known.at_ns - (wall.lower_ns + wall.upper_ns) // 2,
        known.lower_ns - wall.upper_ns,
        known.upper_ns - wall.lower_ns,
    )


def _on_the_wall(line: LogLine) -> _Moment | None:
    engine_ns, own_ns, within_ns = line.engine_ns, line.own_ns, line.own_within_ns
    if engine_ns is None:
        return None if own_ns is None else _Moment(own_ns + within_ns // 2, own_ns, own_ns + within_ns)
    if (
        own_ns is not None
        and within_ns <= _OWN_EXACT_NS
        and engine_ns - _OWN_EARLY_NS <= own_ns <= engine_ns + _OWN_EXACT_NS
    ):
        return _Moment(own_ns, own_ns - _OWN_EXACT_NS, own_ns + within_ns)
    return _Moment(engine_ns, engine_ns - _ENGINE_LATE_NS, engine_ns)


def _statistics(balancer: pd.DataFrame) -> Iterator[_Told]:
    """Each change of a balancer's belief in a server lies between its last answer as before and the first other one."""
    columns = [
        balancer[name].tolist() for name in ("balancer", "backend", "server", "send_ns", "end_ns", "status", "check")
    ]
    last: dict[tuple[str, str, str], tuple[Belief, int]] = {}
    for name, backend, server, send_ns, end_ns, status, check in zip(*columns, strict=True):
        belief = belief_of(status)
        if belief is Belief.UNREACHABLE or check == _NOT_CHECKED:
            continue
        # down at first sight: it was before
        before, asked_ns = last.get((name, backend, server), (Belief.UP, send_ns))
        last[name, backend, server] = belief, send_ns
        if belief is not before:
            kind = Kind.NODE_DOWN if belief is Belief.DOWN else Kind.NODE_UP
            said = Said(kind, f"{backend}/{server} is {status}: {check}", about=server, subject=f"{backend}/{server}")
            yield _Told(_Moment((asked_ns + end_ns) // 2, asked_ns, end_ns), name, 0, said, _STATISTICS)


# -- what changed --------------------------------------------------------------------------------------------------


def _changes(told: Iterable[_Told]) -> Iterator[_Told]:
    """What of it is news, in the order of time."""
    states: dict[tuple[str, str, str, Kind], Kind] = {}
    said_ns: dict[tuple[str, Said], int] = {}
    for one in told:
        source, said = one.source, one.said
        if said.afresh:
            states = {key: kind for key, kind in states.items() if key[:2] != (source, one.product)}
        if said.kind is Kind.LEASE_TAKEN:  # it is the database that gives it
            states[source, one.product, Role.DATABASE, Kind.DATABASE_DOWN] = Kind.DATABASE_UP
        key = source, one.product, said.subject or said.about, _STATE.get(said.kind, said.kind)
        before, states[key] = states.get(key), said.kind
        earlier_ns, said_ns[source, said] = said_ns.get((source, said)), one.moment.at_ns
        if said.kind in _AFTER:
            news = before is _AFTER[said.kind]
        elif said.kind in _ONCE:
            news = before is not said.kind
        else:
            news = earlier_ns is None or one.moment.at_ns - earlier_ns >= _NEWS_AFTER_NS
        if news:
            yield one


def _event(one: _Told, origin_ns: int) -> ServerEvent:
    return ServerEvent(
        at_s=to_s(one.moment.at_ns - origin_ns),
        source=one.source,
        kind=one.said.kind,
        text=one.said.text,
        about=str(one.said.about),
        at_lower_s=to_s(one.moment.lower_ns - origin_ns),
        at_upper_s=to_s(one.moment.upper_ns - origin_ns),
    )


# -- what is missing -----------------------------------------------------------------------------------------------


def _why_missing(
    name: str, logs: Mapping[str, ContainerLog], facts: Facts, wall: WallClock | None, *, asked: bool
) -> str:
    """Empty where nothing is; `asked`: whether its statistics stand for what has no times."""
    readers = readers_of(name)
    if not readers:
        return ""
    log = logs.get(name)
    if log is None:
        return "no log of it was kept"
    if _of_wrong_clock(name, log, facts):
        return "its clock was set by a fault, and the engine did not stamp its log"
    if wall is None:
        return "nobody noted how the clock of its log stands to the run's"
    if log.stamped or asked:
        return ""
    undated = [reader for reader in readers if not reader.dated]
    silent = [reader.product for reader in undated if any(reader.read(name, line.text) for line in log.lines)]
    return f"{' and '.join(silent)} in it wrote no times, and the engine did not stamp its log" if silent else ""


def _of_wrong_clock(name: str, log: ContainerLog, facts: Facts) -> bool:
    return not log.stamped and any(fault.kind == _SETS_CLOCKS and name in fault.targets for fault in facts.faults)
