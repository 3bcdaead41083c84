"""Lines of real logs, as the engine stamps them, and runs that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from harness.analysis import RunRecord
from harness.analysis.detections import FaultDetection, fault_detections
from harness.analysis.facts import Facts, read_facts
from harness.analysis.log_lines import ContainerLog, read_log
from harness.analysis.record import balancer_of
from harness.analysis.server_events import MissingSource, ServerEvent, missing_sources, read_events, wall_clock
from harness.core.history import EventKind
from tests.unit.analysis_runs import fault_events, history, ns, record

#: The wall clock at second 0 of the run's time axis, in `analysis_runs.ns`: 2026-11-25 22:46:00 UTC.
WALL_S = 1_795_646_760
#: How far it is ahead of the monotonic clock.
OFFSET_NS = WALL_S * 10**9 - ns(0)
WALL = (-19.0, EventKind.WALL, {"offset_ns": OFFSET_NS})


def stamp(t: float) -> str:
    """The engine's stamp at a second of the run."""
    whole, rest = divmod(WALL_S * 10**9 + round(t * 1e9), 10**9)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def log(container: str, *lines: tuple[float, str], stamped: bool = True) -> ContainerLog:
    """A container's log: seconds of the run, and what was written then."""
    texts = [f"{stamp(t)} {text}\n" if stamped else f"{text}\n" for t, text in lines]
    return read_log(container, texts, f"containers/{container}/log")


def run_with(
    logs: Mapping[str, ContainerLog],
    *,
    targets: Sequence[str] = ("workbench-0",),
    wall: Sequence[Any] = (WALL,),
    fault: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunRecord:
    """A run with these logs and a fault from 5 to 30 s; the window is from 0 to 40 s."""
    events = fault_events(5, 30, targets=targets)
    events = [(t, kind, data | dict(fault or {})) for t, kind, data in events]
    return replace(record(events=history(events, extra=wall), **changes), logs=logs)


@dataclass(frozen=True)
class Heard:
    """Of `Measures` what comes from the servers' words: the rest takes a hundred times as long."""

    facts: Facts
    server_events: tuple[ServerEvent, ...]
    server_events_missing: tuple[MissingSource, ...]
    detections: tuple[FaultDetection, ...]


def heard_in(run: RunRecord) -> Heard:
    facts, balancer, wall = read_facts(run), balancer_of(run), wall_clock(run.history, run.run)
    events = read_events(run.logs, balancer, facts, wall)
    missing = missing_sources(run.logs, balancer, run.history, facts, wall)
    return Heard(facts, events, missing, fault_detections(facts, events))


def heard(logs: Mapping[str, ContainerLog], **changes: Any) -> Heard:
    return heard_in(run_with(logs, **changes))


def events_of(found: Heard) -> list[tuple[float, str, str, str]]:
    """What a timeline draws; times to a millisecond."""
    return [(round(e.at_s, 3), e.source, e.kind.value, e.text) for e in found.server_events]
