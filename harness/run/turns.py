"""Runs in turn on the platform of one topology, which stays up as long as it serves the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.clock import Clock
from harness.run.experiment import run_on
from harness.run.interrupts import Interrupts
from harness.run.schedule import PlannedRun
from harness.run.stage import Stage
from harness.run.suite import SuiteEntry
from harness.run.watcher import Watcher
from harness.runtime.base import Runtime

__all__ = ["Turn", "Turns"]


@dataclass(frozen=True)
class Turn:
    """What came of one run, and on which platform."""

    entry: SuiteEntry
    deployment: str
    """The id of the platform."""
    fresh_because: str
    """Why the platform of the run before could not be used; empty where it was, or another kind was needed."""


class Turns:
    """A context: what is still up at its end is removed."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        results: Path,
        watcher: Watcher,
        clock: Clock | None,
        argv: Sequence[str],
        machine: Mapping[str, Any],
        interrupts: Interrupts,
    ) -> None:
        self._runtime = runtime
        self._results = results
        self._watcher = watcher
        self._clock = clock
        self._argv = argv
        self._machine = machine
        self._interrupts = interrupts
        self._stage: Stage | None = None

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stage is not None and not self._stage.closed:
            self._stage.close()

    def run(
        self, planned: PlannedRun, run_id: str, *, then: PlannedRun | None, facts: Mapping[str, Any] | None = None
    ) -> Turn:
        """One run; the platform is kept if `then`, the next one, needs the same. `facts` goes to run.json too."""
        stage, fresh_because = self._stage, ""
        if stage is None or stage.closed:
            fresh_because = stage.unfit_because if stage else ""
            stage = self._stage = planned.needs.stage(self._runtime, run_id)
        entry = run_on(
            stage,
            planned.experiment,
            run_id,
            results=self._results,
            watcher=self._watcher,
            seed=planned.seed,
            clock=self._clock,
            argv=self._argv,
            machine=self._machine,
            interrupts=self._interrupts,
            keep_stage=then is not None and not planned.needs.fresh and then.needs.served_by(stage),
            more_facts=facts,
        )
        return Turn(entry, stage.run_id, fresh_because)
