"""Commands about many runs: `compare`, `baseline`, `history` and `prune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import catalog, console, say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.run.results import Results

__all__ = ["baseline", "compare", "history", "prune"]

ResultsOption = Annotated[Path | None, typer.Option(help="Folder of the results.")]


def compare(
    baseline: Annotated[
        Path, typer.Argument(help="A run's folder, a set of trials, a matrix, a folder with runs; or `baseline`.")
    ],
    candidate: Annotated[Path, typer.Argument(help="The same, of what is to be judged.")],
    confidence: Annotated[float, typer.Option(help="Percent, of all intervals together.")] = 95.0,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="KEY=NUMBER: a measure's tolerance, in its unit; as often as needed.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it to this file too, for the page of a CI job.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write it to this file too, as JUnit XML.")] = None,
    results: ResultsOption = None,
) -> int:
    """Say by how much each measure of CANDIDATE differs from BASELINE, with an interval.

    Exits with 1 if any is worse: if its interval leaves out the tolerance. Else with 2 if nothing could be told (too
    few runs, or none that proves anything), else with 0. Different experiments or loads are refused.
    """
    from harness.report.comparison import (
        render_comparison,
        render_comparison_junit,
        render_comparison_markdown,
    )
    from harness.run.compare import compare_results, tolerances_of

    if not 50 <= confidence < 100:
        raise UsageError(f"--confidence {confidence:g}, expected 50 or more and less than 100 percent")
    found = compare_results(
        baseline,
        candidate,
        _results(results),
        confidence=confidence / 100,
        tolerances=tolerances_of(tolerance or []),
    )
    names = found.baseline.head, found.candidate.head
    if markdown is not None:
        _write(markdown, render_comparison_markdown(found.comparison, *names))
    if junit is not None:
        _write(junit, render_comparison_junit(found.comparison))
    render_comparison(found.comparison, console(), *names)
    return found.comparison.exit_code


def baseline(
    result: Annotated[
        list[Path] | None, typer.Argument(help="Runs, sets of trials, matrices; none: print what is marked.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Beside what is marked, not instead of it.")] = False,
    at_most: Annotated[int | None, typer.Option(help="With --add: no more than so many; the oldest go.")] = None,
    results: ResultsOption = None,
) -> int:
    """Mark results as the baseline that `harness compare baseline CANDIDATE` and `harness prune` know."""
    from harness.run.mark import mark

    place = _results(results)
    if at_most is not None and (at_most < 1 or not add):
        raise UsageError(f"--at-most {at_most}, expected 1 or more, with --add")
    lines = mark(place, result, add=add, at_most=at_most) if result else [str(path) for path in place.baseline.read()]
    for line in lines:
        say(line)
    return 0


def history(results: ResultsOption = None) -> int:
    """Write a page with the trend of every measure over all runs: results/history.html."""
    from harness.run.trends import write_history

    say(write_history(_results(results)))
    return 0


def prune(
    keep: Annotated[int, typer.Option(help="So many of the newest runs of each experiment on each topology stay.")],
    keep_days: Annotated[float | None, typer.Option(help="So does everything that is younger.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
    results: ResultsOption = None,
) -> int:
    """Remove old runs, and matrices, suites and sets of trials that are older than the newest --keep.

    Never the baseline, never a run that a file which stays names, and never one that is going on. It does not ask.
    """
    from harness.run.prune import prune as carry_out

    if keep < 1:
        raise UsageError(f"--keep {keep}, expected 1 or more")
    if keep_days is not None and keep_days < 0:
        raise UsageError(f"--keep-days {keep_days:g}, expected 0 or more")
    for line in carry_out(_results(results), keep=keep, keep_days=keep_days, dry_run=dry_run):
        say(line)
    return 0


def _results(root: Path | None) -> Results:
    from harness.run.results import Results

    root = root or catalog().root / "results"
    if not root.is_dir():
        raise UsageError(
            f"{root}: there is no such folder, expected that of the results", hint="name it with --results"
        )
    return Results(root)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}, expected a file that can be written") from error
