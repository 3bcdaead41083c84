"""A set of trials: a control run, the same experiment several times on one platform, and the verdict on the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.measures import Measures
from harness.analysis.standing import in_brief
from harness.analysis.trials import EARLY_STOP, Summary, summarise
from harness.core.verdict import Outcome, together

__all__ = ["SCHEMA_VERSION", "Trial", "TrialSet"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a set, or why it was not run."""

    number: int
    """From 1; 0 is the control run."""
    seed: int
    """Of the users' phases and of the targets that were drawn."""
    offset_s: float
    """So much later than the experiment says came every fault."""
    schedule: Mapping[str, Any]
    """What was to be injected when and on whom."""
    schedule_sha256: str
    measures: Measures | None = None
    why_not: str = ""
    """Why there are no measures."""
    folder: str = ""
    """The run's folder, below the folder of all results."""
    deployment: str = ""
    """The id of the platform that it ran on."""
    fresh_because: str = ""
    """Why it got a platform of its own; empty where it ran on that of the run before, and for the first one."""

    @property
    def label(self) -> str:
        """`control run`, or `trial 3`."""
        return f"trial {self.number}" if self.number else "control run"

    @property
    def outcome(self) -> Outcome:
        """What was not run proves nothing."""
        return self.measures.verdict.outcome if self.measures else Outcome.INCONCLUSIVE

    @property
    def reason(self) -> str:
        """The first reason for the outcome, or why it was not run."""
        return self.measures.verdict.reasons[0] if self.measures else self.why_not

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types. What it measured is there also where it proves nothing: the outcome says so."""
        return {
            "number": self.number,
            "seed": self.seed,
            "offset_s": self.offset_s,
            "schedule_sha256": self.schedule_sha256,
            "schedule": dict(self.schedule),
            "outcome": self.outcome.value,
            "reasons": list(self.measures.verdict.reasons) if self.measures else [],
            "why_not": self.why_not or None,
            "folder": self.folder or None,
            "deployment": self.deployment or None,
            "fresh_because": self.fresh_because or None,
            "measured": in_brief(self.measures) if self.measures else None,
        }


@dataclass(frozen=True, kw_only=True)
class TrialSet:
    """What came of it so far."""

    topology: str
    experiment: str
    seed: int
    plan_sha256: str
    """Of the schedules of the control run and of all trials that were planned."""
    at_most: int
    """How many trials were asked for."""
    until_width_ratio: float | None
    """How narrow the interval for the mean of the longest outage was to be; None: all trials were asked for."""
    control: Trial
    trials: Sequence[Trial]
    """Those that were run, and those that were to be and were not. After an early stop the rest was not to be."""
    interrupted: bool = False
    stopped_early: bool = False

    @property
    def summary(self) -> Summary:
        """Over the trials that were run; the control run is none."""
        return summarise(trial.measures for trial in self.trials if trial.measures is not None)

    @property
    def control_is_clean(self) -> bool:
        """Whether nothing at all went wrong where nothing was broken."""
        return self.control.outcome is Outcome.PASS

    @property
    def outcome(self) -> Outcome:
        """The harness's error first, then a promise that any trial broke, then what proves nothing. A control run in
        which anything went wrong proves nothing, whatever it was."""
        control = self.control.outcome if self.control.outcome is Outcome.ERROR else Outcome.INCONCLUSIVE
        return together([*(trial.outcome for trial in self.trials), *([] if self.control_is_clean else [control])])

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is no PASS, run by run; trials that were not run for the same reason together."""
        return tuple(self._reasons())

    def _reasons(self) -> Iterator[str]:
        if not self.control_is_clean:
            yield f"{self.control.label}: {self.control.outcome.value}: {self.control.reason}"
        for trial in self.trials:
            if trial.measures is not None and trial.outcome is not Outcome.PASS:
                yield f"{trial.label}: {trial.outcome.value}: {trial.reason}"
        for why in dict.fromkeys(trial.why_not for trial in self.trials if trial.measures is None):
            numbers = [trial.number for trial in self.trials if trial.why_not == why]
            which = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {numbers[0]} to {numbers[-1]}"
            yield f"{which}: {why}"

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types."""
        return {
            "schema": SCHEMA_VERSION,
            "topology": self.topology,
            "experiment": self.experiment,
            "seed": self.seed,
            "plan_sha256": self.plan_sha256,
            "trials_at_most": self.at_most,
            "until_width_ratio": self.until_width_ratio,
            "outcome": self.outcome.value,
            "reasons": list(self.reasons),
            "interrupted": self.interrupted,
            "stopped_early": EARLY_STOP if self.stopped_early else None,
            "control": self.control.to_json_dict(),
            "trials": [trial.to_json_dict() for trial in self.trials],
            "summary": self.summary.to_json_dict(),
        }
