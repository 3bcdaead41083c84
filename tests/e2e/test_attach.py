"""A platform that somebody else keeps: watched without a trace, broken only as its file allows, and mended again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from harness.core.history import EventKind, FaultStep, read_history
from harness.core.names import LABEL_ROLE, LABEL_RUN, container_name
from harness.run.artifacts import RunFolder
from harness.runtime.docker import DockerRuntime
from tests.conftest import ROOT, eventually, left_of

VARIABLE = "BORROWED_ACCOUNTS"
NAMES = [f"borrowed-{letter}" for letter in "abcdefghi"]
#: Often enough that a short test proves something; on somebody's system it would be less.
LOAD = {"users": 2, "beat_s": 0.5, "ramp_s": 2, "probe_every_s": 0.25, "start_probe_every_s": 4}
HIT = "workbench-0"
HARNESS = (sys.executable, "-m", "harness")


@dataclass(frozen=True)
class Place:
    """Where somebody else's platform is."""

    run_id: str
    url: str
    password: str


@pytest.fixture(scope="module")
def place(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[Place]:
    """What `harness up active-active` leaves: another run's labels and agent."""
    del runtime  # its images are there
    up = subprocess.run([*HARNESS, "up", "active-active"], cwd=ROOT, capture_output=True, text=True, check=True)
    run_id = re.search(r"is up as run (\w+)", up.stdout)
    way_in = re.search(r"log in at (http://[^/ ]+)\S* as anybody with the password (\S+)", up.stdout)
    assert run_id
    assert way_in
    yield Place(run_id[1], way_in[1], way_in[2])
    subprocess.run([*HARNESS, "down", run_id[1]], cwd=ROOT, check=True)
    assert left_of(engine, run_id[1]) == []


@pytest.fixture
def attach(place: Place) -> dict[str, Any]:
    """What stands in the file, without an allow-list."""
    reach = {"label": f"{LABEL_ROLE}=workbench", "name": container_name(place.run_id, HIT)}
    return {
        "url": place.url,
        "session": {"product": "jupyterhub"},
        "users": {"environment": VARIABLE},
        "load": LOAD,
        "machines": {HIT: {"role": "workbench", "reach": reach}},
        "abort_when": {"working_below_percent": 50, "for_s": 60},
    }


def written(path: Path, attach: Mapping[str, Any]) -> Path:
    path.write_text(yaml.safe_dump({"description": "Somebody else's platform.", "attach": dict(attach)}))
    return path


def experiment(path: Path, fault: str, hold_s: float, settle_s: float) -> Path:
    one = {"fault": fault, "target": "workbench[0]", "at_s": 1, "hold_s": hold_s}
    data = {"description": "One node.", "source": "A test.", "faults": [one], "settle_s": settle_s}
    path.write_text(yaml.safe_dump({**data, "objectives": {"sessions_lost_at_most": 0, "writes_lost_at_most": 0}}))
    return path


def harness(*words: str | Path, password: str) -> subprocess.Popen[str]:
    accounts = "\n".join(f"{name}:{password}" for name in NAMES)
    return subprocess.Popen(
        [*HARNESS, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: accounts},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=170)
    print(said)
    return process.returncode, said


def inspections(engine: docker.DockerClient, place: Place) -> dict[str, Any]:
    """Everything that the engine says of the platform's containers, networks and volumes."""
    label = f"{LABEL_RUN}={place.run_id}"
    containers = {str(c.name): c.attrs for c in engine.containers.list(all=True, filters={"label": label})}
    networks = engine.networks.list(filters={"label": label})
    wired = {str(network.name): engine.networks.get(str(network.id)).attrs for network in networks}
    # the engine's CreatedAt of a volume is when its folder changed last: somebody who comes first gets a home there
    volumes = {
        str(volume.name): {**volume.attrs, "CreatedAt": ""} for volume in engine.volumes.list(filters={"label": label})
    }
    return {**containers, **wired, **volumes}


def changed(before: Any, after: Any, where: str = "") -> list[str]:
    """Each place that is not as it was, with both. The engine lists mounts in any order."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after})
        return [line for key in keys for line in changed(before.get(key), after.get(key), f"{where}/{key}")]
    if isinstance(before, list) and isinstance(after, list):
        before, after = sorted(before, key=repr), sorted(after, key=repr)
    return [] if before == after else [f"{where}: {before!r}, then {after!r}"]


def command_lines() -> str:
    """Of every process on this machine, but for those in containers: the platform's own name their people."""
    lines, own = [], Path("/proc/self/ns/pid").readlink()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns/pid").readlink() == own:
                lines.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended since
            continue
    return "\n".join(lines)


def assert_no_credentials(folder: Path, said: str, password: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files} | {"the terminal": said.encode()}
    for secret in (password, *NAMES):
        assert [name for name, text in texts.items() if secret.encode() in text] == []


def test_watching_changes_nothing(
    place: Place, engine: docker.DockerClient, attach: dict[str, Any], tmp_path: Path
) -> None:
    file, results = written(tmp_path / "theirs.yaml", attach), tmp_path / "results"
    before = inspections(engine, place)
    watching = harness("watch", file, "--for", "15s", "--target", "99", "--results", results, password=place.password)
    seen: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(1):
            seen.append(command_lines())

    looking = threading.Thread(target=look)
    looking.start()
    code, said = ended(watching)
    stop.set()
    looking.join()
    assert code == 0, said
    assert changed(before, inspections(engine, place)) == []
    assert "harness.load.attached" in "".join(seen)
    assert not any(secret in lines for lines in seen for secret in (place.password, *NAMES))
    measures = RunFolder.existing(results / "latest").analyse()
    assert {one.capability for one in measures.capabilities if one.samples} == {
        "log_in", "start_session", "work", "save", "reconnect",
    }  # fmt: skip
    (homes,) = measures.writes.stores
    assert homes.acknowledged > 0
    assert homes.lost == 0
    assert_no_credentials(tmp_path / "results", said, place.password)
    node = engine.containers.get(container_name(place.run_id, HIT))
    left = node.exec_run(["sh", "-c", "ls -R /homes | grep -c harness- || true"])
    assert left.output == b"0\n", "what was saved was not removed"


def test_what_may_not_be_is_refused_and_nothing_is_changed(
    place: Place, engine: docker.DockerClient, attach: dict[str, Any], tmp_path: Path
) -> None:
    before = inspections(engine, place)
    kill = experiment(tmp_path / "kill.yaml", "kill", 12, 20)
    allowed = {**attach, "allow": [HIT]}
    theirs = written(tmp_path / "theirs.yaml", attach)
    mine = written(tmp_path / "mine.yaml", allowed)
    nobody = written(tmp_path / "nobody.yaml", {**allowed, "url": "http://127.0.0.1:9"})
    other = {"role": "workbench", "reach": {"label": "nobody.bears=this"}}
    lost = written(tmp_path / "lost.yaml", {**allowed, "machines": {HIT: other}})
    own, good = "--i-own-this-system", place.password
    for words, password, expected in (
        (("run", theirs, kill, own), good, "no `allow`"),
        (("run", mine, kill), good, own),
        (("run", mine, kill, own), "wrong" + good, "account 1 was not let in"),
        (("watch", nobody), good, "does not let anybody log in"),
        (("run", lost, kill, own), good, "0 containers bear the label"),
    ):
        code, said = ended(harness(*words, "--results", tmp_path / "results", password=password))
        assert code == 64, said
        assert expected in said
        assert "Traceback" not in said
        assert place.password not in said
    assert not (tmp_path / "results").exists()
    assert changed(before, inspections(engine, place)) == []


@pytest.mark.catalogue
def test_a_node_is_killed_and_started_again(
    place: Place, engine: docker.DockerClient, attach: dict[str, Any], tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.yaml", {**attach, "allow": [HIT]})
    kill = experiment(tmp_path / "kill.yaml", "kill", 12, 20)
    before = engine.containers.get(container_name(place.run_id, HIT)).attrs["State"]
    results = tmp_path / "results"
    code, said = ended(harness("run", file, kill, "--i-own-this-system", "--results", results, password=place.password))
    assert said.index("docker start the one container") < said.index("steady"), "the plan is shown first"
    folder = RunFolder.existing(results / "latest")
    steps = {e.data["step"]: e.data for e in read_history(folder.history).of(EventKind.FAULT)}
    assert all(steps[step]["ok"] for step in FaultStep)
    assert "exited" in steps[FaultStep.CONFIRM]["evidence"]
    after = engine.containers.get(container_name(place.run_id, HIT)).attrs["State"]
    assert after["Running"]
    assert after["StartedAt"] != before["StartedAt"]
    assert code == 0, said
    assert_no_credentials(results, said, place.password)


@pytest.mark.catalogue
def test_a_harness_that_is_killed_leaves_nothing_broken(
    place: Place, engine: docker.DockerClient, attach: dict[str, Any], tmp_path: Path
) -> None:
    file = written(tmp_path / "mine.yaml", {**attach, "allow": [HIT]})
    pause = experiment(tmp_path / "hang.yaml", "pause", 120, 1)
    words = ("run", file, pause, "--i-own-this-system", "--results", tmp_path / "results")
    running = harness(*words, password=place.password)

    def status() -> str:
        return str(engine.containers.get(container_name(place.run_id, HIT)).attrs["State"]["Status"])

    try:
        eventually(lambda: status() == "paused", "the node hangs", limit_s=90)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    eventually(lambda: status() == "running", "the operator undid it")
    assert place.password not in command_lines()
