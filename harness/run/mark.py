"""Which results are the baseline: `harness baseline`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.run.compare import Group, Side, read_paths, read_side
from harness.run.results import BASELINE, Results, SpecReader

__all__ = ["mark"]


def mark(results: Results, paths: Sequence[Path], *, add: bool = False, at_most: int | None = None) -> list[str]:
    """Mark `paths`, with `add` beside what is marked already, of which no more than `at_most` stay, the latest; returns
    what to tell.

    Raises `UsageError`, with nothing overwritten, where a path holds no run that proves anything, or where runs of the
    baseline would not belong together.
    """
    reader, baseline = SpecReader(), results.baseline
    for path in paths:
        if str(path) == BASELINE:
            hint = f"./{BASELINE} is a folder or a file"
            raise UsageError(f"{BASELINE} means what is marked already, expected other results", hint=hint)
        side = read_side(path, results, reader)
        if not _evidence(side):
            raise UsageError(f"{path}: no run in it proves anything: {_first_reason(side)}")
    before = baseline.read() if add and baseline.path.exists() else []
    wanted = list({path.resolve(): path for path in (*before, *paths)}.values())
    wanted = wanted[-at_most:] if at_most else wanted
    side = read_paths(BASELINE, wanted, reader)
    baseline.mark(wanted)
    cells = (f"  {experiment} on {topology}: {_counts(group)}" for (topology, experiment), group in side.groups.items())
    return [f"{baseline.path}: {_evidence(side)} runs are the baseline", *cells]


def _counts(group: Group) -> str:
    return f"{len(group.runs)}" + (f", {len(group.left_out)} left out" if group.left_out else "")


def _evidence(side: Side) -> int:
    return sum(len(group.runs) for group in side.groups.values())


def _first_reason(side: Side) -> str:
    return next(f"{one.run}: {one.why}" for group in side.groups.values() for one in group.left_out)
