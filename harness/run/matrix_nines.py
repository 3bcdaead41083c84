"""How many nines the trials of a matrix allow, under rates that somebody states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from harness.analysis.gains import NinesAllowed
from harness.analysis.nines import Nines, Question
from harness.analysis.nines.claims import CONFIDENCE
from harness.errors import UsageError
from harness.run.choice import Chosen
from harness.run.nines import answer
from harness.spec.rates import load_rates

__all__ = ["nines_of"]


def nines_of(
    rates: Path, rows: Sequence[Chosen], experiments: Collection[str], faults: Collection[str]
) -> Callable[[Sequence[Path]], NinesAllowed]:
    """What asks `harness nines` about the runs of one topology. Raises `SpecError` with every mistake in the rates file
    before anything is run."""
    known = {*experiments, *(name for row in rows for name in row.names)}
    load_rates(rates, experiments=known, faults=faults)
    return partial(_allowed, rates=rates, experiments=known, faults=faults)


def _allowed(
    runs: Sequence[Path], *, rates: Path, experiments: Collection[str], faults: Collection[str]
) -> NinesAllowed:
    if not runs:
        return NinesAllowed(why_not="nothing was proved")
    try:
        found = answer(runs, Question(), rates_file=rates, experiments=experiments, faults=faults)
    except UsageError as error:  # runs that must not be counted together; the matrix itself stands
        return NinesAllowed(why_not=error.message)
    return _of(found)


def _of(found: Nines) -> NinesAllowed:
    projection = found.projection
    if projection is None:
        gaps = [f"no rate for {one.name}" if one.name else f"not known: {one.what}" for one in found.missing]
        return NinesAllowed(why_not="; ".join(gaps) or "no run has a rate")
    met = [line.percent for line in projection.targets if line.probability_total >= CONFIDENCE]
    return NinesAllowed(
        target_percent=max(met, default=None), mean_s=projection.total_s.mean, upper_s=projection.total_s.upper
    )
