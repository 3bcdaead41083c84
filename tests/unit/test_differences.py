"""Differences of few runs: published examples, what few runs can't show, what had not ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.differences import (
    Bounds,
    MeanDifference,
    Reading,
    ShareDifference,
    least_p,
    least_p_of_pairs,
    mean_difference,
    paired_difference,
    runs_needed,
    share_difference,
)

NOTHING = Bounds(lower=None, upper=None)


def readings(*values: float, error: float = 0.0, at_least: int = 0) -> list[Reading]:
    """The last `at_least` of them had not ended."""
    return [
        Reading(value=value, error=error, at_least=index >= len(values) - at_least)
        for index, value in enumerate(values)
    ]


def test_shares_give_the_published_interval() -> None:
    """Newcombe 1998, table II, (a): 56 of 70 against 48 of 80, method 10: 0.0524 to 0.3339."""
    found = ShareDifference(baseline=48, baseline_runs=80, candidate=56, candidate_runs=70).bounds(0.95)
    assert found.lower == pytest.approx(0.0524, abs=5e-5)
    assert found.upper == pytest.approx(0.3339, abs=5e-5)


def test_the_published_interval_where_nothing_ever_happens() -> None:
    """The same, (g): 10 of 10 against 0 of 20: 0.6791 to 1."""
    found = ShareDifference(baseline=0, baseline_runs=20, candidate=10, candidate_runs=10).bounds(0.95)
    assert found.lower == pytest.approx(0.6791, abs=5e-5)
    assert found.upper == pytest.approx(1.0)


def test_means_with_equal_spread_are_students_interval() -> None:
    # s = 1 on both sides, standard error sqrt(2/3) = 0.8165, t(0.975, 4) = 2.7764
    found = mean_difference(readings(1, 2, 3), readings(4, 5, 6))
    assert found.estimate == 3
    assert found.degrees == 4
    assert found.bounds(0.95).lower == pytest.approx(3 - 2.2669, abs=1e-3)
    assert found.bounds(0.95).upper == pytest.approx(3 + 2.2669, abs=1e-3)


def test_a_few_runs_that_happen_to_agree_have_the_spread_of_the_rest() -> None:
    many = readings(3, 3, 3, 9, 3, 3, 3, 9, 3, 3)
    found = mean_difference(many, readings(9, 9, 9))
    lower = found.bounds(0.99).lower
    assert lower is not None
    assert lower < 1


def test_nothing_is_more_exact_than_its_instrument() -> None:
    assert mean_difference(readings(3, 3, 3), readings(3, 3, 3)).standard_error == 0
    found = mean_difference(readings(3, 3, 3, error=1), readings(3, 3, 3, error=1))
    assert found.standard_error == pytest.approx((2 / 3) ** 0.5)
    pairs = list(zip(readings(3, 3, 3, error=1), readings(3, 3, 3, error=1), strict=True))
    assert paired_difference(pairs).standard_error == pytest.approx((2 / 3) ** 0.5)


def test_pairs_leave_out_what_both_have_in_common() -> None:
    before, after = readings(1, 5, 9, error=0.01), readings(2.1, 6.0, 9.9, error=0.01)
    paired = paired_difference(list(zip(before, after, strict=True)))
    lower, apart = paired.bounds(0.95).lower, mean_difference(before, after).bounds(0.95).lower
    assert lower is not None
    assert apart is not None
    assert paired.degrees == 2
    assert lower > 0.7  # 1 - 4.303 x 0.1 / sqrt(3)
    assert apart < 0


@pytest.mark.parametrize(("baseline", "candidate", "expected"), [(3, 3, 1 / 64), (5, 5, 1 / 1024), (2, 30, 1.0)])
def test_so_few_runs_look_different_by_chance_so_often(baseline: int, candidate: int, expected: float) -> None:
    assert least_p(baseline, candidate) == pytest.approx(expected)


@given(st.integers(3, 30), st.integers(3, 30), st.floats(0.01, 0.99))
def test_no_two_valued_measure_looks_different_more_often(b: int, c: int, p: float) -> None:
    assert (1 - p) ** b * p**c <= least_p(b, c) * (1 + 1e-9)


def test_with_too_few_runs_there_is_no_interval_however_far_apart_they_are() -> None:
    apart = mean_difference(readings(1, 1.01, 1.02), readings(90, 90.1, 90.2))
    assert apart.bounds(0.95) != NOTHING
    assert apart.bounds(0.99) == NOTHING
    assert apart.p_above(0) == least_p(3, 3)
    assert mean_difference(readings(1, 1.1), readings(9, 9.1)).bounds(0.95) == NOTHING
    assert share_difference(readings(0, 0), readings(1, 1)).bounds(0.95) == NOTHING
    assert least_p_of_pairs(2) == 1
    assert least_p_of_pairs(5) == 4**-5


@pytest.mark.parametrize(("tests", "confidence", "expected"), [(1, 0.95, 3), (6, 0.95, 4), (13, 0.95, 5), (1, 0.99, 4)])
def test_the_number_of_runs_that_are_needed(tests: int, confidence: float, expected: int) -> None:
    assert runs_needed(tests, confidence) == expected
    assert 2 * least_p(expected, expected) <= (1 - confidence) / tests


def test_what_had_not_ended_opens_the_interval() -> None:
    ended, open_ended = readings(3, 3.1, 3.2), readings(9, 9.1, 9.2, at_least=1)
    after = mean_difference(ended, open_ended)
    assert after.bounds(0.95).upper is None
    assert after.p_above(1) < 0.05  # it is worse, and may be even more so
    assert after.p_below(-1) == 1
    before = mean_difference(open_ended, ended)
    assert before.bounds(0.95).lower is None
    assert before.p_below(-1) < 0.05
    assert before.p_above(1) == 1


@given(
    st.lists(st.floats(0, 100), min_size=5, max_size=9),
    st.lists(st.floats(0, 100), min_size=5, max_size=9),
    st.floats(-50, 50),
    st.floats(0.6, 0.99),
)
def test_an_interval_leaves_a_limit_out_where_its_probability_says_so(
    before: list[float], after: list[float], limit: float, confidence: float
) -> None:
    found = mean_difference(readings(*before, error=0.1), readings(*after, error=0.1))
    lower = found.bounds(confidence).lower
    assert lower is not None
    if abs(lower - limit) > 1e-6:
        assert (lower > limit) == (found.p_above(limit) < (1 - confidence) / 2)


@given(st.integers(0, 8), st.integers(0, 8), st.floats(-0.5, 0.5), st.floats(0.6, 0.99))
def test_the_same_of_shares(before: int, after: int, limit: float, confidence: float) -> None:
    found = ShareDifference(baseline=before, baseline_runs=8, candidate=after, candidate_runs=8)
    upper = found.bounds(confidence).upper
    assert upper is not None
    if abs(upper - limit) > 1e-6:
        assert (upper < limit) == (found.p_below(limit) < (1 - confidence) / 2)


def test_values_that_can_not_vary_differ_for_sure_as_far_as_so_few_can_tell() -> None:
    found = MeanDifference(estimate=2, standard_error=0, degrees=8, least_p=1 / 1024)
    assert found.p_above(1) == 1 / 1024
    assert found.p_above(3) == 1


def test_what_can_not_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="1 against 2 runs"):
        mean_difference(readings(1), readings(1, 2))
    with pytest.raises(ValueError, match="1 pairs"):
        paired_difference([(readings(1)[0], readings(1)[0])])
