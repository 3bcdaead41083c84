"""How many more flawless trials of everything would make a target's probability large enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.analysis.nines.claims import CONFIDENCE, least
from harness.analysis.nines.posterior import YEAR_S, Hazard, draw_years
from harness.analysis.nines.question import Question

__all__ = ["Enough", "enough_trials"]

#: The probability is then known to 0.004 (two standard errors at 0.95), which is enough to count trials.
DRAWS: Final = 10_000
#: Nobody runs more of each experiment.
TRIALS_AT_MOST: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Enough:
    """What more trials could do for one target."""

    percent: float
    more: int | None
    """So many of each experiment, all flawless, and the target would be met; None where no number would do."""
    probability_at_best: float | None = None
    """That the downtime is within the budget, if every single failure is recovered from by design; None where the
    target is met already."""


def enough_trials(hazards: Sequence[Hazard], question: Question, percent: float, probability_now: float) -> Enough:
    """As the verdict, by drawing, with more trials that recover by design as those did that are there."""
    if probability_now >= CONFIDENCE:
        return Enough(percent=percent, more=0)
    budget_s = YEAR_S * (1 - percent / 100)

    def probability(more: int | None) -> float:
        rng = np.random.default_rng(question.seed)
        every = [draw_years(hazard, rng, DRAWS, more_flawless=more) for hazard in hazards]
        downs = [one.total_s if question.by == "total" else one.users_s for one in every]
        return float((np.sum(downs, axis=0) <= budget_s).mean())

    at_best = probability(None)
    if at_best < CONFIDENCE or probability(TRIALS_AT_MOST) < CONFIDENCE:
        return Enough(percent=percent, more=None, probability_at_best=at_best)
    # none at all are too few: that was drawn more often than here
    more = least(lambda number: number > 0 and probability(number) >= CONFIDENCE, TRIALS_AT_MOST)
    return Enough(percent=percent, more=more, probability_at_best=at_best)
