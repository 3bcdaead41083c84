"""What tests of matrices share: topologies of all kinds, quick experiments, and whole matrices on the fake runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.analysis import Measures
from harness.analysis.brief import brief_of
from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, CellTrial, standing
from harness.core.clock import FakeClock
from harness.faults.registry import RULES
from harness.report.matrix import render_matrix
from harness.run.choice import Chosen
from harness.run.matrix import Matrix, Words, choose_matrix, run_matrix
from harness.runtime.base import Progress
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime
from harness.spec import Catalog
from tests.unit.analysis_runs import PROMISE
from tests.unit.fake_runs import ROOT, SOUND, Recorder

__all__ = ["MatrixBench", "cell_of", "make_catalog", "printed", "result_of", "trial_of"]

RIGHT = SOUND
WRONG = RIGHT.replace("takeover: automatic", "takeover: first-holder")
KNOWN = "known_broken:\n  node-kill: the standby may never take the lock\n"
BARE = "description: one node\nworkbench: {nodes: 1, mode: single}\n"
TOPOLOGIES = {"right": RIGHT, "wrong": WRONG, "known": WRONG + KNOWN, "mended": RIGHT + KNOWN, "bare": BARE}
#: `node-kill` and one without a promise, for two people and some seconds.
_QUICK = """\
description: quick
source: this test
load: {{users: 2, ramp_s: 1, start_probe_every_s: 1}}
faults: [{{fault: kill, target: "{target}", at_s: 2, hold_s: 12}}]
steady_state_s: 3
settle_s: 6
objectives: {{writes_lost_at_most: 0, sessions_lost_at_most: 0}}
"""
QUICK = {
    "node-kill": _QUICK.format(target="workbench[active]"),
    "other": _QUICK.format(target="workbench[any]"),
    "lb-loss": _QUICK.format(target="load_balancer[0]"),
}


def make_catalog(folder: Path, *, quick: bool = False) -> Catalog:
    """All topologies; the real experiments or quick ones."""
    (folder / "topologies").mkdir()
    for name, text in TOPOLOGIES.items():
        (folder / f"topologies/{name}.yaml").write_text(text)
    (folder / "experiments").mkdir()
    for path in (ROOT / "experiments").glob("*.yaml"):
        if not (quick and path.stem in QUICK):
            (folder / "experiments" / path.name).symlink_to(path)
    for name, text in QUICK.items() if quick else ():
        (folder / f"experiments/{name}.yaml").write_text(text)
    return Catalog(folder)


class Runtimes:
    """A fake runtime for each topology, made when its turn comes."""

    def __init__(self, clock: FakeClock, rows: Sequence[Chosen], behaviour: Behaviour) -> None:
        self._by_name = {row.topology.name: FakeRuntime(clock, row.topology, behaviour) for row in rows}
        self.opened: list[str] = []
        self.machine = {"engine_version": "fake", "kernel": "fake", "cores": 2, "memory_bytes": 25_000_000_000}
        self.image_of: Callable[[str], str] = lambda name: f"sha256:{name}"

    def describe(self) -> Mapping[str, Any]:
        return self.machine

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        return {name: self.image_of(name) for name in names}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:
        self.opened.append(topology)
        return self._by_name[topology].open(run_id, topology)

    def deployment(self, topology: str) -> FakeDeployment:
        """The platform of a topology that was brought up last."""
        return self._by_name[topology].deployments[-1]

    def left(self) -> list[FakeDeployment]:
        """Platforms that were not removed."""
        every = [deployment for runtime in self._by_name.values() for deployment in runtime.deployments]
        return [deployment for deployment in every if not deployment.removed]


@dataclass
class MatrixBench:
    """Runs matrices in a folder of its own."""

    catalog: Catalog
    results: Path
    behaviour: Behaviour = field(default_factory=Behaviour)
    watcher: Recorder = field(default_factory=Recorder)
    clock: FakeClock = field(default_factory=FakeClock)
    runtimes: Runtimes = field(init=False)

    def go(self, topologies: str, experiments: str, *, trials: int | None = None, **more: Any) -> Matrix:
        """One matrix, with seed 7."""
        rows = choose_matrix(self.catalog, topologies, experiments, RULES, users=more.get("users"))
        self.runtimes = Runtimes(self.clock, rows, self.behaviour)
        self.runtimes.machine |= more.pop("machine", {})
        self.runtimes.image_of = more.pop("image_of", self.runtimes.image_of)
        asked = Words(topologies, experiments, trials, more.pop("users", None))
        how = {"seed": 7, "argv": ["harness", "matrix"], **more}
        done = run_matrix(
            runtime=self.runtimes,
            rows=rows,
            results=self.results,
            watcher=self.watcher,
            clock=self.clock,
            asked=asked,
            **how,
        )
        assert self.runtimes.left() == []
        return done

    def histories(self) -> list[Path]:
        """Every run's folder, by topology, experiment and time."""
        return sorted(path.parent.relative_to(self.results) for path in self.results.glob("*/*/*/history.jsonl"))


def content(done: Matrix) -> dict[str, Any]:
    """What is in its file."""
    found: dict[str, Any] = json.loads(done.file.path.read_text())
    return found


def trial_of(measures: Measures | None, number: int = 1, known_broken: str = "", **more: Any) -> CellTrial:
    """A trial that measured that; without measures one that was not run."""
    if measures is None:
        return CellTrial(**{"number": number, "why_not": "not run: its turn did not come", **more})
    return CellTrial(
        **{
            "number": number,
            "standing": standing(measures.verdict, known_broken),
            "outcome": measures.verdict.outcome,
            "reasons": measures.verdict.reasons,
            "brief": brief_of(measures),
            "folder": f"pair/node-kill/run-{number}",
            **more,
        }
    )


def cell_of(*measures: Measures | None, known_broken: str = "", **more: Any) -> Cell:
    """A cell with these trials."""
    trials = tuple(trial_of(one, number, known_broken) for number, one in enumerate(measures, 1))
    base = {"topology": "pair", "experiment": "node-kill", "promise": PROMISE, "trials": trials}
    return Cell(**{**base, "known_broken": known_broken, **more})


def result_of(*cells: Cell, **more: Any) -> MatrixResult:
    """A matrix with these cells."""
    return MatrixResult(
        **{
            "started_utc": "2026-11-26T00:40:27.760568+00:00",
            "argv": ("harness", "matrix"),
            "seed": 7,
            "trials": None,
            "cells": cells,
            "containers": {"pair": 5},
            "nines": {},
            "made_with": {"git_revision": "abc"},
            **more,
        }
    )


def printed(result: MatrixResult, width: int = 120) -> str:
    """As in a terminal."""
    text = StringIO()
    render_matrix(result, Console(file=text, width=width), "results/matrix/x.json")
    return text.getvalue()
