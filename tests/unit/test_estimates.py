"""What few repetitions say: hand-worked vectors, and how often the intervals hold the truth."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.estimates import Distribution, Interval, MeanInterval, Value, distribution, share_interval


def of(*values: float, not_ended: tuple[float, ...] = ()) -> Distribution:
    return distribution([*(Value(value) for value in values), *(Value(value, censored=True) for value in not_ended)])


def interval_of(found: Distribution) -> MeanInterval:
    assert found.interval is not None
    return found.interval


# -- worked out by hand ----------------------------------------------------------------------------------------------


def test_one_to_five() -> None:
    found = of(4, 1, 5, 3, 2)
    assert found.median is not None
    assert found.largest is not None
    assert (found.values, found.mean, found.median.value, found.largest.value) == (5, 3, 3, 5)
    assert (found.median.rank, found.largest.rank) == ("3rd of 5", "5th of 5")
    interval = interval_of(found)  # s = sqrt(2.5), t(0.975, 4) = 2.776 (Student's table): half = 1.963
    assert interval.lower == pytest.approx(1.037, abs=0.001)
    assert interval.upper == pytest.approx(4.963, abs=0.001)
    assert interval.relative_width_ratio == pytest.approx(2 * 1.963 / 3, abs=0.001)


def test_an_even_number_of_values_has_its_median_between_two() -> None:
    found = of(10, 1, 3, 2)
    assert found.median is not None
    assert (found.median.value, found.median.rank) == (2.5, "between the 2nd and the 3rd of 4")


def test_a_p95_needs_twenty_values() -> None:
    assert of(*range(1, 20)).p95 is None
    found = of(*range(1, 21)).p95
    assert found is not None
    assert (found.value, found.rank) == (19, "19th of 20")
    hundred = of(*range(1, 101)).p95
    assert hundred is not None
    assert (hundred.value, hundred.rank) == (95, "95th of 100")


def test_what_cannot_be_said_is_not_said() -> None:
    nothing = distribution([None, None])
    assert (nothing.values, nothing.missing) == (0, 2)
    assert (nothing.mean, nothing.median, nothing.largest, nothing.interval) == (None, None, None, None)
    assert of(3).interval is None
    assert of(3, 3, 3, 3, 3).interval is None, "equal values say nothing of how far they vary"
    assert distribution([Value(3), None]).missing == 1


def test_no_mean_is_below_zero() -> None:
    assert interval_of(of(0, 0, 0, 9)).lower == 0


def test_what_had_not_ended_is_not_averaged_as_if_it_had() -> None:
    found = of(2, 3, 5, not_ended=(4,))
    assert found.censored == 1
    assert (found.mean, found.mean_is_lower_bound) == (3.5, True)
    assert found.largest is not None
    assert (found.largest.value, found.largest.lower_bound) == (5, True), "that which had not ended may be longer"
    assert found.median is not None
    assert (found.median.value, found.median.lower_bound) == (3.5, True)
    interval = interval_of(found)
    assert (interval.upper, interval.relative_width_ratio) == (None, None)


def test_a_quantile_that_it_can_not_reach_is_exact() -> None:
    found = of(1, 2, not_ended=(10,))
    assert found.median is not None
    assert (found.median.value, found.median.lower_bound) == (2, False)


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [
        (0, 10, 0.0, 0.3085),  # 1 - 0.025 ** (1 / 10)
        (10, 10, 0.6915, 1.0),
        (9, 10, 0.5550, 0.9975),
        (5, 10, 0.1871, 0.8129),
        (1, 20, 0.0013, 0.2487),
        (1, 1, 0.025, 1.0),
    ],
)
def test_exact_intervals_as_in_the_tables(successes: int, trials: int, lower: float, upper: float) -> None:
    found = share_interval(successes, trials)
    assert found.lower == pytest.approx(lower, abs=0.0001)
    assert found.upper == pytest.approx(upper, abs=0.0001)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 3)])
def test_a_share_of_nothing_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        share_interval(successes, trials)


# -- how often they hold the truth -----------------------------------------------------------------------------------


@given(st.integers(1, 30), st.floats(0.001, 0.999))
def test_an_exact_interval_holds_the_share_in_95_of_100_cases_at_the_least(trials: int, share: float) -> None:
    def holds(interval: Interval) -> bool:
        return interval.lower <= share <= interval.upper

    chance = [math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(trials + 1)]
    held = sum(chance[k] for k in range(trials + 1) if holds(share_interval(k, trials)))
    assert held >= 0.95 - 1e-9


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "mean", "values", "least", "most"),
    [
        (lambda lot: lot.gauss(5, 1), 5.0, 5, 0.935, 0.965),
        (lambda lot: lot.uniform(3, 6), 4.5, 10, 0.925, 0.965),
        (lambda lot: lot.expovariate(0.2), 5.0, 10, 0.87, 0.93),
    ],
    ids=["normal", "uniform", "exponential"],
)
def test_how_often_the_interval_for_the_mean_holds_it(
    draw: Callable[[random.Random], float], mean: float, values: int, least: float, most: float
) -> None:
    lot, sets = random.Random(5), 2000
    held = 0
    for _ in range(sets):
        interval = interval_of(of(*(max(0.0, draw(lot)) for _ in range(values))))
        held += interval.upper is not None and interval.lower <= mean <= interval.upper
    assert least <= held / sets <= most


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "mean", "least", "most"),
    [
        (lambda lot: lot.gauss(5, 1), 5.0, 0.88, 0.95),
        (lambda lot: 3 + lot.expovariate(2 / 3), 4.5, 0.82, 0.91),
        (lambda lot: (3 if lot.random() < 0.8 else 9) + lot.gauss(0, 0.3), 4.2, 0.66, 0.80),
    ],
    ids=["normal", "skewed", "one in five is longer"],
)
def test_stopping_at_a_narrow_interval_makes_it_hold_the_mean_less_often(
    draw: Callable[[random.Random], float], mean: float, least: float, most: float
) -> None:
    """The numbers that are said beside a set that stopped early (`analysis.trials.EARLY_STOP`)."""
    lot, sets, held = random.Random(2), 400, 0
    for _ in range(sets):
        values = [draw(lot) for _ in range(20)]
        looks = (interval_of(of(*values[:count])) for count in range(5, 20))
        wished = (look for look in looks if look.relative_width_ratio is not None and look.relative_width_ratio <= 0.2)
        at_the_end = next(wished, None) or interval_of(of(*values))
        held += at_the_end.upper is not None and at_the_end.lower <= mean <= at_the_end.upper
    assert least <= held / sets <= most


seconds = st.floats(0, 1000)


@pytest.mark.long
@given(st.lists(st.tuples(seconds, st.none() | seconds), min_size=1, max_size=40))
def test_bounds_hold_whatever_became_of_what_had_not_ended(drawn: list[tuple[float, float | None]]) -> None:
    """Each pair: what was seen, and by how much longer it lasted where it had not ended."""
    seen = distribution([Value(value, censored=more is not None) for value, more in drawn])
    truth = of(*(value + (more or 0.0) for value, more in drawn))
    for name in ("median", "largest", "p95"):
        told, true = getattr(seen, name), getattr(truth, name)
        if told is None:
            continue
        assert told.value <= true.value + 1e-9
        assert told.lower_bound or told.value == pytest.approx(true.value)
    assert seen.mean is not None
    assert truth.mean is not None
    assert seen.mean <= truth.mean + 1e-9
    assert seen.mean_is_lower_bound or seen.mean == pytest.approx(truth.mean)


@given(st.lists(seconds, min_size=2, max_size=30), st.randoms())
def test_the_order_does_not_matter(values: list[float], lot: random.Random) -> None:
    shuffled = [*values]
    lot.shuffle(shuffled)
    assert of(*values) == of(*shuffled)
