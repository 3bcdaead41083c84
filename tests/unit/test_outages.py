"""The interval estimator against vectors worked out by hand and against simulated outages of known length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import RunRecord, analyse
from harness.analysis.facts import read_facts
from harness.analysis.outages import CapabilityMeasures, find_edges, measure_probes, union
from harness.analysis.record import probes_of
from harness.core.history import History
from harness.core.rows import ProbeSample
from harness.core.words import Recovery
from tests.unit.analysis_runs import fault_events, grid_probes, history, ns, probe, probes_frame, record


def work(probes: Sequence[ProbeSample], *, events: History | None = None, **changes: Any) -> CapabilityMeasures:
    return work_of(record((), probes, writes=(), events=events or history(fault_events(5, 30)), **changes))


def work_of(run: RunRecord) -> CapabilityMeasures:
    measured = measure_probes(probes_of(run), read_facts(run), run.experiment.steady_state_s)
    return next(one for one in measured if one.capability == "work")


def grid(
    bad: Callable[[float], bool] = lambda t: False, *, until: float = 40.0, period: float = 0.1
) -> list[ProbeSample]:
    times = [index * period for index in range(round(-5 / period), round(until / period))]
    return [probe(t, ok=int(not bad(t))) for t in times]


def test_a_kill_has_the_edges_of_the_probes_around_it() -> None:
    # good until 4.9, bad 5.0 to 7.9 (each fails after 1 ms), good from 8.0 (answered at 8.001)
    one = work(grid(lambda t: 4.95 < t < 7.95))
    (outage,) = one.outages
    assert (outage.start_lower_ns, outage.start_upper_ns) == (ns(4.9), ns(5.001))
    assert (outage.end_lower_ns, outage.end_upper_ns) == (ns(7.9), ns(8.001))
    assert outage.seconds == pytest.approx((7.9 + 8.001) / 2 - (4.9 + 5.001) / 2)
    assert outage.seconds_lower == pytest.approx(2.899)
    assert outage.seconds_upper == pytest.approx(3.101)
    assert (outage.during_fault, outage.recovery, one.recovery) == (0, Recovery.BY_DESIGN, Recovery.BY_DESIGN)
    assert one.samples == 400
    assert one.success_ratio == pytest.approx(370 / 400)
    assert one.availability == pytest.approx(1 - outage.seconds / 40)
    assert one.latency_p50_s == pytest.approx(0.001)
    assert one.slow_above_s == 0.005  # 4 x 1 ms is below the least threshold
    assert one.longest_gap_s == pytest.approx(0.1)


def test_a_stall_ends_when_what_hung_is_answered_not_when_the_last_probe_failed() -> None:
    # stalled from 5 to 8, deadline 2 s: sent before 6.0 they fail at the deadline, after it they are answered at 8.0
    rows = []
    for row in grid():
        t = (row.send_ns - ns(0)) / 1e9
        if 4.95 < t < 5.95:
            rows.append(replace(row, ok=0, end_ns=ns(t + 2), detail="deadline"))
        elif 5.95 < t < 7.95:
            rows.append(replace(row, end_ns=ns(8.0005)))
        else:
            rows.append(row)
    (outage,) = work(rows).outages
    assert (outage.start_lower_ns, outage.start_upper_ns) == (ns(4.9), ns(5.001))
    assert (outage.end_lower_ns, outage.end_upper_ns) == (ns(7.9), ns(8.0005))


def test_slow_answers_alone_are_no_outage() -> None:
    rows = [replace(row, end_ns=row.send_ns + 400_000_000) if row.send_ns > ns(5) else row for row in grid()]
    assert work(rows).outages == ()


def test_two_outages_of_one_run_stay_apart() -> None:
    one = work(grid(lambda t: 4.95 < t < 5.95 or 9.95 < t < 10.45))
    first, second = one.outages
    assert (first.start_lower_ns, first.end_upper_ns) == (ns(4.9), ns(6.001))
    assert (second.start_lower_ns, second.end_upper_ns) == (ns(9.9), ns(10.501))
    assert one.longest == first


def test_a_success_that_overlaps_the_next_failure_does_not_end_an_outage() -> None:
    # 5.0 fails, 5.1 is answered only at 5.25, 5.2 fails: nothing shows that it was up in between
    rows = [row for row in grid() if not ns(4.95) < row.send_ns < ns(5.25)]
    rows += [probe(5.0, ok=0), probe(5.1, 5.25), probe(5.2, ok=0)]
    assert len(work(rows).outages) == 1
    # answered at 5.15 it was
    rows[-2] = probe(5.1, 5.15)
    assert len(work(rows).outages) == 2


def test_an_outage_that_never_ends_has_no_upper_bound() -> None:
    one = work(grid(lambda t: t > 4.95))
    (outage,) = one.outages
    assert not outage.ended
    assert (outage.end_upper_ns, outage.seconds_upper, outage.recovery) == (None, None, Recovery.NOT_RECOVERED)
    assert outage.end_ns == ns(40)
    assert outage.seconds_lower == pytest.approx(39.9 - 5.001)
    assert one.availability == pytest.approx(1 - (40 - 4.9505) / 40)


@pytest.mark.parametrize(
    ("undo", "recovery"), [(30, Recovery.BY_DESIGN), (7, Recovery.BY_REPAIR), (7.95, Recovery.BY_REPAIR)]
)
def test_back_before_the_repair_is_by_design_and_a_doubtful_edge_is_not(undo: float, recovery: Recovery) -> None:
    one = work(grid(lambda t: 4.95 < t < 7.95), events=history(fault_events(5, undo)))
    assert [outage.recovery for outage in one.outages] == [recovery]


def test_an_outage_belongs_to_the_last_fault_before_it() -> None:
    faults = [*fault_events(5, 8), *fault_events(15, 30, index=1)]
    one = work(grid(lambda t: 2.95 < t < 3.45 or 9.95 < t < 10.45 or 15.05 < t < 16), events=history(faults), faults=2)
    assert [outage.during_fault for outage in one.outages] == [None, 0, 1]
    # the second began when all had been well after the undoing
    assert [outage.recovery for outage in one.outages][1:] == [Recovery.BY_DESIGN, Recovery.BY_DESIGN]


def test_an_outage_that_may_have_begun_before_the_repair_was_complete_was_ended_by_it() -> None:
    one = work(grid(lambda t: 8.05 < t < 8.55), events=history(fault_events(5, 8)))
    assert [outage.recovery for outage in one.outages] == [Recovery.BY_REPAIR]


def test_a_request_in_flight_at_the_injection_belongs_to_the_fault() -> None:
    # usual latency 50 ms; sent at 4.97, reset by the kill at 5.0
    rows = [replace(row, end_ns=row.send_ns + 50_000_000) for row in grid(lambda t: False, period=0.1)]
    rows = [row for row in rows if not ns(4.95) < row.send_ns < ns(6)]
    rows += [probe(4.97, 5.0, ok=0), *(probe(5 + i / 10, ok=0) for i in range(1, 10))]
    (outage,) = work(rows).outages
    assert outage.during_fault == 0
    assert (outage.start_lower_ns, outage.start_upper_ns) == (ns(4.9), ns(5.0))


def test_without_good_probes_before_it_an_outage_began_with_the_window_at_the_latest() -> None:
    rows = [row for row in grid(lambda t: t < 7.95) if row.send_ns >= ns(0.5)]
    (outage,) = work(rows).outages
    assert outage.start_lower_ns == ns(0)
    assert outage.during_fault is None


def test_no_probes_and_no_window_measure_nothing() -> None:
    empty = work([])
    assert (empty.samples, empty.availability, empty.latency_p99_s, empty.longest) == (0, None, None, None)
    assert work(grid(), events=history(steady=False)).availability is None


def test_lateness_and_gaps_of_the_instrument_are_measured() -> None:
    rows = [replace(row, due_ns=row.send_ns - 200_000_000) for row in grid() if not ns(20) <= row.send_ns < ns(25)]
    one = work(rows)
    assert one.lateness_p99_s == pytest.approx(0.2)
    assert one.longest_gap_s == pytest.approx(5.1)


# -- simulated outages ---------------------------------------------------------------------------------------------

periods = st.sampled_from([0.05, 0.1, 0.25])
services = st.floats(0.0005, 0.12)
starts = st.floats(5.0, 6.0)


def near(low: float, value: float, high: float) -> bool:
    return low - 1e-6 <= value <= high + 1e-6


def covers(one: CapabilityMeasures, begin: float, end: float) -> bool:
    (outage,) = one.outages
    assert outage.end_upper_ns is not None
    assert outage.seconds_upper is not None
    return (
        near(outage.start_lower_ns, ns(begin), outage.start_upper_ns + 2)
        and near(outage.end_lower_ns, ns(end), outage.end_upper_ns + 2)
        and near(outage.seconds_lower, end - begin, outage.seconds_upper)
        and near(outage.seconds_lower, outage.seconds, outage.seconds_upper)
    )


@pytest.mark.long
@settings(max_examples=25)
@given(period=periods, service=services, phase=st.floats(0, 1), begin=starts, length=st.floats(0.6, 4))
def test_bounds_contain_a_kill(period: float, service: float, phase: float, begin: float, length: float) -> None:
    rows, end = [], begin + length
    for index in range(math.ceil(-5 / period), math.floor(14 / period)):
        t = (index + phase) * period
        if begin <= t < end:
            rows.append(probe(t, t + 0.0002, ok=0, detail="refused"))
        elif t < begin < t + service:
            rows.append(probe(t, begin, ok=0, detail="reset"))
        else:
            rows.append(probe(t, t + service))
    assert covers(work(rows, events=history(fault_events(4.9, 13), drain=14)), begin, end)


@pytest.mark.long
@settings(max_examples=25)
@given(period=periods, service=services, phase=st.floats(0, 1), begin=starts, length=st.floats(1.2, 4))
def test_bounds_contain_a_stall(period: float, service: float, phase: float, begin: float, length: float) -> None:
    rows, end, deadline = [], begin + length, 0.8
    for index in range(math.ceil(-5 / period), math.floor(14 / period)):
        t = (index + phase) * period
        done = t + service
        if t < begin < done:
            done = end + (done - begin)
        elif begin <= t < end:
            done = end + service
        rows.append(probe(t, done) if done - t <= deadline else probe(t, t + deadline, ok=0, detail="deadline"))
    assert covers(work(rows, events=history(fault_events(4.9, 13), drain=14)), begin, end)


@pytest.mark.long
@settings(max_examples=20)
@given(st.data())
def test_any_samples_give_an_availability_and_their_order_does_not_matter(data: st.DataObject) -> None:
    samples = st.tuples(st.floats(-5, 40), st.floats(0, 5), st.integers(0, 1))
    rows = [probe(t, t + lasted, ok=ok) for t, lasted, ok in data.draw(st.lists(samples, max_size=60))]
    one = work(rows)
    assert one.availability is None or 0 <= one.availability <= 1
    for outage in one.outages:
        assert outage.start_lower_ns <= outage.start_upper_ns
        assert outage.end_upper_ns is None or outage.end_lower_ns <= outage.end_upper_ns
    for before, after in zip(one.outages, one.outages[1:], strict=False):
        assert before.end_ns <= after.start_ns
    run = record((), rows)
    shuffled = probes_frame(rows).sample(frac=1, random_state=data.draw(st.integers(0, 99)))
    assert work_of(replace(run, probes=shuffled)) == one


# -- places that take turns ----------------------------------------------------------------------------------------


def in_turns(*bad: Callable[[float], bool], period: float = 0.1, until: float = 40.0) -> list[ProbeSample]:
    """As many places as there are predicates, of which each says when its place is away, on one grid."""
    rows = []
    for index in range(round(-5 / period), round(until / period)):
        place, t = index % len(bad), index * period
        rows.append(probe(t, ok=int(not bad[place](t)), via=str(place)))
    return rows


def well(_t: float) -> bool:
    return False


def test_a_place_that_fails_between_good_ones_is_one_outage_not_many() -> None:
    # probed at 4.9, 5.1, 5.3 ... 7.9, 8.1
    one = work(in_turns(well, lambda t: 4.95 < t < 7.95))
    (outage,) = one.outages
    assert (outage.start_lower_ns, outage.start_upper_ns) == (ns(4.9), ns(5.101))
    assert (outage.end_lower_ns, outage.end_upper_ns) == (ns(7.9), ns(8.101))
    assert (outage.places_affected, outage.places, one.places) == (1, 2, 2)
    assert (outage.during_fault, outage.recovery) == (0, Recovery.BY_DESIGN)
    # what is asked of the grid as a whole stays so
    assert one.samples == 400
    assert one.period_s == pytest.approx(0.1)
    assert one.longest_gap_s == pytest.approx(0.1)
    assert one.longest_gap_at_a_place_s == pytest.approx(0.2)
    assert one.availability == pytest.approx(1 - outage.seconds / 40)


def test_outages_that_overlap_are_one_from_the_first_start_to_the_last_end() -> None:
    one = work(in_turns(lambda t: 4.95 < t < 8, lambda t: 6 < t < 10))
    (outage,) = one.outages
    assert (outage.start_lower_ns, outage.start_upper_ns) == (ns(4.8), ns(5.001))
    assert (outage.end_lower_ns, outage.end_upper_ns) == (ns(9.9), ns(10.101))
    assert (outage.places_affected, outage.places) == (2, 2)
    assert one.availability == pytest.approx(1 - outage.seconds / 40)


def test_a_long_outage_of_one_place_holds_the_short_ones_of_another_together() -> None:
    one = work(in_turns(lambda t: 5 < t < 12, lambda t: 6 < t < 7 or 9 < t < 10))
    assert [(outage.places_affected, outage.places) for outage in one.outages] == [(2, 2)]


def test_outages_of_two_places_at_different_times_stay_apart() -> None:
    one = work(in_turns(lambda t: 5 < t < 6, lambda t: 9 < t < 10, well))
    assert [(outage.places_affected, outage.places) for outage in one.outages] == [(1, 3), (1, 3)]


def test_one_place_that_is_not_back_keeps_the_outage_open() -> None:
    (outage,) = work(in_turns(lambda t: 5 < t < 8, lambda t: t > 6)).outages
    assert not outage.ended
    assert (outage.end_ns, outage.recovery, outage.places_affected) == (ns(40), Recovery.NOT_RECOVERED, 2)


def test_the_recovery_is_that_of_the_last_place_that_came_back() -> None:
    rows = in_turns(lambda t: 5 < t < 8, lambda t: 5 < t < 15)
    assert [o.recovery for o in work(rows).outages] == [Recovery.BY_DESIGN]
    assert [o.recovery for o in work(rows, events=history(fault_events(5, 12))).outages] == [Recovery.BY_REPAIR]


def test_a_place_that_fell_silent_is_counted_and_its_gap_measured() -> None:
    rows = [row for row in in_turns(well, well) if row.via == "0" or row.send_ns < ns(-1)]
    one = work(rows)
    assert one.places == 2
    assert one.longest_gap_at_a_place_s == pytest.approx(40)


samples_of_any_kind = st.lists(st.tuples(st.floats(-5, 40), st.floats(0, 5), st.integers(0, 1)), max_size=60)


@settings(max_examples=60)
@given(samples_of_any_kind, st.sampled_from(["", "0", "7"]))
def test_with_one_place_the_union_is_what_was_found_there(kinds: list[tuple[float, float, int]], via: str) -> None:
    rows = sorted((probe(t, t + lasted, ok=ok, via=via) for t, lasted, ok in kinds), key=lambda row: row.send_ns)
    send, end, ok = (
        np.array([getattr(row, name) for row in rows], dtype=np.int64) for name in ("send_ns", "end_ns", "ok")
    )
    found = find_edges(send, end, ok == 1, slow_ns=1_000_000_000, usual_ns=1_000_000, since_ns=ns(0))
    assert union([found]) == [(edges, 1) for edges in found]
    assert union([[], found, []]) == [(edges, 1) for edges in found]


@pytest.mark.long
@settings(max_examples=30)
@given(samples_of_any_kind, st.lists(st.integers(0, 2), min_size=60, max_size=60))
def test_the_outages_of_several_places_never_overlap_and_leave_none_out(
    kinds: list[tuple[float, float, int]], places: list[int]
) -> None:
    rows = [probe(t, t + lasted, ok=ok, via=str(at)) for (t, lasted, ok), at in zip(kinds, places, strict=False)]
    one = work(rows)
    for before, after in zip(one.outages, one.outages[1:], strict=False):
        assert before.end_upper_ns is not None
        assert before.end_upper_ns <= after.start_lower_ns
    for row in rows:
        if not row.ok and ns(0) <= row.send_ns < ns(40):
            assert any(
                o.start_lower_ns <= row.send_ns and (o.end_upper_ns is None or row.send_ns <= o.end_upper_ns)
                for o in one.outages
            )


@pytest.mark.long
@settings(max_examples=20)
@given(period=periods, service=services, phase=st.floats(0, 1), begin=starts, away=st.integers(0, 1))
def test_a_total_outage_of_one_of_two_places_is_one_whose_bounds_contain_it(
    period: float, service: float, phase: float, begin: float, away: int
) -> None:
    rows, end = [], begin + 5
    for index in range(math.ceil(-5 / period), math.floor(14 / period)):
        t, via = (index + phase) * period, index % 2
        if via == away and begin <= t < end:
            rows.append(probe(t, t + 0.0002, ok=0, detail="refused", via=str(via)))
        elif via == away and t < begin < t + service:
            rows.append(probe(t, begin, ok=0, detail="reset", via=str(via)))
        else:
            rows.append(probe(t, t + service, via=str(via)))
    one = work(rows, events=history(fault_events(4.9, 13), drain=14))
    assert covers(one, begin, end)
    assert [(outage.places_affected, outage.places) for outage in one.outages] == [(1, 2)]


def test_every_capability_is_measured_by_its_own_probes() -> None:
    measures = analyse(record((), grid_probes({"save": (5.0, 7.0)})))
    assert [len(one.outages) for one in measures.capabilities] == [0, 0, 0, 1, 0]
    assert measures.worst_recovery is Recovery.BY_DESIGN
