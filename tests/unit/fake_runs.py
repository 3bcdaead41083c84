"""What tests of whole runs on the fake runtime share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.analysis import Measures
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment
from harness.core.history import EventKind, HistoryWriter, Phase, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.faults.base import State
from harness.faults.host import Host
from harness.faults.kinds.machines import Kill
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.spec.loader import load_experiment

__all__ = [
    "NO_TAKEOVER",
    "ROOT",
    "SOUND",
    "Recorder",
    "Result",
    "Run",
    "Toothless",
    "experiment",
    "run_once",
    "with_other_spec",
]

ROOT = Path(__file__).resolve().parents[2]
#: The file of active-passive without what is known to be broken, which a test may add.
SOUND = (ROOT / "topologies/active-passive.yaml").read_text().partition("\nknown_broken:")[0] + "\n"
NO_TAKEOVER = ROOT / "tests/e2e/topologies/active-passive-no-takeover.yaml"


@dataclass
class Recorder:
    """A watcher that keeps what it was told."""

    notes: list[str] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        self.phases.append(phase)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        assert snapshot["users"]


@dataclass
class Result:
    folder: RunFolder
    measures: Measures
    runtime: FakeRuntime
    watcher: Recorder

    @property
    def outcome(self) -> Outcome:
        return self.measures.verdict.outcome

    def steps(self) -> list[str]:
        return [e.data["step"] for e in read_history(self.folder.history).of(EventKind.FAULT)]


Run = Callable[..., Result]


def run_once(
    results: Path, on: Topology, what: Experiment, behaviour: Behaviour | None = None, *, seed: int = 7
) -> Result:
    clock, watcher = FakeClock(), Recorder()
    runtime = FakeRuntime(clock, on, behaviour)
    folder, measures = run_experiment(
        runtime=runtime, topology=on, experiment=what, results=results, watcher=watcher, seed=seed, clock=clock
    )
    return Result(folder, measures, runtime, watcher)


def experiment(name: str) -> Experiment:
    """One of the catalogue."""
    return load_experiment(ROOT / f"experiments/{name}.yaml", RULES)


def with_other_spec(folder: RunFolder, old: str, new: str) -> None:
    """Make the folder one of a run whose spec had `new` in place of `old`; its history says so too."""
    spec = folder.spec.read_text()
    assert old in spec
    folder.spec.write_text(spec.replace(old, new))
    *events, closing = read_history(folder.history).events
    folder.history.unlink()
    with HistoryWriter(folder.history, FakeClock(closing.t_ns)) as history:
        for event in events:
            changed = {"spec_sha256": folder.spec_sha256} if event.kind is EventKind.OPENED else {}
            history.append(event.kind, {**event.data, **changed}, t_ns=event.t_ns)


class Toothless(Kill):
    """A kill that does nothing and does not say so."""

    def inject(self, host: Host, state: State) -> None:
        """Nothing."""
