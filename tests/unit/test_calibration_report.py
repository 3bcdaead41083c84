"""What people read of a calibration: its own tables, and the line in the reports of runs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import cli
from harness.analysis.calibration import Calibration
from harness.core.clock import FakeClock
from harness.faults.registry import RULES
from harness.report import words
from harness.report.calibration import render_calibration
from harness.report.terminal import render
from harness.run.artifacts import RunFolder
from harness.run.calibrate import run_calibration
from harness.run.experiment import run_experiment
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_experiment, load_topology
from tests.unit.fake_runs import Recorder
from tests.unit.rig_runs import MACHINE, SHORT, Behaviour, RigRuntime
from tests.unit.test_calibration import run_on

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


CELL = {"values": 18, "inside": 18, "mean_error_s": -0.0004, "spread_s": 0.004, "late_p99_s": 0.0003}
QUOTE = {
    "path": "calibration/20260101T000000Z-abc123/calibration.json",
    "started_utc": "2026-01-01T00:00:00+00:00",
    "age_s": 8_280,
    "outcome": "PASS",
    "kinds": [
        {"series": "rig at 100/s", "away": "kill", **CELL},
        {"series": "rig at 100/s", "away": "stall", **CELL, "mean_error_s": 0.0031},
        {"series": "rig at 4/s", "away": "kill", **CELL, "mean_error_s": None, "inside": 0},
    ],
}


def printed(calibration: Calibration) -> str:
    console = Console(width=160, file=StringIO(), record=True)
    render_calibration(calibration, console, Path("results/calibration/x/calibration.json"))
    return console.export_text()


def test_the_tables_have_every_cell_of_every_series(tmp_path: Path) -> None:
    text = printed(run_on(tmp_path)[1])
    assert "rig at 100/s, by which the aims are judged" in text
    assert "rig at 4/s, as a capability in a run" in text
    (row,) = [line for line in text.split("rig at 4/s")[0].splitlines() if line.startswith("drop")]
    assert row.split()[:6] == ["drop", "0.5", "s", "2", "of", "2"]
    assert "2 of 2 (16% to 100%)" in row
    assert "2 processors, busy for 25% of the time, no load of the calibration's own; probes: fake" in text
    assert "PASS" in text
    assert "without that load" not in text
    assert text.rstrip().endswith("calibration: results/calibration/x/calibration.json")


def test_late_probes_are_said_in_their_row(tmp_path: Path) -> None:
    text = printed(run_on(tmp_path, Behaviour(late_s=0.03))[1])
    assert text.count("TOO LATE") == 6  # three cells, and the three kinds over all lengths
    assert "INCONCLUSIVE" in text


def test_a_calibration_of_nothing_prints_why(tmp_path: Path) -> None:
    text = printed(run_on(tmp_path, Behaviour(never_up=True))[1])
    assert "the rig did not serve" in text


def test_a_load_says_by_how_much_it_degraded(tmp_path: Path) -> None:
    loaded = replace(SHORT, busy_processes=2)
    assert "this machine was not calibrated without one" in printed(run_on(tmp_path, plan=loaded)[1])
    run_on(tmp_path)
    text = printed(run_on(tmp_path, Behaviour(late_s=0.009), plan=loaded)[1])
    assert "2 processes of the calibration's own among it" in text
    (line,) = [line for line in text.splitlines() if line.startswith("  rig at 100/s, kill: mean error")]
    before, _, after = line.partition("sent late ")[2].partition(" -> ")
    assert before == "0.0 ms"
    assert float(after.removesuffix(" ms")) > 7


# -- in the reports of runs ----------------------------------------------------------------------------------------


def test_the_line_has_age_figures_and_path() -> None:
    assert words.calibrated({"calibration": QUOTE}) == (
        "outages: calibrated on this machine 2.3 h before, PASS: at 100/s mean error kill -0.4 ms, stall +3.1 ms, "
        "36 of 36 true values inside the bounds; at 4/s mean error kill not measured, 0 of 18 true values inside the "
        "bounds (calibration/20260101T000000Z-abc123/calibration.json)"
    )


@pytest.mark.parametrize(
    ("run", "line"),
    [
        ({}, "calibration of outages: not recorded"),
        (
            {"calibration": {"why_not": ""}},
            "outages: not calibrated on this machine; `harness calibrate` does it",
        ),
        (
            {"calibration": {"why_not": "x: schema 0, expected 1"}},
            "outages: not calibrated on this machine (x: schema 0, expected 1); `harness calibrate` does it",
        ),
    ],
)
def test_without_a_calibration_the_line_says_so(run: dict[str, Any], line: str) -> None:
    assert words.calibrated(run) == line


def test_a_run_copies_the_figures_and_its_reports_quote_them(tmp_path: Path) -> None:
    calibrated, _ = run_on(tmp_path, cores=2)
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    experiment = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    clock = FakeClock()
    folder, measures = run_experiment(
        runtime=FakeRuntime(clock, topology),
        topology=topology,
        experiment=experiment,
        results=tmp_path / "results",
        watcher=Recorder(),
        seed=7,
        clock=clock,
    )
    line = words.calibrated(measures.run)
    assert line.startswith("outages: calibrated on this machine 0.0 h before, PASS: at 100/s mean error kill ")
    assert f"calibration/{calibrated.path.name}/calibration.json" in line
    assert f"{line[0].upper()}{line[1:]}." in folder.report.read_text()
    console = Console(width=1000, file=StringIO(), record=True)
    render(measures, console)
    assert line in console.export_text()
    # a pure function of the run's folder: what becomes of the calibration later changes nothing
    calibrated.file.unlink()
    assert words.calibrated(RunFolder.existing(folder.path).analyse().run) == line


# -- commands ------------------------------------------------------------------------------------------------------


def command(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr(sys, "argv", ["harness", *argv])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


def no_engine(*_: object) -> Any:
    raise AssertionError("an engine was asked for although the input is bad")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seconds", "1,long"], "--seconds 1,long: expected numbers with commas between"),
        (["--seconds", "0.1"], "an outage of 0.1 s: expected 0.25 to 10 s"),
        (["--repetitions", "0"], "--repetitions 0"),
        (["--rate", "fast"], "--rate"),
        (["--no-such-option"], "no-such-option"),
    ],
)
def test_bad_options_are_64_and_start_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    monkeypatch.setattr("harness.runtime.engine.ensure_engine", no_engine)
    assert command(monkeypatch, "calibrate", *options) == 64
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour(), 0),
        (Behaviour(seen_longer_s=0.03), 1),
        (Behaviour(late_s=0.03), 2),
        (Behaviour(lose_row=True), 70),
    ],
    ids=["met", "not met", "too late", "broken"],
)
def test_the_exit_code_says_whether_the_aims_are_met_and_analyze_says_it_again(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    behaviour: Behaviour,
    code: int,
) -> None:
    clock = FakeClock()
    monkeypatch.setattr("harness.cli.calibration.runtime", lambda _say: RigRuntime(clock, tmp_path, behaviour, MACHINE))
    monkeypatch.setattr("harness.run.calibrate.run_calibration", partial(run_calibration, clock=clock))
    options = ("--seconds", "0.5", "--repetitions", "2", "--results", str(tmp_path / "results"))
    assert command(monkeypatch, "calibrate", *options) == code
    (file,) = (tmp_path / "results/calibration").glob("*/calibration.json")
    assert str(file) in capsys.readouterr().out
    assert json.loads(file.read_text())["run"]["argv"][:2] == ["harness", "calibrate"]
    before = file.read_text()
    file.unlink()
    assert command(monkeypatch, "analyze", str(file.parent)) == code
    assert file.read_text() == before
