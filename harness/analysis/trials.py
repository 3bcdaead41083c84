"""The same experiment several times: what the trials say together. n is the number of trials, never of requests.

Only trials that prove something count, those with PASS or FAIL. The others are told, with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis.estimates import Distribution, Interval, Value, distribution, share_interval
from harness.analysis.measures import Measures
from harness.analysis.outages import CapabilityMeasures, Outage
from harness.core.trials import EARLY_AT_LEAST
from harness.core.verdict import Outcome
from harness.core.words import Capability, Recovery, SessionOutcome

__all__ = [
    "EARLY_STOP",
    "LONGEST",
    "Measure",
    "Share",
    "Summary",
    "narrow_enough",
    "proves",
    "summarise",
]

#: 20,000 simulated sets of 20 trials at the most, wished width 20%: 92% held the mean of normal values with a standard
#: deviation of 20%; 87% that of 3 s and an exponential 1.5 s; 73% where one trial in five took 9 s instead of 3 s, and
#: of these none that stopped early.
EARLY_STOP = (
    "an interval at which one stops because it is narrow is somewhat too narrow: in simulations it held the true mean "
    "in 87 to 92% instead of 95%, and in 73% where one trial in five was three times as long as the rest"
)
#: The measure that decides whether to stop.
LONGEST = "longest outage"


def proves(measures: Measures) -> bool:
    """Whether a trial says anything about the platform."""
    return measures.verdict.outcome in (Outcome.PASS, Outcome.FAIL)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One measure over all trials that prove something."""

    name: str
    unit: str
    """`s`, or `count` for so many in a trial."""
    definition: str
    over_trials: Distribution
    by_repair: int = 0
    """Trials in which the outage was ended by the undoing of the fault: as long as the experiment held it."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Trials in which the platform came back by itself, or was not affected, of those that prove something."""

    by_design: int
    trials: int
    ratio: float | None
    interval: Interval | None
    """Clopper-Pearson, 95%; None without trials."""
    by_recovery: Mapping[Recovery, int]
    """How many trials recovered how, by the worst of all capabilities and people, best first."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the trials say together."""

    trials: int
    """That prove something: n."""
    proving_nothing: int
    """That ran, and are in no number here: INCONCLUSIVE or ERROR."""
    recovered_by_design: Share
    measures: tuple[Measure, ...]

    @property
    def longest(self) -> Measure:
        """The longest outage of anything."""
        return next(measure for measure in self.measures if measure.name == LONGEST)

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


def summarise(trials: Iterable[Measures]) -> Summary:
    """What trials that were run say together. Pure; their order does not matter."""
    every = list(trials)
    found = [one for one in every if proves(one)]
    return Summary(
        trials=len(found),
        proving_nothing=len(every) - len(found),
        recovered_by_design=_share(found),
        measures=tuple(_measures(found)),
    )


def narrow_enough(summary: Summary, width_ratio: float) -> bool:
    """Whether the interval for the mean of the longest outage is no wider than that share of the mean."""
    interval = summary.longest.over_trials.interval
    if summary.trials < EARLY_AT_LEAST or interval is None or interval.relative_width_ratio is None:
        return False
    return interval.relative_width_ratio <= width_ratio


def _share(found: Sequence[Measures]) -> Share:
    counts = {recovery: sum(one.worst_recovery is recovery for one in found) for recovery in Recovery}
    by_design = counts[Recovery.UNAFFECTED] + counts[Recovery.BY_DESIGN]
    return Share(
        by_design=by_design,
        trials=len(found),
        ratio=by_design / len(found) if found else None,
        interval=share_interval(by_design, len(found)) if found else None,
        by_recovery=counts,
    )


def _measures(found: Sequence[Measures]) -> Iterable[Measure]:
    capabilities = [one.capabilities for one in found]
    yield _outages(LONGEST, "Of any capability; 0 where none was away.", capabilities)
    known = [capability.value for capability in Capability]
    others = {one.capability for each in capabilities for one in each} - set(known)
    for name in [*known, *sorted(others)]:
        alone = [[one for one in each if one.capability == name] for each in capabilities]
        yield _outages(f"outage of {name}", "The longest in a trial; 0 where it was never away.", alone)
    yield Measure(
        name="user-weighted outage",
        unit="s",
        definition="Mean down time of a user.",
        over_trials=distribution([_user_weighted(one) for one in found]),
    )
    for outcome in (SessionOutcome.LOST, SessionOutcome.RESTARTED):
        yield Measure(
            name=f"sessions {outcome.value}",
            unit="count",
            definition="In a trial.",
            over_trials=distribution([_sessions(one, outcome) for one in found]),
        )
    lost = [None if one.writes.lost is None else Value(one.writes.lost) for one in found]
    definition = "Acknowledged ones, of all stores together, in a trial."
    yield Measure(name="writes lost", unit="count", definition=definition, over_trials=distribution(lost))


def _outages(name: str, definition: str, capabilities: Sequence[Sequence[CapabilityMeasures]]) -> Measure:
    """`capabilities`: for each trial, those whose outages count."""
    longest = [max((o for one in each for o in one.outages), key=_least_s, default=None) for each in capabilities]
    return Measure(
        name=name,
        unit="s",
        definition=definition,
        over_trials=distribution([_longest(each) for each in capabilities]),
        by_repair=sum(outage is not None and outage.recovery is Recovery.BY_REPAIR for outage in longest),
    )


def _longest(capabilities: Sequence[CapabilityMeasures]) -> Value | None:
    """None where nothing was probed. An outage that did not end may have become the longest."""
    if not any(one.samples for one in capabilities):
        return None
    outages = [outage for one in capabilities for outage in one.outages]
    return Value(max(map(_least_s, outages), default=0.0), censored=not all(outage.ended for outage in outages))


def _least_s(outage: Outage) -> float:
    """Of an outage that did not end, only what was surely seen of it."""
    return outage.seconds if outage.ended else outage.seconds_lower


def _user_weighted(measures: Measures) -> Value | None:
    if measures.user_uptime.outage_s is None:
        return None
    still_down = any(one.end_ns is None for row in measures.sessions for one in row.disturbances)
    return Value(measures.user_uptime.outage_s, censored=still_down)


def _sessions(measures: Measures, outcome: SessionOutcome) -> Value | None:
    return Value(sum(row.outcome is outcome for row in measures.sessions)) if measures.sessions else None
