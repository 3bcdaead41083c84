"""What a comparison of two sides is made of, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.analysis.comparable import Comparable
from harness.analysis.differences import RUNS_AT_LEAST, Bounds, Reading
from harness.core.verdict import Outcome

__all__ = [
    "CONFIDENCE",
    "Cell",
    "CellInput",
    "Comparison",
    "LeftOut",
    "Row",
    "RunReadings",
    "SideInput",
    "SideSummary",
    "Word",
    "sides_of",
]

#: Of all intervals of a comparison together.
CONFIDENCE = 0.95
_SCHEMA_VERSION = 1


class Word(StrEnum):
    """What can be said of one measure."""

    WORSE = "worse"
    BETTER = "better"
    ALIKE = "alike"
    """The interval lies within the tolerance."""
    CANT_TELL = "can't tell"


# -- what is compared ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunReadings:
    """A run that is evidence: PASS or FAIL."""

    name: str
    """Its folder."""
    readings: Mapping[str, Reading]
    schedule_sha256: str = ""
    """Empty where a run of an earlier version says nothing of it."""
    broken: frozenset[str] = frozenset()
    """Names of promises and objectives that it broke, unless the topology's file says that it will (known broken)."""


@dataclass(frozen=True)
class LeftOut:
    """A run that says nothing about the platform, and why."""

    run: str
    why: str


@dataclass(frozen=True, kw_only=True)
class SideInput:
    """Baseline or candidate of one experiment on one topology."""

    topology: str
    runs: Sequence[RunReadings]
    left_out: Sequence[LeftOut] = ()


@dataclass(frozen=True, kw_only=True)
class CellInput:
    """One experiment, on both sides."""

    experiment: str
    baseline: SideInput
    candidate: SideInput
    differs: Sequence[str] = ()
    """What was built differently, and in which surroundings: `workbench.nodes: 2 against 3`."""


# -- what comes of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SideSummary:
    """One measure on one side."""

    runs: int
    """That have a value of it."""
    mean: float | None
    """Of a share the ratio of runs; None without values."""
    at_least: bool
    """The truth is this or more: in some run it had not ended."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measure of one cell."""

    comparable: Comparable
    baseline: SideSummary
    candidate: SideSummary
    difference: float | None
    """Candidate minus baseline; None without values on both sides."""
    bounds: Bounds
    confidence: float
    """Of the bounds."""
    tolerance: float
    """In the measure's unit."""
    word: Word
    paired: bool = False
    """Whether runs with the same schedule were held against each other."""
    counts: bool = False
    """Whether it is one of the tests that share the confidence."""
    why: str = ""
    """Why it is worse without an interval, or why there is none."""

    @property
    def gates(self) -> bool:
        """Whether it decides about the exit code by being worse."""
        return self.comparable.gated and self.word is Word.WORSE

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "key": self.comparable.key,
            "title": self.comparable.title,
            "unit": self.comparable.unit,
            "gated": self.comparable.gated,
            "word": self.word.value,
            "baseline": {"runs": self.baseline.runs, "mean": self.baseline.mean, "at_least": self.baseline.at_least},
            "candidate": {
                "runs": self.candidate.runs,
                "mean": self.candidate.mean,
                "at_least": self.candidate.at_least,
            },
            "difference": self.difference,
            "lower": self.bounds.lower,
            "upper": self.bounds.upper,
            "confidence": self.confidence,
            "tolerance": self.tolerance,
            "paired": self.paired,
            "why": self.why or None,
        }


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One experiment, compared."""

    input: CellInput
    rows: Sequence[Row]

    @property
    def title(self) -> str:
        """`node-kill on active-passive`, with both topologies where they differ."""
        before, after = self.input.baseline.topology, self.input.candidate.topology
        return f"{self.input.experiment} on {before}" + ("" if before == after else f" against {after}")

    @property
    def no_evidence(self) -> bool:
        """Whether the candidate ran and proved nothing where the baseline did."""
        return bool(self.input.baseline.runs) and not self.input.candidate.runs


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that was compared."""

    cells: Sequence[Cell]
    only_baseline: Sequence[str] = ()
    """Cells that the candidate does not have."""
    only_candidate: Sequence[str] = ()
    confidence: float = CONFIDENCE
    tests: int = 0
    """How many measures share the confidence."""
    varying: int = 0
    """How many would, if there were runs enough."""
    runs_needed: int = RUNS_AT_LEAST
    """On each side, for anything to be told."""

    @property
    def worse(self) -> Sequence[tuple[Cell, Row]]:
        """What makes the gate fail."""
        return [(cell, row) for cell in self.cells for row in cell.rows if row.gates]

    @property
    def told_nothing(self) -> bool:
        """Whether no measure that varies could have been told apart, or a cell lost all of its evidence."""
        alike = any(row.word is Word.ALIKE and row.comparable.gated for cell in self.cells for row in cell.rows)
        in_vain = self.tests == 0 and (self.varying > 0 or not alike)
        return in_vain or any(cell.no_evidence for cell in self.cells)

    @property
    def exit_code(self) -> int:
        """1 where anything is worse; else 2 where nothing could be told, or a whole cell proves nothing; else 0."""
        if self.worse:
            return Outcome.FAIL.exit_code
        return Outcome.INCONCLUSIVE.exit_code if self.told_nothing else Outcome.PASS.exit_code

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "schema": _SCHEMA_VERSION,
            "exit_code": self.exit_code,
            "confidence": self.confidence,
            "tests": self.tests,
            "runs_needed": self.runs_needed,
            "worse": [f"{row.comparable.key}: {cell.title}" for cell, row in self.worse],
            "only_baseline": list(self.only_baseline),
            "only_candidate": list(self.only_candidate),
            "cells": [
                {
                    "experiment": cell.input.experiment,
                    "differs": list(cell.input.differs),
                    **{name: _side(side) for name, side in sides_of(cell.input)},
                    "measures": [row.to_json_dict() for row in cell.rows],
                }
                for cell in self.cells
            ],
        }


def sides_of(cell: CellInput) -> Iterator[tuple[str, SideInput]]:
    """Both, with their names."""
    yield "baseline", cell.baseline
    yield "candidate", cell.candidate


def _side(side: SideInput) -> dict[str, Any]:
    return {
        "topology": side.topology,
        "runs": [run.name for run in side.runs],
        "left_out": [{"run": one.run, "why": one.why} for one in side.left_out],
    }
