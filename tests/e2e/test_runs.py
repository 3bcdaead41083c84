"""Whole runs in real containers, started as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pandas as pd
import pytest

from harness.core.history import EventKind, read_history
from harness.runtime.docker import DockerRuntime
from harness.runtime.janitor import STUCK_NETWORK
from tests.conftest import ROOT, left_of, seconds_until_gone

HERE = Path(__file__).parent
#: The same failure as the catalogue's, with fewer people and a shorter hold.
NODE_KILL = HERE / "experiments/node-kill.yaml"
NO_TAKEOVER = HERE / "topologies/active-passive-no-takeover.yaml"
LIMIT_S = 300


@dataclass
class Run:
    """One `harness run` as a process of its own."""

    process: subprocess.Popen[str]
    results: Path

    def finish(self) -> int:
        """Wait for the end; prints what it said, for a failing test."""
        output, _ = self.process.communicate(timeout=LIMIT_S)
        print(output)
        return self.process.returncode

    @property
    def folder(self) -> Path:
        return (self.results / "latest").resolve()

    @property
    def run_id(self) -> str:
        return self.folder.name.rsplit("-", 1)[1]

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def wait_for(self, seen: Callable[[str], bool], what: str) -> None:
        """Until a line of the live output is `seen`."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        for line in self.process.stdout:
            print(line, end="")
            if seen(line):
                return
            assert time.monotonic() < deadline, what
        raise AssertionError(f"the run ended before: {what}")


@pytest.fixture
def start(tmp_path: Path, runtime: DockerRuntime) -> Callable[..., Run]:
    def go(topology: str | Path = "active-passive", name: str = "results") -> Run:
        results = tmp_path / name
        argv = [sys.executable, "-m", "harness", "run", str(topology), str(NODE_KILL), "--results", str(results)]
        process = subprocess.Popen(
            [*argv, "--seed", "1"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return Run(process, results)

    return go


@pytest.mark.catalogue
def test_two_runs_at_once_keep_the_promise_and_do_not_disturb_each_other(
    start: Callable[..., Run], engine: docker.DockerClient
) -> None:
    runs = [start(name="first"), start(name="second")]
    assert [run.finish() for run in runs] == [0, 0]
    for run in runs:
        verdict, measures = run.read("verdict.json"), run.read("measures.json")
        assert verdict["outcome"] == "PASS"
        sessions = pd.read_csv(run.folder / "sessions.csv")
        assert len(sessions) == 3
        assert set(sessions["outcome"]) == {"restarted"}
        assert sessions["on_target"].all()
        assert not sessions["logged_in_again"].any()
        assert measures["worst_recovery"] == "by_design"
        assert measures["writes"]["acknowledged"] > 20
        assert measures["writes"]["lost"] == 0
        assert [store["store"] for store in measures["writes"]["stores"]] == ["home", "database", "hub"]
        outages = pd.read_csv(run.folder / "outages.csv")
        assert set(outages["capability"]) >= {"log_in", "work", "save", "reconnect"}
        assert {event["kind"] for event in measures["server_events"]} >= {
            "lease_taken",
            "node_down",
            "node_up",
            "serving",
        }
        assert measures["server_events_missing"] == []
        (detection,) = measures["detections"]
        assert 0.0 < detection["detected"]["seconds"] < 5.0
        steps = [e.data["step"] for e in read_history(run.folder / "history.jsonl").of(EventKind.FAULT)]
        assert steps == ["prepare", "inject", "confirm", "undo", "confirm_recovery", "cleanup"]
        assert left_of(engine, run.run_id) == []
        no_secret_was_written(run)
    first, second = (run.read("run.json") for run in runs)
    assert first["images"] == second["images"]
    assert first["run_id"] != second["run_id"]


def no_secret_was_written(run: Run) -> None:
    for inspection in run.folder.glob("containers/*/inspect.json"):
        text = inspection.read_text()
        assert "PASSWORD=" not in text
        assert "COOKIE_SECRET=" not in text
        assert "DATABASE_URL=" not in text


def test_a_standby_that_never_takes_over_is_caught(start: Callable[..., Run], engine: docker.DockerClient) -> None:
    run = start(NO_TAKEOVER)
    assert run.finish() == 1
    verdict, measures = run.read("verdict.json"), run.read("measures.json")
    assert verdict["outcome"] == "FAIL"
    assert any("recovers" in reason and "by_repair" in reason for reason in verdict["reasons"])
    assert measures["worst_recovery"] == "by_repair"
    assert measures["writes"]["lost"] == 0


def test_nothing_is_left_when_the_harness_is_killed_in_mid_fault(
    start: Callable[..., Run], engine: docker.DockerClient
) -> None:
    run = start()
    run.wait_for(lambda line: ", held " in line, "the fault is in force")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.communicate()
    seconds_until_gone(engine, run.run_id, limit_s=10)
    doctor = subprocess.run([sys.executable, "-m", "harness", "doctor"], capture_output=True, text=True, check=False)
    assert doctor.returncode == 0 or STUCK_NETWORK in doctor.stdout, doctor.stdout
    assert run.run_id not in doctor.stdout


def test_ctrl_c_undoes_collects_and_is_inconclusive(start: Callable[..., Run], engine: docker.DockerClient) -> None:
    run = start()
    run.wait_for(lambda line: ", held " in line, "the fault is in force")
    run.process.send_signal(signal.SIGINT)
    assert run.finish() == 2
    assert left_of(engine, run.run_id) == []
    assert run.read("verdict.json")["outcome"] == "INCONCLUSIVE"
    assert (run.folder / "operations.parquet").is_file()
    assert (run.folder / "containers/workbench-0/log").read_text()
    again = subprocess.run(
        [sys.executable, "-m", "harness", "analyze", str(run.folder)], capture_output=True, check=False
    )
    assert again.returncode == 2


def test_up_gives_a_place_to_log_in_and_down_takes_it_away(runtime: DockerRuntime, engine: docker.DockerClient) -> None:
    def harness(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *argv], cwd=ROOT, capture_output=True, text=True, check=False
        )
        # the engine may hold a network of some earlier run, which the doctor names each time
        assert done.returncode == 0 or STUCK_NETWORK in done.stdout, done.stdout + done.stderr
        return done.stdout

    said = harness("up", "active-passive")
    run_id = said.split("is up as run ")[1].split()[0]
    try:
        url = said.split("log in at ")[1].split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url, timeout=10) as page:
            assert b"password" in page.read()
        assert f"run {run_id} (active-passive) is alive" in harness("doctor")
    finally:
        harness("down", run_id)
    assert left_of(engine, run_id) == []
