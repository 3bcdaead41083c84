"""Runs from the loaded files to the verdict: what `harness run` and the tests call."""

from __future__ import annotations

import logging
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from harness.analysis import Measures
from harness.core.clock import Clock, MonotonicClock
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.run.artifacts import RunFolder
from harness.run.calibrations import last_calibration
from harness.run.interrupts import Interrupts
from harness.run.needs import check_all, needs_of
from harness.run.orchestrator import Orchestrator, new_run_id
from harness.run.schedule import fingerprint, schedule
from harness.run.stage import Stage
from harness.run.suite import SuiteEntry
from harness.run.watcher import Watcher
from harness.runtime.base import Runtime

__all__ = ["command_line", "git_revision", "in_folder", "run_experiment", "run_on", "run_suite", "versions"]

Run = TypeVar("Run", bound=Orchestrator)

_RECORDED_PACKAGES = ("docker", "locust", "pandas", "pydantic", "tenacity", "testcontainers")


def run_experiment(
    *,
    runtime: Runtime,
    topology: Topology,
    experiment: Experiment,
    results: Path,
    watcher: Watcher,
    seed: int | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
) -> tuple[RunFolder, Measures]:
    """One experiment on a platform of its own, analysed, with every artefact written. Raises `UsageError` before
    anything is started, never after.

    `seed` decides everything that is drawn by lot; a fresh one is drawn and recorded where none is given.
    """
    (entry,) = run_suite(
        runtime=runtime,
        topology=topology,
        experiments=[experiment],
        results=results,
        watcher=watcher,
        seed=seed,
        clock=clock,
        argv=argv,
    )
    assert entry.folder is not None, "a suite of one runs it"
    assert entry.measures is not None, "what was run is analysed"
    return entry.folder, entry.measures


def run_suite(
    *,
    runtime: Runtime,
    topology: Topology,
    experiments: Sequence[Experiment],
    results: Path,
    watcher: Watcher,
    seed: int | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
    on_result: Callable[[SuiteEntry], None] = lambda _entry: None,
) -> list[SuiteEntry]:
    """Experiments one after the other on one deployment, each from a steady state of its own with people of its own.

    An experiment that left the platform broken does not spoil the next: that gets a fresh one. After an interruption
    the rest is not run. Raises `UsageError` before anything is started, never after.
    """
    machine = runtime.describe()
    check_all(runtime, machine, [(topology, experiment) for experiment in experiments], watcher.note)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    interrupts = Interrupts()
    entries: list[SuiteEntry] = []
    stage: Stage | None = None
    with interrupts.installed():
        for index, experiment in enumerate(experiments):
            if any(entry.interrupted for entry in entries):
                entries.append(SuiteEntry(experiment.name, why_not="not run: interrupted before its turn"))
                continue
            run_id, needs = new_run_id(), needs_of(topology, experiment)
            if stage is None or stage.closed:
                stage = needs.stage(runtime, run_id)
            try:
                entry = run_on(
                    stage,
                    experiment,
                    run_id,
                    results=results,
                    watcher=watcher,
                    seed=seed,
                    clock=clock,
                    argv=argv,
                    machine=machine,
                    interrupts=interrupts,
                    keep_stage=not needs.fresh
                    and any(needs_of(topology, other).served_by(stage) for other in experiments[index + 1 :][:1]),
                )
            except BaseException:
                stage.close()
                raise
            entries.append(entry)
            on_result(entry)
    return entries


def run_on(
    stage: Stage,
    experiment: Experiment,
    run_id: str,
    *,
    results: Path,
    watcher: Watcher,
    seed: int,
    clock: Clock | None,
    argv: Sequence[str],
    machine: Mapping[str, Any],
    interrupts: Interrupts,
    keep_stage: bool,
    more_facts: Mapping[str, Any] | None = None,
) -> SuiteEntry:
    """One experiment on a stage, analysed, with every artefact written; `more_facts` goes to run.json too."""
    with in_folder(
        Orchestrator,
        stage,
        experiment,
        run_id,
        results=results,
        watcher=watcher,
        seed=seed,
        clock=clock,
        argv=argv,
        machine=machine,
        interrupts=interrupts,
        keep_stage=keep_stage,
        more_facts=more_facts,
    ) as (orchestrator, folder, facts):
        orchestrator.run(facts)
    return SuiteEntry(experiment.name, folder, folder.analyse())


@contextmanager
def in_folder(
    kind: Callable[..., Run],
    stage: Stage,
    experiment: Experiment,
    run_id: str,
    *,
    results: Path,
    watcher: Watcher,
    seed: int,
    clock: Clock | None,
    argv: Sequence[str],
    machine: Mapping[str, Any],
    interrupts: Interrupts,
    keep_stage: bool,
    more_facts: Mapping[str, Any] | None = None,
) -> Iterator[tuple[Run, RunFolder, dict[str, Any]]]:
    """An orchestrator of this kind with a fresh folder, the facts for its run.json, and the log in the folder while
    it lasts."""
    started = datetime.now(UTC)
    folder = RunFolder.create(results, stage.topology, experiment, started, run_id)
    facts: dict[str, Any] = {
        "run_id": run_id,
        "deployment": stage.run_id,
        "started_utc": started.isoformat(),
        "argv": list(argv),
        "git_revision": git_revision(),
        "seed": seed,
        "schedule_sha256": fingerprint(schedule(stage.topology, experiment, seed)),
        **(more_facts or {}),
        "versions": versions(),
        "machine": dict(machine),
        "calibration": last_calibration(results, machine, started),
    }
    handler, logger = folder.log_handler(), logging.getLogger("harness")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    run_clock = clock or MonotonicClock()

    def set_offset(offset_ns: int) -> None:
        facts["clock_offset_ns"] = offset_ns
        if isinstance(run_clock, MonotonicClock):
            run_clock.offset_ns = offset_ns

    try:
        run = kind(
            stage=stage,
            experiment=experiment,
            folder=folder,
            clock=run_clock,
            watcher=watcher,
            run_id=run_id,
            seed=seed,
            set_clock_offset=set_offset,
            interrupts=interrupts,
            keep_stage=keep_stage,
        )
        yield run, folder, facts
    finally:
        logger.removeHandler(handler)
        handler.close()


def versions() -> Mapping[str, str]:
    """Of Python and of what matters for a run, for run.json."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _RECORDED_PACKAGES},
    }


def git_revision() -> str:
    """The revision of the harness's own sources, with `+` where they were changed; empty outside a checkout."""
    folder = Path(__file__).parent
    argv = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""  # no git on this machine
    return done.stdout.strip() if done.returncode == 0 else ""


def command_line() -> list[str]:
    """The command that repeats this run."""
    return ["harness", *sys.argv[1:]]
