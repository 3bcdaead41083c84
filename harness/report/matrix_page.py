"""The page of a matrix: one file that loads nothing. From `results/matrix/` its links lead to the pages of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, CellTrial, Standing
from harness.report import words
from harness.report.matrix_words import (
    GAIN_HEADERS,
    MEANINGS,
    gain_remarks,
    gain_row,
    headline,
    measured,
    outcomes,
    promised,
    reasons,
    resume_command,
    trial_words,
)
from harness.report.templating import page_template

__all__ = ["render_matrix_page"]

#: Beside the word and the colour, so that neither is needed to tell cells apart at a distance.
_SIGNS = {
    Standing.AS_PROMISED: "✓",
    Standing.KNOWN_BROKEN: "▽",
    Standing.BROKEN: "✗",
    Standing.MENDED: "△",
    Standing.FLAKY: "≠",
    Standing.NO_PROOF: "?",
    Standing.ERROR: "!",
    Standing.NOT_APPLICABLE: "–",
}


@dataclass(frozen=True)
class _TrialView:
    label: str
    text: str
    href: str
    tone: str
    sign: str


@dataclass(frozen=True)
class _CellView:
    title: str
    standing: str
    tone: str
    sign: str
    outcomes: str
    promised: str
    measured: str
    reasons: Sequence[str]
    trials: Sequence[_TrialView]
    interrupted_runs: Sequence[str]


def render_matrix_page(result: MatrixResult, name: str) -> str:
    """The page. Texts from outside are escaped."""
    by_place = {(cell.topology, cell.experiment): _cell(cell) for cell in result.cells}
    # the longer side goes down: pages are read downwards
    across, down = result.topologies, result.experiments
    corner = ("experiment", "topology")
    transposed = len(across) > len(down)
    if transposed:
        across, down, corner = down, across, ("topology", "experiment")
    places = [(one, [by_place.get((one, other) if transposed else (other, one)) for other in across]) for one in down]
    views = [(cell, _cell(cell)) for cell in result.cells]
    path = f"results/matrix/{name}.json"
    return page_template("matrix.html.j2").render(
        name=name,
        result=result,
        headline=headline(result),
        tone={0: "as-promised", 1: "broken", 2: "no-proof"}.get(result.exit_code, "error"),
        resume=resume_command(result, path),
        corner=corner,
        across=across,
        grid=places,
        legend=[(word.value, _tone(word), _SIGNS[word], MEANINGS[word]) for word in result.counts],
        flaky=[view for cell, view in views if cell.standing is Standing.FLAKY],
        odd=[
            view
            for cell, view in views
            if cell.standing not in (Standing.AS_PROMISED, Standing.NOT_APPLICABLE, Standing.FLAKY)
        ],
        gain_headers=GAIN_HEADERS,
        gain_rows=[gain_row(gain) for gain in result.gains],
        gain_remarks=list(gain_remarks(result.gains)),
        controls=[(control, _trial(control.trial)) for control in result.controls],
        command=" ".join(result.argv),
        versions=list(words.flatten(result.made_with)),
    )


def _cell(cell: Cell) -> _CellView:
    return _CellView(
        title=f"{cell.topology}, {cell.experiment}",
        standing=cell.standing.value,
        tone=_tone(cell.standing),
        sign=_SIGNS[cell.standing],
        outcomes=outcomes(cell),
        promised=promised(cell.promise),
        measured=measured(cell).removeprefix("not applicable: "),
        reasons=list(reasons(cell)),
        trials=[_trial(trial) for trial in cell.trials],
        interrupted_runs=[run for trial in cell.trials for run in trial.interrupted_runs],
    )


def _trial(trial: CellTrial) -> _TrialView:
    return _TrialView(
        label=trial.label,
        text=trial_words(trial),
        href=f"../{trial.folder}/report.html" if trial.folder else "",
        tone=_tone(trial.standing),
        sign=_SIGNS[trial.standing],
    )


def _tone(standing: Standing) -> str:
    """As a class of the style sheet."""
    return standing.value.lower().replace(" ", "-")
