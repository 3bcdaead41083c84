"""The frozen model of a rates file: how often things fail and how long a repair takes. `spec` reads YAML into it.

None of it is measured by the harness, so every number has a source. `harness nines` projects a year with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds, Positive, Seconds
from harness.core.products import STRICT

__all__ = ["Frequency", "ManualRepair", "Rate", "Rates"]

#: 95% of a normal distribution lie below so many standard deviations above its mean.
_P95_DEVIATIONS = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, kw_only=True)
class Frequency:
    """How often something happens, as a Gamma distribution: either counted (`events` in `exposure_years`), or a number
    (`per_year`) with its uncertainty."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    events: Positive | None = None
    """How many were seen."""
    exposure_years: Annotated[float, Bounds(0.001)] | None = None
    """In how many machine-years, or years of the platform, they were seen."""
    per_year: Annotated[float, Bounds(0.000001, 100000)] | None = None
    """How many a year, per machine or per platform."""
    uncertainty_percent: Annotated[float, Bounds(1, 300)] | None = None
    """Standard deviation of `per_year`, in percent of it."""
    source: str = ""
    """Where the number is from; without one it is not accepted."""

    @property
    def shape(self) -> float:
        """The Gamma distribution's shape: how many events were seen, or how many the uncertainty is worth."""
        if self.events is not None:
            return float(self.events)
        assert self.uncertainty_percent is not None, "the loader lets no rate pass without a number"
        return (100.0 / self.uncertainty_percent) ** 2

    @property
    def years(self) -> float:
        """The Gamma distribution's rate parameter: the exposure. Its mean is shape / years."""
        if self.exposure_years is not None:
            return self.exposure_years
        assert self.per_year is not None, "the loader lets no rate pass without a number"
        return self.shape / self.per_year

    @property
    def mean_per_year(self) -> float:
        """Its mean: events / exposure_years, or per_year."""
        return self.shape / self.years


@dataclass(frozen=True, kw_only=True)
class ManualRepair:
    """Seconds from a failure that the platform does not recover from until somebody has repaired it, for each repair
    anew: lognormal (`median_s`, `p95_s`) or evenly spread (`least_s`, `most_s`)."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    median_s: Annotated[float, Bounds(1)] | None = None
    """Half of all repairs are done by then."""
    p95_s: Annotated[float, Bounds(1)] | None = None
    """95% of all repairs are done by then."""
    least_s: Seconds | None = None
    """No repair is shorter."""
    most_s: Annotated[float, Bounds(1)] | None = None
    """No repair is longer."""
    source: str = ""
    """Where the numbers are from; without one they are not accepted."""

    @property
    def lognormal(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the logarithm; None where it is evenly spread."""
        if self.median_s is None or self.p95_s is None:
            return None
        return math.log(self.median_s), math.log(self.p95_s / self.median_s) / _P95_DEVIATIONS

    @property
    def bounds_s(self) -> tuple[float, float]:
        """The shortest and the longest repair, where it is evenly spread."""
        assert self.least_s is not None, "the loader lets no repair pass without numbers"
        assert self.most_s is not None, "the loader lets no repair pass without numbers"
        return self.least_s, self.most_s

    @property
    def mean_s(self) -> float:
        """median x exp(deviation^2 / 2), or the middle of both bounds."""
        if self.lognormal is not None:
            mean, deviation = self.lognormal
            return math.exp(mean + deviation**2 / 2)
        return sum(self.bounds_s) / 2

    @property
    def deviation_s(self) -> float:
        """Its standard deviation."""
        if self.lognormal is not None:
            return self.mean_s * math.sqrt(math.expm1(self.lognormal[1] ** 2))
        least_s, most_s = self.bounds_s
        return (most_s - least_s) / math.sqrt(12)


@dataclass(frozen=True, kw_only=True)
class Rate(Frequency):
    """How often what an experiment injects happens, and what ends it."""

    per: Literal["machine", "platform"] = "machine"
    """machine: of the role that the fault hits; the topology says how many there are. platform: of all of it, whatever
    its size."""
    repair: Literal["manual", "measured"] = "manual"
    """manual: an outage that only undoing the fault ended lasts until somebody repairs it. measured: what undoes it
    belongs to the event (a planned restart, power that comes back), so the measured time stands."""
    manual_repair: ManualRepair | None = None
    """Of this one; else that of the file."""
    not_counted: str = ""
    """Why the experiment is left out of the year; then there is no rate."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A rates file."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    machine: Frequency | None = None
    """How often any one machine fails: for the block diagram."""
    manual_repair: ManualRepair | None = None
    """How long a repair takes where nothing else is said."""
    rates: Mapping[str, Rate] = field(default_factory=dict)
    """By experiment, or, for all experiments with that one fault on one machine, by `<fault> on <role>`."""
