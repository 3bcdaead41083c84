"""By how much two sets of runs differ in one measure, with an interval of any confidence.

n is the number of runs on a side, never of requests or people. Nothing is taken to be more exact than its instrument:
where runs agree better than that by chance, the instrument's own error stands for their spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from scipy import special

__all__ = [
    "RUNS_AT_LEAST",
    "Bounds",
    "Difference",
    "MeanDifference",
    "Reading",
    "ShareDifference",
    "least_p",
    "least_p_of_pairs",
    "mean_difference",
    "paired_difference",
    "runs_needed",
    "share_difference",
]

#: On each side. Two against thirty, simulated with skewed measures, differed far too often: in 6 to 9% instead of 2.5%.
RUNS_AT_LEAST = 3
#: A normal deviate that no probability which a computer can hold goes beyond.
_Z_AT_MOST = 40.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One run's value of a measure."""

    value: float
    at_least: bool = False
    """The truth is this or more: what was measured had not ended."""
    error: float = 0.0
    """Standard deviation of the instrument, in the measure's unit."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A two-sided interval; an end is None where nothing is known about how far it reaches."""

    lower: float | None
    upper: float | None


class Difference(Protocol):
    """Candidate minus baseline."""

    @property
    def estimate(self) -> float:
        """The difference that was observed."""
        ...

    @property
    def least_p(self) -> float:
        """No one-sided probability is smaller, whatever was observed: there are only so many runs."""
        ...

    def bounds(self, confidence: float) -> Bounds:
        """The interval that holds the true difference with this confidence; without ends where there are too few runs
        for it."""
        ...

    def p_above(self, limit: float) -> float:
        """How probable so much is, or more, where the true difference is `limit` or less (one-sided)."""
        ...

    def p_below(self, limit: float) -> float:
        """How probable so little is, or less, where the true difference is `limit` or more (one-sided)."""
        ...


_NO_BOUNDS = Bounds(lower=None, upper=None)


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Of two means, by Student's t. Make it with `mean_difference` or `paired_difference`."""

    estimate: float
    standard_error: float
    degrees: float
    """Of freedom."""
    least_p: float
    open_below: bool = False
    """The baseline may be larger than what was measured, so the difference may be anything smaller."""
    open_above: bool = False
    """The candidate may be larger than what was measured."""

    def bounds(self, confidence: float) -> Bounds:
        """estimate -+ t((1 + confidence) / 2) x standard error."""
        if _too_few(self.least_p, confidence):
            return _NO_BOUNDS
        half = float(special.stdtrit(self.degrees, (1 + confidence) / 2)) * self.standard_error
        return Bounds(
            lower=None if self.open_below else self.estimate - half,
            upper=None if self.open_above else self.estimate + half,
        )

    def p_above(self, limit: float) -> float:
        """1 where the lower end is open."""
        return 1.0 if self.open_below else self._tail(self.estimate - limit)

    def p_below(self, limit: float) -> float:
        """1 where the upper end is open."""
        return 1.0 if self.open_above else self._tail(limit - self.estimate)

    def _tail(self, beyond: float) -> float:
        if self.standard_error == 0:
            return self.least_p if beyond > 0 else 1.0
        return max(self.least_p, float(special.stdtr(self.degrees, -beyond / self.standard_error)))


@dataclass(frozen=True, kw_only=True)
class ShareDifference:
    """Of two shares of runs: R. G. Newcombe: Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17 (1998), 873-890, method 10: made of the score intervals of both (E. B. Wilson 1927).

    Enumerated for 3 to 20 runs on a side: of two equal shares it is more than 10 points beside 0 in no more cases than
    its confidence leaves, whatever the share is. Without those 10 points it can be three times as many.
    """

    baseline: int
    baseline_runs: int
    candidate: int
    candidate_runs: int

    @property
    def estimate(self) -> float:
        """Of the ratios."""
        return self.candidate / self.candidate_runs - self.baseline / self.baseline_runs

    @property
    def least_p(self) -> float:
        """See `least_p`."""
        return least_p(self.baseline_runs, self.candidate_runs)

    def bounds(self, confidence: float) -> Bounds:
        """Both ends, or none."""
        if _too_few(self.least_p, confidence):
            return _NO_BOUNDS
        z = float(special.ndtri((1 + confidence) / 2))
        return Bounds(lower=self._lower(z), upper=self._upper(z))

    def p_above(self, limit: float) -> float:
        """By the interval whose lower end is the limit."""
        return max(self.least_p, _p_of(lambda z: self._lower(z) - limit))

    def p_below(self, limit: float) -> float:
        """By the interval whose upper end is the limit."""
        return max(self.least_p, _p_of(lambda z: limit - self._upper(z)))

    def _lower(self, z: float) -> float:
        before, after = self._sides(z)
        return self.estimate - math.hypot(after.ratio - after.least, before.most - before.ratio)

    def _upper(self, z: float) -> float:
        before, after = self._sides(z)
        return self.estimate + math.hypot(after.most - after.ratio, before.ratio - before.least)

    def _sides(self, z: float) -> tuple[_Score, _Score]:
        return _score(self.baseline, self.baseline_runs, z), _score(self.candidate, self.candidate_runs, z)


