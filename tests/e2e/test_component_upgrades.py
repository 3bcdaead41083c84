"""Whole upgrades of databases, balancers and the storage on a real platform, with people at work, to a verdict.

Each needs another image, so they run with `make test-all` only.
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


def upgrade(tmp_path: Path, engine: docker.DockerClient, *words: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Exit code, measures, and the change itself."""
    argv = [sys.executable, "-m", "harness", "preupgrade", *words, "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    folder = (tmp_path / "latest").resolve()
    assert left_of(engine, folder.name.rsplit("-", 1)[1]) == []
    measures: dict[str, Any] = json.loads((folder / "measures.json").read_text())
    (change,) = measures["facts"]["changes"]
    return done.returncode, measures, change


@pytest.mark.parametrize(
    ("topology", "component", "first", "last"),
    [
        ("active-active", "database", "previous", "current"),
        ("ha-database", "database", "previous", "current"),
        ("active-active", "load-balancer", "previous", "current"),
        ("ha", "load-balancer", "previous", "current"),
        ("active-active", "storage", "current", "next"),
        ("ha", "storage", "current", "next"),
    ],
)
def test_a_component_is_upgraded_and_every_session_goes_on(
    topology: str,
    component: str,
    first: str,
    last: str,
    runtime: DockerRuntime,
    engine: docker.DockerClient,
    tmp_path: Path,
) -> None:
    words = (topology, "--component", component, "--from", first, "--to", last)
    code, measures, change = upgrade(tmp_path, engine, *words)
    assert (code, change["ended"]) == (0, "done")
    assert {row["outcome"] for row in measures["sessions"]} <= {"undisturbed", "kept"}
    started = [step["evidence"] for step in change["steps"] if step["step"] == "start"]
    assert all("version" in evidence for evidence in started)


def test_the_way_back_of_a_database_is_the_old_version_on_the_same_data(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    words = ("active-active", "--component", "database", "--from", "previous", "--to", "current", "--back")
    code, measures, change = upgrade(tmp_path, engine, *words)
    assert (code, change["ended"]) == (0, "went_back")
    assert measures["writes"]["lost"] == 0


def test_an_image_that_is_no_database_is_taken_back(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    words = ("active-active", "--component", "database", "--from", "current", "--to", "debian:bookworm-slim")
    code, measures, change = upgrade(tmp_path, engine, *words)
    assert (code, change["ended"]) == (1, "taken_back")
    assert change["reason"].startswith("start database: ")
    assert "not_recovered" not in [row["recovery"] for row in measures["sessions"]], "everybody works again"


def test_a_reload_brings_a_new_process_and_loses_no_session(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    words = ("active-active", "--component", "load-balancer", "--strategy", "reload")
    code, measures, change = upgrade(tmp_path, engine, *words, "--from", "current", "--to", "check_fall=5")
    assert (code, change["ended"]) == (0, "done")
    (reloaded,) = [step["evidence"] for step in change["steps"] if step["step"] == "reload"]
    assert reloaded.startswith("check_fall=5: a new process serves")
    assert {row["outcome"] for row in measures["sessions"]} <= {"undisturbed", "kept"}
