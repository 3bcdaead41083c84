"""`harness preupgrade`: what it refuses, what it says before, and several strategies side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import FakeClock
from harness.run.experiment import run_suite
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT
from tests.unit.test_cli import Harness, harness

__all__ = ["harness"]

ASKED = ("preupgrade", "active-active", "--from", "previous", "--to", "current")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    topology = load_topology(ROOT / "topologies/active-active.yaml")

    def on_the_fake(original: Callable[..., Any]) -> Callable[..., Any]:
        def go(**how: Any) -> Any:
            clock = FakeClock()
            return original(**{**how, "clock": clock, "runtime": FakeRuntime(clock, topology)})

        return go

    monkeypatch.setattr("harness.cli.upgrading.runtime", lambda _: FakeRuntime(FakeClock(), topology))
    monkeypatch.setattr("harness.run.experiment.run_suite", on_the_fake(run_suite))
    return ["--results", str(tmp_path), "--seed", "7", "--users", "3"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--strategy", "rolling,sideways"], "--strategy sideways, expected one of: rolling, blue_green, all_at_once"),
        (["--to", "previous"], "from previous to previous: nothing changes"),
        (["--to", "next"], "there is no release next of workbench, expected one of: current, "),
        (["--component", "dtabase"], "--component dtabase, expected one of: workbench, database, load-balancer, sto"),
        (["--component", "storage"], "there is no release previous of storage, expected one of: current, next"),
        (["--component", "database", "--drain-s", "3"], "with component database, expected none: it is about nodes"),
        (["--component", "database", "--strategy", "blue_green"], "--strategy blue_green, expected one of: rolling"),
        (
            ["--component", "load-balancer", "--from", "current", "--to", "nodes=2", "--strategy", "reload"],
            "nodes=2, expected KNOB=VALUE with a knob that a reload can change",
        ),
        (["--drain-s", "-1"], "--drain-s -1, expected 0 or more"),
        (["--database", "lose"], "--database lose, expected one of: restore, keep"),
    ],
)
def test_bad_words_are_one_message_and_start_nothing(harness: Harness, words: list[str], said: str) -> None:
    code, out, error = harness(*ASKED, *words)
    assert (code, out) == (64, "")
    assert said in error


def test_homes_on_the_old_nodes_disks_are_no_ground_for_blue_green(harness: Harness) -> None:
    code, out, error = harness("preupgrade", "naive-horizontal", *ASKED[2:], "--strategy", "blue_green")
    assert (code, out) == (64, "")
    assert "naive-horizontal has no storage, so homes would stay on the disks of the old nodes" in error


def test_the_steps_of_every_strategy_are_said_before(harness: Harness) -> None:
    code, out, _ = harness(*ASKED, "--strategy", "rolling,all_at_once", "--dry-run")
    assert code == 0
    assert "active-active: workbench from previous to current, rolling\n" in out
    assert "active-active: workbench from previous to current, all_at_once\n  everything is away while it lasts" in out
    assert out.endswith("nothing was started, nothing was changed\n")


@pytest.mark.long
def test_several_strategies_are_set_side_by_side(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, _ = harness(*ASKED, "--strategy", "rolling,all_at_once", *fake)
    assert code == 0
    header, *rows = out[out.index("active-active: side by side") :].splitlines()[1:]
    assert header.split() == ["rolling", "all", "at", "once"]
    table = {words[0]: words[1:] for row in rows if len(words := re.split(r" {2,}", row.strip())) == 3}
    assert table["answer"] == ["GO (PASS)"] * 2
    assert table["people disturbed"] == ["3", "3"]
    assert table["of them never worked again"] == ["0", "0"]
    (suite,) = (tmp_path / "active-active/suites").iterdir()
    assert len(json.loads(suite.read_text())["experiments"]) == 2


@pytest.mark.long
def test_one_is_answered_by_itself(harness: Harness, fake: list[str]) -> None:
    code, out, _ = harness(*ASKED, *fake, "--quiet")
    assert code == 0
    assert out.startswith("GO (PASS)  ")
    assert "side by side" not in out
