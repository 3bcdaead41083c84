"""A matrix as far as it came, in its file as soon as anything is there; and what an earlier process left of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.analysis.brief import brief_of
from harness.analysis.gains import NinesAllowed
from harness.analysis.matrix_result import SCHEMA_VERSION, Control, MatrixResult
from harness.analysis.measures import Measures
from harness.analysis.standing import Cell, CellTrial, Standing, standing
from harness.errors import UsageError
from harness.report.matrix_ci import render_matrix_junit, render_matrix_markdown
from harness.report.matrix_page import render_matrix_page
from harness.run.choice import Chosen
from harness.run.matrix_file import MatrixFile
from harness.run.matrix_plan import MatrixPlan, Slot
from harness.run.schedule import CONTROL, PlannedRun
from harness.run.suite import SuiteEntry
from harness.run.turns import Turn

__all__ = ["LATEST", "RECENT", "RECENT_H", "KeptMatrix", "Left", "draw", "left_by", "trial_of_run"]

#: Words for the matrix that is to be gone on with.
LATEST, RECENT = "latest", "recent"
#: A night that ends after midnight is one night; last night's began 24 h ago.
RECENT_H = 12.0
_TO_COME = "not run: its turn did not come"
_INTERRUPTED = "not run: interrupted before its turn"


class Left:
    """What an earlier process left of a matrix."""

    def __init__(self, file: MatrixFile) -> None:
        """Raises `UsageError` where that is no matrix, or can't be gone on with."""
        self.file = file
        content, self.result = file.read()
        if content["schema"] != SCHEMA_VERSION:
            raise UsageError(
                f"{file.path}: schema {content['schema']}, expected {SCHEMA_VERSION}: one of an earlier version does "
                "not say from which files it was made, so it can't be resumed",
                hint=f"begin another one; `harness analyze {file.path}` draws what is there",
            )
        try:
            self.plan: Mapping[str, Any] = dict(content["plan"])
            self.trials: int | None = self.plan["trials"]
            self.users: int | None = self.plan["users"]
            self.words: tuple[str, str] = (content["words"]["topologies"], content["words"]["experiments"])
            running = content["running"]
            self.running = running and (Slot(**running["slot"]), str(running["run_id"]))
        except (KeyError, TypeError) as error:
            raise UsageError(f"{file.path}: is not what a matrix writes: {type(error).__name__} {error}") from error

    def fetch(self) -> dict[Slot, CellTrial]:
        """Every trial and control run that there is, with the run that was cut short as one that is not counted.

        Raises `UsageError` where the folder of a finished one is gone: it would be run again, and nobody would know.
        """
        found = {Slot(c.topology, c.experiment, t.number): t for c in self.result.cells for t in c.trials}
        found |= {Slot(c.topology, c.experiments[0], 0): c.trial for c in self.result.controls}
        for trial in found.values():
            if trial.finished:
                self.file.run_folder(trial.folder)
        if self.running:
            slot, run_id = self.running
            name = self.file.run_of(slot.topology, slot.experiment if slot.number else CONTROL, run_id)
            if name and slot in found:
                found[slot] = replace(found[slot], interrupted_runs=(*found[slot].interrupted_runs, name))
        return found


def left_by(results: Path, word: str, plan: Mapping[str, Any] | None = None) -> Left | None:
    """The matrix that `--resume WORD` means: a file, `latest`, or `recent`, an unfinished one of the same `plan` that
    began less than `RECENT_H` hours ago; None where there is none of the last kind.

    Raises `UsageError` where it is finished or not there, and as `Left`.
    """
    if word == RECENT:
        return next(_recent(results, plan or {}), None)
    if word == LATEST:
        files = MatrixFile.all(results)
        if not files:
            raise UsageError(
                f"--resume {LATEST}: there is no matrix in {results / 'matrix'}", hint="begin one: no --resume"
            )
        left = Left(files[0])
    else:
        left = Left(MatrixFile.existing(Path(word)))
    if left.result.finished:
        raise UsageError(
            f"{left.file.path}: this matrix is finished, there is nothing to resume",
            hint="begin another one: without --resume. Trials that failed or proved nothing are not run again",
        )
    return left


