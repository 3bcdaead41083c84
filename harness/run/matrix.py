"""Several topologies under several experiments: one deployment for each topology, one cell for each pair."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from harness.analysis.gains import NinesAllowed
from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, CellTrial
from harness.core.clock import Clock
from harness.core.experiment import Experiment
from harness.core.rules import FaultRules
from harness.core.words import counted
from harness.errors import RunInterrupted, SpecError, UsageError
from harness.report.matrix import promised
from harness.run.choice import Chosen, choose
from harness.run.experiment import git_revision, versions
from harness.run.interrupts import Interrupts
from harness.run.matrix_file import MatrixFile
from harness.run.matrix_kept import RECENT, KeptMatrix, Left, left_by
from harness.run.matrix_plan import MatrixPlan, Slot, differences, make_matrix_plan
from harness.run.needs import check_all
from harness.run.orchestrator import new_run_id
from harness.run.plan import that_fit, time_line
from harness.run.schedule import PlannedRun, phase_range_s
from harness.run.suite import ALL, SUITE, chosen_experiments
from harness.run.turns import Turns
from harness.run.watcher import Watcher
from harness.runtime.base import Runtime
from harness.spec.catalog import Catalog
from harness.spec.loader import load_experiment

__all__ = ["Matrix", "Words", "choose_matrix", "dry_lines", "resumed_words", "run_matrix"]


#: Is told of each run: its cell so far (None of a control run), itself, and its place.
OnResult = Callable[[Cell | None, CellTrial, Slot], None]


@dataclass(frozen=True)
class Matrix:
    """What came of it."""

    result: MatrixResult
    file: MatrixFile
    """Where it is kept, with its page beside it."""

    @property
    def exit_code(self) -> int:
        """See `harness.analysis.standing.exit_code`."""
        return self.result.exit_code


@dataclass(frozen=True)
class Words:
    """What was asked for."""

    topologies: str = ""
    experiments: str = ""
    trials: int | None = None
    users: int | None = None


def resumed_words(results: Path, resume: str, asked: Words) -> Words:
    """What is not said (empty or None) is taken from the matrix that `resume` names, or else is the usual. Raises
    `UsageError` as `left_by`."""
    topologies, experiments, trials, users = ALL, SUITE, None, None
    if resume and resume != RECENT and (left := left_by(results, resume)):
        (topologies, experiments), trials, users = left.words, left.trials, left.users
    return Words(
        asked.topologies or topologies,
        asked.experiments or experiments,
        trials if asked.trials is None else asked.trials,
        users if asked.users is None else asked.users,
    )


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
    asked: Words | None = None,
    seed: int | None = None,
    resume: str = "",
    nines: Callable[[Sequence[Path]], NinesAllowed] | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
    on_result: OnResult = lambda _cell, _trial, _slot: None,
) -> Matrix:
    """Run every cell that applies, topology by topology, and keep what came of each run as soon as it is there. With
    `trials` each cell has so many, after a control run for each load. `asked` is what `rows` were chosen by.

    `resume` goes on with an unfinished matrix (see `harness.run.matrix_kept.left_by`): what is finished is kept,
    whatever its verdict. After an interruption the rest is not run. Raises `UsageError` before anything is started,
    never after; also where files, arguments, versions, machine or images are not those that the matrix began with. With
    `recent` another one begins then.
    """
    asked = asked or Words(ALL, SUITE)
    machine = runtime.describe()
    rows = [that_fit(row, machine) for row in rows]
    pairs = [(row.topology, experiment) for row in rows for experiment in row.experiments]
    check_all(runtime, machine, pairs, watcher.note)
    made_with = {"git_revision": git_revision(), "versions": dict(versions()), "machine": dict(machine)}
    plan, left = _planned(rows, asked, seed, resume, results)
    if left is not None and (why := _why_not(left, plan, made_with, runtime, watcher)):
        if resume != RECENT:
            raise UsageError(
                f"{left.file.path} can't be resumed:\n  " + "\n  ".join(why),
                hint="begin another matrix: without --resume",
            )
        watcher.note(f"NOT RESUMED: {left.file.path} is not finished, but {'; '.join(why)}. Another matrix begins")
        left = None
    file = left.file if left else MatrixFile.create(results, datetime.now(UTC), new_run_id())
    with file.held():
        kept = KeptMatrix(file, plan, words=(asked.topologies, asked.experiments), argv=argv, made_with=made_with)
        if left is not None:
            finished = kept.go_on(left)
            watcher.note(f"RESUMED: {file.path}: {finished} runs are finished and kept, the rest is run now")
        kept.write()
        file.point_at()
        # where its file is, its runs are
        _run_rows(_Context(runtime, file.root, watcher, clock, argv, machine, on_result), plan, kept)
        result = kept.write()
        if nines is not None:
            result = kept.allow({name: nines(_proven(file, result, name)) for name in result.topologies})
        return Matrix(result, file)


def _proven(file: MatrixFile, result: MatrixResult, topology: str) -> list[Path]:
    cells = [cell for cell in result.cells if cell.topology == topology]
    return [file.root / trial.folder for cell in cells for trial in cell.trials if trial.proves]


@dataclass(frozen=True)
class _Context:
    runtime: Runtime
    results: Path
    watcher: Watcher
    clock: Clock | None
    argv: Sequence[str]
    machine: Mapping[str, Any]
    on_result: OnResult


def _planned(
    rows: Sequence[Chosen], asked: Words, seed: int | None, resume: str, results: Path
) -> tuple[MatrixPlan, Left | None]:
    """What will be run, and what an earlier process left of it. A matrix that is gone on with keeps its seed."""

    def planned(with_seed: int) -> MatrixPlan:
        return make_matrix_plan(rows, trials=asked.trials, users=asked.users, seed=with_seed)

    left = left_by(results, resume, planned(0).to_json_dict()) if resume else None
    if left is None:
        return planned(random.SystemRandom().randrange(2**32) if seed is None else seed), None
    if seed is not None and seed != left.result.seed:
        if resume != RECENT:
            raise UsageError(f"--seed {seed}, but {left.file.path} began with {left.result.seed}", hint="leave it out")
        return planned(seed), None
    return planned(left.result.seed), left


def _why_not(
    left: Left, plan: MatrixPlan, made_with: Mapping[str, Any], runtime: Runtime, watcher: Watcher
) -> list[str]:
    """What is not as it was when the matrix began. Images are brought to the engine for that: an image that was built
    again is another one, because Debian's packages are those of the day."""
    before = {**left.plan, **left.result.made_with}
    images = dict(before.pop("images", {}))
    why = list(differences(before, {**plan.to_json_dict(), **made_with}))
    if images and not why:
        found = runtime.ensure_images(list(images), lambda what, state: watcher.note(f"image {what}: {state}"))
        why = list(differences({"images": images}, {"images": dict(found)}))
    return why


