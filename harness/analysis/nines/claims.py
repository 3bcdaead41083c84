"""How many trials a claim needs, and what may not be claimed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scipy.special import betainc, betaincinv

from harness.analysis.nines.posterior import Hazard

__all__ = [
    "CONFIDENCE",
    "MoreTrials",
    "flawless_trials",
    "least",
    "miss_probability_at_most",
    "more_flawless_trials",
    "not_claimed",
]

#: Of a claim: that a target is met, and that not more failures than so many need a repair.
CONFIDENCE: Final = 0.95
#: Nobody runs more; the search ends there.
TRIALS_AT_MOST: Final = 10_000_000


@dataclass(frozen=True, kw_only=True)
class MoreTrials:
    """How many more flawless trials one kind of failure needs for a target, the others being what they are."""

    experiment: str
    target_percent: float
    miss_at_most: float | None
    """Largest share of these failures that may need a repair; None where that does not decide."""
    more: int | None
    """None where no number of trials would do."""
    why: str = ""
    """Why no number would do, or why none is needed."""


def miss_probability_at_most(missed: int, trials: int) -> float:
    """With 95% confidence not more of all such failures need a repair: Clopper-Pearson, one-sided.

    Without a miss it is 1 - 0.05^(1/n), for which 3/n is the usual rule of thumb.
    """
    return 1.0 if missed >= trials else float(betaincinv(missed + 1, trials - missed, CONFIDENCE))


def flawless_trials(miss_at_most: float, missed: int = 0, trials: int = 0) -> int:
    """How many trials without a miss must follow `trials` with `missed` misses until `miss_probability_at_most` is no
    more than that. With nothing before it is ceil(ln 0.05 / ln(1 - p)). Raises `ValueError` outside (0, 1).
    """
    if not 0 < miss_at_most < 1:
        raise ValueError(f"miss_at_most is {miss_at_most}, expected more than 0 and less than 1")

    def enough(more: int) -> bool:
        good = trials + more - missed
        return good > 0 and float(betainc(missed + 1, good, miss_at_most)) >= CONFIDENCE

    return least(enough, TRIALS_AT_MOST)


def more_flawless_trials(hazard: Hazard, hazards: Sequence[Hazard], percent: float, budget_s: float) -> MoreTrials:
    """By the expected downtime: what the other hazards leave of the budget must hold this one's outages, and

        p* = (left / outages a year - D) / (M - D)

    of them may be missed; D is the mean outage that ends by design, M the mean repair. In one line with one hazard:
    p* = (budget - rate x D) / (rate x (M - D)).
    """

    def answer(miss_at_most: float | None, more: int | None, why: str = "") -> MoreTrials:
        return MoreTrials(
            experiment=hazard.experiment, target_percent=percent, miss_at_most=miss_at_most, more=more, why=why
        )

    left_s = budget_s - sum(one.expected_downtime_s for one in hazards if one is not hazard)
    if left_s <= 0:
        return answer(None, None, "the others alone use up the budget")
    each_s, repair_s = left_s / hazard.outages_per_year, hazard.repair.mean_s
    if each_s >= repair_s:
        return answer(1.0, 0, "even if each one needs a repair")
    if not hazard.recovered:
        return answer(None, None, "no trial recovered by design")
    design_s = hazard.recovered_outage_s
    if each_s <= design_s:
        return answer(None, None, "too much even if each one recovers by design")
    allowed = (each_s - design_s) / (repair_s - design_s)
    return answer(allowed, flawless_trials(allowed, len(hazard.missed), len(hazard.trials)))


def not_claimed(
    hazards: Sequence[Hazard], not_counted: Mapping[str, str], without_trials: Sequence[str], people: Sequence[int]
) -> list[str]:
    """What a projection says nothing about; printed with every claim."""
    few = ", ".join(f"{one.experiment} {len(one.trials)}" for one in hazards)
    lines = [
        "It does not say that the platform is so available. It says what follows from these rates and these faults.",
        f"Evidence is the number of trials, not of requests or people: {few or 'none'}.",
        "Not in it: failures that were not tested; several at the same time or with one cause (a rack, a power supply, "
        "a bug on every node); mistakes of operators; deployments and other changes, behind some 70% of all outages "
        "(Beyer and others, Site Reliability Engineering, 2016, chapter 1); a member that stands by and is dead when "
        "it is needed; a failure while another one is repaired.",
        "Rates and repair times are the word of their sources; how far they hold for this platform is not measured.",
    ]
    if people:
        who = f"{min(people)}" if len(set(people)) == 1 else f"{min(people)} to {max(people)}"
        lines.append(f"Trials were run with {who} people on one machine; more people or slower machines take longer.")
    lines += [f"Left out by the rates file: {name}: {why}" for name, why in sorted(not_counted.items())]
    if without_trials:
        lines.append(f"Rates without any trial, so not in it: {', '.join(without_trials)}.")
    return lines


def least(enough: Callable[[int], bool], at_most: int) -> int:
    """The smallest number for which a condition holds that holds for every larger one too; `at_most` where it is not
    smaller."""
    if enough(0):
        return 0
    low, high = 0, 1
    while high < at_most and not enough(high):
        low, high = high, min(at_most, high * 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
