"""The platforms of a pytest run: one at a time in each worker, kept while the next test shares it."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import pytest

from harness.core.clock import Clock
from harness.core.experiment import Experiment
from harness.core.history import Phase
from harness.pytest_plugin.choice import KEY, Key
from harness.run.experiment import in_folder, run_on
from harness.run.interrupts import Interrupts
from harness.run.needs import Needs, check_all, needs_of
from harness.run.orchestrator import new_run_id
from harness.run.stage import Stage
from harness.run.step_by_step import StepByStep
from harness.run.suite import SuiteEntry
from harness.runtime.base import Runtime

__all__ = ["Engine", "Opened", "Platforms", "close_platforms", "docker_engine", "platforms_of"]

log = logging.getLogger(__name__)
_PLATFORMS = pytest.StashKey["Platforms"]()
_DOCKER = pytest.StashKey["Engine"]()
_SEEDS = 2**32


@dataclass(frozen=True)
class Engine:
    """What carries platforms."""

    runtime: Runtime
    clock: Clock | None = None
    """None: the machine's own."""


@dataclass(frozen=True)
class Opened:
    """A run that a test drives, as it begins."""

    run: StepByStep
    folder: Any
    machine: Mapping[str, Any]


class Platforms:
    """The one that is up now, and what is needed for the next."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._key: Key | None = None
        self._stage: Stage | None = None
        self._engine: Engine | None = None
        self._machine: Mapping[str, Any] = {}
        words = config.option.chaos_results
        self._results = config.invocation_params.dir / words if words else config.rootpath / "results"
        seed = config.option.chaos_seed
        self._seed = random.SystemRandom().randrange(_SEEDS) if seed is None else seed

    def run(self, item: pytest.Item, key: Key, experiment: Experiment, following: pytest.Item | None) -> SuiteEntry:
        """A whole experiment, as `harness run` does it. Raises `UsageError` before anything is started."""
        stage = self._stage_for(item, key, experiment)
        interrupts = Interrupts()
        with interrupts.installed() if current_thread() is main_thread() else nullcontext():
            return run_on(
                stage,
                experiment,
                self._run_id(stage),
                keep_stage=self.keeps(key, following),
                interrupts=interrupts,
                **self._how(item),
            )

    @contextmanager
    def opened(self, item: pytest.Item, key: Key, experiment: Experiment) -> Iterator[Opened]:
        """A run that a test drives, on a platform that is up."""
        stage = self._stage_for(item, key, None)
        with in_folder(
            StepByStep,
            stage,
            experiment,
            self._run_id(stage),
            interrupts=Interrupts(),
            keep_stage=True,
            **self._how(item),
        ) as (run, folder, facts):
            try:
                run.bring_up(facts)
                yield Opened(run, folder, self._machine)
            finally:
                run.finish(keep_stage=False)  # nothing, where the test has ended it

    def keeps(self, key: Key, following: pytest.Item | None) -> bool:
        """Whether the platform stays up for the test that follows."""
        return key.shared and following is not None and following.stash.get(KEY, None) == key

    def close(self) -> None:
        """Take down what is up."""
        stage, self._stage, self._key = self._stage, None, None
        if stage is not None and not stage.closed:
            stage.close()

    def _stage_for(self, item: pytest.Item, key: Key, experiment: Experiment | None) -> Stage:
        if self._stage is not None and not self._stage.closed and key.shared and key == self._key:
            self._check(key, experiment)
            return self._stage
        self.close()
        needs = needs_of(key.topology, experiment) if experiment else Needs(topology=key.topology)
        self._engine = item.ihook.pytest_harness_engine(config=self._config, topology=needs.topology)
        self._machine = self._engine.runtime.describe()
        self._check(key, experiment)
        stage = replace(needs, clock_roles=key.clocks).stage(self._engine.runtime, new_run_id())
        if _worker():
            with _one_worker_at_a_time():
                stage.ensure_images(lambda what, state: log.info("image %s: %s", what, state))
        self._stage, self._key = stage, key
        return stage

    def _check(self, key: Key, experiment: Experiment | None) -> None:
        assert self._engine is not None, "there is one"
        pairs = [(key.topology, experiment)] if experiment else []
        check_all(self._engine.runtime, self._machine, pairs, log.info)

    def _run_id(self, stage: Stage) -> str:
        """The first run on a platform has its id, as in `harness run`."""
        return stage.run_id if stage.deployment is None else new_run_id()

    def _how(self, item: pytest.Item) -> dict[str, Any]:
        assert self._engine is not None, "there is a stage"
        return {
            "results": self._results,
            "watcher": LogWatcher(),
            "seed": self._seed,
            "clock": self._engine.clock,
            "argv": ["pytest", item.nodeid],
            "machine": self._machine,
            "more_facts": {"test": item.nodeid},
        }


class LogWatcher:
    """Says in the log what happens: pytest shows it beside a failure, and with --log-cli-level=INFO at once."""

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """Said by whoever enters it."""

    def note(self, text: str) -> None:
        """One line."""
        log.info("%s", text)

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing: twice a second is too much for a log."""


def platforms_of(config: pytest.Config) -> Platforms:
    """Those of this run, or of this worker."""
    if _PLATFORMS not in config.stash:
        config.stash[_PLATFORMS] = Platforms(config)
    return config.stash[_PLATFORMS]


def close_platforms(config: pytest.Config) -> None:
    """At the end of everything."""
    if (platforms := config.stash.get(_PLATFORMS, None)) is not None:
        platforms.close()


def docker_engine(config: pytest.Config) -> Engine:
    """The engine that `harness run` would use, started where it may be. Raises `EngineUnavailable`."""
    if _DOCKER not in config.stash:
        from harness.cli.common import runtime

        with _one_worker_at_a_time() if _worker() else nullcontext():
            config.stash[_DOCKER] = Engine(runtime())
    return config.stash[_DOCKER]


def _worker() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "")


@contextmanager
def _one_worker_at_a_time() -> Iterator[None]:
    """Two workers must not start an engine, or build the same image, at the same time."""
    name = f"harness-pytest-{os.environ.get('PYTEST_XDIST_TESTRUNUID', '')}.lock"
    with (Path(tempfile.gettempdir()) / name).open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
