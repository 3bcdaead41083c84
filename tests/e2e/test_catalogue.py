"""Every topology of the catalogue under every experiment that applies to it, as `make matrix TOPOS=... EXPS=all`.

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
def test_a_topology_is_as_its_file_says_under_every_experiment(
    topology: str, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """Promises are kept, and those that are known to be broken are broken."""
    argv = [sys.executable, "-m", "harness", "matrix", topology, "all", "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    (file,) = (tmp_path / "matrix").glob("*.json")
    cells = json.loads(file.read_text())["cells"]
    expected = {"as promised", "known broken", "not applicable"}
    assert {cell["experiment"]: cell["standing"] for cell in cells if cell["standing"] not in expected} == {}
    assert done.returncode == 0
    folders = [trial["folder"] for cell in cells for trial in cell["trials"] if trial["folder"]]
    assert folders
    for folder in folders:
        run = json.loads((tmp_path / folder / "run.json").read_text())
        assert left_of(engine, run["deployment"]) == []
