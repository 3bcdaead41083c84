"""Which old results go, and which stay: `harness prune`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.errors import UsageError
from harness.run.artifacts import RunFolder
from harness.run.results import FileOfRuns, Results, held, in_use
from harness.run.several import folder_names

__all__ = ["prune"]


def prune(
    results: Results, *, keep: int, keep_days: float | None = None, dry_run: bool = False, now: datetime | None = None
) -> Iterator[str]:
    """Remove what is old, and tell it as it goes.

    Stays: the newest `keep` runs of each experiment on each topology; the newest `keep` matrices, suites of a topology
    and sets of trials of an experiment; what is younger than `keep_days`; the baseline; each run that a file which
    stays names; and each run or matrix that is going on. Raises `UsageError`, with nothing removed, where the baseline
    or a file that stays can't be read: nobody knows then which runs it names.
    """
    oldest = None if keep_days is None else (now or datetime.now(UTC)) - timedelta(days=keep_days)
    runs, files = results.runs(), results.files()
    marked = _marked(results)
    staying_files = {
        file.path
        for group in _grouped(files)
        for index, file in enumerate(reversed(group))
        if index < keep or _young(file.path.stem, oldest) or file.path.resolve() in marked or held(file.path)
    }
    kept = marked.union(*(results.named(path) for path in staying_files))
    going = list(_going(runs, keep, oldest, kept))
    gone = {run.path.resolve() for run in going}
    old = [file for file in files if file.path not in staying_files and _says_nothing(results, file.path, gone)]
    freed = 0
    for path in (*(run.path for run in going), *(file.path for file in old)):
        size = results.size_bytes(path)
        freed += size
        if not dry_run:
            results.remove(path)
        yield f"{'would remove' if dry_run else 'removed'} {path.relative_to(results.root)} ({_megabytes(size)})"
    counts = f"{len(going)} of {len(runs)} runs and {len(old)} of {len(files)} files about several"
    yield f"{counts} {'would go' if dry_run else 'are gone'}: {_megabytes(freed)}"


def _going(
    runs: Sequence[RunFolder], keep: int, oldest: datetime | None, kept: Collection[Path]
) -> Iterator[RunFolder]:
    by_cell: dict[Path, list[RunFolder]] = {}
    for run in runs:
        by_cell.setdefault(run.path.parent, []).append(run)
    for cell in by_cell.values():
        # names begin with their time
        for run in sorted(cell, key=lambda run: run.path.name)[:-keep]:
            if not _young(run.path.name, oldest) and run.path.resolve() not in kept and not in_use(run):
                yield run


def _marked(results: Results) -> set[Path]:
    """Everything of the baseline: its runs, and the files that it names."""
    if not results.baseline.path.exists():
        return set()
    return {
        *(run.path.resolve() for run in results.baseline.runs()),
        *(path.resolve() for path in results.baseline.read()),
    }


def _says_nothing(results: Results, path: Path, gone: set[Path]) -> bool:
    """Whether a run that an old file names goes, or has gone. One that can't be read is left alone."""
    try:
        names = folder_names(path)
    except UsageError:
        return False
    return len(results.named(path) - gone) < len(set(names))


def _grouped(files: Sequence[FileOfRuns]) -> Iterator[list[FileOfRuns]]:
    by_folder: dict[Path, list[FileOfRuns]] = {}
    for file in files:
        by_folder.setdefault(file.path.parent, []).append(file)
    yield from by_folder.values()


def _young(name: str, oldest: datetime | None) -> bool:
    """By its time, with which names begin; what has another name is old."""
    if oldest is None:
        return False
    try:
        began = datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return began >= oldest


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
