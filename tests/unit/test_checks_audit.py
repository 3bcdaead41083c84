"""What the balancers said against what people could do: vectors worked out by hand, and the intervals below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import Measures, analyse
from harness.analysis.checks_audit import BackendAudit, Belief, CheckVerdict, belief_of, judge_check
from harness.analysis.intervals import common, seconds, union, without
from harness.analysis.measures import DEFINITIONS
from harness.core.rows import UNREACHABLE
from tests.unit.analysis_runs import fault_events, grid_probes, history, ns, record, views

pytestmark = pytest.mark.long

#: By default from 5 to 30 s, as `fault_events(5, 30)`.
SPAN_S = 25.0
ALL = ("log_in", "start_session", "work", "save", "reconnect")


def measured(
    said: Mapping[str, Sequence[tuple[float, str]]], down: Mapping[str, tuple[float, float]], **changes: Any
) -> Measures:
    kept = {name: changes.pop(name) for name in ("silent",) if name in changes}
    return analyse(record((), grid_probes(down), balancer=views(said, **kept), **changes))


def audit(
    said: Mapping[str, Sequence[tuple[float, str]]], down: Mapping[str, tuple[float, float]], **changes: Any
) -> BackendAudit:
    (found,) = measured(said, down, **changes).checks_audit.backends
    return found


UP: Sequence[tuple[float, str]] = [(-5, "UP")]
DOWN: Sequence[tuple[float, str]] = [(-5, "DOWN")]


def test_a_check_that_stays_healthy_while_people_can_not_work_is_blind() -> None:
    found = audit({"a": UP, "b": DOWN}, {"log_in": (5, 30), "save": (10, 15)})
    assert found.verdict is CheckVerdict.BLIND
    assert (found.balancer, found.backend, found.fault) == ("lb", "workbench", 0)
    assert (found.up_s, found.down_s, found.unreachable_s, found.unseen_s) == (SPAN_S, 0, 0, 0)
    assert found.span_s == SPAN_S
    assert {one.capability: pytest.approx(one.seconds, abs=0.1) for one in found.away} == {"log_in": 25, "save": 5}
    assert found.any_away_s == pytest.approx(25, abs=0.1)
    assert found.up_while_away_s == found.any_away_s
    a, b = found.servers
    assert (a.server, a.up_s, a.down_s, a.marked_down, a.marked_up) == ("a", SPAN_S, 0, None, None)
    assert (b.server, b.up_s, b.down_s, b.marked_down, b.marked_up) == ("b", 0, SPAN_S, None, None)


def test_a_check_that_says_down_for_as_long_as_people_can_not_work_is_right() -> None:
    found = audit({"a": [(-5, "UP"), (6, "UP 1/2"), (7, "DOWN"), (32, "UP")]}, dict.fromkeys(ALL, (5.0, 31.0)))
    assert found.verdict is CheckVerdict.RIGHT
    (a,) = found.servers
    assert (a.up_s, a.down_s) == (2, 23)
    assert a.marked_down is not None
    # still up when it was asked at 6.5, down in the answer that came at 7.01
    assert [a.marked_down.seconds_lower, a.marked_down.seconds_upper] == pytest.approx([1.5, 2.01])
    assert a.marked_down.seconds == pytest.approx(1.755)
    assert a.marked_up is not None  # after the undoing, but before another fault
    assert a.marked_up.seconds_upper == pytest.approx(27.01)


def test_a_check_that_said_nothing_while_nothing_was_away_is_right() -> None:
    found = audit({"a": UP, "b": DOWN}, {})
    assert (found.verdict, found.away, found.any_away_s) == (CheckVerdict.RIGHT, (), 0)


def test_a_check_that_noticed_late_is_partly_right() -> None:
    assert audit({"a": [(-5, "UP"), (15, "DOWN")]}, {"work": (5, 30)}).verdict is CheckVerdict.PARTLY


def test_a_check_that_took_the_dead_node_out_is_not_blind() -> None:
    """A standby that is quickly up: people have their sessions back later than the balancer has its node."""
    said = {"a": [(-5, "UP"), (6, "DOWN")], "b": [(-5, "DOWN"), (6, "UP")]}
    found = audit(said, {"work": (5, 12)})
    assert found.up_while_away_s == found.any_away_s
    assert found.verdict is CheckVerdict.PARTLY
    b = found.servers[1]
    assert b.marked_down is None
    assert b.marked_up is not None
    assert [b.marked_up.seconds_lower, b.marked_up.seconds_upper] == pytest.approx([0.5, 1.01])


def test_down_although_everything_works_is_a_false_alarm() -> None:
    found = audit({"a": [(-5, "UP"), (10, "DOWN"), (15, "UP")]}, {})
    assert (found.verdict, found.down_s, found.down_while_away_s) == (CheckVerdict.FALSE_ALARM, 5, 0)


def test_a_balancer_that_does_not_answer_is_silent_and_neither_up_nor_down() -> None:
    found = audit({"a": UP}, dict.fromkeys(ALL, (5.0, 30.0)), silent=(5, 30))
    assert found.verdict is CheckVerdict.SILENT
    assert (found.up_s, found.down_s, found.unreachable_s) == (0, 0, SPAN_S)
    assert found.servers[0].marked_down is None


def test_a_balancer_that_never_answered_is_in_the_table_without_a_backend() -> None:
    found = audit({"a": UP}, {}, silent=(-5, 40))
    assert (found.backend, found.verdict, found.unreachable_s) == ("", CheckVerdict.SILENT, SPAN_S)
    assert [one.server for one in found.servers] == [""]


def test_time_in_which_nobody_asked_is_not_health() -> None:
    run = record((), grid_probes({}), balancer=[row for row in views({"a": UP}) if row.send_ns < ns(10)])
    (found,) = analyse(run).checks_audit.backends
    # the last answer, asked for at 9.5, holds for 2 s
    assert (found.up_s, found.unseen_s) == (6.5, 18.5)
    assert found.verdict is CheckVerdict.SILENT


def test_each_fault_has_its_own_time() -> None:
    events = history([*fault_events(2, 10), *fault_events(20, 30, index=1)])
    said = {"a": [(-5, "UP"), (3, "DOWN"), (11, "UP"), (21, "DOWN")]}
    first, second = measured(said, {"work": (2, 10)}, events=events, faults=2).checks_audit.backends
    assert (first.fault, first.span_s, first.down_s) == (0, 8, 7)
    assert (second.fault, second.span_s, second.down_s) == (1, 10, 9)
    assert (first.verdict, second.verdict) == (CheckVerdict.RIGHT, CheckVerdict.FALSE_ALARM)
    assert first.servers[0].marked_up is not None
    assert second.servers[0].marked_up is None


def test_a_fault_that_was_never_undone_lasts_to_the_end() -> None:
    events = history([event for event in fault_events(5, 30) if event[2]["step"] in ("prepare", "inject", "confirm")])
    assert audit({"a": UP}, {}, events=events).span_s == 35


def test_a_fault_that_is_undone_at_once_is_not_judged() -> None:
    assert audit({"a": UP}, {}, events=history(fault_events(5, 5.2))).verdict is None


def test_two_balancers_are_judged_each_for_itself() -> None:
    rows = views({"a": UP}, balancer="one") + views({"a": DOWN}, balancer="two")
    found = analyse(record((), grid_probes({"work": (5, 30)}), balancer=rows)).checks_audit.backends
    assert [(one.balancer, one.verdict) for one in found] == [("one", CheckVerdict.BLIND), ("two", CheckVerdict.RIGHT)]


def test_changes_begin_with_what_was_said_first() -> None:
    said = {"a": [(-5, "UP"), (6, "UP 1/2"), (7, "DOWN"), (32, "UP")]}
    changes = measured(said, {}, silent=(20, 21)).checks_audit.changes
    assert [(one.t_ns, one.before, one.after) for one in changes] == [
        (ns(0.01), "", "UP"), (ns(6.01), "UP", "UP 1/2"), (ns(7.01), "UP 1/2", "DOWN"),
        (ns(20.01), "DOWN", UNREACHABLE), (ns(21.01), UNREACHABLE, "DOWN"), (ns(32.01), "DOWN", "UP"),
    ]  # fmt: skip
    assert {(one.balancer, one.backend, one.server) for one in changes} == {("lb", "workbench", "a")}


@pytest.mark.parametrize(
    "run",
    [
        record((), grid_probes({"work": (5, 30)})),
        record((), balancer=views({"a": UP}), events=history(steady=False, drain=None, readback=None)),
    ],
    ids=["nobody asked", "no steady state"],
)
def test_nothing_is_said_where_nothing_was_measured(run: Any) -> None:
    found = analyse(run).checks_audit
    assert (found.backends, found.changes) == ((), ())


def test_a_control_run_has_changes_and_no_verdict() -> None:
    found = analyse(record((), grid_probes({}), balancer=views({"a": UP}), events=history(), faults=0)).checks_audit
    assert found.backends == ()
    assert len(found.changes) == 1


def test_the_audit_is_in_the_json() -> None:
    plain = measured({"a": UP}, {"work": (5, 30)}).to_json_dict()["checks_audit"]
    assert plain["backends"][0]["verdict"] == "blind"
    assert plain["backends"][0]["servers"][0]["server"] == "a"
    assert plain["changes"][0]["after"] == "UP"


def test_every_word_is_defined() -> None:
    assert {f"check {verdict.value}" for verdict in CheckVerdict} <= set(DEFINITIONS)


@pytest.mark.parametrize(
    ("word", "belief"),
    [
        ("UP", Belief.UP), ("UP 1/3", Belief.UP), ("no check", Belief.UP), ("DOWN", Belief.DOWN),
        ("DOWN 1/2", Belief.DOWN), ("DOWN (agent)", Belief.DOWN), ("MAINT", Belief.DOWN),
        ("MAINT (via b/s)", Belief.DOWN),
        ("DRAIN", Belief.DOWN), ("NOLB", Belief.DOWN), (UNREACHABLE, Belief.UNREACHABLE),
    ],
)  # fmt: skip
def test_words_of_haproxy(word: str, belief: Belief) -> None:
    assert belief_of(word) is belief


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"up_away_s": 8.0, "down_away_s": 2.0, "up_s": 18.0, "down_s": 2.0}, CheckVerdict.BLIND),
        ({"up_away_s": 7.9, "down_away_s": 2.1, "up_s": 17.9, "down_s": 2.1}, CheckVerdict.PARTLY),
        ({"up_away_s": 2.1, "down_away_s": 7.9, "up_s": 12.1, "down_s": 7.9}, CheckVerdict.PARTLY),
        ({"up_away_s": 2.0, "down_away_s": 8.0, "up_s": 12.0, "down_s": 8.0}, CheckVerdict.RIGHT),
        ({"up_away_s": 0.9}, CheckVerdict.RIGHT),
        ({"up_s": 19.1, "down_s": 0.9}, CheckVerdict.RIGHT),
        ({"up_s": 19.0, "down_s": 1.0}, CheckVerdict.FALSE_ALARM),
        ({"up_s": 9.9}, CheckVerdict.SILENT),
        ({"up_s": 10.0}, CheckVerdict.RIGHT),
        ({"span_s": 0.9, "up_s": 0.9}, None),
    ],
)
def test_the_thresholds(changes: dict[str, float], verdict: CheckVerdict | None) -> None:
    values = {"span_s": 20.0, "up_s": 20.0, "down_s": 0.0, "up_away_s": 0.0, "down_away_s": 0.0} | changes
    assert judge_check(**values, took_out=False) is verdict


def test_rows_in_any_order_say_the_same() -> None:
    run = record((), grid_probes({"work": (5, 30)}), balancer=views({"a": UP, "b": DOWN}))
    other = replace(run, balancer=run.balancer.sample(frac=1, random_state=1))
    assert analyse(other).checks_audit == analyse(run).checks_audit


parts = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=6)


def points(intervals: list[tuple[int, int]]) -> set[int]:
    return {t for start, end in intervals for t in range(start, end)}


@given(parts, parts)
def test_intervals_are_sets(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    a, b = union(some), union(others)
    assert points(a) == points(some)
    assert points(common(a, b)) == points(a) & points(b)
    assert points(without(a, b)) == points(a) - points(b)
    assert all(start < end for start, end in [*a, *common(a, b), *without(a, b)])
    assert seconds(a) == pytest.approx(len(points(a)) / 1e9)
