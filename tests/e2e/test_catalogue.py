"""Every topology of the catalogue under every experiment that applies to it, as `make chaos TOPO=... EXP=all`.

Takes minutes for each topology, so it runs with `make test-all` only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from harness.runtime.docker import DockerRuntime
from harness.spec import Catalog
from tests.conftest import ROOT, left_of

pytestmark = pytest.mark.catalogue


@pytest.mark.parametrize("topology", Catalog(ROOT).topologies())
def test_a_topology_keeps_its_promises_under_every_experiment(
    topology: str, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    argv = [sys.executable, "-m", "harness", "run", topology, "all", "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    (suite,) = (tmp_path / topology / "suites").glob("*.json")
    told = json.loads(suite.read_text())
    assert {one["experiment"]: one["outcome"] for one in told["experiments"] if one["outcome"] != "PASS"} == {}
    assert done.returncode == 0
    for one in told["experiments"]:
        if one["folder"]:
            run = json.loads((tmp_path / one["folder"] / "run.json").read_text())
            assert left_of(engine, run["deployment"]) == []
