"""What was promised against what was measured: one experiment on one topology as a cell of a matrix, with all its
trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from harness.analysis.brief import Brief, brief_of
from harness.analysis.measures import Measures
from harness.core.topology import Promise
from harness.core.verdict import Outcome, Verdict
from harness.core.words import Recovery, SessionOutcome

__all__ = ["Cell", "CellTrial", "Standing", "exit_code", "in_brief", "standing"]


class Standing(StrEnum):
    """How a topology stands to its promise for one experiment. Capitals: something is not as its file says."""

    AS_PROMISED = "as promised"
    """PASS, as was to be expected."""
    KNOWN_BROKEN = "known broken"
    """The promise was broken, and the file says that it would be."""
    BROKEN = "BROKEN"
    """FAIL, and nobody knew."""
    MENDED = "MENDED"
    """The promise was kept although the file says that it does not hold."""
    FLAKY = "flaky"
    """Trials of one cell stand differently."""
    NO_PROOF = "no proof"
    """INCONCLUSIVE, or not run."""
    ERROR = "error"
    """The harness broke."""
    NOT_APPLICABLE = "not applicable"
    """The topology has nothing for the experiment."""


_PROVEN = frozenset({Standing.AS_PROMISED, Standing.KNOWN_BROKEN, Standing.BROKEN, Standing.MENDED})


def standing(verdict: Verdict, known_broken: str) -> Standing:
    """How the verdict on a run stands to what the topology's file says of it.

    A known-broken promise is mended if all its checks were kept, even if the run failed by an objective: what the
    file says of the promise is wrong then.
    """
    if verdict.outcome is Outcome.ERROR:
        return Standing.ERROR
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return Standing.NO_PROOF
    if known_broken:
        broken = any(check.source == "promise" and not check.kept for check in verdict.checks)
        return Standing.KNOWN_BROKEN if broken else Standing.MENDED
    return Standing.AS_PROMISED if verdict.outcome is Outcome.PASS else Standing.BROKEN


@dataclass(frozen=True, kw_only=True)
class CellTrial:
    """One run of a cell, or of a control, as far as it came."""

    number: int = 1
    """From 1; 0 is a control run."""
    seed: int | None = None
    offset_s: float = 0.0
    """So much later than the experiment says came every fault."""
    schedule_sha256: str = ""
    standing: Standing = Standing.NO_PROOF
    outcome: Outcome | None = None
    """None: it was not run to its end, so it counts for nothing and is to be run."""
    reasons: tuple[str, ...] = ()
    why_not: str = ""
    """Why it was not run."""
    brief: Brief | None = None
    folder: str = ""
    """The run's folder, below the folder of all results."""
    interrupted_runs: tuple[str, ...] = ()
    """Folders of runs of this trial that were cut short. They are not counted, and not removed."""
    deployment: str = ""
    """The id of the platform that it ran on."""
    fresh_because: str = ""
    """Why it got a platform of its own; empty where it ran on that of the run before, and for the first one."""

    @property
    def finished(self) -> bool:
        """Whether it ran to its end, whatever the verdict. It is never run again."""
        return self.outcome is not None

    @property
    def proves(self) -> bool:
        """Whether what was measured may be held against the promise."""
        return self.standing in _PROVEN

    @property
    def label(self) -> str:
        """`control run`, or `trial 3`."""
        return f"trial {self.number}" if self.number else "control run"

    @property
    def reason(self) -> str:
        """The first reason for the outcome, or why it was not run."""
        return self.reasons[0] if self.reasons else self.why_not

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types. What a run without proof has measured is in its own folder only."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "brief"}
        plain |= {"standing": self.standing.value, "outcome": self.outcome.value if self.outcome else None}
        for key in ("reasons", "interrupted_runs"):
            plain[key] = list(plain[key])
        for key in ("why_not", "folder", "deployment", "fresh_because"):
            plain[key] = plain[key] or None
        return {**plain, "measured": self.brief.to_json_dict() if self.brief and self.proves else None}

    @classmethod
    def from_json_dict(cls, content: Mapping[str, Any]) -> CellTrial:
        """What `to_json_dict` wrote. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        plain = {key: value for key, value in content.items() if key != "measured"}
        for key in ("why_not", "folder", "deployment", "fresh_because"):
            plain[key] = plain[key] or ""
        for key in ("reasons", "interrupted_runs"):
            plain[key] = tuple(plain[key])
        plain["standing"] = Standing(plain["standing"])
        plain["outcome"] = Outcome(plain["outcome"]) if plain["outcome"] else None
        measured = content["measured"]
        return cls(**plain, brief=Brief.from_json_dict(measured) if measured else None)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One experiment on one topology."""

    topology: str
    experiment: str
    promise: Promise | None
    """None where the topology promises nothing for the experiment: then its objectives alone decide."""
    known_broken: str = ""
    """Why the promise does not hold, where that is known."""
    trials: tuple[CellTrial, ...] = ()
    """All of them, also those that were not run. Empty where the experiment does not apply."""
    why_not: str = ""
    """Why it does not apply."""
    applicable: bool = True

    @property
    def run_trials(self) -> tuple[CellTrial, ...]:
        """Those that ran to their end."""
        return tuple(trial for trial in self.trials if trial.finished)

    @property
    def briefs(self) -> tuple[Brief, ...]:
        """What the trials that prove something have measured."""
        return tuple(trial.brief for trial in self.trials if trial.proves and trial.brief)

    @property
    def proves(self) -> bool:
        """Whether anything that was measured may be held against the promise."""
        return any(trial.proves for trial in self.trials)

    @property
    def standing(self) -> Standing:
        """What was promised against what was measured, by all trials: what they agree on; flaky where any two of those
        that ran stand differently. Trials that were not run leave what is not broken without a proof."""
        if not self.applicable:
            return Standing.NOT_APPLICABLE
        found = {trial.standing for trial in self.run_trials}
        if len(found) > 1:
            return Standing.FLAKY
        missing = {trial.standing for trial in self.trials if not trial.finished}
        if found & {Standing.BROKEN, Standing.MENDED, Standing.ERROR} or not missing:
            return next(iter(found), Standing.NO_PROOF)
        return Standing.ERROR if Standing.ERROR in missing else Standing.NO_PROOF

    @property
    def standings(self) -> frozenset[Standing]:
        """What counts for the exit code: how each trial stands.

        A promise is about every time. So where a known-broken one was broken in any trial, another in which it was kept
        does not mend it.
        """
        if not self.applicable:
            return frozenset()
        found = {trial.standing for trial in self.trials} or {Standing.NO_PROOF}
        return frozenset(found - {Standing.MENDED} if Standing.KNOWN_BROKEN in found else found)

    @property
    def exit_code(self) -> int:
        """As of a matrix with this cell alone; 0 where it does not apply."""
        return exit_code([self]) if self.applicable else 0

    @property
    def counts(self) -> Mapping[str, int]:
        """How many trials stand how; those that were not run by that word."""
        words = [trial.standing.value if trial.finished else "not run" for trial in self.trials]
        order = [*(word.value for word in Standing), "not run"]
        return dict(sorted(Counter(words).items(), key=lambda one: order.index(one[0])))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why trials stand as they do, those of the same reason together."""
        return tuple(self._reasons())

    def _reasons(self) -> Iterator[str]:
        by_reason: dict[tuple[str, str], list[int]] = {}
        for trial in self.trials:
            word = trial.standing.value if trial.finished else "not run"
            by_reason.setdefault((word, trial.reason), []).append(trial.number)
        for (word, reason), numbers in by_reason.items():
            if len(self.trials) == 1:
                yield reason
                continue
            which = f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
            yield f"{which}: {reason}" if reason.startswith(word) else f"{which}: {word}: {reason}"

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "topology": self.topology,
            "experiment": self.experiment,
            "standing": self.standing.value,
            "exit_code": self.exit_code,
            "why_not": self.why_not or None,
            "known_broken": self.known_broken or None,
            "promised": asdict(self.promise) if self.promise else None,
            "trials": [trial.to_json_dict() for trial in self.trials],
        }

    @classmethod
    def from_json_dict(cls, content: Mapping[str, Any]) -> Cell:
        """What `to_json_dict` wrote. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        promised = content["promised"]
        return cls(
            topology=content["topology"],
            experiment=content["experiment"],
            promise=promised and _promise(promised),
            known_broken=content["known_broken"] or "",
            trials=tuple(CellTrial.from_json_dict(trial) for trial in content["trials"]),
            why_not=content["why_not"] or "",
            applicable=content["standing"] != Standing.NOT_APPLICABLE.value,
        )


def _promise(content: Mapping[str, Any]) -> Promise:
    outcome = SessionOutcome(content["session_outcome"])
    return Promise(**{**content, "recovers": Recovery(content["recovers"]), "session_outcome": outcome})


def exit_code(cells: Iterable[Cell]) -> int:
    """1 if anything is not as its file says (BROKEN, MENDED), else 70 for an error, else 2 for what proves nothing,
    else 0; each trial counts. A matrix without any cell that applies proves nothing either."""
    found = frozenset().union(*(cell.standings for cell in cells))
    if found & {Standing.BROKEN, Standing.MENDED}:
        return Outcome.FAIL.exit_code
    if Standing.ERROR in found:
        return Outcome.ERROR.exit_code
    return Outcome.INCONCLUSIVE.exit_code if Standing.NO_PROOF in found or not found else Outcome.PASS.exit_code


def in_brief(measures: Measures) -> dict[str, Any]:
    """What a run measured, in the few numbers that runs are compared by, as plain JSON types."""
    return brief_of(measures).to_json_dict()
