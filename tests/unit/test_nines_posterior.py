"""Draws of a year against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.nines import Hazard, Question, Years, budget_s, draw_years, project
from harness.analysis.nines.posterior import ONE_BY_ONE, YEAR_S
from harness.core.rates import ManualRepair, Rate
from harness.core.words import Recovery
from tests.unit.nines_samples import AN_HOUR, hazard, missed, rate, trial

DRAWS = 50_000
#: Times the standard error of a mean: a right one is further off once in 500 million.
SIGMAS = 6.0


def draw(one: Hazard, **how: int | None) -> Years:
    return draw_years(one, np.random.default_rng(7), DRAWS, **how)


def assert_mean(values: np.ndarray, expected: float) -> None:
    error = float(values.std()) / np.sqrt(len(values))
    assert abs(float(values.mean()) - expected) <= SIGMAS * error + 1e-12


def test_outages_have_the_mean_and_the_variance_of_a_poisson_with_a_gamma_rate() -> None:
    # Gamma(4, 2 years) on 3 machines: mean 3 x 4/2 = 6, variance 6 + 9 x 4/4 = 15
    outages = draw(hazard(machines=3)).outages
    assert_mean(outages, 6.0)
    assert float(outages.var()) == pytest.approx(15.0, rel=0.05)


def test_a_stated_rate_has_its_mean_and_its_uncertainty() -> None:
    # 50% of 2 a year: shape (100/50)^2 = 4, exposure 4/2 = 2 years
    stated = Rate(per_year=2.0, uncertainty_percent=50, source="a test")
    assert (stated.shape, stated.years, stated.mean_per_year) == (4.0, 2.0, 2.0)


def test_misses_are_as_many_as_the_beta_says() -> None:
    # 3 of 4 trials recovered: Beta(1 + 1, 1 + 3) has the mean 2/6; 2 outages a year, so 2/3 are missed
    one = hazard(trial(), trial(), trial(), missed())
    assert one.miss_probability == pytest.approx(1 / 3)
    assert_mean(draw(one).missed, 2 / 3)


def test_one_flawless_trial_still_leaves_a_third_to_be_missed() -> None:
    assert hazard(trial()).miss_probability == pytest.approx(1 / 3)
    assert_mean(draw(hazard(trial())).missed, 2 / 3)


def test_downtime_is_that_of_the_closed_form() -> None:
    # 2 outages, 3/5 by design (Beta(2, 3)), of 10 or 20 s; the rest an hour: 2 x (0.6 x 15 + 0.4 x 3600) = 2898 s
    one = hazard(trial(10.0), trial(20.0), missed())
    assert one.expected_downtime_s == pytest.approx(2898.0)
    years = draw(one)
    assert_mean(years.total_s, 2898.0)
    assert_mean(years.users_s, 2 * (0.6 * 7.5 + 0.4 * 3600))


def test_every_outage_is_one_that_was_measured_or_a_repair() -> None:
    years = draw(hazard(trial(10.0), trial(20.0)))
    once = years.total_s[(years.outages == 1) & (years.missed == 0)]
    assert set(once.tolist()) == {10.0, 20.0}
    assert set(years.total_s[(years.outages == 1) & (years.missed == 1)].tolist()) == {3600.0}
    twice = years.total_s[(years.outages == 2) & (years.missed == 0)]
    assert set(twice.tolist()) == {20.0, 30.0, 40.0}


def test_what_never_recovered_by_design_is_always_repaired() -> None:
    years = draw(hazard(missed(), missed()))
    assert (years.missed == years.outages).all()
    assert (years.total_s == 3600.0 * years.outages).all()


def test_only_those_wait_for_a_repair_who_waited_in_the_missed_trials() -> None:
    years = draw(hazard(missed(waiting_ratio=0.25, others_outage_s=2.0)))
    assert years.users_s == pytest.approx(years.outages * (0.25 * 3600 + 2.0))


def test_without_a_missed_trial_everybody_waits_for_a_repair() -> None:
    years = draw(hazard(trial()))
    all_missed = (years.missed == years.outages) & (years.outages > 0)
    assert (years.users_s[all_missed] == years.total_s[all_missed]).all()


def test_a_planned_restart_lasts_as_long_as_was_measured() -> None:
    planned = hazard(missed(), missed(), rate=rate(repair="measured"))
    assert (len(planned.recovered), len(planned.missed)) == (2, 0)
    assert planned.recovered_outage_s == 40.0
    gone = hazard(trial(recovery=Recovery.NOT_RECOVERED), rate=rate(repair="measured"))
    assert (len(gone.recovered), len(gone.missed)) == (0, 1)


def test_repairs_are_spread_as_stated() -> None:
    lognormal = ManualRepair(median_s=3600, p95_s=14400, source="a test")
    years = draw(hazard(missed(), repair=lognormal))
    single = years.total_s[years.outages == 1]
    assert float(np.median(single)) == pytest.approx(3600, rel=0.08)
    assert float(np.percentile(single, 95)) == pytest.approx(14400, rel=0.15)
    assert lognormal.mean_s == pytest.approx(3600 * np.exp((np.log(4) / 1.6448536) ** 2 / 2))
    even = ManualRepair(least_s=600, most_s=1800, source="a test")
    assert even.mean_s == 1200
    assert even.deviation_s == pytest.approx(1200 / np.sqrt(12))
    single = draw(hazard(missed(), repair=even)).total_s[years.outages == 1]
    assert_mean(single, 1200)
    assert (single >= 600).all()
    assert (single <= 1800).all()


@pytest.mark.long
def test_years_with_many_failures_have_the_same_mean_and_spread() -> None:
    often = rate(events=100_000_000, exposure_years=1_000_000)  # 100 a year, known exactly
    one = hazard(trial(10.0), trial(30.0), missed(), rate=often)
    years = draw(one)
    assert float((years.outages > ONE_BY_ONE).mean()) > 0.99
    assert_mean(years.total_s, one.expected_downtime_s)
    repairs = hazard(missed(), rate=often, repair=ManualRepair(least_s=0, most_s=1200, source="a test"))
    # a compound Poisson: variance = 100 x mean of the squares = 100 x 1200^2 / 3
    assert float(draw(repairs).total_s.var()) == pytest.approx(100 * 1200**2 / 3, rel=0.05)


def test_more_flawless_trials_only_change_what_is_missed() -> None:
    # Beta(1, 1 + 1 + 8) has the mean 1/11; 2 outages a year
    assert_mean(draw(hazard(trial()), more_flawless=8).missed, 2 / 11)
    assert draw(hazard(trial()), more_flawless=None).missed.sum() == 0


def test_years_in_which_nothing_fails_are_whole() -> None:
    never = rate(events=1, exposure_years=1e9)
    years = draw(hazard(trial(), missed(), rate=never))
    assert (years.outages.sum(), years.total_s.sum(), years.users_s.sum(), years.lost_ratio.sum()) == (0, 0, 0, 0)


@pytest.mark.long
def test_sessions_are_lost_by_the_share_of_the_trials() -> None:
    years = draw(hazard(trial(restarted_ratio=0.5, lost_ratio=0.25)))
    assert years.restarted_ratio == pytest.approx(0.5 * years.outages)
    assert years.lost_ratio == pytest.approx(0.25 * years.outages)


def test_without_anything_that_fails_a_year_has_no_downtime() -> None:
    found = project([], Question(draws=1000))
    assert (found.total_s.mean, found.users_s.upper, found.cost.mean) == (0.0, 0.0, 0.0)
    assert {line.probability_total for line in found.targets} == {1.0}
    assert {one.more for one in found.enough} == {0}


def test_the_same_seed_gives_the_same_numbers() -> None:
    some = [hazard(trial(), missed()), hazard(trial(3.0), experiment="lb-loss")]
    assert project(some, Question(draws=2000)) == project(some, Question(draws=2000))
    assert project(some, Question(draws=2000)) != project(some, Question(draws=2000, seed=2))


def test_a_year_is_not_down_for_longer_than_it_is() -> None:
    for_ever = ManualRepair(least_s=YEAR_S, most_s=YEAR_S, source="a test")
    found = project([hazard(missed(), repair=for_ever)], Question(draws=2000))
    assert found.total_s.upper == YEAR_S


def test_budgets_are_those_that_everybody_knows() -> None:
    assert budget_s(90) / 86400 == pytest.approx(36.525)
    assert budget_s(99.9) / 3600 == pytest.approx(8.766)
    assert budget_s(99.999) == pytest.approx(315.576)


def test_shares_cost_and_sessions_follow_from_the_downtime() -> None:
    some = [hazard(missed(restarted_ratio=1.0)), hazard(missed(), experiment="lb-loss", rate=rate(events=12))]
    found = project(some, Question(draws=50_000, users=100, cost_per_hour=20))
    node, balancer = found.hazards
    # 2 and 6 repairs of an hour a year
    assert node.share_total_ratio == pytest.approx(0.25, abs=0.01)
    assert balancer.share_total_ratio == pytest.approx(0.75, abs=0.01)
    assert found.cost.mean == pytest.approx(8 * 100 * 20, rel=0.02)
    assert found.sessions_restarted.mean == pytest.approx(2 * 100, rel=0.03)
    assert found.sessions_lost.mean == 0.0


@given(
    st.lists(st.floats(0, 600), min_size=1, max_size=8),
    st.integers(0, 8),
    st.floats(0.01, 50),
    st.integers(1, 9),
)
def test_more_misses_never_give_more_nines(lengths: list[float], misses: int, per_year: float, machines: int) -> None:
    how = Rate(per_year=per_year, uncertainty_percent=50, source="a test")
    before = hazard(*(trial(x) for x in lengths), *(missed() for _ in range(misses)), rate=how, machines=machines)
    one_more = replace(before, trials=(*before.trials, missed()))
    one_instead = replace(before, trials=(*before.trials[1:], missed()))
    # an hour's repair takes longer than any of these outages
    assert one_more.expected_downtime_s >= before.expected_downtime_s
    assert one_instead.expected_downtime_s >= before.expected_downtime_s


@pytest.mark.long
@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 600), st.booleans(), st.floats(0, 1)), min_size=1, max_size=6),
    st.floats(0.01, 20),
    st.integers(1, 300),
)
def test_every_year_is_possible(trials: list[tuple[float, bool, float]], per_year: float, uncertainty: int) -> None:
    some = [missed(waiting_ratio=ratio) if bad else trial(length) for length, bad, ratio in trials]
    how = Rate(per_year=per_year, uncertainty_percent=uncertainty, source="a test")
    found = project([hazard(*some, rate=how, repair=AN_HOUR)], Question(draws=1000))
    assert 0 <= found.total_s.lower <= found.total_s.median <= found.total_s.p95 <= found.total_s.upper <= YEAR_S
    met = [line.probability_total for line in found.targets]
    assert met == sorted(met, reverse=True)
    assert all(0 <= line.probability_users <= 1 for line in found.targets)
