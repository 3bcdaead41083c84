"""What a command prints for whom: a person, a machine (`--json`), a script (`--quiet`)."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import FakeClock
from harness.core.topology import Topology
from harness.run.calibrate import run_calibration
from harness.run.experiment import run_suite
from harness.run.matrix import run_matrix
from harness.run.trials import run_trials
from harness.runtime.fake import FakeRuntime
from tests.unit.fake_runs import Result
from tests.unit.rig_runs import MACHINE, RigRuntime
from tests.unit.rig_runs import Behaviour as RigBehaviour
from tests.unit.test_cli import Harness, harness

pytestmark = pytest.mark.long

__all__ = ["harness"]


def one_document(text: str, *, schema: int = 1) -> dict[str, Any]:
    """The only thing in `text`: a JSON object of that schema, by the letter of the standard."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    found = json.loads(text, parse_constant=refuse)
    assert isinstance(found, dict)
    assert found["schema"] == schema
    return found


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, topology: Topology, tmp_path: Path) -> list[str]:
    """Commands run on the fake platform and a fake clock; gives the options that make them short."""

    def on_the_fake(original: Callable[..., Any]) -> Callable[..., Any]:
        def go(**how: Any) -> Any:
            clock = FakeClock()
            return original(**{**how, "clock": clock, "runtime": FakeRuntime(clock, topology)})

        return go

    monkeypatch.setattr(
        "harness.cli.running.runtime", lambda say: say("an engine answers") or FakeRuntime(FakeClock(), topology)
    )
    monkeypatch.setattr("harness.run.experiment.run_suite", on_the_fake(run_suite))
    monkeypatch.setattr("harness.run.matrix.run_matrix", on_the_fake(run_matrix))
    monkeypatch.setattr("harness.run.trials.run_trials", on_the_fake(run_trials))
    return ["--results", str(tmp_path), "--seed", "7", "--users", "3"]


def test_a_run_as_a_document(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, error = harness("run", "active-passive", "node-kill", *fake, "--json")
    assert code == 0
    found = one_document(out)
    assert found == json.loads((tmp_path / "latest/measures.json").read_text())
    assert found["verdict"]["outcome"] == "PASS"
    assert "an engine answers" in error
    assert "faults: until kill on workbench[active] is undone" in error
    assert re.search(r"^PASS  .*\nreport: /\S+/report\.html$", error, re.MULTILINE)


def test_a_run_that_is_quiet(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, error = harness("run", "active-passive", "node-kill", *fake, "--quiet")
    assert (code, error) == (0, "")
    verdict, report = out.splitlines()
    assert verdict.startswith("PASS  Workbench-0 died with 3 of 3 sessions on it")
    assert report == f"report: {(tmp_path / 'latest').resolve()}/report.html"


def test_both_leave_the_document_alone(harness: Harness, fake: list[str]) -> None:
    code, out, error = harness("run", "active-passive", "node-kill", *fake, "--json", "--quiet")
    assert (code, error) == (0, "")
    one_document(out)


def test_a_suite_as_a_document_is_its_file(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, error = harness("run", "active-passive", "node-kill,db-failover", *fake, "--json")
    found = one_document(out)
    (file,) = (tmp_path / "active-passive/suites").iterdir()
    assert found == json.loads(file.read_text())
    assert [one["experiment"] for one in found["experiments"]] == ["node-kill", "db-failover"]
    assert f"suite: {file}" in error
    assert code == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}[found["outcome"]]


def test_trials_as_a_document_are_their_file(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, error = harness("run", "active-passive", "node-kill", "--trials", "1", *fake, "--json")
    assert code == 0
    (file,) = (tmp_path / "active-passive/node-kill/trials").iterdir()
    assert one_document(out) == json.loads(file.read_text())
    assert f"trials: {file}" in error
    code, out, _ = harness("analyze", str(file), "--quiet")
    assert code == 0
    assert out.splitlines() == ["PASS  active-passive · node-kill, 1 trials", f"trials: {file}"]


def test_a_matrix_as_a_document_is_its_file(harness: Harness, fake: list[str], tmp_path: Path) -> None:
    code, out, error = harness("matrix", "active-passive", "node-kill", *fake, "--json")
    found = one_document(out, schema=2)
    (file,) = (tmp_path / "matrix").glob("*.json")
    assert found == json.loads(file.read_text())
    assert (found["exit_code"], [cell["standing"] for cell in found["cells"]]) == (code, ["as promised"])
    assert error.endswith(f"1 cell: 1 as promised; exit code 0\nmatrix: {file}\n")


def test_a_calibration_as_a_document_is_its_file(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock, rig = FakeClock(), tmp_path / "rig"
    rig.mkdir()
    engine = RigRuntime(clock, rig, RigBehaviour(), MACHINE)
    monkeypatch.setattr("harness.cli.calibration.runtime", lambda _say: engine)
    monkeypatch.setattr("harness.run.calibrate.run_calibration", lambda **how: run_calibration(**how, clock=clock))
    options = ["--repetitions", "1", "--seconds", "1", "--seed", "1", "--results", str(tmp_path)]
    code, out, error = harness("calibrate", *options, "--json")
    found = one_document(out)
    (file,) = (tmp_path / "calibration").glob("*/calibration.json")
    assert found == json.loads(file.read_text())
    assert found["outcome"] in error
    again, out, _ = harness("analyze", str(file.parent), "--quiet")
    assert (again, out.splitlines()) == (code, [found["outcome"], f"calibration: {file}"])
    history = file.parent / "history.jsonl"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:-1]))
    code, out, error = harness("analyze", str(file.parent), "--json")
    assert (code, out) == (2, ""), "a calibration that was killed proves nothing"
    assert "the history was not closed" in error


def test_an_analysis_as_a_document(harness: Harness, usual: Result, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(usual.folder.path, tmp_path / "run"))
    code, out, error = harness("analyze", str(folder), "--json")
    assert code == 0
    assert one_document(out) == json.loads((folder / "measures.json").read_text())
    assert error.count("\n") == 2, "the verdict and where the report is"


def test_of_the_year_the_answer_is_the_verdict(harness: Harness, usual: Result) -> None:
    code, out, error = harness("nines", str(usual.folder.path), "--draws", "1000", "--quiet")
    assert (code, error) == (2, "")
    assert out == "NOT KNOWN  whether 99.9% is met\n"
    code, out, _ = harness("nines", str(usual.folder.path), "--draws", "1000", "--json")
    assert (code, one_document(out)["meets"]) == (2, None)


@pytest.mark.parametrize("command", [["run", "active-passive"], ["matrix", "active-passive"]])
def test_a_plan_is_no_document(harness: Harness, command: list[str]) -> None:
    code, out, error = harness(*command, "--dry-run", "--json")
    assert (code, out) == (64, "")
    assert "--json with --dry-run: there are no results to print" in error
    assert harness(*command, "--dry-run", "--quiet") == (0, "", "")


def test_what_can_not_be_done_leaves_standard_output_empty(harness: Harness, tmp_path: Path) -> None:
    code, out, error = harness("analyze", str(tmp_path), "--json")
    assert (code, out) == (64, "")
    assert "is not the folder of a run" in error
