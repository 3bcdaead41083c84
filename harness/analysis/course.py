"""The course of a run in more detail than `measures.json` has: latency by the second, and what each session did.

It is for the page alone, so nothing of it is judged or written to a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Window
from harness.analysis.growth import before_growth
from harness.analysis.measures import Measures
from harness.analysis.outages import slow_above, usual_latency
from harness.analysis.record import RunRecord, operations_of, ordered
from harness.analysis.sessions import attribute
from harness.core.clock import NS_PER_S, to_ns
from harness.core.words import Capability

__all__ = ["SHOWN_AT_MOST", "Course", "Latency", "RequestLine", "Stretch", "course_of"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: A plot is some 1,000 pixels wide: more points than this are not seen, and 2,000 people stay a few kilobytes.
POINTS_AT_MOST = 600
#: Lines of one session; who failed a thousand times is not read to the end.
SHOWN_AT_MOST = 120
#: What people do once a beat; everything else is rare, and always a line of its own.
_BEATS = (Capability.WORK, Capability.SAVE)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Latency of the good operations of one capability, for each step of a `RequestLine`; None where there was none.

    Quantiles by nearest rank: of fewer than 100 operations the p99 is the slowest.
    """

    capability: str
    p50_s: tuple[float | None, ...]
    p99_s: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class RequestLine:
    """Operations of people on a regular grid, by when they were sent."""

    start_ns: int
    step_ns: int
    latencies: tuple[Latency, ...]
    """Of what people do all the time: a cell, and a save."""
    failed: tuple[int, ...]
    """Failed operations of any capability."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One operation, or good ones in a row that look alike."""

    start_ns: int
    """Send of the first."""
    end_ns: int
    """Completion of the last."""
    what: str
    """`work`, or `21 work, 10 save` of several."""
    number: int
    ok: bool
    latency_s: float
    """Of several the slowest."""
    remark: str
    """Why it failed; of a good one what was special: slow, memory lost, a rung of the recovery ladder."""
    node: str


@dataclass(frozen=True, kw_only=True)
class Course:
    """What the page shows beside the measures."""

    requests: RequestLine | None
    """None without a window or operations in it."""
    sessions: Mapping[tuple[str, str], tuple[Stretch, ...]]
    """By user and session, in the order of time; at most `SHOWN_AT_MOST` of each."""
    left_out: Mapping[tuple[str, str], int]
    """Stretches beyond that; sessions without any are not there."""


def course_of(record: RunRecord, measures: Measures) -> Course:
    """The course of a run that was measured. Pure; empty where nothing was observed."""
    facts = measures.facts
    operations = before_growth(attribute(operations_of(record, with_detail=True)), facts.growth)
    if facts.window is None or operations.empty:
        return Course(requests=None, sessions={}, left_out={})
    sessions, left_out = _sessions(operations, measures, record.experiment.steady_state_s)
    return Course(requests=_requests(operations, facts.window), sessions=sessions, left_out=left_out)


