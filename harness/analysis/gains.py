"""What each topology buys: over all failures that a matrix tried on it, beside what it costs in containers.

Sums over what was tried, never over a year: which failures happen how often is not in it (`harness nines`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from harness.analysis.brief import Brief
from harness.analysis.estimates import Interval, share_interval
from harness.analysis.nines.claims import miss_probability_at_most
from harness.analysis.standing import Cell
from harness.core.words import Recovery, SessionOutcome

__all__ = ["Gain", "NinesAllowed", "gains"]

_BY_ITSELF = (Recovery.UNAFFECTED, Recovery.BY_DESIGN)


@dataclass(frozen=True, kw_only=True)
class NinesAllowed:
    """What `harness nines` says of a topology's trials under stated rates, or why it says nothing."""

    target_percent: float | None = None
    """The highest target that is met with 95% probability; None where not even the lowest is, or it can't be told."""
    mean_s: float | None = None
    """Mean downtime of a year, of the platform."""
    upper_s: float | None = None
    """97.5% of all drawn years are below."""
    why_not: str = ""
    """What is missing to tell."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One topology. Only trials that prove something count; None is what nothing was measured of."""

    topology: str
    containers: int | None
    """Of the platform, without client and agent."""
    tried: tuple[str, ...]
    """Experiments with a trial that proves something."""
    untold: tuple[str, ...]
    """Experiments that apply, and of which no trial proves anything."""
    trials: int
    by_itself: int
    """Trials in which everything and everybody was back before the fault was undone, or not affected."""
    by_itself_interval: Interval | None
    """Of their share: Clopper-Pearson, 95%."""
    needs_repair: tuple[str, ...]
    """Experiments in which any trial did not recover by itself."""
    without_fault: tuple[str, ...]
    """Experiments before which people were refused although nothing was broken."""
    may_need_repair_ratio: float | None
    """Of the experiments without such a trial: with 95% confidence not more of the failures of any of them need a
    repair (Clopper-Pearson, one-sided, by the one with the fewest trials)."""
    longest_s: float | None
    """The longest outage of any capability that ended by itself."""
    longest_of: str
    """In which experiment."""
    platform_outage_s: float | None
    """Down time of the platform (`work` or `log_in` away): mean over experiments of the mean over their trials. What
    did not recover by itself is in it with the time for which the experiment held its fault."""
    user_outage_s: float | None
    """The same of a user: the user-weighted outage."""
    sessions: int
    sessions_restarted: int
    sessions_lost: int
    writes_lost: int | None
    """None where no trial's writes were read back."""
    nines: NinesAllowed | None = None

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


def gains(
    cells: Sequence[Cell], containers: Mapping[str, int], nines: Mapping[str, NinesAllowed] | None = None
) -> tuple[Gain, ...]:
    """One for each topology, in the order of the cells; `containers` and `nines` by topology."""
    by_topology: dict[str, list[Cell]] = {}
    for cell in cells:
        by_topology.setdefault(cell.topology, []).append(cell)
    return tuple(
        _gain(name, [cell for cell in mine if cell.applicable], containers.get(name), (nines or {}).get(name))
        for name, mine in by_topology.items()
    )


def _gain(name: str, cells: Sequence[Cell], containers: int | None, nines: NinesAllowed | None) -> Gain:
    proven = [cell for cell in cells if cell.briefs]
    briefs = [brief for cell in proven for brief in cell.briefs]
    by_itself = sum(map(_by_itself, briefs))
    needs_repair = [cell for cell in proven if not all(map(_by_itself, cell.briefs))]
    fewest = min((len(cell.briefs) for cell in proven if cell not in needs_repair), default=0)
    longest_s, longest_of = max(_lengths(proven), default=(None, ""))
    lost = [brief.writes_lost for brief in briefs if brief.writes_lost is not None]
    return Gain(
        topology=name,
        containers=containers,
        tried=tuple(cell.experiment for cell in proven),
        untold=tuple(cell.experiment for cell in cells if not cell.briefs),
        trials=len(briefs),
        by_itself=by_itself,
        by_itself_interval=share_interval(by_itself, len(briefs)) if briefs else None,
        needs_repair=tuple(cell.experiment for cell in needs_repair),
        without_fault=tuple(c.experiment for c in proven if not all(b.works_without_fault for b in c.briefs)),
        may_need_repair_ratio=miss_probability_at_most(0, fewest) if fewest else None,
        longest_s=longest_s,
        longest_of=longest_of,
        platform_outage_s=_mean_of_means([[b.platform_outage_s for b in _broken(cell)] for cell in proven]),
        user_outage_s=_mean_of_means([[b.user_outage_s for b in _broken(cell)] for cell in proven]),
        sessions=sum(sum(brief.sessions.values()) for brief in briefs),
        sessions_restarted=sum(brief.sessions.get(SessionOutcome.RESTARTED, 0) for brief in briefs),
        sessions_lost=sum(brief.sessions.get(SessionOutcome.LOST, 0) for brief in briefs),
        writes_lost=sum(lost) if lost else None,
        nines=nines,
    )


def _by_itself(brief: Brief) -> bool:
    return brief.works_without_fault and brief.recovers in _BY_ITSELF


def _broken(cell: Cell) -> Iterator[Brief]:
    """The trials in which the fault was injected: the others have measured no outage of it."""
    return (brief for brief in cell.briefs if brief.works_without_fault)


def _lengths(cells: Iterable[Cell]) -> Iterator[tuple[float, str]]:
    """0 where nothing was away."""
    for cell in cells:
        for brief in filter(_by_itself, cell.briefs):
            longest = brief.longest_outage
            yield (longest.seconds if longest else 0.0), cell.experiment


def _mean_of_means(values: Iterable[Sequence[float | None]]) -> float | None:
    """Every experiment counts the same, however many trials it has; None where any value is missing."""
    means: list[float] = []
    for each in values:
        known = [value for value in each if value is not None]
        if len(known) < len(each):
            return None
        if known:
            means.append(fsum(known) / len(known))
    return fsum(means) / len(means) if means else None
