"""Everything that came of a matrix so far, as its file has it and every report draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.analysis.brief import Brief
from harness.analysis.gains import Gain, NinesAllowed, gains
from harness.analysis.standing import Cell, CellTrial, Standing, exit_code
from harness.core.verdict import Outcome
from harness.errors import RecordError

__all__ = ["SCHEMA_VERSION", "Control", "MatrixResult"]

SCHEMA_VERSION = 2
#: One run a cell, neither trials nor controls, and nothing that could be resumed.
_BEFORE_TRIALS = 1


@dataclass(frozen=True, kw_only=True)
class Control:
    """A run without a fault, for all experiments with the same load on the same platform."""

    topology: str
    experiments: tuple[str, ...]
    """Whose load it is."""
    trial: CellTrial
    steady: bool = False
    """Whether the steady state was reached. Where it was not, that is what each trial finds out for itself."""

    @property
    def clean(self) -> bool:
        """Whether nothing at all went wrong where nothing was broken."""
        return self.trial.outcome is Outcome.PASS

    @property
    def stops(self) -> bool:
        """Whether trials would be for nothing: something went wrong that can't be put down to their fault."""
        return self.trial.finished and not self.clean and (self.steady or self.trial.outcome is Outcome.ERROR)

    def judge(self, trial: CellTrial) -> CellTrial:
        """A trial beside this control: what was measured after a fault proves nothing unless the control was clean."""
        if self.clean or not trial.proves or (trial.brief is not None and not trial.brief.works_without_fault):
            return trial
        why = f"the control run was not clean: {self.trial.reason}"
        return replace(trial, standing=Standing.NO_PROOF, reasons=(why, *trial.reasons))

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        of = {"topology": self.topology, "experiments": list(self.experiments), "steady": self.steady}
        return {**of, **self.trial.to_json_dict()}

    @classmethod
    def from_json_dict(cls, content: Mapping[str, Any]) -> Control:
        """What `to_json_dict` wrote. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        own = ("topology", "experiments", "steady")
        trial = CellTrial.from_json_dict({key: value for key, value in content.items() if key not in own})
        topology, experiments, steady = (content[key] for key in own)
        return cls(topology=topology, experiments=tuple(experiments), steady=steady, trial=trial)


@dataclass(frozen=True, kw_only=True)
class MatrixResult:
    """A matrix, whole or as far as it came."""

    started_utc: str
    argv: tuple[str, ...]
    seed: int
    trials: int | None
    """Of each cell; None: one run each, without a control."""
    cells: tuple[Cell, ...]
    controls: tuple[Control, ...] = ()
    containers: Mapping[str, int]
    """By topology: of the platform, without client and agent."""
    nines: Mapping[str, NinesAllowed]
    """By topology; empty where nobody stated rates."""
    made_with: Mapping[str, Any]
    """Revision, versions, machine and images."""
    interrupted: bool = False
    """Somebody wished to stop, and the rest was not run since."""
    resumed_utc: tuple[str, ...] = ()
    """When it was gone on with."""

    @property
    def exit_code(self) -> int:
        """See `harness.analysis.standing.exit_code`."""
        return exit_code(self.cells)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be run."""
        return not self.missing

    @property
    def missing(self) -> tuple[tuple[Cell, CellTrial], ...]:
        """Trials that are still to be run."""
        stopped = {(one.topology, name) for one in self.controls if one.stops for name in one.experiments}
        return tuple(
            (cell, trial)
            for cell in self.cells
            for trial in cell.trials
            if not trial.finished and (cell.topology, cell.experiment) not in stopped
        )

    @property
    def counts(self) -> Mapping[Standing, int]:
        """How many cells stand how; standings of none are left out."""
        counts = {word: sum(cell.standing is word for cell in self.cells) for word in Standing}
        return {word: count for word, count in counts.items() if count}

    @property
    def topologies(self) -> Sequence[str]:
        """In their order."""
        return list(dict.fromkeys(cell.topology for cell in self.cells))

    @property
    def experiments(self) -> Sequence[str]:
        """In their order."""
        return list(dict.fromkeys(cell.experiment for cell in self.cells))

    @property
    def gains(self) -> tuple[Gain, ...]:
        """What each topology buys."""
        return gains(self.cells, self.containers, self.nines)

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types; `schema` tells versions apart."""
        return {
            "schema": SCHEMA_VERSION,
            "started_utc": self.started_utc,
            "resumed_utc": list(self.resumed_utc),
            "argv": list(self.argv),
            "seed": self.seed,
            "trials": self.trials,
            "interrupted": self.interrupted,
            "finished": self.finished,
            "exit_code": self.exit_code,
            "counts": {word.value: count for word, count in self.counts.items()},
            "made_with": dict(self.made_with),
            "containers": dict(self.containers),
            "buys": [gain.to_json_dict() for gain in self.gains],
            "controls": [control.to_json_dict() for control in self.controls],
            "cells": [cell.to_json_dict() for cell in self.cells],
        }

    @classmethod
    def from_json_dict(cls, content: Any, where: str) -> MatrixResult:
        """What this version or the one before wrote. Raises `RecordError` naming `where` for anything else."""
        try:
            schema = content["schema"]
            if schema not in (SCHEMA_VERSION, _BEFORE_TRIALS):
                raise RecordError(
                    f"{where}: schema {schema!r}, expected the file of a matrix with {SCHEMA_VERSION}, or with "
                    f"{_BEFORE_TRIALS} of before there were trials",
                    hint="written by another version: draw it with that one",
                )
            return _read(content) if schema == SCHEMA_VERSION else _read_before_trials(content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(
                f"{where}: is not the file of a matrix: {type(error).__name__} {error}",
                hint="name a file like results/matrix/<time>-<id>.json",
            ) from error


def _read(content: Mapping[str, Any]) -> MatrixResult:
    nines = {one["topology"]: NinesAllowed(**one["nines"]) for one in content["buys"] if one["nines"]}
    return MatrixResult(
        started_utc=content["started_utc"],
        argv=tuple(content["argv"]),
        seed=int(content["seed"]),
        trials=content["trials"],
        cells=tuple(Cell.from_json_dict(cell) for cell in content["cells"]),
        controls=tuple(Control.from_json_dict(one) for one in content["controls"]),
        containers=dict(content["containers"]),
        nines=nines,
        made_with=dict(content["made_with"]),
        interrupted=bool(content["interrupted"]),
        resumed_utc=tuple(content["resumed_utc"]),
    )


def _read_before_trials(content: Mapping[str, Any]) -> MatrixResult:
    return MatrixResult(
        started_utc=content["started_utc"],
        argv=tuple(content["argv"]),
        seed=int(content["seed"]),
        trials=None,
        cells=tuple(_cell_before_trials(cell) for cell in content["cells"]),
        containers={},
        nines={},
        made_with={},
        interrupted=bool(content["interrupted"]),
    )


def _cell_before_trials(content: Mapping[str, Any]) -> Cell:
    applicable = content["standing"] != Standing.NOT_APPLICABLE.value
    measured = content["measured"]
    trial = CellTrial(
        standing=Standing(content["standing"]),
        outcome=Outcome(content["outcome"]) if content["outcome"] else None,
        reasons=tuple(content["reasons"]),
        why_not=content["why_not"] or "",
        brief=Brief.from_json_dict(measured) if measured else None,
        folder=content["folder"] or "",
    )
    bare = Cell.from_json_dict({**content, "trials": []})
    return replace(bare, trials=(trial,) if applicable else (), why_not="" if applicable else bare.why_not)
