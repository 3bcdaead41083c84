"""What the draws of a year say: downtime, targets, the share of each failure, cost, sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.analysis.nines.claims import MoreTrials, miss_probability_at_most, more_flawless_trials
from harness.analysis.nines.enough import Enough, enough_trials
from harness.analysis.nines.posterior import YEAR_S, Floats, Hazard, draw_years
from harness.analysis.nines.question import TARGETS_PERCENT, Question

__all__ = [
    "ALSO_PERCENT",
    "HazardLine",
    "Projection",
    "Spread",
    "TargetLine",
    "budget_s",
    "project",
]

#: Of more trials it is always said how many would do for this target.
ALSO_PERCENT: Final = 99.95


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A quantity of a year."""

    mean: float
    median: float
    lower: float
    """2.5% of all years are below, ..."""
    upper: float
    """... and 2.5% above: the 95% credible interval."""
    p95: float
    """95% of all years are below."""


@dataclass(frozen=True, kw_only=True)
class TargetLine:
    """One target."""

    percent: float
    budget_s: float
    probability_total: float
    """That the platform's downtime is within the budget."""
    probability_users: float
    """That a user's mean downtime is."""
    used_total_ratio: float
    """Mean downtime of the platform / budget."""
    used_users_ratio: float

    def probability(self, question: Question) -> float:
        """Of the downtime that is asked about."""
        return self.probability_total if question.by == "total" else self.probability_users


@dataclass(frozen=True, kw_only=True)
class HazardLine:
    """What one kind of failure adds."""

    experiment: str
    role: str
    """The role that is hit; empty where it is no single machine."""
    trials: int
    recovered: int
    """Trials whose measured time stands."""
    missed: int
    missed_at_most_ratio: float
    """With 95% confidence not more of such failures need a repair (Clopper-Pearson, one-sided)."""
    rate_name: str
    rate_per_year: float
    machines: int
    outages_per_year: float
    outage_s: float | None
    """Mean outage of the trials that recovered, and the longest; None without any."""
    outage_longest_s: float | None
    repair_mean_s: float
    expected_downtime_s: float
    """In closed form: the mean of `total` without the error of drawing."""
    total_s: Spread
    users_s: Spread
    share_total_ratio: float | None
    """Of the mean downtime; None where there is none."""
    share_users_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A year under the stated rates and the tested faults."""

    total_s: Spread
    """Seconds in which any capability that counts is away."""
    users_s: Spread
    """Mean down time of a user."""
    targets: tuple[TargetLine, ...]
    hazards: tuple[HazardLine, ...]
    cost: Spread
    """Dollars: user-hours that are lost x cost of an hour."""
    sessions_restarted: Spread
    """Sessions that lose what is in memory, of so many users with a session each."""
    sessions_lost: Spread
    """Sessions that do not work again, likewise."""
    more_trials: tuple[MoreTrials, ...]
    """By the mean, of each experiment alone."""
    enough: tuple[Enough, ...]
    """By the probability, of all experiments: for the target that is asked about, and for 99.95%."""

    def target(self, percent: float) -> TargetLine:
        """The line of a target that was asked for."""
        return next(line for line in self.targets if line.percent == percent)


def budget_s(percent: float) -> float:
    """Seconds of a year in which a platform of so many percent may be down."""
    return YEAR_S * (1 - percent / 100)


def project(hazards: Sequence[Hazard], question: Question) -> Projection:
    """A year under all hazards together. The same question and seed give the same numbers.

    Failures are independent, and no two outages are at the same time; a year is never down for longer than it is.
    """
    rng = np.random.default_rng(question.seed)
    every = [draw_years(hazard, rng, question.draws) for hazard in hazards]
    nothing = np.zeros(question.draws)
    total_s: Floats = np.minimum(YEAR_S, sum((one.total_s for one in every), nothing))
    users_s: Floats = np.minimum(YEAR_S, sum((one.users_s for one in every), nothing))
    percents = sorted({*TARGETS_PERCENT, question.target_percent})
    targets = tuple(_target(percent, total_s, users_s) for percent in percents)
    return Projection(
        total_s=_spread(total_s),
        users_s=_spread(users_s),
        targets=targets,
        hazards=tuple(
            _hazard(hazard, years.total_s, years.users_s, total_s, users_s)
            for hazard, years in zip(hazards, every, strict=True)
        ),
        cost=_spread(users_s / 3600 * question.users * question.cost_per_hour),
        sessions_restarted=_spread(sum((one.restarted_ratio for one in every), nothing) * question.users),
        sessions_lost=_spread(sum((one.lost_ratio for one in every), nothing) * question.users),
        more_trials=tuple(
            more_flawless_trials(hazard, hazards, percent, budget_s(percent))
            for percent in percents
            for hazard in hazards
        ),
        enough=tuple(
            enough_trials(hazards, question, line.percent, line.probability(question))
            for line in targets
            if line.percent in (question.target_percent, ALSO_PERCENT)
        ),
    )


def _spread(values: Floats) -> Spread:
    lower, median, p95, upper = (float(q) for q in np.percentile(values, (2.5, 50, 95, 97.5)))
    return Spread(mean=float(values.mean()), median=median, lower=lower, upper=upper, p95=p95)


def _target(percent: float, total_s: Floats, users_s: Floats) -> TargetLine:
    budget = budget_s(percent)
    return TargetLine(
        percent=percent,
        budget_s=budget,
        probability_total=float((total_s <= budget).mean()),
        probability_users=float((users_s <= budget).mean()),
        used_total_ratio=float(total_s.mean()) / budget,
        used_users_ratio=float(users_s.mean()) / budget,
    )


def _hazard(hazard: Hazard, own_s: Floats, own_users_s: Floats, total_s: Floats, users_s: Floats) -> HazardLine:
    lengths = [one.outage_s for one in hazard.recovered]
    return HazardLine(
        experiment=hazard.experiment,
        role=hazard.role or "",
        trials=len(hazard.trials),
        recovered=len(hazard.recovered),
        missed=len(hazard.missed),
        missed_at_most_ratio=miss_probability_at_most(len(hazard.missed), len(hazard.trials)),
        rate_name=hazard.rate_name,
        rate_per_year=hazard.rate.mean_per_year,
        machines=hazard.machines,
        outages_per_year=hazard.outages_per_year,
        outage_s=hazard.recovered_outage_s if lengths else None,
        outage_longest_s=max(lengths, default=None),
        repair_mean_s=hazard.repair.mean_s,
        expected_downtime_s=hazard.expected_downtime_s,
        total_s=_spread(own_s),
        users_s=_spread(own_users_s),
        share_total_ratio=_share(own_s, total_s),
        share_users_ratio=_share(own_users_s, users_s),
    )


def _share(own_s: Floats, all_s: Floats) -> float | None:
    """Capped at 1: a year that is down throughout is not down more by one cause more."""
    together = float(all_s.mean())
    return min(1.0, float(own_s.mean()) / together) if together > 0 else None
