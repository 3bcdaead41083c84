"""A comparison in a terminal, in Markdown for a job's page, and as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.comparable import Comparable
from harness.analysis.comparison import Cell, Comparison, LeftOut, Row, SideSummary, Word, sides_of
from harness.report.junit import clean
from harness.report.markdown import table

__all__ = ["comparable_table", "headline", "render_comparison", "render_comparison_junit", "render_comparison_markdown"]

_STYLES = {Word.WORSE: "bold red", Word.BETTER: "bold green", Word.ALIKE: "green", Word.CANT_TELL: "dim"}
_HEADERS = ("measure", "baseline", "candidate", "difference", "interval", "tolerance", "")


def render_comparison(found: Comparison, console: Console, baseline: str, candidate: str) -> None:
    """Print each cell with its measures, then what it comes to; `baseline` and `candidate` are what was named. Of
    several cells those in which nothing is worse or better are a line each: Markdown and JSON have all of them."""
    console.print(Text(f"baseline:  {baseline}"), soft_wrap=True)
    console.print(Text(f"candidate: {candidate}"), soft_wrap=True)
    for cell in found.cells:
        if len(found.cells) > 1 and not _tells(cell):
            console.print(Text(f"{cell.title}: {_counts(cell.rows)}"), soft_wrap=True)
            for line in (*_about(cell), *_beyond(cell)):
                console.print(Text(f"  {line}", style="dim"), soft_wrap=True)
            continue
        console.print()
        console.rule(Text(cell.title), characters="-")
        for line in _about(cell):
            console.print(Text(line, style="yellow"), soft_wrap=True)
        if _shown(cell):
            console.print(_table(cell))
    console.print()
    for line in (*_alone(found), *_method(found)):
        console.print(Text(line), soft_wrap=True)
    word, sentence = headline(found)
    style = {"WORSE": "bold red", "NOT WORSE": "bold green"}.get(word, "bold yellow")
    console.print(Text.assemble((word, style), f"  {sentence}"), soft_wrap=True)
    for line in _worse(found):
        console.print(Text(f"  - {line}"), soft_wrap=True)


def render_comparison_markdown(found: Comparison, baseline: str, candidate: str) -> str:
    """The same for the page of a CI job: GitHub's Markdown."""
    return "\n".join(_markdown(found, baseline, candidate)) + "\n"


def render_comparison_junit(found: Comparison) -> str:
    """A test suite for each cell, a test case for each measure that decides: a failure where it is worse. What can't be
    told is no failure; a cell about which nothing can be told is an error."""
    root = ET.Element("testsuites", name="harness compare")
    for cell in found.cells:
        rows = [row for row in cell.rows if row.comparable.gated]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=clean(f"compare.{cell.title}"),
            tests=str(len(rows) + 1),
            failures=str(sum(row.gates for row in rows)),
            errors=str(int(_told_nothing(cell, found))),
        )
        for row in rows:
            case = ET.SubElement(suite, "testcase", classname=clean(cell.title), name=clean(row.comparable.title))
            text = f"{row.word}: {_sentence(row)}"
            if row.gates:
                ET.SubElement(case, "failure", message=clean(text), type="worse")
            ET.SubElement(case, "system-out").text = clean(text)
        case = ET.SubElement(suite, "testcase", classname=clean(cell.title), name="anything can be told")
        if _told_nothing(cell, found):
            ET.SubElement(case, "error", message=clean("; ".join(_about(cell)) or headline(found)[1]))
    ET.indent(root)
    body: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def comparable_table(comparables: Iterable[Comparable]) -> str:
    """The registry as a table for the documentation, in Markdown."""
    rows = (
        (
            f"`{one.key}`",
            one.title,
            {"s": "s", "count": "in a run", "share": "share of runs"}[one.unit],
            "more" if one.more_is_worse else "less",
            "yes" if one.gated else "",
            _tolerance(one),
            one.tolerance.why,
        )
        for one in comparables
    )
    return "\n".join(table(["key", "measure", "unit", "worse is", "gate", "tolerance", "why so much"], rows))


