"""Commands about what runs left: `analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import JsonOption, Output, QuietOption, show_matrix
from harness.errors import HarnessError, RecordError, RunError

if TYPE_CHECKING:
    from harness.run.artifacts import RunFolder

__all__ = ["analyze"]


def analyze(
    folder: Annotated[
        Path,
        typer.Argument(help="A run's folder, e.g. results/latest, a calibration's, or the file of trials or a matrix."),
    ],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Rebuild every number and report of a run, of a calibration, of a set of trials or of a matrix, from what it
    recorded; exit with its verdict.

    Of a run's folder that is not whole there is a page without numbers: what is there, what is missing and why. Nothing
    that exists is overwritten then; exits with 2 if the run did not come to its end or is of another version, 70 if its
    record is damaged.
    """
    output = Output(as_json=as_json, quiet=quiet)
    if folder.is_file():
        from harness.run.matrix_again import is_matrix, reanalyse_matrix

        if is_matrix(folder):
            return show_matrix(reanalyse_matrix(folder), output)

        from harness.report.trials import render_trials, trials_line
        from harness.run.trials import reanalyse

        rebuilt, path = reanalyse(folder)
        output.result(
            path,
            verdict=trials_line(rebuilt),
            where=f"trials: {path}",
            show=lambda screen: render_trials(rebuilt, screen, path),
        )
        return rebuilt.outcome.exit_code

    from harness.run.artifacts import CalibrationFolder, RunFolder

    if (calibration := CalibrationFolder.found(folder)) is not None:
        from harness.report.calibration import calibration_line, render_calibration

        result = calibration.analyse()
        output.result(
            calibration.file,
            verdict=calibration_line(result),
            where=f"calibration: {calibration.file}",
            show=lambda screen: render_calibration(result, screen, calibration.file),
        )
        return result.outcome.exit_code
    return _analyze_run(RunFolder.existing(folder), output)


def _analyze_run(folder: RunFolder, output: Output) -> int:
    from harness.report.terminal import render, verdict_line

    try:
        measures = folder.analyse()
    except RecordError as error:
        return _explain(folder, error, output)
    except HarnessError:
        raise  # the reports could not be written; the record is whole
    except Exception as error:  # a mistake of ours, or a version that did not say what is needed: page and traceback
        _explain(folder, error, output)
        raise
    output.result(
        folder.measures_file,
        verdict=verdict_line(measures),
        where=f"report: {folder.report}",
        show=lambda screen: render(measures, screen, folder.report),
    )
    return measures.verdict.outcome.exit_code


def _explain(folder: RunFolder, error: Exception, output: Output) -> int:
    """Say what is left of a folder that is not whole, and leave a page of it."""
    from harness.report.broken import broken_line, render_broken
    from harness.run.broken import explain, leave_page

    broken = explain(folder, error)
    try:
        page = leave_page(folder, broken)
    except RunError:
        render_broken(broken, output.screen, None)
        raise
    output.result(
        broken.to_json_dict(),
        verdict=broken_line(broken),
        where=f"report: {page}",
        show=lambda screen: render_broken(broken, screen, page),
    )
    return broken.outcome.exit_code
