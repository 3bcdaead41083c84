"""Every topology of the catalogue comes up, lets 12 people work, and goes down without a trace.

With `make test-all`: each takes a minute or more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import docker
import pandas as pd
import pytest

from harness.runtime.docker import DockerRuntime
from harness.spec import Catalog
from tests.conftest import ROOT, left_of

pytestmark = pytest.mark.catalogue

CONTROL = Path(__file__).parent / "experiments/control.yaml"
#: Of these nobody can work even without a fault, which is what they show.
NEVER_STEADY = {"naive-horizontal"}


@pytest.mark.parametrize("topology", Catalog(ROOT).topologies())
def test_it_comes_up_lets_people_work_and_leaves_nothing(
    topology: str, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "harness", "run", topology, str(CONTROL), "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    folder = (tmp_path / "latest").resolve()
    verdict = json.loads((folder / "verdict.json").read_text())
    assert left_of(engine, folder.name.rsplit("-", 1)[1]) == []
    if topology in NEVER_STEADY:
        assert (done.returncode, verdict["outcome"]) == (2, "INCONCLUSIVE")
        assert any("not steady" in reason or "steady state" in reason for reason in verdict["reasons"])
        return
    assert (done.returncode, verdict["outcome"]) == (0, "PASS")
    sessions = pd.read_csv(folder / "sessions.csv")
    assert len(sessions) == 12
    assert set(sessions["outcome"]) == {"undisturbed"}