@dataclass(frozen=True)
class _Score:
    """A share with Wilson's interval."""

    ratio: float
    least: float
    most: float


def least_p(baseline_runs: int, candidate_runs: int) -> float:
    """How probable it is at the most that so few runs look as if the sides differed, without any spread (one-sided).

    A measure that takes one of two values, the larger with probability p, does so with probability (1-p)^b p^c, which
    is largest at p = c/(b+c). Whatever a test says that believes in bell curves: with so few runs nothing is surer than
    this. 1 below three runs on a side: of two, a spread is hardly known (by simulation, see docs/comparing.md).
    """
    b, c = baseline_runs, candidate_runs
    if min(b, c) < RUNS_AT_LEAST:
        return 1.0
    return math.exp(b * math.log(b) + c * math.log(c) - (b + c) * math.log(b + c))


def least_p_of_pairs(pairs: int) -> float:
    """The same for pairs: the first of each is the smaller value and the second the larger one."""
    return 4.0**-pairs if pairs >= RUNS_AT_LEAST else 1.0


def runs_needed(tests: int, confidence: float) -> int:
    """How many runs on each side so many tests need at least, so that one of them can show a difference."""
    n = RUNS_AT_LEAST
    while 2 * least_p(n, n) > (1 - confidence) / max(1, tests):
        n += 1
    return n


def mean_difference(baseline: Sequence[Reading], candidate: Sequence[Reading]) -> MeanDifference:
    """The standard error of B. L. Welch: The generalization of "Student's" problem when several different population
    variances are involved, Biometrika 34 (1947), 28-35; but no side is taken to spread less than both together do, and
    t has n + m - 2 degrees of freedom. A few runs that happen to agree would else make anything a difference: three
    against thirty, of which one in five takes three times as long, differed in 11% of simulated comparisons of equals.

    Raises `ValueError` with fewer than two runs on a side.
    """
    n, m = len(baseline), len(candidate)
    if min(n, m) < 2:
        raise ValueError(f"{n} against {m} runs: expected two at least on each side")
    own = [_variance(baseline), _variance(candidate)]
    together = ((n - 1) * own[0] + (m - 1) * own[1]) / (n + m - 2)
    return MeanDifference(
        estimate=_mean(candidate) - _mean(baseline),
        standard_error=math.sqrt(max(own[0], together) / n + max(own[1], together) / m),
        degrees=float(n + m - 2),
        open_below=any(one.at_least for one in baseline),
        open_above=any(one.at_least for one in candidate),
        least_p=least_p(n, m),
    )


def paired_difference(pairs: Sequence[tuple[Reading, Reading]]) -> MeanDifference:
    """Student's t over the differences of pairs (baseline, candidate).

    Raises `ValueError` with fewer than two.
    """
    n = len(pairs)
    if n < 2:
        raise ValueError(f"{n} pairs: expected two at least")
    found = [after.value - before.value for before, after in pairs]
    mean = math.fsum(found) / n
    seen = math.fsum((one - mean) ** 2 for one in found) / (n - 1)
    instrument = math.fsum(before.error**2 + after.error**2 for before, after in pairs) / n
    return MeanDifference(
        estimate=mean,
        standard_error=math.sqrt(max(seen, instrument) / n),
        degrees=float(n - 1),
        open_below=any(before.at_least for before, _ in pairs),
        open_above=any(after.at_least for _, after in pairs),
        least_p=least_p_of_pairs(n),
    )


def share_difference(baseline: Sequence[Reading], candidate: Sequence[Reading]) -> ShareDifference:
    """Of readings that are 0 or 1. Both sides must have some."""
    return ShareDifference(
        baseline=sum(one.value > 0 for one in baseline),
        baseline_runs=len(baseline),
        candidate=sum(one.value > 0 for one in candidate),
        candidate_runs=len(candidate),
    )


def _mean(side: Sequence[Reading]) -> float:
    return math.fsum(one.value for one in side) / len(side)


def _variance(side: Sequence[Reading]) -> float:
    """Of one run, at least that of its instrument."""
    n = len(side)
    mean = _mean(side)
    seen = math.fsum((one.value - mean) ** 2 for one in side) / (n - 1)
    return max(seen, math.fsum(one.error**2 for one in side) / n)


def _score(successes: int, runs: int, z: float) -> _Score:
    ratio, square = successes / runs, z * z
    middle = (ratio + square / (2 * runs)) / (1 + square / runs)
    half = z * math.sqrt(ratio * (1 - ratio) / runs + square / (4 * runs * runs)) / (1 + square / runs)
    return _Score(ratio, max(0.0, middle - half), min(1.0, middle + half))


def _too_few(least: float, confidence: float) -> bool:
    return 2 * least > 1 - confidence + 1e-12  # a confidence of 0.95 leaves 0.05000000000000004


def _p_of(beyond: Callable[[float], float]) -> float:
    """The one-sided probability that belongs to the z at which an end of an interval meets its limit. `beyond` falls
    with z: the interval grows."""
    if beyond(0.0) <= 0:
        return 1.0
    low, high = 0.0, _Z_AT_MOST
    if beyond(high) > 0:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beyond(middle) > 0 else (low, middle)
    return float(special.ndtr(-high))