def headline(found: Comparison) -> tuple[str, str]:
    """What it comes to: in a word or two, and in a sentence."""
    told = _counts([row for cell in found.cells for row in cell.rows])
    if found.worse:
        return "WORSE", told
    if empty := [cell.title for cell in found.cells if cell.no_evidence]:
        return "NO EVIDENCE", f"no run of the candidate proves anything: {', '.join(empty)}"
    if found.told_nothing:
        return "TOLD NOTHING", f"too few runs: {found.runs_needed} on each side are needed at least ({told})"
    return "NOT WORSE", told


def _counts(rows: Sequence[Row]) -> str:
    gated = [row for row in rows if row.comparable.gated]
    counts = [f"{number} {word}" for word in Word if (number := sum(row.word is word for row in gated))]
    return f"of {len(gated)} measures {', '.join(counts)}" if gated else "no measure has a value"


def _beyond(cell: Cell) -> Iterator[str]:
    """What is beyond its tolerance, and not for sure."""
    for row in cell.rows:
        if row.comparable.gated and row.difference is not None and abs(row.difference) > row.tolerance:
            change = f"{_side(row.baseline, row)} to {_side(row.candidate, row)}"
            why = row.why or f"the interval is {_interval(row)}"
            yield f"{row.comparable.title}: {change}, beyond ± {_number(row.tolerance, row)}, but {why}"


def _tells(cell: Cell) -> bool:
    """Whether there is more to say of it than a line."""
    words = {row.word for row in cell.rows if row.comparable.gated}
    left_out = any(side.left_out for _, side in sides_of(cell.input))
    return left_out or bool(words & {Word.WORSE, Word.BETTER})


def _told_nothing(cell: Cell, found: Comparison) -> bool:
    return cell.no_evidence or (found.told_nothing and not any(row.counts or row.gates for row in cell.rows))


def _worse(found: Comparison) -> Iterator[str]:
    for cell, row in found.worse:
        yield f"{row.comparable.title}: {_sentence(row)} ({cell.title})"


def _sentence(row: Row) -> str:
    if row.word is Word.WORSE and row.why:
        return row.why
    parts = f"{_side(row.baseline, row)} to {_side(row.candidate, row)}"
    interval = _interval(row)
    return parts + (f", by {interval}, tolerance {_number(row.tolerance, row)}" if interval else f": {row.why}")


def _about(cell: Cell) -> Iterator[str]:
    """What has to be known before the numbers."""
    if cell.input.differs:
        yield f"not equal: {'; '.join(cell.input.differs)}"
    for name, side in sides_of(cell.input):
        if not side.left_out:
            continue
        total = len(side.runs) + len(side.left_out)
        yield f"{name}: {len(side.left_out)} of {total} runs say nothing about the platform and are in no number:"
        yield from (f"  {line}" for line in _left_out(side.left_out))


def _left_out(left_out: Sequence[LeftOut]) -> Iterator[str]:
    by_why: dict[str, list[str]] = {}
    for one in left_out:
        by_why.setdefault(one.why, []).append(one.run)
    for why, runs in by_why.items():
        yield f"{', '.join(runs)}: {why}"


def _alone(found: Comparison) -> Iterator[str]:
    for side, names in (("baseline", found.only_baseline), ("candidate", found.only_candidate)):
        for name in names:
            yield f"only in the {side}, so not compared: {name}"


def _method(found: Comparison) -> Iterator[str]:
    percent = f"{found.confidence * 100:g}%"
    if found.tests:
        many = "the measure that varies" if found.tests == 1 else f"all {found.tests} measures that vary"
        yield f"intervals: so wide that {percent} holds for {many} together (Holm); others {percent} each"
    if any(row.paired for cell in found.cells for row in cell.rows):
        yield "paired: runs with the same schedule against each other; of the rest means against means"


