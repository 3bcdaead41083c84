"""Several topologies under several experiments: one deployment for each topology, one cell for each pair."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

from harness.analysis.standing import Cell, Standing, exit_code
from harness.core.clock import Clock
from harness.core.experiment import Experiment
from harness.core.rules import FaultRules
from harness.errors import RunInterrupted, SpecError, UsageError
from harness.report.matrix import promised
from harness.run.artifacts import MatrixFile
from harness.run.choice import Chosen, choose
from harness.run.experiment import run_suite
from harness.run.interrupts import Interrupts
from harness.run.orchestrator import new_run_id
from harness.run.plan import check_memory, that_fit, time_line
from harness.run.suite import ALL, SuiteEntry, chosen_experiments
from harness.run.watcher import Watcher
from harness.runtime.base import Runtime
from harness.spec.catalog import Catalog
from harness.spec.loader import load_experiment

__all__ = ["Matrix", "choose_matrix", "dry_lines", "run_matrix"]

_SCHEMA_VERSION = 1
_TO_COME = "not run: its turn did not come"
_INTERRUPTED = "not run: interrupted before its turn"


@dataclass(frozen=True)
class Matrix:
    """What came of it."""

    cells: Sequence[Cell]
    path: Path
    """The file with all cells."""

    @property
    def exit_code(self) -> int:
        """See `harness.analysis.standing.exit_code`."""
        return exit_code(self.cells)


def choose_matrix(
    catalog: Catalog, topologies: str, experiments: str, rules: Mapping[str, FaultRules], *, users: int | None = None
) -> list[Chosen]:
    """Load and check everything that the words mean: `all`, names or paths with commas between; of experiments also
    `suite`. One `Chosen` for each topology.

    What a topology has nothing for is set aside, however it was named. Raises `SpecError` with the mistakes of all
    files, or `UsageError`.
    """
    names = catalog.topologies() if topologies == ALL else chosen_experiments(topologies, catalog.topologies)
    if not names:
        raise UsageError("which topologies?", hint=f"{ALL}, or some of: {', '.join(catalog.topologies())}")
    rows: list[Chosen] = []
    problems: list[str] = []
    read = cache(partial(load_experiment, rules=rules))
    for name in names:
        try:
            rows.append(choose(catalog, name, experiments, rules, users=users, lenient=True, read=read))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    for called in ([row.topology.name for row in rows], rows[0].names):
        if twice := sorted({name for name in called if called.count(name) > 1}):
            raise UsageError(f"two files are called {twice[0]}: what came of them could not be told apart")
    return rows


def run_matrix(
    *,
    runtime: Runtime,
    rows: Sequence[Chosen],
    results: Path,
    watcher: Watcher,
    seed: int | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
    on_result: Callable[[Cell], None] = lambda _cell: None,
) -> Matrix:
    """Run every cell that applies, topology by topology, and keep what came of each as soon as it is there.

    After an interruption the rest is not run. Raises `UsageError` before anything is started, never after.
    """
    machine = runtime.describe()
    rows = [that_fit(row, machine) for row in rows]
    for row in rows:
        for experiment in row.experiments:
            check_memory(row.topology, experiment, machine)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    started = datetime.now(UTC)
    kept = _Kept(MatrixFile(results, started, new_run_id()), rows, _head(started, argv, seed))
    interrupts = Interrupts()
    # between two topologies nobody else takes the signals
    with interrupts.installed():
        for number, row in enumerate(rows, 1):
            if kept.interrupted or not row.experiments:
                continue
            watcher.note(f"topology {number} of {len(rows)}: {row.topology.name}")

            def note(entry: SuiteEntry, row: Chosen = row) -> None:
                on_result(kept.add(row, entry))

            try:
                with interrupts.allowed():
                    pass  # a wish to stop that came in between
                for entry in run_suite(
                    runtime=runtime,
                    topology=row.topology,
                    experiments=row.experiments,
                    results=results,
                    watcher=watcher,
                    seed=seed,
                    clock=clock,
                    argv=argv,
                    on_result=note,
                ):
                    kept.interrupted = kept.interrupted or entry.interrupted
            except RunInterrupted:
                kept.interrupted = True
        return Matrix(kept.cells(), kept.write())


class _Kept:
    """The cells so far, in the file too."""

    def __init__(self, file: MatrixFile, rows: Sequence[Chosen], head: Mapping[str, object]) -> None:
        self.interrupted = False
        self._file = file
        self._rows = rows
        self._head = head
        self._entries: dict[tuple[str, str], SuiteEntry] = {}
        self.write()

    def add(self, row: Chosen, entry: SuiteEntry) -> Cell:
        self._entries[row.topology.name, entry.experiment] = entry
        self.write()
        return self._cell(row, entry)

    def cells(self) -> list[Cell]:
        return [self._cell(row, entry) for row in self._rows for entry in self._row(row)]

    def write(self) -> Path:
        cells = self.cells()
        counts = {word.value: sum(cell.standing is word for cell in cells) for word in Standing}
        self._file.write(
            {
                **self._head,
                "interrupted": self.interrupted,
                "exit_code": exit_code(cells),
                "counts": {word: count for word, count in counts.items() if count},
                "cells": [cell.to_json_dict() for cell in cells],
            }
        )
        return self._file.path

    def _row(self, row: Chosen) -> Iterator[SuiteEntry]:
        missing = _INTERRUPTED if self.interrupted else _TO_COME
        aside = {entry.experiment: entry for entry in row.not_applicable}
        for name in row.names:
            found = aside.get(name) or self._entries.get((row.topology.name, name))
            yield found or SuiteEntry(name, why_not=missing)

    def _cell(self, row: Chosen, entry: SuiteEntry) -> Cell:
        return Cell(
            topology=row.topology.name,
            experiment=entry.experiment,
            promise=row.topology.promises.get(entry.experiment),
            known_broken=row.topology.known_broken.get(entry.experiment, ""),
            measures=entry.measures,
            why_not=entry.why_not,
            applicable=entry.applicable,
            folder=self._file.relative(entry.folder) if entry.folder else "",
        )


def _head(started: datetime, argv: Sequence[str], seed: int) -> dict[str, object]:
    return {"schema": _SCHEMA_VERSION, "started_utc": started.isoformat(), "argv": list(argv), "seed": seed}


def dry_lines(rows: Sequence[Chosen]) -> Iterator[str]:
    """`--dry-run`: the cells, with what applies and what is promised."""
    total = sum(len(row.names) for row in rows)
    apply = [experiment for row in rows for experiment in row.experiments]
    minutes = sum(_seconds(experiment) for experiment in apply) / 60
    yield (
        f"{total} cells, of which {len(apply)} apply: {minutes:.0f} min at the least, and the time that each platform "
        "takes to come up"
    )
    wide = max((len(name) for row in rows for name in row.names), default=0)
    for row in rows:
        yield row.topology.name
        experiments = {experiment.name: experiment for experiment in row.experiments}
        aside = {entry.experiment: entry.why_not for entry in row.not_applicable}
        for name in row.names:
            what = aside.get(name) or _planned(row, experiments[name])
            yield f"  {name:{wide}}  {what}"
    yield "nothing was started, nothing was changed"


def _planned(row: Chosen, experiment: Experiment) -> str:
    text = f"{experiment.load.users} people, {_seconds(experiment):.0f} s; promised: "
    text += promised(row.topology.promises.get(experiment.name))
    return text + (" (known broken)" if experiment.name in row.topology.known_broken else "")


def _seconds(experiment: Experiment) -> float:
    """How long it takes from the first person's log-in to the end of the observation, if everything is carried."""
    load, growth = experiment.load, experiment.growth
    ends = [act.at_s for act in time_line(experiment)] + ([growth.longest_s(load.users)] if growth else [])
    last = max(ends, default=0.0)
    return load.ramp_s + experiment.steady_state_s + last + experiment.settle_s
