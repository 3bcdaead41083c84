"""The same experiment several times on one platform, after a control run without a fault: `harness run --trials`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.trial_set import SCHEMA_VERSION, Trial, TrialSet
from harness.analysis.trials import narrow_enough
from harness.core.clock import Clock
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.errors import RecordError, RunInterrupted
from harness.run.artifacts import RunFolder
from harness.run.choice import Repetition
from harness.run.interrupts import Interrupts
from harness.run.needs import check_all
from harness.run.orchestrator import new_run_id
from harness.run.schedule import Plan, PlannedRun, control_of, make_plan, phase_range_s
from harness.run.several import TrialsFile
from harness.run.turns import Turn, Turns
from harness.run.watcher import Watcher
from harness.runtime.base import Runtime

__all__ = ["Kept", "dry_lines", "reanalyse", "run_trials"]

_TO_COME = "not run: its turn did not come"
_INTERRUPTED = "not run: interrupted before its turn"
_NO_CONTROL = "not run: the control run was not clean, so nothing could be put down to the fault"


def run_trials(
    *,
    runtime: Runtime,
    topology: Topology,
    experiment: Experiment,
    repetition: Repetition,
    results: Path,
    watcher: Watcher,
    seed: int | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
    on_result: Callable[[Trial], None] = lambda _trial: None,
) -> Kept:
    """A control run, then the trials, each from a steady state with people of its own, on one platform as long as
    nothing breaks it. What came of each is in the set's file as soon as it is there.

    Nothing more is run after an interruption, after a control run that was not clean, or once the interval is as narrow
    as was wished. Raises `UsageError` before anything is started, never after.
    """
    machine = runtime.describe()
    check_all(runtime, machine, [(topology, experiment)], watcher.note)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    plan = make_plan(topology, experiment, repetition.trials, seed)
    kept = Kept(results=results, topology=topology, experiment=experiment, plan=plan, repetition=repetition, argv=argv)
    interrupts = Interrupts()
    runs = (plan.control, *plan.trials)
    turns = Turns(
        runtime,
        results=results,
        watcher=watcher,
        clock=clock,
        argv=argv,
        machine=machine,
        interrupts=interrupts,
    )
    with interrupts.installed(), turns:
        try:
            for planned, then in zip(runs, (*plan.trials, None), strict=True):
                if kept.ended:
                    break
                if planned.number:
                    watcher.note(f"trial {planned.number} of {len(plan.trials)}")
                    with interrupts.allowed():
                        pass  # a wish to stop that came in between
                facts = {"trial": kept.facts(planned)}
                turn = turns.run(planned, new_run_id(), then=then, facts=facts)
                on_result(kept.add(planned, turn))
        except RunInterrupted:
            kept.end(_INTERRUPTED, interrupted=True)
    return kept


class Kept:
    """The set as far as it is there, in its file too."""

    def __init__(
        self,
        *,
        results: Path,
        topology: Topology,
        experiment: Experiment,
        plan: Plan,
        repetition: Repetition,
        argv: Sequence[str],
    ) -> None:
        self.ended = False
        """Whether no further run is wanted."""
        self._results = results
        self._file: TrialsFile | None = None
        self._head = {"started_utc": datetime.now(UTC).isoformat(), "argv": list(argv)}
        self.set = TrialSet(
            topology=topology.name,
            experiment=experiment.name,
            seed=plan.seed,
            plan_sha256=plan.sha256,
            at_most=repetition.trials,
            until_width_ratio=repetition.until_width_ratio,
            control=_to_come(plan.control),
            trials=tuple(_to_come(planned) for planned in plan.trials),
        )

    @property
    def path(self) -> Path:
        """The set's file. There is one once the control run has ended."""
        assert self._file is not None, "the control run has ended"
        return self._file.path

    def facts(self, planned: PlannedRun) -> Mapping[str, Any]:
        """What a run's own folder says of the set."""
        return {
            "set": self._file.path.stem if self._file else "this one",
            "set_seed": self.set.seed,
            "number": planned.number,
            "at_most": self.set.at_most,
            "offset_s": planned.offset_s,
        }

    def add(self, planned: PlannedRun, turn: Turn) -> Trial:
        """What came of one run; ends the set where no further one is wanted."""
        entry = turn.entry
        assert entry.folder is not None, "what was run has a folder"
        if self._file is None:
            self._file = TrialsFile(self._results, self.set.topology, self.set.experiment, entry.folder)
        trial = replace(
            _to_come(planned),
            measures=entry.measures,
            why_not="",
            folder=self._file.relative(entry.folder),
            deployment=turn.deployment,
            fresh_because=turn.fresh_because,
        )
        if planned.number == 0:
            self.set = replace(self.set, control=trial)
        else:
            at = planned.number - 1
            self.set = replace(self.set, trials=(*self.set.trials[:at], trial, *self.set.trials[at + 1 :]))
        if entry.interrupted:
            self.end(_INTERRUPTED, interrupted=True)
        elif not self.set.control_is_clean:
            self.end(_NO_CONTROL)
        elif self._narrow_enough():
            self.ended = True
            run = tuple(trial for trial in self.set.trials if trial.measures is not None)
            self.set = replace(self.set, trials=run, stopped_early=True)
        self._write()
        return trial

    def end(self, why_not: str, *, interrupted: bool = False) -> None:
        """What has not been run will not be."""
        self.ended = True
        rest = tuple(trial if trial.measures else replace(trial, why_not=why_not) for trial in self.set.trials)
        self.set = replace(self.set, trials=rest, interrupted=interrupted)
        self._write()

    def _narrow_enough(self) -> bool:
        """Asked between trials only: after the last one there is nothing to stop."""
        wanted = self.set.until_width_ratio
        left = any(trial.measures is None for trial in self.set.trials)
        return wanted is not None and left and narrow_enough(self.set.summary, wanted)

    def _write(self) -> None:
        if self._file is not None:
            self._file.write({**self._head, **self.set.to_json_dict()})


