"""What few repetitions say: quantiles with their ranks, an interval for a mean, an exact interval for a share.

A value may be *censored*: what was measured had not ended, so the truth is that much or more. Such a value is never
used as if it were the truth. Every number that it can reach is given as a lower bound, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

__all__ = [
    "CONFIDENCE",
    "P95_AT_LEAST",
    "Distribution",
    "Interval",
    "MeanInterval",
    "Quantile",
    "Value",
    "distribution",
    "share_interval",
]

CONFIDENCE = 0.95
#: Below 20 values the 95th percentile by nearest rank, the ceil(0.95 n)-th smallest, is simply the largest.
P95_AT_LEAST = 20


@dataclass(frozen=True)
class Value:
    """One trial's value of a measure."""

    value: float
    censored: bool = False
    """The truth is this or more."""


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """A number taken from the ordered values."""

    value: float
    lower_bound: bool
    """The truth is this or more, because of censored values."""
    rank: str
    """Which of the ordered values it is: `3rd of 5`."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A two-sided 95% confidence interval."""

    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class MeanInterval:
    """A 95% confidence interval for a mean; where values are censored, for a lower bound of it."""

    lower: float
    """Not below 0: nothing that is measured here can be."""
    upper: float | None
    """None where a value is censored: then nothing is known about how large the mean may be."""
    relative_width_ratio: float | None
    """The whole width by the mean: 0.2 is the mean and 10% to either side; None without an upper end, or around 0."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The values of one measure over trials. Units are those of the measure."""

    values: int
    """How many trials have one: the n of every number here."""
    missing: int
    """Trials that prove something but have no value of this measure."""
    censored: int
    median: Quantile | None
    """None without values. Of an even number of values the mean of the two in the middle."""
    p95: Quantile | None
    """By nearest rank; None with fewer than 20 values."""
    largest: Quantile | None
    mean: float | None
    mean_is_lower_bound: bool
    interval: MeanInterval | None
    """Student's t; None with fewer than 2 values, or where all are equal: then nothing tells how far they vary."""


def distribution(values: Sequence[Value | None]) -> Distribution:
    """The distribution of one measure; None stands for a trial without a value."""
    known = [value for value in values if value is not None]
    numbers = [value.value for value in known]
    censored = sum(value.censored for value in known)
    n = len(known)
    return Distribution(
        values=n,
        missing=len(values) - n,
        censored=censored,
        median=_median(known) if known else None,
        p95=_ranked(known, math.ceil(0.95 * n)) if n >= P95_AT_LEAST else None,
        largest=_ranked(known, n) if known else None,
        mean=math.fsum(numbers) / n if known else None,
        mean_is_lower_bound=censored > 0,
        interval=_mean_interval(numbers, censored=censored > 0),
    )


def share_interval(successes: int, trials: int) -> Interval:
    """The exact interval for a share: C. J. Clopper, E. S. Pearson: The use of confidence or fiducial limits
    illustrated in the case of the binomial, Biometrika 26 (1934), 404-413. It covers the truth in 95% of all cases at
    the least.

    Raises `ValueError` without trials, or for more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials}: expected at least one trial and no more successes than trials")
    tail = (1 - CONFIDENCE) / 2
    return Interval(
        lower=float(special.betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0,
        upper=float(special.betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0,
    )


def _mean_interval(values: Sequence[float], *, censored: bool) -> MeanInterval | None:
    """Student: The probable error of a mean, Biometrika 6 (1908), 1-25: mean -+ t(0.975, n - 1) s / sqrt(n).

    Chosen over a bootstrap (BCa) by simulation: of normal values its intervals covered the mean in 95% of all cases at
    n = 5, those of BCa in 85%; of exponential ones 89% and 82%, and at n = 10 90% and 86%.

    Values that are lower bounds have a mean that is at most the true one, so the lower end holds for that too.
    """
    n = len(values)
    if n < 2 or min(values) == max(values):
        return None
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(n)
    return MeanInterval(
        lower=max(0.0, mean - half),
        upper=None if censored else mean + half,
        relative_width_ratio=None if censored or mean <= 0 else 2 * half / mean,
    )


def _ranked(values: Sequence[Value], rank: int) -> Quantile:
    """The `rank`-th smallest, from 1, if censored values ended right there: that is the least it can be. It is exact
    where it would be the same if they never ended.
    """
    least = sorted(value.value for value in values)[rank - 1]
    most = sorted(math.inf if value.censored else value.value for value in values)[rank - 1]
    return Quantile(value=least, lower_bound=most > least, rank=f"{_ordinal(rank)} of {len(values)}")


def _median(values: Sequence[Value]) -> Quantile:
    n = len(values)
    low, high = _ranked(values, (n + 1) // 2), _ranked(values, n // 2 + 1)
    if low == high:
        return low
    return Quantile(
        value=(low.value + high.value) / 2,
        lower_bound=low.lower_bound or high.lower_bound,
        rank=f"between the {_ordinal(n // 2)} and the {high.rank}",
    )


def _ordinal(number: int) -> str:
    tens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if tens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
