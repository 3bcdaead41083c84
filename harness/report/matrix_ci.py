"""A matrix for CI: one JUnit test case a cell, and a summary in Markdown for the page of a job."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, Standing
from harness.core.verdict import Outcome
from harness.report.junit import NOT_XML
from harness.report.markdown import table
from harness.report.matrix_words import (
    GAIN_HEADERS,
    few_words,
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

__all__ = ["render_matrix_junit", "render_matrix_markdown"]


def render_matrix_junit(result: MatrixResult, name: str) -> str:
    """A `testsuite` for each topology with a `testcase` for each experiment.

    What is not as the topology's file says is a failure, what proves nothing an error. Known to be broken and not
    applicable are skipped, with the reason. A flaky cell is a failure, an error or, where only known-broken trials make
    it one, skipped: by its worst trial; its type and message say flaky, and its property too. No trial is left out.
    """
    root = ET.Element("testsuites", name=_clean(f"matrix {name}"))
    for topology in result.topologies:
        cells = [cell for cell in result.cells if cell.topology == topology]
        kinds = [_kind(cell) for cell in cells]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_clean(topology),
            tests=str(len(cells)),
            failures=str(kinds.count("failure")),
            errors=str(kinds.count("error")),
            skipped=str(kinds.count("skipped")),
            time=f"{sum(map(_seconds, cells)):.3f}",
            timestamp=result.started_utc[:19],
        )
        for cell, kind in zip(cells, kinds, strict=True):
            _case(suite, cell, kind)
    ET.indent(root)
    body: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def render_matrix_markdown(result: MatrixResult, name: str) -> str:
    """What the page of a job shows."""
    return "\n".join(_markdown(result, name)) + "\n"


def _kind(cell: Cell) -> str:
    """The element of its test case; empty for one that passed."""
    if cell.standing in (Standing.NOT_APPLICABLE, Standing.KNOWN_BROKEN):
        return "skipped"
    if cell.exit_code == Outcome.PASS.exit_code:
        return "skipped" if cell.standing is Standing.FLAKY else ""
    return "failure" if cell.exit_code == Outcome.FAIL.exit_code else "error"


def _case(suite: ET.Element, cell: Cell, kind: str) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_clean(cell.topology),
        name=_clean(cell.experiment),
        time=f"{_seconds(cell):.3f}",
    )
    if cell.standing is Standing.FLAKY:
        properties = ET.SubElement(case, "properties")
        ET.SubElement(properties, "property", name="flaky", value="true")
    why = list(reasons(cell)) or [cell.why_not]
    if kind:
        of_trials = f" ({_counted(cell)})" if len(cell.trials) > 1 else ""
        message = _clean(f"{cell.standing.value}{of_trials}: {why[0]}")
        ET.SubElement(case, kind, message=message, type=cell.standing.value).text = _clean("\n".join(why))
    lines = [f"promised: {promised(cell.promise)}", f"measured: {measured(cell)}"]
    lines += [f"{trial.label}: {trial_words(trial)} {trial.folder}".rstrip() for trial in cell.trials]
    ET.SubElement(case, "system-out").text = _clean("\n".join(lines))


def _counted(cell: Cell) -> str:
    return ", ".join(f"{count} {word}" for word, count in cell.counts.items())


def _seconds(cell: Cell) -> float:
    """How long its trials were watched."""
    return sum(brief.window_s or 0.0 for brief in cell.briefs)


def _markdown(result: MatrixResult, name: str) -> Iterator[str]:
    yield f"## Matrix {name}"
    yield ""
    yield f"**{headline(result)}**"
    yield ""
    if command := resume_command(result, f"results/matrix/{name}.json"):
        yield f"**Not finished**: {len(result.missing)} runs are still to be done: `{command}`"
        yield ""
    yield from table(["topology", *result.experiments], _grid(result))
    yield ""
    odd = [cell for cell in result.cells if cell.standing not in (Standing.AS_PROMISED, Standing.NOT_APPLICABLE)]
    if odd:
        yield "### Not simply as promised"
        yield ""
        yield from table(["cell", "stands", "verdicts", "promised", "measured", "why"], map(_odd, odd))
        yield ""
    flaky = [cell for cell in odd if cell.standing is Standing.FLAKY]
    if flaky:
        yield "### Flaky"
        yield ""
        yield from (
            f"- {cell.topology}, {cell.experiment}, {trial.label}: {trial_words(trial)} (`{trial.folder or 'no run'}`)"
            for cell in flaky
            for trial in cell.trials
        )
        yield ""
    unclean = [control for control in result.controls if not control.clean]
    if unclean:
        yield "### Control runs that were not clean"
        yield ""
        yield from (f"- {control.topology}: {control.trial.reason}" for control in unclean)
        yield ""
    yield "### What each topology buys"
    yield ""
    yield from table(GAIN_HEADERS, map(gain_row, result.gains))
    yield ""
    yield from (f"- {remark}" for remark in gain_remarks(result.gains))
    yield ""
    yield f"`{' '.join(result.argv)}`, seed {result.seed}"


def _grid(result: MatrixResult) -> Iterator[list[str]]:
    by_place = {(cell.topology, cell.experiment): cell for cell in result.cells}
    for topology in result.topologies:
        row = [by_place.get((topology, experiment)) for experiment in result.experiments]
        yield [f"**{topology}**", *(_shown(cell) if cell else "" for cell in row)]


def _shown(cell: Cell) -> str:
    """Words, not colours: Markdown has none."""
    marks = {Standing.BROKEN, Standing.MENDED, Standing.FLAKY, Standing.ERROR, Standing.NO_PROOF}
    word = f"**{cell.standing.value}**" if cell.standing in marks else cell.standing.value
    said = few_words(cell)
    return word if said == cell.standing.value else f"{word}: {said}"


def _odd(cell: Cell) -> list[str]:
    where = f"{cell.topology}, {cell.experiment}"
    why = "; ".join(reasons(cell))
    return [where, cell.standing.value, outcomes(cell), promised(cell.promise), measured(cell), why]


def _clean(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