def dry_lines(topology: Topology, experiment: Experiment, repetition: Repetition, seed: int | None) -> Iterator[str]:
    """`--dry-run`: the runs of the set, each with what is drawn for it where the seed is known."""
    yield ""
    at_most = " at the most" if repetition.until_width_ratio else ""
    watched_s = control_of(experiment).settle_s
    yield f"{repetition.trials} trials{at_most}, one after the other, after a control run of {watched_s:g} s"
    if seed is None:
        yield f"  each up to {phase_range_s(experiment):g} s later than above, drawn from a seed (--seed)"
        return
    plan = make_plan(topology, experiment, repetition.trials, seed)
    for planned in plan.trials:
        drawn = [f"{'changes' if experiment.changes else 'faults'} {planned.offset_s:.3f} s later"]
        drawn += [
            f"{fault['target']} is {', '.join(fault['targets'])}"
            for fault in planned.schedule["faults"]
            if fault["targets"] is not None
        ]
        yield f"  trial {planned.number:<3} {'; '.join(drawn)}; schedule {planned.sha256}"
    yield f"  plan {plan.sha256}"


def reanalyse(path: Path) -> tuple[TrialSet, Path]:
    """Rebuild a set, and every run in it, from what the runs recorded; returns it with its file, written anew.

    Raises `RecordError` for a file that is none, or of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: is not the file of a set of trials: {error}") from error
    if schema != SCHEMA_VERSION or "plan_sha256" not in content:
        raise RecordError(f"{path}: schema {schema}, expected the file of a set of trials with {SCHEMA_VERSION}")
    results = path.resolve().parents[3]
    rebuilt = TrialSet(
        topology=content["topology"],
        experiment=content["experiment"],
        seed=content["seed"],
        plan_sha256=content["plan_sha256"],
        at_most=content["trials_at_most"],
        until_width_ratio=content["until_width_ratio"],
        control=_read(results, content["control"]),
        trials=tuple(_read(results, trial) for trial in content["trials"]),
        interrupted=content["interrupted"],
        stopped_early=content["stopped_early"] is not None,
    )
    first = RunFolder(results / rebuilt.control.folder)
    file = TrialsFile(results, rebuilt.topology, rebuilt.experiment, first)
    head = {name: content[name] for name in ("started_utc", "argv")}
    file.write({**head, **rebuilt.to_json_dict()})
    return rebuilt, file.path


def _read(results: Path, content: Mapping[str, Any]) -> Trial:
    folder = content["folder"] or ""
    return Trial(
        number=content["number"],
        seed=content["seed"],
        offset_s=content["offset_s"],
        schedule=content["schedule"],
        schedule_sha256=content["schedule_sha256"],
        measures=RunFolder.existing(results / folder).analyse() if folder else None,
        why_not=content["why_not"] or "",
        folder=folder,
        deployment=content["deployment"] or "",
        fresh_because=content["fresh_because"] or "",
    )


def _to_come(planned: PlannedRun) -> Trial:
    return Trial(
        number=planned.number,
        seed=planned.seed,
        offset_s=planned.offset_s,
        schedule=planned.schedule,
        schedule_sha256=planned.sha256,
        why_not=_TO_COME,
    )
