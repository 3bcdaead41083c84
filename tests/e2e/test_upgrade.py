"""Whole upgrades on a real platform, with people at work: go, no go, and the way back.

Another release is another image, so it runs with `make test-all` only.
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


def upgrade(tmp_path: Path, engine: docker.DockerClient, *words: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "harness", "preupgrade", "active-active", "--results", str(tmp_path), *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    folder = (tmp_path / "latest").resolve()
    assert left_of(engine, folder.name.rsplit("-", 1)[1]) == []
    measures: dict[str, Any] = json.loads((folder / "measures.json").read_text())
    return done.returncode, measures


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "all_at_once"])
def test_an_upgrade_with_a_real_migration_goes_by_every_strategy(
    strategy: str, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    code, measures = upgrade(tmp_path, engine, "--from", "previous", "--to", "current", "--strategy", strategy)
    (change,) = measures["facts"]["changes"]
    assert (code, change["ended"]) == (0, "done")
    assert sum(step["lost"] for step in measures["change_steps"]) == 0


@pytest.mark.parametrize(
    ("to", "step"), [("broken", "gate workbench-0: nobody could work"), ("never-healthy", "start workbench-0: ")]
)
def test_a_release_that_does_not_get_through_its_gate_is_taken_back(
    to: str, step: str, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    code, measures = upgrade(tmp_path, engine, "--from", "previous", "--to", to)
    (change,) = measures["facts"]["changes"]
    assert (code, change["ended"]) == (1, "taken_back")
    assert change["reason"].startswith(step)
    assert {node for one in change["steps"] for node in one["nodes"]} == {"workbench-0"}, "the others are untouched"
    working = [row["recovery"] for row in measures["sessions"]]
    assert "not_recovered" not in working, "everybody works again"


def test_the_way_back_leads_back_over_the_migration(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    code, measures = upgrade(tmp_path, engine, "--from", "previous", "--to", "current", "--back")
    (change,) = measures["facts"]["changes"]
    assert change["ended"] == "went_back"
    assert code in (0, 1), "what was written since the upgrade may be lost, which is what the way back costs"


def test_a_release_that_cannot_read_the_migrated_database_does_not_come_back(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    words = ("--from", "previous", "--to", "current", "--back", "--database", "keep")
    code, measures = upgrade(tmp_path, engine, *words)
    (change,) = measures["facts"]["changes"]
    assert (code, change["ended"]) == (1, "stuck")
    assert change["reason"].startswith("on the way back: start workbench-1")
    log = (tmp_path / "latest/containers/workbench-1/log").read_text()
    assert "upgrade-db" in log, "the hub says what is wrong with its database"
