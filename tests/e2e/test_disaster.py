"""Whole disasters on real platforms, with people at work: what is there afterwards, and how long it took."""

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

#: Minutes; parts of it are tested with `make test`, one by one.
pytestmark = pytest.mark.catalogue


def strike(tmp_path: Path, engine: docker.DockerClient, topology: str) -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "harness", "run", topology, "disaster", "--users", "4", "--results", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    folder = (tmp_path / "latest").resolve()
    assert left_of(engine, folder.name.rsplit("-", 1)[1]) == []
    measures: dict[str, Any] = json.loads((folder / "measures.json").read_text())
    return done.returncode, measures


def steps(measures: dict[str, Any]) -> list[str]:
    (change,) = measures["facts"]["changes"]
    return [step["step"] for step in change["steps"]]


@pytest.fixture(params=["single-dr", "single-warm"])
def struck(
    request: pytest.FixtureRequest, runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> tuple[str, int, dict[str, Any]]:
    return (str(request.param), *strike(tmp_path, engine, str(request.param)))


def test_one_machine_is_lost_and_its_standby_goes_on(struck: tuple[str, int, dict[str, Any]]) -> None:
    name, code, measures = struck
    restored = ["restore"] if name == "single-dr" else []
    assert steps(measures) == ["destroy", *restored, "promote", "gate"]
    assert code == 0, "everybody works again, within the stated RTO and RPO"
    recovery = measures["recovery"]
    assert recovery["people"] == recovery["people_working"] == 4
    assert 5 < recovery["first_log_in_s"] <= recovery["all_working_s"]
    hub = next(store for store in recovery["stores"] if store["store"] == "hub")
    if name == "single-warm":
        assert recovery["recovery_point_s"] < 10
    if hub["lost"] or name == "single-dr":  # the warm standby may have been copied to just before
        # one writer, so the snapshot parts its numbers: the newest before it is there, the first after it is lost
        kept, lost = (int(str(hub[key]).split()[1]) for key in ("newest_kept", "first_lost"))
        assert lost == kept + 1
        assert hub["newest_kept_age_s"] > hub["first_lost_age_s"] >= 0
    assert hub["lost"] == measures["writes"]["stores"][-1]["lost"], "nothing is lost that was written after the restore"