def _recent(results: Path, plan: Mapping[str, Any]) -> Iterator[Left]:
    """The latest first. Whatever else lies there, old or broken, is not what is looked for."""
    since = datetime.now(UTC) - timedelta(hours=RECENT_H)
    for file in MatrixFile.all(results):
        try:
            left = Left(file)
            began = datetime.fromisoformat(left.result.started_utc)
        except (UsageError, ValueError):
            continue
        if began >= since and not left.result.finished and left.plan == plan:
            yield left


class KeptMatrix:
    """The cells so far, in the file and on the page too."""

    def __init__(
        self,
        file: MatrixFile,
        plan: MatrixPlan,
        *,
        words: tuple[str, str],
        argv: Sequence[str],
        made_with: Mapping[str, Any],
    ) -> None:
        """A new one; nothing is written yet."""
        self.interrupted = False
        self.file = file
        self._plan = plan
        self._words = words
        self._argv = tuple(argv)
        self._made_with = dict(made_with)
        self._started = datetime.now(UTC).isoformat()
        self._resumed: tuple[str, ...] = ()
        self._running: tuple[Slot, str] | None = None
        self._nines: Mapping[str, NinesAllowed] = {}
        self._containers = plan.containers()
        self._steady: dict[Slot, bool] = {}
        self._trials = {
            slot: CellTrial(
                number=slot.number,
                seed=planned.seed,
                offset_s=planned.offset_s,
                schedule_sha256=planned.sha256,
                why_not=_TO_COME,
            )
            for runs in plan.runs.values()
            for slot, planned in runs
        }

    def go_on(self, left: Left) -> int:
        """Take over what is finished; returns how many runs that is."""
        found = left.fetch()
        self._started = left.result.started_utc
        self._argv = left.result.argv
        self._resumed = (*left.result.resumed_utc, datetime.now(UTC).isoformat())
        for slot, trial in found.items():
            if trial.finished:
                self._trials[slot] = trial
            else:
                self._trials[slot] = replace(self._trials[slot], interrupted_runs=trial.interrupted_runs)
        self._steady = {Slot(c.topology, c.experiments[0], 0): c.steady for c in left.result.controls}
        return sum(trial.finished for trial in found.values())

    @property
    def trials_each(self) -> bool:
        """Whether cells have trials, and topologies control runs."""
        return self._plan.trials is not None

    def wanted(self, slot: Slot) -> bool:
        """Whether it is still to be run."""
        control = self._control(self._plan.control_of(slot)) if slot.number else None
        return not self._trials[slot].finished and not (control and control.stops)

    def begin(self, slot: Slot, run_id: str) -> None:
        """Written down before the run, so that whoever goes on after a hard end finds what was cut short."""
        self._running = (slot, run_id)
        self.write()

    def facts(self, planned: PlannedRun) -> Mapping[str, Any]:
        """What a run's own folder says of its place."""
        where = {"matrix": self.file.path.stem}
        if self._plan.trials is None:
            return where
        trial = {"number": planned.number, "at_most": self._plan.trials, "offset_s": planned.offset_s}
        return {**where, "trial": {"set": self.file.path.stem, "set_seed": self._plan.seed, **trial}}

    def add(self, row: Chosen, slot: Slot, turn: Turn) -> tuple[Cell | None, CellTrial]:
        """What came of a run: its cell so far (None for a control run), and itself."""
        entry, before = turn.entry, self._trials[slot]
        assert entry.measures is not None, "what was run is analysed"
        assert entry.folder is not None, "and has a folder"
        folder = self.file.relative(entry.folder)
        self._running = None
        if entry.interrupted:
            self.interrupted = True
            why = f"not run: interrupted by {entry.measures.facts.interrupted} in the middle"
            trial = replace(before, why_not=why, interrupted_runs=(*before.interrupted_runs, folder))
        else:
            known = row.topology.known_broken.get(slot.experiment, "") if slot.number else ""
            trial = trial_of_run(before, entry.measures, known, folder)
            trial = replace(trial, deployment=turn.deployment, fresh_because=turn.fresh_because)
            images = dict(entry.measures.run.get("images") or {})
            self._made_with["images"] = {**self._made_with.get("images", {}), **images}
        self._steady[slot] = entry.measures.facts.steady
        self._trials[slot] = trial
        self.write()
        if not slot.number:
            return None, trial
        cell = next(c for c in self._cells(row) if c.experiment == slot.experiment)
        return cell, next(t for t in cell.trials if t.number == slot.number)

    def allow(self, nines: Mapping[str, NinesAllowed]) -> MatrixResult:
        """What the trials say of a year, by topology."""
        self._nines = nines
        return self.write()

    def result(self) -> MatrixResult:
        """Everything so far."""
        return MatrixResult(
            started_utc=self._started,
            argv=self._argv,
            seed=self._plan.seed,
            trials=self._plan.trials,
            cells=tuple(cell for row in self._plan.rows for cell in self._cells(row)),
            controls=tuple(filter(None, map(self._control, self._plan.controls))),
            containers=self._containers,
            nines=self._nines,
            made_with=self._made_with,
            interrupted=self.interrupted,
            resumed_utc=self._resumed,
        )

    def write(self) -> MatrixResult:
        """The file, and what is drawn from it."""
        result = self.result()
        running = self._running and {"slot": vars(self._running[0]), "run_id": self._running[1]}
        words = dict(zip(("topologies", "experiments"), self._words, strict=True))
        more = {"plan": self._plan.to_json_dict(), "words": words, "running": running}
        self.file.write({**result.to_json_dict(), **more})
        draw(self.file, result)
        return result

    def _control(self, slot: Slot | None) -> Control | None:
        if slot is None:
            return None
        names = self._plan.controls[slot]
        trial = self._trials[slot]
        if not trial.finished and not trial.interrupted_runs:
            trial = replace(trial, why_not=_INTERRUPTED if self.interrupted else _TO_COME)
        return Control(topology=slot.topology, experiments=names, trial=trial, steady=self._steady.get(slot, False))

    def _cells(self, row: Chosen) -> Iterator[Cell]:
        aside = {entry.experiment: entry for entry in row.not_applicable}
        for name in row.names:
            yield self._cell(row, name, aside.get(name))

    def _cell(self, row: Chosen, name: str, aside: SuiteEntry | None) -> Cell:
        slots = [] if aside else [Slot(row.topology.name, name, number) for number in self._plan.numbers()]
        return Cell(
            topology=row.topology.name,
            experiment=name,
            promise=row.topology.promises.get(name),
            known_broken=row.topology.known_broken.get(name, ""),
            trials=tuple(self._judged(slot) for slot in slots),
            why_not=aside.why_not if aside else "",
            applicable=aside is None,
        )

    def _judged(self, slot: Slot) -> CellTrial:
        trial = self._trials[slot]
        control = self._control(self._plan.control_of(slot))
        if trial.finished:
            return control.judge(trial) if control else trial
        if control and control.stops:
            broke = control.trial.standing is Standing.ERROR
            why = f"not run: the control run was not clean: {control.trial.reason}"
            return replace(trial, why_not=why, standing=Standing.ERROR if broke else Standing.NO_PROOF)
        if self.interrupted and trial.why_not == _TO_COME:
            return replace(trial, why_not=_INTERRUPTED)
        return trial


def trial_of_run(planned: CellTrial, measures: Measures, known_broken: str, folder: str) -> CellTrial:
    """What a run that came to its end says."""
    return replace(
        planned,
        standing=standing(measures.verdict, known_broken),
        outcome=measures.verdict.outcome,
        reasons=measures.verdict.reasons,
        why_not="",
        brief=brief_of(measures),
        folder=folder,
    )


def draw(file: MatrixFile, result: MatrixResult) -> None:
    """The page, the JUnit file and the Markdown summary, beside the file."""
    file.write_beside(".html", render_matrix_page(result, file.path.stem))
    file.write_beside(".junit.xml", render_matrix_junit(result, file.path.stem))
    file.write_beside(".md", render_matrix_markdown(result, file.path.stem))
