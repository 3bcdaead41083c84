"""A matrix in a terminal: what was promised against what was measured, and what each topology does under each
failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.measures import Measures
from harness.analysis.standing import Cell, Standing, exit_code, longest_outage
from harness.core.topology import Promise
from harness.core.words import Recovery
from harness.report import words
from harness.report.terminal import STYLES

__all__ = ["few_words", "matrix_line", "measured", "promised", "render_matrix"]

_STYLES = {
    Standing.AS_PROMISED: "green",
    Standing.KNOWN_BROKEN: "yellow",
    Standing.BROKEN: "bold red",
    Standing.MENDED: "bold cyan",
    Standing.NO_PROOF: "yellow",
    Standing.ERROR: "bold magenta",
    Standing.NOT_APPLICABLE: "dim",
}
#: Where the platform refuses people before anything is broken; nothing is injected then.
_WITHOUT_FAULT = "not everybody could work, without any fault"
#: A column of the second table needs this much; more experiments than fit beside each other get a table below.
_COLUMN = 24


def render_matrix(cells: Sequence[Cell], console: Console, path: Path | str) -> None:
    """Print both tables, then each cell that is not as promised with its reason; `path` is where all cells are kept."""
    console.print(Text("promised against measured", style="bold"))
    console.print(_promised_against_measured(cells))
    for table in _failures(cells, console.width):
        console.print(Text("\nwhat each topology does under each failure", style="bold"))
        console.print(table)
    console.print()
    for cell in cells:
        for line in _reasons(cell):
            console.print(Text(line, style=_STYLES[cell.standing]), soft_wrap=True)
    console.print(matrix_line(cells), soft_wrap=True)
    console.print(Text(f"matrix: {path}"), soft_wrap=True)


def matrix_line(cells: Sequence[Cell]) -> Text:
    """How many cells stand how, and the exit code, in one line."""
    counts = [f"{count} {word.value}" for word in Standing if (count := sum(c.standing is word for c in cells))]
    return Text(f"{len(cells)} cells: {', '.join(counts)}; exit code {exit_code(cells)}")


def promised(promise: Promise | None) -> str:
    """Recovery, bound of the outages and session outcome, each the worst that is still as promised."""
    if promise is None:
        return "nothing"
    how = words.recovered(Recovery(promise.recovers))
    return f"{how}, {promise.outage_at_most_s:g} s, {promise.session_outcome.value}"


def measured(cell: Cell) -> str:
    """The same as `promised`, as it came out."""
    if not cell.measures or not cell.proves:
        return cell.why_not or "nothing was proved"
    if cell.measures.without_fault is not None:
        return _WITHOUT_FAULT
    how = words.recovered(cell.measures.worst_recovery)
    return f"{how}, {_length(cell.measures)}, {_people(cell.measures)}"


def few_words(cell: Cell) -> str:
    """What happened in a cell of a wide table: `5.5 s, 12 restarted`."""
    if cell.standing in (Standing.NOT_APPLICABLE, Standing.NO_PROOF, Standing.ERROR):
        return "not run" if cell.measures is None and cell.applicable else cell.standing.value
    assert cell.measures is not None, "what is proved was measured"
    if cell.measures.without_fault is not None:
        return _WITHOUT_FAULT
    # where no capability was away, people may have been
    who = "" if longest_outage(cell.measures) else ", people"
    repaired = f"{who} until repaired" if cell.measures.worst_recovery is Recovery.BY_REPAIR else ""
    return f"{_length(cell.measures)}{repaired}, {_people(cell.measures)}"


def _length(measures: Measures) -> str:
    longest = longest_outage(measures)
    if longest is None:
        return "no outage"
    return f"{longest.seconds:.1f} s" if longest.ended else f"more than {longest.seconds_lower:.0f} s"


def _people(measures: Measures) -> str:
    """Sessions by outcome, and how many people were carried where that was asked."""
    if measures.users_carried is None:
        return words.session_counts(measures)
    least = "" if measures.users_carried_is_limit else "at least "
    return f"{words.session_counts(measures)}, {least}{measures.users_carried} people carried"


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(header, header_style="dim", overflow="fold", no_wrap=header in ("topology", "experiment"))
    return table


def _promised_against_measured(cells: Sequence[Cell]) -> Table:
    table = _table("topology", "experiment", "verdict", "promised", "measured", "")
    for cell in cells:
        outcome = cell.measures.verdict.outcome if cell.measures else None
        table.add_row(
            escape(cell.topology),
            escape(cell.experiment),
            Text(outcome.value, style=STYLES[outcome]) if outcome else "",
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


def _reasons(cell: Cell) -> Iterator[str]:
    """What a person has to know of a cell that is not as promised."""
    if cell.standing in (Standing.AS_PROMISED, Standing.NOT_APPLICABLE):
        return
    known = " ".join(cell.known_broken.split())
    why = {
        Standing.KNOWN_BROKEN: known,
        Standing.MENDED: f"the promise was kept, although known_broken says: {known}",
    }.get(cell.standing) or (cell.measures.verdict.reasons[0] if cell.measures else cell.why_not)
    yield f"  {cell.standing.value}: {cell.topology}, {cell.experiment}: {why}"
    if cell.folder and cell.standing is not Standing.KNOWN_BROKEN:
        yield f"    {cell.folder}/report.html"
