"""A platform on which people can't work without any fault: a broken promise, where it refused, and else a doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import Measures, analyse
from harness.analysis.gate import WATCHED_S
from harness.core.history import EventKind
from harness.core.rows import ProbeSample
from harness.core.verdict import Outcome
from harness.report import words
from harness.report.html import render_html
from harness.report.junit import render_junit
from tests.unit.analysis_runs import OF_INSTRUMENTS, history, op, probe, record

pytestmark = pytest.mark.drawn

REFUSAL = "WebSocketBadStatusException: 403"
DOUBT = "the steady state was not reached: "


def given_up(probes: Sequence[ProbeSample], *, working: int = 5, extra: Sequence[Any] = (), **changes: Any) -> Measures:
    """Twelve people of whom so many work when the wait is given up, at 0 s, after 140 s."""
    events = history(steady=False, drain=1, readback=OF_INSTRUMENTS, extra=extra)
    data = {"reached": False, "seconds": 140.3, "working": working, "reason": f"{working} of 12 people work"}
    steady = tuple(replace(one, data=data) if one.kind is EventKind.STEADY else one for one in events.events)
    operations = [op(t, ok=int(t < -20)) for t in range(-100, 1)]
    return analyse(record(operations, probes, events=replace(events, events=steady), users=12, **changes))


def grid(*, bad: int, of: int = 120, detail: str = REFUSAL, end: float = 0.0, **changes: Any) -> list[ProbeSample]:
    """So many probes in the 29 s before `end`, and of them so many that failed."""
    return [
        probe(end - 29.5 + 29 * i / of, ok=int(i >= bad), detail=detail if i < bad else "", **changes)
        for i in range(of)
    ]


def test_refusals_without_any_fault_break_a_promise() -> None:
    measures = given_up([*grid(bad=60), *grid(bad=20, capability="log_in", detail="Refused: 503 GET /hub/login")])
    observed = (
        "5 of 12 people worked after 140 s; work refused 60 of 120 times in the last 30 s, most often "
        "`WebSocketBadStatusException: 403`"
    )
    (check,) = measures.verdict.checks
    assert (check.name, check.source, check.kept) == ("works without any fault", "promise", False)
    assert (check.expected, check.observed) == ("everybody works before anything is broken", observed)
    assert measures.verdict.outcome is Outcome.FAIL
    assert measures.verdict.reasons == (
        f"promise works without any fault: expected everybody works before anything is broken, observed {observed}",
    )
    assert all(one.availability is None for one in measures.capabilities), "there was no window"


def test_every_report_says_that_no_fault_was_needed() -> None:
    measures = given_up(grid(bad=60))
    sentence = words.plain_sentence(measures)
    assert sentence.startswith("Not everybody could work even before anything was broken: 5 of 12 people worked after")
    assert words.unprotected(measures) == [f"no fault was needed: {measures.verdict.checks[0].observed}"]
    assert "Not everybody could work even before anything was broken" in render_html(measures)
    assert "works without any fault" in render_junit(measures)
    everybody = words.plain_sentence(given_up(grid(bad=60), working=12))
    assert everybody.startswith("Not everything worked even before anything was broken: 12 of 12 people worked after")


@pytest.mark.long
@pytest.mark.parametrize(
    "detail",
    ["Refused: 403 GET /hub/spawn", "NotLoggedIn: no password", REFUSAL, "KernelGone: no kernel", "StartFailed: gone"],
)
def test_what_counts_is_an_answer_that_says_no(detail: str) -> None:
    assert given_up(grid(bad=60, detail=detail)).verdict.outcome is Outcome.FAIL


@pytest.mark.long
@pytest.mark.parametrize(
    "detail",
    ["deadline", "ConnectionError: ECONNREFUSED", "SSLError: certificate has expired", "BadAnswer: Refused", ""],
)
def test_what_a_slow_or_broken_machine_of_the_harness_could_cause_stays_a_doubt(detail: str) -> None:
    verdict = given_up(grid(bad=120, detail=detail)).verdict
    assert (verdict.outcome, verdict.checks) == (Outcome.INCONCLUSIVE, ())
    assert verdict.reasons[0] == f"{DOUBT}5 of 12 people work"


@pytest.mark.long
@pytest.mark.parametrize(
    ("probes", "outcome"),
    [
        (grid(bad=12), Outcome.FAIL),
        (grid(bad=11), Outcome.INCONCLUSIVE),
        (grid(bad=20, of=20), Outcome.FAIL),
        (grid(bad=19, of=19), Outcome.INCONCLUSIVE),
        ([*grid(bad=15, of=15), *grid(bad=15, of=15, capability="save")], Outcome.INCONCLUSIVE),
        (grid(bad=120, end=-WATCHED_S), Outcome.INCONCLUSIVE),
        (grid(bad=120, end=WATCHED_S), Outcome.INCONCLUSIVE),
        ([], Outcome.INCONCLUSIVE),
    ],
    ids=["a tenth", "less", "enough", "too few", "too few of each", "before", "afterwards", "none"],
)
def test_how_much_refusing_is_a_broken_promise(probes: list[ProbeSample], outcome: Outcome) -> None:
    assert given_up(probes).verdict.outcome is outcome


def test_where_nothing_is_promised_nothing_is_broken() -> None:
    measures = given_up(grid(bad=120), promise=None)
    assert (measures.verdict.outcome, measures.without_fault) == (Outcome.INCONCLUSIVE, None)
    assert words.plain_sentence(measures).startswith("This run proves nothing yet")


@pytest.mark.long
def test_an_interrupted_run_proves_nothing_whatever_was_refused() -> None:
    interrupted = (0.5, EventKind.INTERRUPTED, {"by": "SIGTERM"})
    verdict = given_up(grid(bad=120), extra=[interrupted]).verdict
    assert (verdict.outcome, verdict.reasons) == (Outcome.INCONCLUSIVE, ("interrupted by SIGTERM",))


def test_where_the_steady_state_was_reached_it_is_of_no_account_what_was_refused_before() -> None:
    measures = analyse(record([op(t) for t in range(-5, 40)], [*grid(bad=120), *grid(bad=0, end=30)]))
    assert measures.without_fault is None
    assert all(check.name != "works without any fault" for check in measures.verdict.checks)


def test_the_capability_that_was_refused_most_is_named_with_what_was_said_most_often() -> None:
    said = ["Refused: 404 GET /a", "Refused: 404 GET /a", "Refused: 503 GET /b"]
    save = [replace(one, detail=said[i % 3] if one.detail else "") for i, one in enumerate(grid(bad=30, of=40))]
    found = given_up([*grid(bad=50), *(replace(one, capability="save") for one in save)]).without_fault
    assert found is not None
    assert (found.capability, found.refused, found.probes) == ("save", 30, 40)
    assert found.most_often == "Refused: 404 GET /a"


@pytest.mark.long
@settings(max_examples=10)
@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 200))
def test_the_share_is_of_all_probes_whatever_became_of_them(of: int, refused: int, late: int) -> None:
    refused = min(refused, of)
    late = min(late, of - refused)
    probes = [
        replace(one, ok=0, detail="deadline") if refused <= i < refused + late else one
        for i, one in enumerate(grid(bad=refused, of=of))
    ]
    found = given_up(probes).without_fault
    assert (found is not None) == (of >= 20 and refused * 10 >= of and refused > 0)
    if found is not None:
        assert (found.refused, found.probes) == (refused, of)
