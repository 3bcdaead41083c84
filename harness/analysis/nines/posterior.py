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

from collections.abc import Sequence
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
#: Of more repairs than this in one year the sum is drawn as normal, by its mean and variance.
ONE_BY_ONE: Final = 50


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
        return tuple(one for one in self.trials if self._stands(one))

    @property
    def missed(self) -> tuple[Trial, ...]:
        """The other trials."""
        return tuple(one for one in self.trials if not self._stands(one))

    def _stands(self, one: Trial) -> bool:
        if self.rate.repair == "measured":
            return one.recovery is not Recovery.NOT_RECOVERED
        return one.by_design

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
    missed: Ints = rng.binomial(outages, _miss_chance(hazard, rng, draws, more_flawless))
    total_s, users_s, restarted, lost = np.zeros((4, draws))
    recovered, missed_trials = hazard.recovered, hazard.missed

    # One bootstrap of all trials for a year: what it gives to some of them, made to sum to 1, is a bootstrap of these.
    some = np.flatnonzero(outages)
    parts = rng.standard_exponential((len(some), len(hazard.trials)))
    of_recovered, of_missed = parts[:, : len(recovered)], parts[:, len(recovered) :]

    every = (*recovered, *missed_trials)
    shares = _mean(parts, [(one.restarted_ratio, one.lost_ratio) for one in every])
    restarted[some], lost[some] = (outages[some] * share for share in shares)

    at = np.flatnonzero(outages[some] > missed[some])
    if len(at):
        rows = some[at]
        lengths = np.array([(one.outage_s, one.user_outage_s) for one in recovered])
        total_s[rows], users_s[rows] = _sums(of_recovered[at], outages[rows] - missed[rows], lengths, rng).T

    at = np.flatnonzero(missed[some])
    if len(at):
        rows = some[at]
        repairs_s = _repairs_s(hazard.repair, missed[rows], rng)
        who_waited = [(one.waiting_ratio, one.others_outage_s) for one in missed_trials]
        waiting, others_s = _mean(of_missed[at], who_waited) if who_waited else (1.0, 0.0)
        total_s[rows] += repairs_s
        users_s[rows] += repairs_s * waiting + missed[rows] * others_s
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


def _mean(parts: Floats, pairs: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """The weighted means of both of a pair, for each row of parts, which are weights up to a factor."""
    whole = parts.sum(axis=1)
    first, second = (parts @ np.array(column) / whole for column in zip(*pairs, strict=True))
    return first, second


def _sums(parts: Floats, counts: Ints, values: Floats, rng: np.random.Generator) -> Floats:
    """For each row the sums of the values (one row of them a trial) of so many trials, drawn by their parts.

    Laid end to end the parts are a line on which each row has a stretch, and each draw is a point of it. That takes a
    third of the time of numpy's multinomial for the few draws that a year has; which does the rows with many.
    """
    rows, trials = parts.shape
    many = counts > ONE_BY_ONE
    row_of = np.repeat(np.arange(rows), np.where(many, 0, counts))
    line = np.cumsum(parts.ravel())
    begins = np.concatenate(([0.0], line[trials - 1 :: trials]))
    points = begins[row_of] + rng.random(len(row_of)) * (begins[row_of + 1] - begins[row_of])
    # rounding may put a point just outside of its stretch
    drawn = np.clip(np.searchsorted(line, points, side="right") - row_of * trials, 0, trials - 1)
    sums: Floats = np.stack([np.bincount(row_of, weights=column[drawn], minlength=rows) for column in values.T], axis=1)
    if many.any():
        weights = parts[many] / parts[many].sum(axis=1, keepdims=True)
        sums[many] = rng.multinomial(counts[many], weights) @ values
    return sums


def _repairs_s(repair: ManualRepair, counts: Ints, rng: np.random.Generator) -> Floats:
    """The sum of so many repairs, for each row."""
    many = counts > ONE_BY_ONE
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
