"""Every measure over all runs of an experiment on a topology, in the order in which they were run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.analysis.comparable import COMPARABLES, Comparable
from harness.analysis.differences import Reading
from harness.core.verdict import Outcome

__all__ = ["KeptMatrix", "PastRun", "Series", "Skipped", "Trend", "Trends"]


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One run as a point."""

    topology: str
    experiment: str
    name: str
    """Its folder's."""
    link: str
    """To its report, as seen from the page; empty where it has none."""
    started: datetime
    outcome: Outcome
    reason: str
    revision: str
    """Of the harness's sources; empty where it was not recorded."""
    spec: str
    """The beginning of the SHA-256 of what was built and done; empty where that is not known."""
    details: Sequence[tuple[str, str]]
    """What else was recorded of it: versions, images, machine."""
    readings: Mapping[str, Reading]

    @property
    def proves(self) -> bool:
        """Whether it says anything about the platform."""
        return self.outcome in (Outcome.PASS, Outcome.FAIL)


@dataclass(frozen=True)
class Skipped:
    """A run that can't be shown, and why."""

    run: str
    why: str


@dataclass(frozen=True, kw_only=True)
class KeptMatrix:
    """A matrix that was run."""

    name: str
    link: str
    page: str
    """Its page, as seen from this one; empty where it has none."""
    counts: Mapping[str, int]
    """Cells by how they stand to their promises."""
    exit_code: int | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """One measure over the runs of a trend."""

    comparable: Comparable
    values: Sequence[Reading | None]
    """One for each run; None where it has none, or proves nothing."""

    @property
    def known(self) -> Sequence[Reading]:
        """Those that there are."""
        return [value for value in self.values if value is not None]

    @property
    def varies(self) -> bool:
        """Whether any two differ."""
        return len({value.value for value in self.known}) > 1


@dataclass(frozen=True, kw_only=True)
class Trend:
    """All runs of one experiment on one topology."""

    topology: str
    experiment: str
    runs: Sequence[PastRun]

    def series(self) -> Iterator[Series]:
        """Each measure of which there is any value."""
        for comparable in COMPARABLES:
            values = [run.readings.get(comparable.key) if run.proves else None for run in self.runs]
            if any(value is not None for value in values):
                yield Series(comparable=comparable, values=values)


@dataclass(frozen=True, kw_only=True)
class Trends:
    """Everything that a folder of results has to show."""

    trends: Sequence[Trend]
    skipped: Sequence[Skipped]
    matrices: Sequence[KeptMatrix]

    @classmethod
    def of(cls, runs: Sequence[PastRun], skipped: Sequence[Skipped], matrices: Sequence[KeptMatrix]) -> Trends:
        """Group runs and order them by their start."""
        groups: dict[tuple[str, str], list[PastRun]] = {}
        for run in sorted(runs, key=lambda run: (run.started, run.name)):
            groups.setdefault((run.topology, run.experiment), []).append(run)
        trends = [Trend(topology=key[0], experiment=key[1], runs=groups[key]) for key in sorted(groups)]
        return cls(trends=trends, skipped=skipped, matrices=matrices)

    @property
    def runs(self) -> int:
        """How many are shown."""
        return sum(len(trend.runs) for trend in self.trends)
