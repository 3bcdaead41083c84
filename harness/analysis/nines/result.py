"""The answer of `harness nines`, ready to be drawn or written as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis.nines.claims import CONFIDENCE
from harness.analysis.nines.diagram import Diagram
from harness.analysis.nines.exposure import Missing
from harness.analysis.nines.posterior import Hazard
from harness.analysis.nines.projection import Projection
from harness.analysis.nines.question import Question
from harness.analysis.nines.trials import LeftOut, Trial

__all__ = ["SCHEMA_VERSION", "Nines"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Nines:
    """What can be said about a year, or what is missing to say it."""

    topology: str
    question: Question
    trials: tuple[Trial, ...]
    left_out: tuple[LeftOut, ...]
    """Runs that are no evidence."""
    missing: tuple[Missing, ...]
    """Numbers that somebody has to say; then there is no projection."""
    hazards: tuple[Hazard, ...] = ()
    projection: Projection | None = None
    diagram: Diagram | None = None
    not_claimed: tuple[str, ...] = ()

    @property
    def meets(self) -> bool | None:
        """Whether the target is met with 95% probability; None where it can't be told."""
        if self.projection is None:
            return None
        return self.projection.target(self.question.target_percent).probability(self.question) >= CONFIDENCE

    @property
    def exit_code(self) -> int:
        """0: the target is met; 1: it is not; 2: it can't be told."""
        return {True: 0, False: 1, None: 2}[self.meets]

    @property
    def trials_by_experiment(self) -> Mapping[str, int]:
        """How many trials each experiment has."""
        return Counter(trial.experiment for trial in self.trials)

    @property
    def measured_by_role(self) -> Mapping[str, float]:
        """Mean downtime of the year by the role that is hit; without what hits no single machine."""
        found: dict[str, float] = {}
        for line in self.projection.hazards if self.projection else ():
            if line.role:
                found[line.role] = found.get(line.role, 0.0) + line.total_s.mean
        return found

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; `schema` tells versions apart."""
        plain = asdict(self)
        for hazard, row in zip(self.hazards, plain["hazards"], strict=True):
            row["trials"] = [trial.run for trial in hazard.trials]  # which are in it, whole, under `trials`
        if self.diagram is not None:
            plain["diagram"] |= {"availability": self.diagram.availability, "downtime_s": self.diagram.downtime_s}
            for block, row in zip(self.diagram.blocks, plain["diagram"]["blocks"], strict=True):
                row["downtime_s"] = block.downtime_s
        return {
            "schema": SCHEMA_VERSION,
            **plain,
            "measured_by_role_s": dict(self.measured_by_role),
            "meets": self.meets,
            "exit_code": self.exit_code,
        }
