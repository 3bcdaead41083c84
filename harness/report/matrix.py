"""A matrix in a terminal: what was promised against what was measured, what each topology does under each failure, and
what each one buys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.gains import Gain
from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, Standing
from harness.report.matrix_words import (
    GAIN_HEADERS,
    few_words,
    gain_remarks,
    gain_row,
    headline,
    measured,
    needs_repair,
    outcomes,
    promised,
    reasons,
    resume_command,
    trial_words,
)
from harness.report.terminal import STYLES

__all__ = ["few_words", "measured", "promised", "render_matrix"]

_STYLES = {
    Standing.AS_PROMISED: "green",
    Standing.KNOWN_BROKEN: "yellow",
    Standing.BROKEN: "bold red",
    Standing.MENDED: "bold cyan",
    Standing.FLAKY: "bold yellow",
    Standing.NO_PROOF: "yellow",
    Standing.ERROR: "bold magenta",
    Standing.NOT_APPLICABLE: "dim",
}
#: A column of the second table needs this much; more experiments than fit beside each other get a table below.
_COLUMN = 24

#: Too much for a line of a terminal; the longest outages are in the table above.
_ON_THE_PAGE = ("failures tried", "needs a repair", "the others may, up to", "longest outage by itself")


def render_matrix(result: MatrixResult, console: Console, path: Path | str) -> None:
    """Print the tables, then each cell that is not as promised with its reason; `path` is where all cells are kept."""
    console.print(Text("promised against measured", style="bold"))
    console.print(_promised_against_measured(result.cells))
    for table in _failures(result.cells, console.width):
        console.print(Text("\nwhat each topology does under each failure", style="bold"))
        console.print(table)
    console.print(Text("\nwhat each topology buys", style="bold"))
    console.print(_gains(result.gains))
    for gain in result.gains:
        if gain.needs_repair:
            console.print(Text(f"{gain.topology} needs a repair: {needs_repair(gain)}"))
    for remark in gain_remarks(result.gains):
        console.print(Text(remark, style="dim"))
    console.print()
    for control in result.controls:
        if not control.clean:
            console.print(Text(f"  {control.topology}, control run: {control.trial.reason}", style="yellow"))
    for cell in result.cells:
        for line in _reasons(cell):
            console.print(Text(line, style=_STYLES[cell.standing]), soft_wrap=True)
    console.print(Text(headline(result)), soft_wrap=True)
    console.print(Text(f"matrix: {path}"), soft_wrap=True)
    console.print(Text(f"page: {Path(path).with_suffix('.html')}"), soft_wrap=True)
    if command := resume_command(result, str(path)):
        left = len(result.missing)
        console.print(Text(f"{left} runs are still to be done: {command}", style="bold yellow"), soft_wrap=True)


def _table(*headers: str, gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for header in headers:
        table.add_column(header, header_style="dim", overflow="fold", no_wrap=header in ("topology", "experiment"))
    return table


def _promised_against_measured(cells: Sequence[Cell]) -> Table:
    table = _table("topology", "experiment", "verdict", "promised", "measured", "")
    for cell in cells:
        found = {trial.outcome for trial in cell.trials if trial.outcome}
        style = STYLES[next(iter(found))] if len(found) == 1 else "bold yellow"
        table.add_row(
            escape(cell.topology),
            escape(cell.experiment),
            Text(outcomes(cell), style=style),
            promised(cell.promise),
            escape(measured(cell).removeprefix("not applicable: ")),
            Text(cell.standing.value, style=_STYLES[cell.standing]),
        )
    return table


def _failures(cells: Sequence[Cell], width: int) -> Iterator[Table]:
    topologies = list(dict.fromkeys(cell.topology for cell in cells))
    experiments = list(dict.fromkeys(cell.experiment for cell in cells))
    by_place = {(cell.topology, cell.experiment): cell for cell in cells}
    side = max((len(name) for name in topologies), default=0) + 2
    most = max(1, (width - side) // _COLUMN)
    for begin in range(0, len(experiments), most):
        some = experiments[begin : begin + most]
        table = _table("topology", *some)
        for topology in topologies:
            row = [by_place.get((topology, experiment)) for experiment in some]
            shown = [Text(few_words(cell), style=_STYLES[cell.standing]) if cell else Text("") for cell in row]
            table.add_row(escape(topology), *shown)
        yield table


def _gains(gains: Sequence[Gain]) -> Table:
    """What a terminal has room for; the page has all of it."""
    shown = [header for header in GAIN_HEADERS if header not in _ON_THE_PAGE]
    table = _table(*shown, gap=1)
    for gain in gains:
        row = dict(zip(GAIN_HEADERS, gain_row(gain), strict=True))
        table.add_row(*(escape(row[header]) for header in shown))
    return table


def _reasons(cell: Cell) -> Iterator[str]:
    """What a person has to know of a cell that is not as promised. Of a flaky one every trial, and its page."""
    for why in reasons(cell):
        yield f"  {cell.standing.value}: {cell.topology}, {cell.experiment}: {why}"
    shown = [trial for trial in cell.trials if trial.folder]
    if cell.standing in (Standing.AS_PROMISED, Standing.KNOWN_BROKEN):
        return
    for trial in shown:
        said = f"{trial.label}: {trial_words(trial)}: " if len(cell.trials) > 1 else ""
        yield f"    {said}{trial.folder}/report.html"
