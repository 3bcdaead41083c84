"""`harness rebuild` as a person uses it: after changes by hand, with nothing up, and interrupted in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.core.names import LABEL_TOPOLOGY, container_name
from harness.runtime.docker import DockerRuntime
from harness.runtime.janitor import find_remains
from tests.conftest import ROOT, left_of

#: Minutes; parts of it are tested with `make test`, one by one.
pytestmark = pytest.mark.catalogue

SITE = "/opt/workbench/lib/python3.11/site-packages"


def run_harness(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def topology(runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path) -> Iterator[str]:
    """The path of a copy of active-active's file under a name that nobody else uses."""
    path = tmp_path / "active-active-rebuilt.yaml"
    path.write_text((ROOT / "topologies/active-active.yaml").read_text())
    try:
        yield str(path)
    finally:
        for one in find_remains(engine):
            if one.topology == path.stem:
                run_harness("down", one.run_id)


def harness(*argv: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_harness(*argv)
    print(done.stdout, done.stderr)
    assert done.returncode == code, done.stderr
    return done


def by_hand(engine: docker.DockerClient, run_id: str, command: str) -> None:
    done = engine.containers.get(container_name(run_id, "workbench-1")).exec_run(["sh", "-ec", command])
    assert done.exit_code == 0, done.output


def test_a_package_and_a_file_that_were_changed_by_hand_are_named_and_gone_after_it(
    topology: str, engine: docker.DockerClient
) -> None:
    run_id = harness("up", topology).stdout.split("is up as run ")[1].split()[0]
    harness("rebuild", topology, "--check", code=0)
    by_hand(engine, run_id, "echo '# quick fix' >> /opt/node/jupyterhub_config.py")
    by_hand(engine, run_id, f"rm -r {SITE}/certipy {SITE}/certipy-*.dist-info")
    document: dict[str, Any] = json.loads(harness("rebuild", topology, "--json", code=1).stdout)
    assert sorted((one["container"], one["kind"], one["what"], one["found"]) for one in document["drift"]) == [
        ("workbench-1", "file", "/opt/node/jupyterhub_config.py", "modified"),
        ("workbench-1", "package", f"certipy ({SITE})", "gone"),
    ]
    assert document["drift_after"] == []
    assert document["was"] == run_id
    assert left_of(engine, run_id) == []
    phases = document["phases_s"]
    assert list(phases) == ["look for drift", "down", "up", "look again"]
    harness("rebuild", topology, "--check", "--quiet", code=0)
    harness("down", document["run_id"])
    assert left_of(engine, document["run_id"]) == []
    assert "nothing of active-active-rebuilt is up" in harness("rebuild", topology, "--check", code=64).stderr


def test_ctrl_c_in_the_middle_leaves_nothing_and_says_so(topology: str, engine: docker.DockerClient) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "rebuild", topology],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if " ready after " in line:
            second = harness("rebuild", topology, code=64)
            assert "a rebuild of active-active-rebuilt goes on already" in second.stderr
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=60)
    print(*lines, rest)
    assert process.returncode == 130
    assert "interrupted; nothing of active-active-rebuilt is up" in rest
    there = engine.containers.list(all=True, filters={"label": f"{LABEL_TOPOLOGY}=active-active-rebuilt"})
    assert there == []
