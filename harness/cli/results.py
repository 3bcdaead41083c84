"""Commands about what runs left: `analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import console

__all__ = ["analyze"]


def analyze(
    folder: Annotated[
        Path,
        typer.Argument(help="A run's folder, e.g. results/latest, a calibration's, or the file of trials or a matrix."),
    ],
) -> int:
    """Rebuild every number and report of a run, of a calibration, of a set of trials or of a matrix, from what it
    recorded; exit with its verdict."""
    if folder.is_file():
        from harness.run.matrix_again import is_matrix, reanalyse_matrix

        if is_matrix(folder):
            from harness.report.matrix import render_matrix

            matrix = reanalyse_matrix(folder)
            render_matrix(matrix.result, console(), matrix.file.path)
            return matrix.exit_code

        from harness.report.trials import render_trials
        from harness.run.trials import reanalyse

        rebuilt, path = reanalyse(folder)
        render_trials(rebuilt, console(), path)
        return rebuilt.outcome.exit_code

    from harness.report.terminal import render
    from harness.run.artifacts import CalibrationFolder, RunFolder

    if (calibration := CalibrationFolder.found(folder)) is not None:
        from harness.report.calibration import render_calibration

        result = calibration.analyse()
        render_calibration(result, console(), calibration.file)
        return result.outcome.exit_code
    run_folder = RunFolder.existing(folder)
    measures = run_folder.analyse()
    render(measures, console(), run_folder.report)
    return measures.verdict.outcome.exit_code
