"""What tests without an engine share: a topology, an experiment, and what comes of both on the fake runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.run.artifacts import RunFolder
from harness.runtime.fake import Behaviour
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT, Result, Run, experiment, run_once


@pytest.fixture(scope="session")
def topology() -> Topology:
    return load_topology(ROOT / "topologies/active-passive.yaml")


@pytest.fixture(scope="session")
def node_kill() -> Experiment:
    return experiment("node-kill")


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory, topology: Topology, node_kill: Experiment) -> Result:
    """A node dies and the other one takes over. To be looked at only; `damaged` is a copy."""
    return run_once(tmp_path_factory.mktemp("usual"), topology, node_kill)


@pytest.fixture
def damaged(usual: Result, tmp_path: Path) -> RunFolder:
    """A copy of the usual run's folder, to be changed."""
    return RunFolder.existing(shutil.copytree(usual.folder.path, tmp_path / usual.folder.path.name))


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their charts, which take as long as the rest of a run; tests marked `drawn` have them."""
    if request.node.get_closest_marker("drawn") is None:
        monkeypatch.setattr("harness.report.charts.timeline", lambda *_: None)


@pytest.fixture
def run(tmp_path: Path, topology: Topology, node_kill: Experiment) -> Run:
    """Carries out a run."""

    def go(behaviour: Behaviour | None = None, *, on: Topology = topology, what: Experiment = node_kill) -> Result:
        return run_once(tmp_path, on, what, behaviour)

    return go


@pytest.fixture
def short_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are named without their folder, in messages too."""
    monkeypatch.chdir(tmp_path)
