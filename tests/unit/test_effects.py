"""Outages together, and what each fault did when: by hand, and against simulated outages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import Measures, analyse
from harness.analysis.effects import Elapsed, FaultEffect
from harness.analysis.facts import read_facts
from harness.analysis.intermittent import OutageTotals
from harness.analysis.outages import measure_probes
from harness.analysis.record import probes_of
from harness.core.rows import ProbeSample
from harness.core.words import Recovery
from tests.unit.analysis_runs import fault_events, grid_probes, history, op, probe, record


def grid(*bad: Callable[[float], bool], capability: str = "work") -> list[ProbeSample]:
    """Ten probes a second; as many places as there are predicates, of which each says when its place is away."""
    times = [(index, index / 10) for index in range(-50, 400)]
    return [probe(t, ok=int(not bad[i % len(bad)](t)), via=str(i % len(bad)), capability=capability) for i, t in times]


def measured(probes: Sequence[ProbeSample], **changes: Any) -> Measures:
    return analyse(record((), probes, **changes))


def work_totals(measures: Measures) -> OutageTotals:
    (found,) = [one.totals for one in measures.capabilities if one.capability == "work"]
    assert found is not None
    return found


def effect(measures: Measures, capability: str | None = None, fault: int = 0) -> FaultEffect:
    (found,) = [one for one in measures.effects if (one.fault, one.capability) == (fault, capability)]
    return found


def near(seconds: float | None, lower: float, upper: float | None) -> Elapsed:
    def about(value: float | None) -> Any:
        return None if value is None else pytest.approx(value, abs=1e-6)

    return Elapsed(seconds=about(seconds), seconds_lower=about(lower), seconds_upper=about(upper))


# -- together ------------------------------------------------------------------------------------------------------


def test_intermittent_outages_are_counted_summed_and_the_longest_named() -> None:
    totals = work_totals(measured(grid(lambda t: 4.95 < t < 5.95 or 9.95 < t < 10.45 or 19.95 < t < 22.95)))
    # bad 5.0 to 5.9: [4.9, 5.001] to [5.9, 6.001], so 1.0 s (0.899 to 1.101); likewise 0.5 s and 3.0 s
    assert totals.number == 3
    assert totals.total_s == pytest.approx(4.5)
    assert totals.total_lower_s == pytest.approx(0.899 + 0.399 + 2.899)
    assert totals.total_upper_s == pytest.approx(1.101 + 0.601 + 3.101)
    assert totals.longest_s == pytest.approx(3.0)
    assert totals.place_weighted_s == totals.total_s, "there is one place"


def test_half_of_the_places_away_is_the_whole_time_as_union_and_half_of_it_weighted() -> None:
    totals = work_totals(measured(grid(lambda _: False, lambda t: 4.95 < t < 7.95)))
    # a place is probed every 0.2 s: [4.9, 5.101] to [7.9, 8.101]
    assert totals.total_s == pytest.approx(3.0)
    assert totals.place_weighted_s == pytest.approx(1.5)
    assert totals.total_lower_s == pytest.approx(2.799)
    assert totals.total_upper_s == pytest.approx(3.201)


def test_places_that_are_away_in_turn_are_one_outage_as_union() -> None:
    totals = work_totals(measured(grid(lambda t: 5 < t < 8, lambda t: 7 < t < 11)))
    assert totals.number == 1
    assert totals.total_s == pytest.approx(6.1, abs=0.2)
    assert totals.place_weighted_s == pytest.approx((3 + 4) / 2, abs=0.2)


def test_one_that_did_not_end_leaves_the_sum_without_an_upper_bound() -> None:
    totals = work_totals(measured(grid(lambda t: 4.95 < t < 5.95 or t > 29.95)))
    assert (totals.number, totals.total_upper_s) == (2, None)
    assert totals.total_s == pytest.approx(1.0 + 10.05, abs=0.01)


def test_without_probes_there_is_nothing_to_sum_up_and_without_outages_nothing_is_lost() -> None:
    assert {one.totals for one in measured([]).capabilities} == {None}
    totals = work_totals(measured(grid(lambda _: False)))
    assert (totals.number, totals.total_s, totals.total_upper_s, totals.longest_s) == (0, 0, 0, 0)


@pytest.mark.long
@settings(max_examples=40)
@given(
    st.sampled_from([0.05, 0.1]),
    st.floats(0.0005, 0.03),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0.3, 1.5), st.floats(0.5, 2)), min_size=1, max_size=4),
)
def test_the_bounds_of_the_sum_contain_the_truth(
    period: float, service: float, phase: float, plan: list[tuple[float, float]]
) -> None:
    downs, t = [], 5.0
    for away_s, good_s in plan:
        downs.append((t, t + away_s))
        t += away_s + good_s
    rows = []
    for index in range(math.ceil(-5 / period), math.floor((t + 1) / period)):
        sent = (index + phase) * period
        hit = [(low, high) for low, high in downs if low < sent + service and sent < high]
        if not hit:
            rows.append(probe(sent, sent + service))
        else:  # refused at once while it is down, cut off where it was in flight
            rows.append(probe(sent, max(sent + 0.0001, hit[0][0]), ok=0, detail="refused"))
    run = record((), rows, events=history(fault_events(4.9, t), drain=t + 1))
    (totals,) = [one.totals for one in measure_probes(probes_of(run), read_facts(run), 5.0) if one.samples]
    assert totals is not None
    true_s = sum(high - low for low, high in downs)
    assert totals.number == len(downs)
    assert totals.total_upper_s is not None
    assert totals.total_lower_s - 1e-6 <= true_s <= totals.total_upper_s + 1e-6
    assert totals.longest_s <= totals.total_s + 1e-6


@pytest.mark.long
@settings(max_examples=15)
@given(st.floats(0.05, 0.5), st.floats(0.0005, 0.1), st.floats(0, 1))
def test_no_fault_and_nothing_that_fails_is_no_outage(period: float, service: float, phase: float) -> None:
    steps = range(math.ceil(-5 / period), math.floor(40 / period))
    rows = [probe((i + phase) * period, (i + phase) * period + service) for i in steps]
    measures = analyse(record([op(t) for t in range(-5, 40)], rows, events=history(), faults=0))
    assert (measures.outages, measures.effects, measures.worst_recovery) == ((), (), Recovery.UNAFFECTED)
    assert measures.capabilities[2].availability == 1.0
    assert (measures.user_uptime.ratio, measures.user_uptime.union_s) == (1.0, 0.0)


# -- what each fault did -------------------------------------------------------------------------------------------


def test_effect_and_recovery_count_from_the_injection() -> None:
    # injected in [5.0, 5.01]; last good probe 5.9, first bad one 6.0 (ends 6.001), last bad 7.9, good again 8.0
    one = effect(measured(grid(lambda t: 5.95 < t < 7.95)), "work")
    assert one.effect == near(0.9455, 0.89, 1.001)
    assert one.recovery_time == near(2.9455, 2.89, 3.001)
    assert (one.recovery_time_after_undo, one.recovery, one.outages) == (None, Recovery.BY_DESIGN, 1)


def test_nothing_comes_before_its_cause() -> None:
    # the last good probe was at 4.9, so the edge may lie before the injection; the effect may not
    assert effect(measured(grid(lambda t: 4.95 < t < 7.95)), "work").effect == near(0.0005, 0, 0.001)


def test_a_repair_is_counted_from_the_undoing_too() -> None:
    one = effect(measured(grid(lambda t: 4.95 < t < 12.95), events=history(fault_events(5, 10))), "work")
    assert one.recovery is Recovery.BY_REPAIR
    assert one.recovery_time == near(7.9455, 7.89, 8.001)
    assert one.recovery_time_after_undo == near(2.9455, 2.89, 3.001)


def test_what_did_not_come_back_took_at_least_so_long() -> None:
    one = effect(measured(grid(lambda t: t > 4.95)), "work")
    assert one.recovery_time == near(None, 39.9 - 5.01, None)
    assert (one.recovery, one.recovery_time_after_undo) == (Recovery.NOT_RECOVERED, None)


def test_any_capability_has_the_first_effect_and_the_last_recovery() -> None:
    probes = grid_probes({"log_in": (5.0, 7.0), "work": (6.0, 9.0)})
    measures = measured(probes)
    both = effect(measures)
    assert both.effect == effect(measures, "log_in").effect
    assert both.recovery_time == effect(measures, "work").recovery_time
    assert [one.capability for one in measures.effects] == [None, "log_in", "work"]
    assert both.outages == 2


def test_each_fault_has_the_outages_that_began_in_its_time() -> None:
    faults = [*fault_events(5, 8), *fault_events(15, 30, index=1)]
    measures = measured(grid(lambda t: 14.95 < t < 16), events=history(faults), faults=2)
    first, second = effect(measures), effect(measures, fault=1)
    assert (first.outages, first.effect, first.recovery_time) == (0, None, None)
    assert first.recovery is Recovery.UNAFFECTED
    assert second.outages == 1


def test_a_fault_that_was_not_injected_did_nothing() -> None:
    assert measured(grid(lambda t: 4.95 < t < 6), events=history()).effects == ()
