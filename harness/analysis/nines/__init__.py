"""From the outages of trials and stated rates to the downtime of a year, with what is not known about it.

- `trials`: what one run says about one event; which runs are no evidence; which must not be counted together.
- `exposure`: which rate belongs to an experiment, and how many machines it holds for.
- `posterior`: draws of a year.
- `projection`: what the draws say.
- `claims`, `enough`: how many trials a claim needs, and what may not be claimed.
- `diagram`: what a block diagram promises.
"""

from harness.analysis.nines.claims import more_flawless_trials, not_claimed
from harness.analysis.nines.diagram import Diagram, block_diagram
from harness.analysis.nines.exposure import Matched, Misfit, Missing, match
from harness.analysis.nines.posterior import Hazard, Years, draw_years
from harness.analysis.nines.projection import Projection, budget_s, project
from harness.analysis.nines.question import TARGETS_PERCENT, Question
from harness.analysis.nines.result import Nines
from harness.analysis.nines.trials import COUNTED, Evidence, LeftOut, Trial, difference, trial_of, why_left_out

__all__ = [
    "COUNTED",
    "TARGETS_PERCENT",
    "Diagram",
    "Evidence",
    "Hazard",
    "LeftOut",
    "Matched",
    "Misfit",
    "Missing",
    "Nines",
    "Projection",
    "Question",
    "Trial",
    "Years",
    "block_diagram",
    "budget_s",
    "difference",
    "draw_years",
    "match",
    "more_flawless_trials",
    "not_claimed",
    "project",
    "trial_of",
    "why_left_out",
]