def _run_rows(context: _Context, plan: MatrixPlan, kept: KeptMatrix) -> None:
    interrupts = Interrupts()
    # between two topologies nobody else takes the signals
    with interrupts.installed():
        for number, row in enumerate(plan.rows, 1):
            runs = [run for run in plan.runs[row.topology.name] if kept.wanted(run[0])]
            if kept.interrupted or not runs:
                continue
            context.watcher.note(f"topology {number} of {len(plan.rows)}: {row.topology.name}")
            try:
                with interrupts.allowed():
                    pass  # a wish to stop that came in between
                _run_row(context, row, runs, kept, interrupts)
            except RunInterrupted:
                kept.interrupted = True


def _run_row(
    context: _Context,
    row: Chosen,
    runs: Sequence[tuple[Slot, PlannedRun]],
    kept: KeptMatrix,
    interrupts: Interrupts,
) -> None:
    """All runs that one topology still needs, on one platform as long as nothing breaks it."""
    with Turns(
        context.runtime,
        results=context.results,
        watcher=context.watcher,
        clock=context.clock,
        argv=context.argv,
        machine=context.machine,
        interrupts=interrupts,
    ) as turns:
        for index, (slot, planned) in enumerate(runs):
            if not kept.wanted(slot):
                continue  # the control run was not clean
            if index and kept.trials_each:
                context.watcher.note(str(slot))
                with interrupts.allowed():
                    pass
            then = next((other for where, other in runs[index + 1 :] if kept.wanted(where)), None)
            run_id = new_run_id()
            kept.begin(slot, run_id)
            turn = turns.run(planned, run_id, then=then, facts=kept.facts(planned))
            cell, trial = kept.add(row, slot, turn)
            context.on_result(cell, trial, slot)
            if kept.interrupted:
                return


def dry_lines(rows: Sequence[Chosen], trials: int | None = None) -> Iterator[str]:
    """`--dry-run`: the cells, with what applies and what is promised."""
    total = sum(len(row.names) for row in rows)
    plan = make_matrix_plan(rows, trials=trials, users=None, seed=0)
    runs = [planned.experiment for each in plan.runs.values() for _, planned in each]
    later_s = sum(phase_range_s(one) / 2 for one in runs if one.faults) if trials else 0.0
    minutes = (sum(map(_seconds, runs)) + later_s) / 60
    apply = sum(len(row.experiments) for row in rows)
    each = f", {trials} trials each, {counted(len(plan.controls), 'control run')}" if trials else ""
    yield (
        f"{counted(total, 'cell')}, of which {apply} apply{each}: {minutes:.0f} min at the least, "
        "and the time that each platform takes to come up"
    )
    wide = max((len(name) for row in rows for name in row.names), default=0)
    for row in rows:
        yield row.topology.name
        experiments = {experiment.name: experiment for experiment in row.experiments}
        aside = {entry.experiment: entry.why_not for entry in row.not_applicable}
        for name in row.names:
            what = aside.get(name) or _in_words(row, experiments[name])
            yield f"  {name:{wide}}  {what}"
    yield "nothing was started, nothing was changed"


def _in_words(row: Chosen, experiment: Experiment) -> str:
    text = f"{experiment.load.users} people, {_seconds(experiment):.0f} s; promised: "
    text += promised(row.topology.promises.get(experiment.name))
    return text + (" (known broken)" if experiment.name in row.topology.known_broken else "")


def _seconds(experiment: Experiment) -> float:
    """How long it takes from the first person's log-in to the end of the observation, if everything is carried."""
    load, growth = experiment.load, experiment.growth
    ends = [act.at_s for act in time_line(experiment)] + ([growth.longest_s(load.users)] if growth else [])
    last = max(ends, default=0.0)
    return load.ramp_s + experiment.steady_state_s + last + experiment.settle_s
