"""Latency by the second, and what each session did, as the page shows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis import analyse
from harness.analysis.course import SHOWN_AT_MOST, Course, Stretch, course_of
from harness.core.rows import Operation
from tests.unit.analysis_runs import fault_events, history, ns, op, record, twelve_users


def course(*operations: Operation, **changes: Any) -> Course:
    run = record(operations, **changes)
    return course_of(run, analyse(run))


def lines(found: Course, session: str = "s1") -> list[Stretch]:
    return list(found.sessions["u1", session])


def test_good_operations_in_a_row_are_one_line_and_a_failed_one_is_its_own() -> None:
    good = [op(t) for t in range(-5, 5)] + [op(t + 0.5, capability="save") for t in range(-5, 5, 2)]
    found = lines(course(*good, op(5.2, 6.2, ok=0, detail="deadline"), *(op(t) for t in range(7, 10))))
    assert [(one.what, one.number, one.ok, one.remark) for one in found] == [
        ("10 work, 5 save", 15, True, ""),
        ("work", 1, False, "deadline"),
        ("3 work", 3, True, ""),
    ]
    assert (found[1].start_ns, found[1].end_ns, found[1].latency_s) == (ns(5.2), ns(6.2), 1.0)


def test_another_node_a_slow_answer_lost_memory_and_a_rung_begin_a_line() -> None:
    found = lines(
        course(
            *(op(t, expected=t + 5, found=t + 5) for t in range(-5, 6)),
            op(6, 7.5),
            op(8, capability="reconnect", rung="websocket"),
            op(9, expected=12, found=1),
            op(10, node="workbench-1"),
        )
    )
    assert [(one.what, one.remark, one.node) for one in found] == [
        ("11 work", "", "workbench-0"),
        ("work", "slow", "workbench-0"),
        ("reconnect", "recovery: websocket", "workbench-0"),
        ("work", "memory lost: 1 where 12 was expected", "workbench-0"),
        ("work", "", "workbench-1"),
    ]


def test_the_lines_of_one_session_are_bounded_and_the_rest_is_counted() -> None:
    failures = [op(t / 10, t / 10 + 0.05, ok=0) for t in range(SHOWN_AT_MOST + 30)]
    found = course(*failures)
    assert len(lines(found)) == SHOWN_AT_MOST
    assert found.left_out == {("u1", "s1"): 30}


def test_a_log_in_belongs_to_nobody_s_session_before_there_is_one() -> None:
    found = course(op(-5, session="", capability="log_in"), op(1))
    assert list(found.sessions) == [("u1", "s1")]


def test_latency_by_the_second_is_the_nearest_rank() -> None:
    fast = [op(t + i / 10, t + i / 10 + 0.01) for t in range(3) for i in range(9)]
    found = course(*fast, op(0.95, 1.95)).requests
    assert found is not None
    (work,) = found.latencies
    assert (found.start_ns, found.step_ns) == (ns(0), 10**9)
    assert work.p50_s[:4] == pytest.approx([0.01, 0.01, 0.01, None])
    assert work.p99_s[:2] == pytest.approx([1.0, 0.01])


def test_a_step_in_which_nothing_succeeded_has_no_latency_and_its_failures() -> None:
    found = course(op(0), *(op(1 + i / 10, ok=0, user=f"u{i}", session=f"s{i}") for i in range(4)), op(2)).requests
    assert found is not None
    assert found.failed[:3] == (0, 4, 0)
    assert found.latencies[0].p50_s[1] is None


def test_a_long_run_has_steps_of_several_seconds() -> None:
    events = history(fault_events(5, 30), drain=1800.0)
    found = course(*(op(t) for t in range(0, 1800, 10)), events=events).requests
    assert found is not None
    assert (found.step_ns, len(found.failed)) == (3 * 10**9, 600)


def test_what_comes_after_the_window_is_not_in_the_line_of_requests() -> None:
    found = course(op(-1, ok=0), op(1), op(50, ok=0)).requests
    assert found is not None
    assert sum(found.failed) == 0


def test_a_run_that_was_never_steady_has_no_course() -> None:
    run = replace(twelve_users(), history=history(steady=False, drain=None, readback=None))
    assert course_of(run, analyse(run)) == Course(requests=None, sessions={}, left_out={})


def test_the_text_of_a_failure_is_read_only_where_it_is_shown() -> None:
    found = course_of(run := twelve_users(), analyse(run))
    assert any("refused" in one.remark for one in found.sessions["u00", "s00"])