def _shown(cell: Cell) -> list[Row]:
    """Everything that decides, and of the rest what differs; nothing where one side proves nothing."""
    if not all(side.runs for _, side in sides_of(cell.input)):
        return []
    return [row for row in cell.rows if row.comparable.gated or row.word in (Word.WORSE, Word.BETTER)]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.comparable.title,
        _side(row.baseline, row),
        _side(row.candidate, row),
        _signed(row.difference, row) + (" (paired)" if row.paired else ""),
        _interval(row),
        f"± {_number(row.tolerance, row)}",
    )


def _word(row: Row) -> str:
    word = row.word.value if row.comparable.gated else f"{row.word.value} (no gate)"
    return f"{word}: {row.why}" if row.why else word


def _table(cell: Cell) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, header in enumerate(_HEADERS):
        number = 1 <= index <= 5
        table.add_column(
            header, header_style="dim", justify="right" if number else "left", no_wrap=index < 6, overflow="fold"
        )
    for row in _shown(cell):
        style = _STYLES[row.word] if row.comparable.gated else "dim"
        table.add_row(*(escape(text) for text in _cells(row)), Text(_word(row), style=style))
    return table


def _markdown(found: Comparison, baseline: str, candidate: str) -> Iterator[str]:
    word, sentence = headline(found)
    yield f"## {word}: {_plain(candidate)} against {_plain(baseline)}"
    yield ""
    yield f"{sentence[0].upper()}{sentence[1:]}."
    yield ""
    for line in _worse(found):
        yield f"- **{_plain(line)}**"
    for line in _alone(found):
        yield f"- {_plain(line)}"
    for cell in found.cells:
        mark = " (worse)" if any(row.gates for row in cell.rows) else ""
        yield ""
        is_open = " open" if mark or len(found.cells) == 1 else ""
        yield f"<details{is_open}><summary>{_plain(cell.title)}{mark}</summary>"
        yield ""
        yield from (f"- {_plain(line.strip())}" for line in _about(cell))
        yield ""
        if _shown(cell):
            yield f"| {' | '.join(_HEADERS)} |"
            yield "|---|--:|--:|--:|--:|--:|---|"
        for row in _shown(cell):
            texts = (*_cells(row), f"**{_word(row)}**" if row.gates else _word(row))
            yield f"| {' | '.join(_plain(text) for text in texts)} |"
        yield ""
        yield "</details>"
    yield ""
    yield from (f"{line[0].upper()}{line[1:]}." for line in _method(found))


def _plain(text: str) -> str:
    """Text that is no markup: neither of a table nor of HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")


def _side(side: SideSummary, row: Row) -> str:
    if side.mean is None:
        return "not measured"
    least = "at least " if side.at_least else ""
    if row.comparable.unit == "share":
        return f"{round(side.mean * side.runs)} of {side.runs}"
    return f"{least}{_number(side.mean, row)} (n {side.runs})"


def _interval(row: Row) -> str:
    lower, upper = row.bounds.lower, row.bounds.upper
    if lower is None and upper is None:
        return ""
    if upper is None:
        return f"{_signed(lower, row)} or more"
    if lower is None:
        return f"{_signed(upper, row)} or less"
    return f"{_signed(lower, row)} to {_signed(upper, row)}"


def _tolerance(one: Comparable) -> str:
    absolute = f"{one.tolerance.absolute * 100:g} points" if one.unit == "share" else f"{one.tolerance.absolute:g}"
    parts = [absolute] if one.tolerance.absolute else []
    parts += [f"{one.tolerance.ratio * 100:g}%"] if one.tolerance.ratio else []
    return ", ".join(parts)


def _signed(value: float | None, row: Row) -> str:
    if value is None:
        return ""
    text = _number(abs(value), row)
    return text if _number(0.0, row) == text else f"{'+' if value > 0 else '-'}{text}"


def _number(value: float, row: Row) -> str:
    unit = row.comparable.unit
    if unit == "share":
        return f"{value * 100:.0f}%"
    if unit == "s":
        return f"{value:.2f} s" if abs(value) >= 0.1 or value == 0 else f"{value * 1000:.0f} ms"
    return f"{round(value, 1):g}"
