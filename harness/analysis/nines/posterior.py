"""Draws of a year: how many outages, which of them the platform recovers from, how long each is.

For each kind of failure, in each draw:

- rate ~ Gamma(shape, years), of `rates.yaml`; outages ~ Poisson(rate x machines);
- misses ~ Binomial(outages, p), p ~ Beta(1 + missed trials, 1 + trials that recovered by design);
- an outage that ends by design is as long as one of the trials that did, each with its weight: Bayesian bootstrap
  (Rubin, "The Bayesian Bootstrap", Annals of Statistics 9(1), 1981), weights ~ Dirichlet(1, ..., 1);
- a miss lasts for a manual repair, drawn for each. Of the users only those wait for it who did in the missed trials;
  without a missed trial all of them.

What was never seen to recover by design has no length of such a recovery: then every outage is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from harness.analysis.nines.trials import Trial
from harness.core.rates import ManualRepair, Rate
from harness.core.words import Recovery, Role

__all__ = ["YEAR_S", "Hazard", "Years", "draw_years"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: A Julian year.
YEAR_S: Final = 365.25 * 86400
#: The sum of more repairs than this in one year is drawn as normal, by its mean and variance.
REPAIRS_ONE_BY_ONE: Final = 50


@dataclass(frozen=True, kw_only=True)
class Hazard:
    """One kind of failure: how often, on how many machines, what trials showed, how long a repair takes."""

    experiment: str
    rate: Rate
    machines: int
    trials: tuple[Trial, ...]
    """One at least."""
    repair: ManualRepair
    rate_name: str = ""
    role: Role | None = None
    """The role that is hit; None where it is no single machine."""

    @property
    def recovered(self) -> tuple[Trial, ...]:
        """Trials whose measured time stands: recovered by design or, where what undoes the fault belongs to the event,
        recovered at all."""
        if self.rate.repair == "measured":
            return tuple(one for one in self.trials if one.recovery is not Recovery.NOT_RECOVERED)
        return tuple(one for one in self.trials if one.by_design)

    @property
    def missed(self) -> tuple[Trial, ...]:
        """The other trials."""
        return tuple(one for one in self.trials if one not in self.recovered)

    @property
    def outages_per_year(self) -> float:
        """Expected number: rate x machines."""
        return self.rate.mean_per_year * self.machines

    @property
    def miss_probability(self) -> float:
        """Its expected value: (1 + missed) / (2 + trials); 1 where no trial recovered."""
        return (1 + len(self.missed)) / (2 + len(self.trials)) if self.recovered else 1.0

    @property
    def recovered_outage_s(self) -> float:
        """Mean outage of the trials that recovered; 0 without any."""
        return sum(one.outage_s for one in self.recovered) / max(1, len(self.recovered))

    @property
    def expected_downtime_s(self) -> float:
        """Of a year, in closed form: outages x (by design x mean outage + missed x mean repair)."""
        missed = self.miss_probability
        return self.outages_per_year * ((1 - missed) * self.recovered_outage_s + missed * self.repair.mean_s)


@dataclass(frozen=True, kw_only=True)
class Years:
    """What a kind of failure does in each drawn year."""

    experiment: str
    outages: Ints
    missed: Ints
    total_s: Floats
    """Seconds in which anything that counts is away."""
    users_s: Floats
    """Mean down time of a user."""
    restarted_ratio: Floats
    """Sessions that lose what is in memory, as a multiple of the number of users."""
    lost_ratio: Floats
    """Sessions that do not work again, likewise."""


def draw_years(hazard: Hazard, rng: np.random.Generator, draws: int, *, more_flawless: int | None = 0) -> Years:
    """So many years under this hazard alone.

    `more_flawless` trials are added that recovered by design as those did that are there; None: no failure is missed.
    """
    outages: Ints = rng.poisson(rng.gamma(hazard.rate.shape, 1 / hazard.rate.years, draws) * hazard.machines)
    recovered, missed_trials = hazard.recovered, hazard.missed
    missed: Ints = rng.binomial(outages, _miss_chance(hazard, rng, draws, more_flawless))
    total_s, users_s = np.zeros(draws), np.zeros(draws)

    good = outages - missed
    rows = np.flatnonzero(good)
    if len(rows):
        lengths = np.array([(one.outage_s, one.user_outage_s) for one in recovered])
        sums = rng.multinomial(good[rows], _weights(rng, len(rows), len(recovered))) @ lengths
        total_s[rows] += sums[:, 0]
        users_s[rows] += sums[:, 1]

    rows = np.flatnonzero(missed)
    if len(rows):
        repairs_s = _repairs_s(hazard.repair, missed[rows], rng)
        seen = np.array([(one.waiting_ratio, one.others_outage_s) for one in missed_trials] or [(1.0, 0.0)])
        mean = _weights(rng, len(rows), len(seen)) @ seen
        total_s[rows] += repairs_s
        users_s[rows] += repairs_s * mean[:, 0] + missed[rows] * mean[:, 1]

    restarted, lost = np.zeros(draws), np.zeros(draws)
    rows = np.flatnonzero(outages)
    if len(rows):
        shares = np.array([(one.restarted_ratio, one.lost_ratio) for one in hazard.trials])
        mean = _weights(rng, len(rows), len(shares)) @ shares
        restarted[rows], lost[rows] = (outages[rows] * mean[:, column] for column in (0, 1))
    return Years(
        experiment=hazard.experiment,
        outages=outages,
        missed=missed,
        total_s=total_s,
        users_s=users_s,
        restarted_ratio=restarted,
        lost_ratio=lost,
    )


def _miss_chance(hazard: Hazard, rng: np.random.Generator, draws: int, more_flawless: int | None) -> Floats:
    if not hazard.recovered:
        return np.ones(draws)
    if more_flawless is None:
        return np.zeros(draws)
    return rng.beta(1 + len(hazard.missed), 1 + len(hazard.recovered) + more_flawless, draws)


def _weights(rng: np.random.Generator, rows: int, trials: int) -> Floats:
    """Weights of the trials for each row: Dirichlet(1, ..., 1), as exponentials divided by their sum."""
    parts = rng.standard_exponential((rows, trials))
    weights: Floats = parts / parts.sum(axis=1, keepdims=True)
    return weights


def _repairs_s(repair: ManualRepair, counts: Ints, rng: np.random.Generator) -> Floats:
    """The sum of so many repairs, for each row."""
    many = counts > REPAIRS_ONE_BY_ONE
    few = np.where(many, 0, counts)
    one_by_one = _each_repair_s(repair, int(few.sum()), rng)
    sums = np.bincount(np.repeat(np.arange(len(counts)), few), weights=one_by_one, minlength=len(counts))
    normal = counts * repair.mean_s + np.sqrt(counts) * repair.deviation_s * rng.standard_normal(len(counts))
    return np.where(many, np.maximum(0.0, normal), sums)


def _each_repair_s(repair: ManualRepair, count: int, rng: np.random.Generator) -> Floats:
    if repair.lognormal is not None:
        mean, deviation = repair.lognormal
        return rng.lognormal(mean, deviation, count)
    return rng.uniform(*repair.bounds_s, count)
