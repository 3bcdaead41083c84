"""More nodes and fewer on a real platform, with people at work who come and go.

Takes minutes, so it runs with `make test-all` only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.runtime.docker import DockerRuntime
from tests.conftest import ROOT, left_of

pytestmark = pytest.mark.catalogue


def scaled(tmp_path: Path, engine: docker.DockerClient, topology: str, experiment: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", "harness", "run", topology, experiment, "--seed", "1", "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    folder = (tmp_path / "latest").resolve()
    assert left_of(engine, folder.name.rsplit("-", 1)[1]) == []
    assert done.returncode == 0, "the topology's promises are kept"
    measures: dict[str, Any] = json.loads((folder / "measures.json").read_text())
    assert {change["ended"] for change in measures["facts"]["changes"]} == {"done"}
    return measures


def test_whoever_comes_lands_on_the_new_node_and_nobody_notices(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    measures = scaled(tmp_path, engine, "active-active", "scale-up")
    (change,) = measures["scaling"]
    assert change["joined"] == ["workbench-2"]
    assert change["new_on_joined"] > 0
    assert {row["outcome"] for row in measures["sessions"]} == {"undisturbed"}
    assert any(row["ended_ns"] is not None for row in measures["sessions"]), "people went home"


def test_a_drained_node_interrupts_nobody_and_one_that_is_taken_interrupts_all_its_people(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    (drained,) = scaled(tmp_path / "drained", engine, "active-active", "scale-down")["scaling"]
    (taken,) = scaled(tmp_path / "taken", engine, "active-active", "scale-down-hard")["scaling"]
    assert drained["left"] == taken["left"] == ["workbench-1"]
    assert drained["interrupted"] == 0
    assert taken["interrupted"] >= 3, "about half of twelve people"


def test_the_nodes_of_a_policy_follow_a_days_curve(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    measures = scaled(tmp_path, engine, "autoscaled", "office-day")
    policy = measures["autoscale"]
    numbers = [number for _, number in policy["nodes"]]
    assert (numbers[0], max(numbers), numbers[-1]) == (2, 3, 1)
    assert policy["node_s"] < policy["fixed_node_s"]