def _requests(operations: pd.DataFrame, window: Window) -> RequestLine:
    length_ns = window.end_ns - window.start_ns
    step_ns = NS_PER_S * max(1, -(-length_ns // (POINTS_AT_MOST * NS_PER_S)))
    points = int(-(-length_ns // step_ns))
    send: Ints = operations["send_ns"].to_numpy()
    inside = (send >= window.start_ns) & (send < window.end_ns)
    ok: Flags = (operations["ok"] == 1).to_numpy() & inside
    places = (send - window.start_ns) // step_ns
    latency: Ints = operations["end_ns"].to_numpy() - send
    found = []
    for capability in _BEATS:
        own = ok & (operations["capability"] == capability.value).to_numpy()
        if own.any():
            p50, p99 = _quantiles(places[own], latency[own], points)
            found.append(Latency(capability=capability.value, p50_s=p50, p99_s=p99))
    failed = np.bincount(places[inside & ~ok], minlength=points)
    return RequestLine(start_ns=window.start_ns, step_ns=step_ns, latencies=tuple(found), failed=tuple(failed.tolist()))


def _quantiles(places: Ints, latency: Ints, points: int) -> tuple[tuple[float | None, ...], ...]:
    """p50 and p99 in each place, in seconds, by nearest rank."""
    rising = latency[np.lexsort((latency, places))]
    counts = np.bincount(places, minlength=points)
    first = np.cumsum(counts) - counts
    lines = []
    for quantile in (0.5, 0.99):
        rank = first + np.maximum(np.ceil(quantile * counts).astype(np.int64) - 1, 0)
        values = rising[np.minimum(rank, len(rising) - 1)] / NS_PER_S
        lines.append(tuple(float(value) if count else None for value, count in zip(values, counts, strict=True)))
    return tuple(lines)


def _sessions(
    operations: pd.DataFrame, measures: Measures, steady_state_s: float
) -> tuple[dict[tuple[str, str], tuple[Stretch, ...]], dict[tuple[str, str], int]]:
    order = ordered(*(operations[name].cat.codes.to_numpy() for name in ("user", "session")))
    if order is not None:
        operations = operations.iloc[order]
    columns = {name: operations[name].to_numpy() for name in ("send_ns", "end_ns", "ok", "expected", "found")}
    codes = {
        name: operations[name].cat.codes.to_numpy() for name in ("user", "session", "node", "kernel", "capability")
    }
    words = {name: [str(word) for word in operations[name].cat.categories] for name in (*codes, "rung", "detail")}
    codes |= {name: operations[name].cat.codes.to_numpy() for name in ("rung", "detail")}
    alone = _alone(operations, columns, measures, steady_state_s)
    # a line begins with a session, with what stands alone and after it, and with another node or kernel
    begins = np.ones(len(operations), dtype=bool)
    begins[1:] = alone[1:] | alone[:-1]
    for name in ("user", "session", "node", "kernel"):
        begins[1:] |= codes[name][1:] != codes[name][:-1]
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(operations)) - 1
    slowest = np.maximum.reduceat(columns["end_ns"] - columns["send_ns"], firsts)
    beats = {name: np.add.reduceat(_are(codes, words, name.value), firsts) for name in _BEATS}
    sessions: dict[tuple[str, str], list[Stretch]] = {}
    left_out: dict[tuple[str, str], int] = {}
    for line, (first, last) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
        key = (words["user"][codes["user"][first]], words["session"][codes["session"][first]])
        if not key[1]:
            continue
        shown = sessions.setdefault(key, [])
        if len(shown) >= SHOWN_AT_MOST:
            left_out[key] = left_out.get(key, 0) + 1
            continue
        number, ok = last - first + 1, bool(columns["ok"][first] == 1)
        detail, rung = (words[name][codes[name][first]] for name in ("detail", "rung"))
        shown.append(
            Stretch(
                start_ns=int(columns["send_ns"][first]),
                end_ns=int(columns["end_ns"][last]),
                what=words["capability"][codes["capability"][first]]
                if number == 1
                else ", ".join(f"{count[line]} {name}" for name, count in beats.items() if count[line]),
                number=number,
                ok=ok,
                latency_s=float(slowest[line]) / NS_PER_S,
                remark=_remark(ok, detail, rung, int(columns["expected"][first]), int(columns["found"][first]))
                or ("slow" if alone[first] and words["capability"][codes["capability"][first]] in _BEATS else ""),
                node=words["node"][codes["node"][last]],
            )
        )
    return {key: tuple(lines) for key, lines in sessions.items()}, left_out


def _are(codes: Mapping[str, npt.NDArray[Any]], words: Mapping[str, list[str]], capability: str) -> Ints:
    if capability not in words["capability"]:
        return np.zeros(len(codes["capability"]), dtype=np.int64)
    return np.asarray(codes["capability"] == words["capability"].index(capability), dtype=np.int64)


def _alone(
    operations: pd.DataFrame, columns: Mapping[str, npt.NDArray[Any]], measures: Measures, steady_state_s: float
) -> Flags:
    """What has a line of its own: failed, rare, slow, a rung of the recovery ladder, or with memory lost."""
    facts = measures.facts
    assert facts.window is not None, "checked by course_of"
    ok = columns["ok"] == 1
    alone: Flags = ~ok | (operations["rung"] != "").to_numpy()
    beat = np.zeros(len(operations), dtype=bool)
    since_ns = facts.window.start_ns - to_ns(steady_state_s)
    until_ns = facts.window.end_ns if facts.first_inject_ns is None else facts.first_inject_ns
    for capability in _BEATS:
        own = (operations["capability"] == capability.value).to_numpy()
        beat |= own
        usual = usual_latency(columns["send_ns"], columns["end_ns"], ok & own, since_ns=since_ns, until_ns=until_ns)
        slow_ns = slow_above(usual)
        if slow_ns is not None:
            alone |= own & (columns["end_ns"] - columns["send_ns"] > slow_ns)
    work = (operations["capability"] == Capability.WORK.value).to_numpy()
    forgot = work & (columns["found"] >= 0) & (columns["found"] < columns["expected"])
    return np.asarray(alone | ~beat | forgot, dtype=bool)


def _remark(ok: bool, detail: str, rung: str, expected: int, found: int) -> str:
    parts = [] if ok else [detail or "failed"]
    if rung:
        parts.append(f"recovery: {rung}")
    if ok and 0 <= found < expected:
        parts.append(f"memory lost: {found} where {expected} was expected")
    return "; ".join(parts)
