"""What a test expected against what was measured, on record and after that."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.analysis import Measures, analyse
from harness.analysis.expectations import MEASURES, check_of, conclusion_checks, unmeasured
from harness.core.conclusion import Conclusion, Expectation, Relation
from harness.core.verdict import Outcome
from harness.errors import RecordError
from harness.run.artifacts import RunFolder
from tests.unit.fake_runs import Result

LOG_IN = Expectation(measure="outage", of="log_in", relation=Relation.BELOW, limit=5)


@pytest.fixture(scope="module")
def measured(usual: Result) -> Measures:
    return usual.measures


@pytest.mark.parametrize(
    ("measure", "of", "relation", "limit", "kept"),
    [
        ("outage", "log_in", Relation.BELOW, 5, True),
        ("outage", "log_in", Relation.BELOW, 1, False),
        ("outage", "log_in", Relation.AT_LEAST, 1, True),
        ("outage_of_people", "", Relation.AT_MOST, 30, True),
        ("sessions", "restarted", Relation.AT_LEAST, 12, True),
        ("sessions", "lost", Relation.AT_MOST, 0, True),
        ("logged_in_again", "", Relation.AT_MOST, 0, True),
        ("writes_lost", "", Relation.AT_MOST, 0, True),
        ("availability", "work", Relation.AT_LEAST, 0.999, False),
    ],
)
def test_a_measure_is_held_against_its_limit(
    measured: Measures, measure: str, of: str, relation: Relation, limit: float, kept: bool
) -> None:
    check = check_of(Expectation(measure=measure, of=of, relation=relation, limit=limit), measured)
    assert check is not None
    assert (check.source, check.kept) == ("test", kept)


def test_every_relation_at_its_limit() -> None:
    assert [relation.holds(5, 5) for relation in (Relation.BELOW, Relation.AT_MOST, Relation.AT_LEAST)] == [
        False, True, True,
    ]  # fmt: skip


def test_what_was_not_measured_is_neither_kept_nor_broken(measured: Measures) -> None:
    grown = Expectation(measure="users_carried", relation=Relation.AT_LEAST, limit=1)
    assert check_of(grown, measured) is None
    conclusion = Conclusion(test="t", passed=True, expectations=(grown,))
    assert list(unmeasured(conclusion, measured)) == ["users carried was not measured, and the test expects at least 1"]


@pytest.mark.parametrize("measure", sorted(set(MEASURES) - {"users_carried", "writes_lost"}))
def test_nothing_measured_is_not_a_good_measure(measured: Measures, measure: str) -> None:
    nothing = replace(measured, sessions=(), capabilities=())
    of = {"outage": "work", "availability": "work", "sessions": "lost"}.get(measure, "")
    expectation = Expectation(measure=measure, of=of, relation=Relation.AT_MOST, limit=0)
    assert check_of(expectation, nothing) is None


def test_a_test_that_failed_by_something_else_is_a_broken_check_of_its_own(measured: Measures) -> None:
    failed = Conclusion(test="test_x.py::test_it", passed=False, message="3 != 4", expectations=(LOG_IN,))
    assert [(c.name, c.observed, c.kept) for c in conclusion_checks(failed, measured)][1:] == [
        ("test_x.py::test_it", "3 != 4", False)
    ]
    broken = replace(failed, expectations=(replace(LOG_IN, limit=1),))
    assert [check.name for check in conclusion_checks(broken, measured)] == ["outage of log_in"]


@pytest.mark.long
def test_the_folder_of_a_run_keeps_the_conclusion_and_is_judged_by_it(damaged: RunFolder) -> None:
    damaged.write_conclusion(Conclusion(test="t", passed=True, expectations=(replace(LOG_IN, limit=1),)))
    measures = damaged.analyse()
    assert measures.verdict.outcome is Outcome.FAIL
    assert measures.verdict.reasons[0].startswith("test outage of log_in: expected below 1 s, observed ")
    assert damaged.load().conclusion == Conclusion(test="t", passed=True, expectations=(replace(LOG_IN, limit=1),))


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2}', json.dumps({"schema": 1, "expectations": [{}]})])
def test_a_damaged_conclusion_is_named(damaged: RunFolder, content: str) -> None:
    (damaged.path / "test.json").write_text(content)
    with pytest.raises(RecordError, match=r"test\.json: is not the conclusion of a test"):
        analyse(damaged.load())
