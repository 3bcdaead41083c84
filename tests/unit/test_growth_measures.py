"""What analysis makes of the rows of a run in which more people came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.analysis import Measures, analyse
from harness.core.experiment import Growth, Objectives
from harness.core.history import EventKind
from harness.core.verdict import Outcome
from tests.unit.analysis_runs import OF_INSTRUMENTS, fault_events, grid_probes, history, ns, op, probe, record

BEGUN = (30.0, EventKind.GREW, {"step": "begin", "users": 1, "working": 1})
STEP = (
    35.0,
    EventKind.GREW,
    {"step": "step", "began_ns": ns(30), "users_before": 1, "users_after": 2, "working": 1, "carried": False},
)
ENDED = (35.0, EventKind.GREW, {"step": "end", "how": "not_carried", "users": 2, "working": 1, "reason": "1 of 2"})


def grown(operations: list[Any], probes: list[Any]) -> Measures:
    """A run of one person whose growth begins at 30 s, with a fault from 5 to 60 s and the drain at 70 s."""
    events = history(fault_events(5, 60), drain=70, readback=OF_INSTRUMENTS, extra=[BEGUN, STEP, ENDED])
    run = record(operations, probes, events=events, objectives=Objectives(writes_lost_at_most=0), promise=None)
    growth = Growth(at_s=30, users_each=1, every_s=5, users_at_most=2)
    return analyse(replace(run, experiment=replace(run.experiment, growth=growth)))


def work(until: int) -> list[Any]:
    return [op(beat, capability="work") for beat in range(-5, until)]


def test_what_was_in_flight_when_growth_began_and_failed_says_nothing() -> None:
    late = op(29.9, 35, ok=0, detail="deadline")
    probes = [p for p in grid_probes({}, until=30) if p.send_ns != ns(29.9)]
    measures = grown([*work(29), late], [*probes, probe(29.9, 34.9, ok=0)])
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons
    assert not measures.outages
    assert [row.outcome.value for row in measures.sessions] == ["undisturbed"]


def test_what_failed_before_growth_began_counts() -> None:
    early = op(28.9, 29.9, ok=0, detail="refused")
    measures = grown([*work(28), early], grid_probes({"work": (29.0, 30.0)}, until=30))
    assert [row.outcome.value for row in measures.sessions] == ["lost"]
    assert [outage.capability for outage in measures.outages] == ["work"]


def test_neither_silence_nor_failures_after_growth_began_are_doubts() -> None:
    newcomer = [op(t, user="u2", session="s2", ok=0) for t in range(31, 60)]
    measures = grown([*work(30), *newcomer], grid_probes(dict.fromkeys(("work", "save"), (31.0, 70.0)), until=70))
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons
    assert [row.user for row in measures.sessions] == ["u1"]
    quiet = grown(work(30), grid_probes({}, until=30))
    assert quiet.verdict.outcome is Outcome.PASS, quiet.verdict.reasons
