"""What the outage of one run is beside the budgets of a year. It claims nothing about a year: see docs/nines.md."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.measures import Measures
from harness.analysis.nines.projection import budget_s
from harness.analysis.nines.question import TARGETS_PERCENT
from harness.analysis.nines.trials import trial_of, why_left_out

__all__ = ["BudgetLine", "OneRun", "beside_budgets"]


@dataclass(frozen=True, kw_only=True)
class BudgetLine:
    """One target."""

    percent: float
    budget_s: float
    """Seconds of a year in which a platform of so many percent may be down."""
    events: float | None
    """So many such outages use it up: budget / outage. None where there was none, or none that ended by itself."""


@dataclass(frozen=True, kw_only=True)
class OneRun:
    """The outage of one event as `harness nines` counts it, and the budgets."""

    outage_s: float
    """Length of the union of the outages of `work` and `log_in`."""
    user_outage_s: float
    """Mean down time of a user."""
    by_design: bool
    """Nothing that counts was away, or it came back before the repair began. If not, `outage_s` is as long as the
    experiment held its fault, which says nothing about how long people would need for a repair."""
    lines: tuple[BudgetLine, ...]


def beside_budgets(measures: Measures) -> OneRun | str:
    """The outage of this run beside the budgets, or why it is no evidence about outages."""
    why = why_left_out(measures)
    if why:
        return why
    trial = trial_of(measures, measures.experiment)
    counts = trial.by_design and trial.outage_s > 0
    lines = tuple(
        BudgetLine(percent=percent, budget_s=budget, events=budget / trial.outage_s if counts else None)
        for percent, budget in ((percent, budget_s(percent)) for percent in TARGETS_PERCENT)
    )
    return OneRun(outage_s=trial.outage_s, user_outage_s=trial.user_outage_s, by_design=trial.by_design, lines=lines)
