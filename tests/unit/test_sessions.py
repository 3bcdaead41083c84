"""The session ledger: each outcome from operations written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import analyse
from harness.analysis.sessions import SessionRow
from harness.core.rows import Operation
from harness.core.words import Recovery, SessionOutcome
from tests.unit.analysis_runs import fault_events, history, op, record, twelve_users


def one(operations: Sequence[Operation], **changes: Any) -> SessionRow:
    (row,) = analyse(record(operations, **changes)).sessions
    return row


def beats(first: int, last: int, counter: int = 0) -> list[Operation]:
    """Good work once a second; its counter follows the beat."""
    return [op(t, expected=counter + i, found=counter + i) for i, t in enumerate(range(first, last))]


def test_no_failed_operation_is_undisturbed() -> None:
    row = one(beats(-5, 40))
    assert (row.outcome, row.failed, row.operations) == (SessionOutcome.UNDISTURBED, 0, 40)
    assert (row.disturbed_total_s, row.disturbances) == (0, ())
    assert (row.node_before, row.node_after, row.on_target) == ("workbench-0", "workbench-0", True)


def test_failures_then_the_same_kernel_with_its_memory_is_kept() -> None:
    failing = [op(6, 8, ok=0, detail="deadline"), op(8, 8.5, ok=0, capability="reconnect", rung="websocket")]
    back = [op(9, 9.2, capability="reconnect", rung="websocket"), op(9.3, 9.5, expected=11, found=12)]
    row = one([*beats(-5, 6), *failing, *back, *beats(10, 40, 13)])
    # found > expected: the kernel ran the cell whose answer was lost
    assert row.outcome is SessionOutcome.KEPT
    assert (row.memory_expected, row.memory_found) == (11, 12)
    assert (row.rung, row.logged_in_again, row.failed) == ("websocket", False, 2)
    assert row.disturbed_total_s == row.disturbed_longest_s == pytest.approx(3.5)


@pytest.mark.parametrize(
    "first_back",
    [
        op(9, 9.5, kernel="k2", node="workbench-1", expected=11, found=0),  # shown by kernel and counter
        op(9, 9.5, kernel="k2", node="workbench-1"),  # by the kernel alone
        op(9, 9.5, node="workbench-1", expected=11, found=0),  # by the counter alone
    ],
)
def test_memory_gone_or_another_kernel_is_restarted(first_back: Operation) -> None:
    later = [replace(row, kernel=first_back.kernel, node="workbench-1") for row in beats(10, 40)]
    row = one([*beats(-5, 6), op(6, 6.1, ok=0), first_back, *later])
    assert row.outcome is SessionOutcome.RESTARTED
    assert (row.node_before, row.node_after) == ("workbench-0", "workbench-1")
    assert row.disturbed_total_s == pytest.approx(3.5)
    assert len(row.disturbances) == 1


def test_memory_lost_without_any_failed_operation_is_restarted() -> None:
    row = one([*beats(-5, 6), op(6, 6.05, expected=11, found=0), *beats(7, 40, 1)])
    assert (row.outcome, row.memory_expected, row.memory_found) == (SessionOutcome.RESTARTED, 11, 0)


def test_a_wrong_counter_in_a_failed_answer_is_seen_too() -> None:
    back = [op(9, 9.1, ok=0, expected=11, found=0, detail="memory"), op(10, 10.05, expected=1, found=1)]
    row = one([*beats(-5, 6), op(6, 6.1, ok=0), *back, *beats(11, 40, 2)])
    assert (row.outcome, row.memory_expected, row.memory_found) == (SessionOutcome.RESTARTED, 11, 0)
    assert row.disturbed_total_s == pytest.approx(4.05)


def test_no_good_work_until_the_end_is_lost_even_if_other_things_work() -> None:
    failing = [op(t, t + 0.1, ok=0) for t in range(6, 38)]
    row = one([*beats(-5, 6), *failing, op(38, 38.1, capability="log_in", rung="log_in")])
    assert row.outcome is SessionOutcome.LOST
    assert row.disturbances[-1].end_ns is None
    assert row.disturbed_total_s == pytest.approx(34)  # to the end of the observation
    assert row.logged_in_again


def test_a_session_that_never_worked_is_lost() -> None:
    row = one([op(-5, ok=0, capability="start_session")])
    assert (row.outcome, row.first_work_ns, row.logged_in_again) == (SessionOutcome.LOST, None, False)


def test_two_disturbances_report_their_sum_and_the_longest() -> None:
    row = one([*beats(-5, 6), op(6, ok=0), *beats(7, 10, 11), op(10, ok=0), op(12, ok=0), *beats(13, 40, 14)])
    assert len(row.disturbances) == 2
    assert row.disturbed_total_s == pytest.approx(1.05 + 3.05)
    assert row.disturbed_longest_s == pytest.approx(3.05)


def test_failures_before_the_steady_state_are_no_disturbance() -> None:
    row = one([op(-10, ok=0, capability="start_session"), *beats(-5, 40)])
    assert row.outcome is SessionOutcome.UNDISTURBED


def test_log_ins_without_a_session_belong_to_the_one_their_user_had() -> None:
    log_in: dict[str, Any] = {"capability": "log_in", "session": "", "kernel": ""}
    row = one([op(-8, **log_in), *beats(-5, 6), op(6, ok=0), op(7, 7.5, ok=0, **log_in), *beats(8, 40, 11)])
    assert (row.outcome, row.logged_in_again) == (SessionOutcome.KEPT, True)
    assert not one([op(-8, **log_in), *beats(-5, 40)]).logged_in_again  # the first log-in is not "again"


def test_on_target_is_where_the_session_was_when_the_fault_came() -> None:
    moved = [*beats(-5, 4), *[replace(row, node="workbench-1") for row in beats(4, 40, 9)]]
    row = one(moved)
    assert (row.on_target, row.node_before) == (False, "workbench-1")
    faults = [*fault_events(3, 30), *fault_events(20, 30, index=1, targets=["database-0"])]
    assert one(moved, events=history(faults), faults=2).on_target


@pytest.mark.parametrize(
    ("undo", "back", "recovery"),
    [
        (30, 12, Recovery.BY_DESIGN),
        (10, 12, Recovery.BY_REPAIR),
        (12.05, 12, Recovery.BY_REPAIR),  # answered at the very moment at which the repair began
        (30, 99, Recovery.NOT_RECOVERED),
    ],
)
def test_a_person_recovers_as_a_capability_does(undo: float, back: int, recovery: Recovery) -> None:
    failing = [op(t, ok=0) for t in range(6, min(back, 40))]
    row = one([*beats(-5, 6), *failing, *beats(back, 40)], events=history(fault_events(5, undo)))
    assert [(one.during_fault, one.recovery) for one in row.disturbances] == [(0, recovery)]
    assert row.recovery is recovery


@pytest.mark.parametrize(
    ("undo", "recovery"),
    [
        (30, Recovery.BY_DESIGN),  # all was well from 30 to 35, so this did not wait for the repair
        (34.5, Recovery.BY_REPAIR),  # last seen well at 34: it may have begun before the repair was complete
    ],
)
def test_who_was_well_after_the_repair_did_not_wait_for_it(undo: float, recovery: Recovery) -> None:
    failing = [*beats(-5, 6), op(6, ok=0), *beats(7, 35), op(35, ok=0), *beats(36, 40)]
    row = one(failing, events=history(fault_events(5, undo)))
    assert [one.recovery for one in row.disturbances] == [Recovery.BY_DESIGN, recovery]
    assert row.recovery is recovery


def test_a_disturbance_before_any_fault_belongs_to_none() -> None:
    (early,) = one([*beats(-5, 2), op(2, ok=0), *beats(3, 40)]).disturbances
    assert (early.during_fault, early.recovery) == (None, Recovery.BY_DESIGN)


@pytest.mark.parametrize(("sent", "fault"), [(4.9, 0), (4.0, None)])
def test_an_operation_in_flight_at_the_injection_belongs_to_the_fault(sent: float, fault: int | None) -> None:
    # work usually takes 50 ms, so one that was sent at 4.9 and hangs is not late before 5.1, one of 4.0 was at 4.2
    (hung,) = one([*beats(-5, 4), op(sent, 9.9, ok=0, detail="deadline"), *beats(10, 40)]).disturbances
    assert hung.during_fault == fault


def test_nobody_is_affected_by_a_fault_that_nobody_notices() -> None:
    measures = analyse(record(beats(-5, 40)))
    assert measures.people_recovery is measures.worst_recovery is Recovery.UNAFFECTED
    assert measures.to_json_dict()["people_by_recovery"] == {
        "unaffected": 1, "by_design": 0, "by_repair": 0, "not_recovered": 0
    }  # fmt: skip


def test_saves_are_counted_by_session() -> None:
    saves = [op(t + 0.5, capability="save", expected=t, found=t) for t in (1, 2, 3)]
    row = one([*beats(-5, 40), *saves])
    assert (row.saves_acknowledged, row.saves_found, row.saves_lost) == (3, 0, 3)
    row = one([*beats(-5, 40), *saves], events=history(fault_events(5, 30), readback=None))
    assert (row.saves_acknowledged, row.saves_found, row.saves_lost) == (3, None, None)


def test_stalled_is_answered_well_but_slowly() -> None:
    # work usually takes 50 ms, so slow is above 200 ms; what failed is no stall, and the ramp does not count
    slow = [op(-9, -8), op(10, 10.3), op(12, 12.19), op(14, 15, ok=0)]
    rows = [row for row in beats(-5, 40) if row.send_ns not in {one.send_ns for one in slow}]
    row = one(sorted([*rows, *slow], key=lambda row: row.send_ns))
    assert (row.stalled, row.failed) == (1, 1)


def test_without_a_usual_latency_nobody_knows_what_stalled() -> None:
    assert one([op(20, 21), op(22, 25)]).stalled is None
    assert one(beats(-5, 40)).stalled == 0


def test_seconds_until_working_are_those_of_the_last_disturbance_that_ended() -> None:
    twice = [*beats(-5, 6), op(6, ok=0), *beats(7, 10, 11), op(10, ok=0), op(12, ok=0), *beats(13, 40, 14)]
    assert one(twice).until_working_s == pytest.approx(3.05)
    assert one([*beats(-5, 6), op(6, ok=0), op(30, ok=0)]).until_working_s is None
    assert one(beats(-5, 40)).until_working_s is None


def test_a_second_server_can_be_excluded_only_where_none_was_asked_for() -> None:
    start: dict[str, Any] = {"capability": "start_session", "kernel": ""}
    row = one([op(-8, **start), *beats(-5, 40)])
    assert (row.starts, row.duplicated_home) == (1, False)
    row = one([op(-8, **start), *beats(-5, 6), op(6, ok=0, rung="respawn", **start), *beats(7, 40, 11)])
    assert (row.starts, row.duplicated_home) == (2, None), "one that was not answered may be there too"
    assert one([op(-8, ok=0, **start)]).duplicated_home is False


@pytest.mark.long
@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["", "s1", "s2", "s10"]),
            st.sampled_from(["work", "log_in", "start_session", "save"]),
            st.floats(-20, 45),
            st.integers(0, 1),
        ),
        max_size=40,
    )
)
def test_there_is_a_row_for_each_session_that_was_started_always(rows: list[tuple[str, str, str, float, int]]) -> None:
    operations = [op(t, user=u, session=s, capability=what, ok=ok) for u, s, what, t, ok in rows]
    measures = analyse(record(operations))
    started = {(row.user, row.session) for row in operations if row.session}
    assert [(row.user, row.session) for row in measures.sessions] == sorted(started)
    assert len(measures.session_rows()) == len(started)
    assert sum(count.targeted + count.others for count in measures.session_counts) == len(started)


def test_two_people_whose_sessions_have_one_name_are_two() -> None:
    other = [replace(row, user="u2") for row in beats(-5, 40)]
    saves = [op(t + 0.5, capability="save", expected=t, found=t, user=user) for t, user in ((1, "u1"), (2, "u2"))]
    rows = analyse(record([*beats(-5, 40), *other, *saves])).sessions
    assert [(row.user, row.session, row.saves_acknowledged) for row in rows] == [("u1", "s1", 1), ("u2", "s1", 1)]


def test_twelve_users() -> None:
    measures = analyse(twelve_users(lose_user=True))
    counts = {count.outcome: (count.targeted, count.others) for count in measures.session_counts}
    assert counts[SessionOutcome.RESTARTED] == (11, 0)
    assert counts[SessionOutcome.LOST] == (1, 0)
    assert measures.worst_session is SessionOutcome.LOST
    first = measures.sessions[0]
    assert (first.user, first.rung, first.node_after) == ("u00", "respawn", "workbench-1")
    assert first.disturbed_total_s == pytest.approx(4.05)


def test_empty_runs_have_no_sessions() -> None:
    assert analyse(record()).sessions == ()
    assert analyse(record([op(1, session="", capability="log_in")])).sessions == ()


@pytest.mark.long
@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    run = twelve_users(users=2)
    shuffled = replace(run, operations=run.operations.sample(frac=1, random_state=seed))
    assert analyse(shuffled) == analyse(run)
