"""One run from the files to the verdict: what `harness run` and the tests call."""

from __future__ import annotations

import logging
import platform
import random
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.analysis import Measures
from harness.core.clock import Clock, MonotonicClock
from harness.core.model import Experiment, Topology
from harness.run.artifacts import RunFolder
from harness.run.interrupts import Interrupts
from harness.run.orchestrator import Orchestrator, Watcher, new_run_id
from harness.run.plan import check_memory
from harness.runtime.base import Runtime

__all__ = ["run_experiment"]

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
    """Run, analyse, write every artefact. Raises `UsageError` before anything is started, never after.

    `seed` decides everything that is drawn by lot; a fresh one is drawn and recorded where none is given.
    """
    machine = runtime.describe()
    check_memory(topology, experiment, machine)
    run_id, started = new_run_id(), datetime.now(UTC)
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    folder = RunFolder.create(results, topology, experiment, started, run_id)
    facts: dict[str, Any] = {
        "run_id": run_id,
        "started_utc": started.isoformat(),
        "argv": list(argv),
        "git_revision": _git_revision(),
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _RECORDED_PACKAGES},
        },
        "machine": dict(machine),
    }
    handler, logger = folder.log_handler(), logging.getLogger("harness")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        run_clock = clock or MonotonicClock()
        interrupts = Interrupts()

        def set_offset(offset_ns: int) -> None:
            facts["clock_offset_ns"] = offset_ns
            if isinstance(run_clock, MonotonicClock):
                run_clock.offset_ns = offset_ns

        orchestrator = Orchestrator(
            runtime=runtime,
            topology=topology,
            experiment=experiment,
            folder=folder,
            clock=run_clock,
            watcher=watcher,
            run_id=run_id,
            seed=seed,
            set_clock_offset=set_offset,
            interrupts=interrupts,
        )
        with interrupts.installed():
            orchestrator.run(facts)
    finally:
        logger.removeHandler(handler)
        handler.close()
    return folder, folder.analyse()


def _git_revision() -> str:
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
