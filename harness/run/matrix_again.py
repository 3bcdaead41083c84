"""A matrix rebuilt from what its runs recorded: `harness analyze` with its file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.matrix_result import SCHEMA_VERSION, Control
from harness.analysis.standing import Cell, CellTrial
from harness.run.matrix import Matrix
from harness.run.matrix_file import MatrixFile
from harness.run.matrix_kept import draw, trial_of_run

__all__ = ["is_matrix", "reanalyse_matrix"]


def is_matrix(path: Path) -> bool:
    """Whether a file speaks of cells. What is no JSON is nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "cells" in content


def reanalyse_matrix(path: Path) -> Matrix:
    """Rebuild every run of a matrix, its page and what is beside it, and its file. The file of an earlier version stays
    as it is: only the page is drawn, with what the runs say where they are still there.

    Raises `UsageError` for a file that is none, or where a run that it names is gone.
    """
    file = MatrixFile.existing(path)
    content, before = file.read()
    strict = content["schema"] == SCHEMA_VERSION
    controls = tuple(_control(file, control) for control in before.controls)
    cells = tuple(_cell(file, cell, controls, strict=strict) for cell in before.cells)
    result = replace(before, cells=cells, controls=controls)
    if strict:
        file.write({**content, **result.to_json_dict()})
    draw(file, result)
    return Matrix(result, file)


def _control(file: MatrixFile, control: Control) -> Control:
    if not control.trial.finished:
        return control
    measures = file.run_folder(control.trial.folder).analyse()
    trial = trial_of_run(control.trial, measures, "", control.trial.folder)
    return replace(control, trial=trial, steady=measures.facts.steady)


def _cell(file: MatrixFile, cell: Cell, controls: Sequence[Control], *, strict: bool) -> Cell:
    control = next((c for c in controls if c.topology == cell.topology and cell.experiment in c.experiments), None)
    trials = [_trial(file, trial, cell.known_broken, strict=strict) for trial in cell.trials]
    return replace(cell, trials=tuple(control.judge(t) if control and t.finished else t for t in trials))


def _trial(file: MatrixFile, trial: CellTrial, known_broken: str, *, strict: bool) -> CellTrial:
    if not trial.finished or not (strict or (file.root / trial.folder / "history.jsonl").is_file()):
        return trial
    return trial_of_run(trial, file.run_folder(trial.folder).analyse(), known_broken, trial.folder)
