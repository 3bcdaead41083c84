"""The command line: bad input is one message and exit 64, with nothing started."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import EngineUnavailable
from harness.run.matrix import Matrix, Words
from harness.run.matrix_file import MatrixFile
from harness.runtime.janitor import Remains
from harness.spec import Catalog
from tests.unit.fake_runs import SOUND
from tests.unit.matrix_runs import cell_of, result_of

ROOT = Path(__file__).resolve().parents[2]
GOOD_TOPOLOGY = SOUND
GOOD_EXPERIMENT = (ROOT / "experiments/node-kill.yaml").read_text()

Harness = Callable[..., tuple[int, str, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    def no_engine(*_: object) -> Any:
        raise AssertionError("an engine was asked for although the input is bad")

    monkeypatch.setattr("harness.runtime.engine.ensure_engine", no_engine)
    monkeypatch.setattr("harness.runtime.engine.connect", no_engine)
    monkeypatch.chdir(ROOT)

    def go(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *argv])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err

    return go


def test_without_a_topology_the_list_of_topologies_is_the_answer(harness: Harness) -> None:
    code, _, error = harness("run")
    assert code == 64
    assert "active-passive" in error


def test_a_misspelt_topology_names_the_nearest(harness: Harness) -> None:
    code, _, error = harness("run", "active-pasive")
    assert code == 64
    assert "did you mean active-passive?" in error


def test_a_misspelt_experiment_names_the_nearest(harness: Harness) -> None:
    code, _, error = harness("run", "active-passive", "node-kil")
    assert code == 64
    assert "did you mean node-kill?" in error


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("fault: kill", "fault: kil", "did you mean kill?"),
        ("hold_s: 40", "hold_s: -40", "hold_s"),
        ("hold_s: 40", "hold_s: long", "hold_s"),
        ("hold_s: 40", "holds: 40", "did you mean hold_s?"),
        ("workbench[active]", "workbench[7]", "workbench[7]"),
        ("workbench[active]", "workbenhc[active]", "workbench"),
        ("workbench[active]", "scheduler[0]", "scheduler"),
    ],
)
def test_a_mistake_in_an_experiment_is_named_with_file_and_line(
    harness: Harness, tmp_path: Path, old: str, new: str, expected: str
) -> None:
    path = tmp_path / "node-kill.yaml"
    path.write_text(GOOD_EXPERIMENT.replace(old, new))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if new in text)
    code, _, error = harness("run", "active-passive", str(path))
    assert code == 64
    assert f"node-kill.yaml:{line}:" in error
    assert expected in error


def test_a_contradiction_in_a_topology_names_both_fields(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "lonely.yaml"
    path.write_text(GOOD_TOPOLOGY.replace("nodes: 2", "nodes: 1"))
    code, _, error = harness("run", str(path))
    assert code == 64
    assert "nodes" in error
    assert "active-passive" in error


@pytest.mark.long
def test_a_role_that_cannot_be_scaled_is_refused(harness: Harness) -> None:
    code, _, error = harness("run", "single", "scale-up")
    assert code == 64
    assert "single has no load_balancer, so nobody would be sent to a node that joins" in error


def test_a_dry_run_prints_the_plan_and_starts_nothing(harness: Harness) -> None:
    code, out, _ = harness("run", "active-passive", "--dry-run")
    assert code == 0
    assert "inject kill on workbench[active]" in out
    assert "nothing was started" in out


@pytest.mark.parametrize(
    "argv", [["run", "--no-such-option"], ["no-such-command"], ["run", "active-passive", "--users", "many"]]
)
def test_usage_errors_are_64_not_2(harness: Harness, argv: list[str]) -> None:
    code, _, error = harness(*argv)
    assert code == 64
    assert error


@pytest.mark.long
@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["node-kill", "--trials", "0"], "--trials 0: there must be one at least"),
        (["node-kill", "--trials", "-3"], "there must be one at least"),
        (["node-kill", "--trials", "some"], "--trials"),
        (["node-kill", "--until-width", "20%"], "without --trials"),
        (["node-kill", "--trials", "9", "--until-width", "20"], "expected a percentage"),
        (["node-kill", "--trials", "9", "--until-width", "0%"], "expected a percentage"),
        (["node-kill", "--trials", "9", "--until-width", "narrow"], "expected a percentage"),
        (["node-kill", "--trials", "9", "--until-width", "101%"], "expected a percentage"),
        (["node-kill", "--trials", "3", "--until-width", "20%"], "from 5 trials on"),
        (["node-kill,lb-loss", "--trials", "3"], "these are 2: node-kill, lb-loss"),
        (["suite", "--trials", "3"], "repeats one experiment"),
        (["--trials", "3"], "hint: harness run active-passive node-kill --trials 3"),
    ],
)
def test_trials_that_can_not_be_done_are_refused(harness: Harness, argv: list[str], expected: str) -> None:
    code, _, error = harness("run", "active-passive", *argv)
    assert code == 64
    assert expected in error


def test_a_dry_run_of_trials_prints_their_schedules(harness: Harness) -> None:
    code, out, _ = harness("run", "active-passive", "node-kill", "--trials", "2", "--seed", "7", "--dry-run")
    assert code == 0
    assert "inject kill on workbench[active]" in out
    assert "trial 2   faults 1.510 s later; schedule 9df89c6391ad1d64" in out


def test_no_users_at_all_is_refused(harness: Harness) -> None:
    assert harness("run", "active-passive", "--users", "0")[0] == 64


def test_a_folder_that_is_no_run_is_refused(harness: Harness, tmp_path: Path) -> None:
    code, _, error = harness("analyze", str(tmp_path))
    assert code == 64
    assert "history.jsonl" in error


def test_no_engine_is_69_with_what_to_do(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: object) -> Any:
        raise EngineUnavailable("no Docker engine answers", hint="sudo systemctl start docker")

    monkeypatch.setattr("harness.runtime.engine.ensure_engine", unavailable)
    code, _, error = harness("run", "active-passive")
    assert code == 69
    assert "sudo systemctl start docker" in error


def test_a_defect_is_70_never_a_verdict(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.runtime.engine.ensure_engine", defect)
    code, _, error = harness("run", "active-passive")
    assert code == 70
    assert "ZeroDivisionError" in error


def test_an_experiment_in_python_is_not_run_but_pytest_is_named(harness: Harness) -> None:
    code, _, error = harness("run", "active-active", "cascading-overload", "--dry-run")
    assert code == 64
    assert "pytest experiments/cascading-overload.py" in error


@pytest.mark.long
def test_the_catalogue_of_a_checkout_is_known_from_any_folder(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "active-passive" in harness("list")[1]


@pytest.mark.long
def test_list_and_validate_read_every_file(harness: Harness) -> None:
    code, out, _ = harness("list")
    assert code == 0
    assert "active-passive" in out
    assert "node-kill" in out
    assert re.search(r"  cascading-overload +A node dies, .* \(pytest experiments/cascading-overload\.py\)\n", out)
    assert harness("list", "--faults")[1].startswith("kill ")
    assert harness("validate")[0] == 0


def test_a_dry_run_shows_every_experiment_with_every_command(harness: Harness) -> None:
    code, out, _ = harness("run", "active-passive", "all", "--dry-run")
    assert code == 0
    for name in Catalog(ROOT).experiments():
        assert f"{name}: " in out
    assert "kill -KILL <PID 1 of workbench-0>" in out
    assert "docker start load-balancer" in out
    assert "nft 'table inet chaos-RUN-0" in out
    assert "SECRET" not in out


@pytest.mark.parametrize("topology", ["active-active", "ha-database"])
def test_an_experiment_with_a_link_of_its_own_uses_it(harness: Harness, topology: str) -> None:
    _, commands, _ = harness("run", topology, "slow-database", "--dry-run")
    assert "toxiproxy-cli toxic add" in commands
    assert "tc qdisc" not in commands, "which is for a kernel that has it, where there is no link"


def test_a_dry_run_shows_growth_at_its_place_on_the_time_line(harness: Harness) -> None:
    code, out, _ = harness("run", "active-passive", "n-minus-one", "--dry-run")
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    inject, growth, undo = (
        next(index for index, line in enumerate(lines) if text in line)
        for text in ("inject kill on workbench[busiest]", "45.0 s  12 more people every 20 s, up to 96", "undo kill")
    )
    assert inject < growth < undo


def test_more_users_than_growth_has_room_for_are_refused(harness: Harness) -> None:
    assert harness("run", "active-passive", "n-minus-one", "--users", "84", "--dry-run")[0] == 0
    code, _, error = harness("run", "active-passive", "n-minus-one", "--users", "85", "--dry-run")
    assert code == 64
    assert "--users 85 with n-minus-one, whose growth adds 12 people up to 96, expected at most 84" in error


@pytest.mark.long
def test_explain_prints_the_source_of_every_experiment(harness: Harness) -> None:
    code, out, _ = harness("list", "--explain")
    assert code == 0
    assert out.count("source: ") == len([*Catalog(ROOT).experiments(), *Catalog(ROOT).scripts()])
    assert "Jeff Dean" in out


def test_an_experiment_that_does_not_fit_is_refused_by_name_and_set_aside_in_a_suite(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Topology, "roles", lambda self: tuple(role for role in Role if role != "database"))
    code, _, error = harness("run", "active-passive", "db-failover", "--dry-run")
    assert code == 64
    assert "expected a role that" in error
    code, out, _ = harness("run", "active-passive", "suite", "--dry-run")
    assert code == 0
    assert "db-failover: not applicable: active-passive has no database" in out


def test_the_doctor_tells_what_is_left_of_faults_and_on_the_host(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    remains = [Remains("abc123", "active-passive", containers=["chaos-abc123-idle"], paused=["chaos-abc123-idle"])]
    journal = '{"id": "0/idle", "fault": "pause", "state": {"container": "idle"}, "open": true}\n'
    monkeypatch.setattr("harness.runtime.engine.connect", lambda: None)
    monkeypatch.setattr("harness.runtime.janitor.find_remains", lambda client: remains)
    monkeypatch.setattr("harness.runtime.janitor._left_journal", lambda client, run_id: journal)
    monkeypatch.setattr("harness.runtime.janitor.find_strays", lambda client, image, heal: ["bridge br-0123456789ab"])
    monkeypatch.setattr(
        "harness.runtime.docker.DockerRuntime.ensure_images", lambda self, names, progress: {"agent": "image"}
    )
    code, out, _ = harness("doctor", "--dry-run")
    assert code == 1
    assert "a paused machine: pause on idle was not undone" in out
    assert "container chaos-abc123-idle (paused)" in out
    assert "left on the host: bridge br-0123456789ab" in out


def test_the_list_marks_topologies_with_promises_that_are_known_to_be_broken(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "topologies").mkdir()
    known = "known_broken:\n  node-kill: the standby never takes over\n"
    (tmp_path / "topologies/old.yaml").write_text(GOOD_TOPOLOGY + known)
    (tmp_path / "topologies/sound.yaml").write_text(GOOD_TOPOLOGY)
    monkeypatch.chdir(tmp_path)
    lines = harness("list")[1].splitlines()
    assert [line.endswith("[known broken: node-kill]") for line in lines[1:3]] == [True, False]
    assert "known broken: node-kill: the standby never takes over" in harness("list", "--explain")[1]


@pytest.mark.long
def test_a_matrix_is_checked_and_listed_before_anything_starts(harness: Harness, tmp_path: Path) -> None:
    code, out, _ = harness("matrix", "all", "suite", "--dry-run")
    assert code == 0
    assert "nothing was started" in out
    for name in Catalog(ROOT).topologies():
        assert f"\n{name}\n" in out
    assert harness("matrix", "active-pasive")[0] == 64
    assert harness("matrix", "--users", "0")[0] == 64
    assert harness("matrix", "--trials", "0")[0] == 64
    for word in ("latest", "nowhere.json"):
        code, _, error = harness("matrix", "--resume", word, "--results", str(tmp_path))
        assert code == 64
        assert "there is no" in error
    code, out, _ = harness("matrix", "active-passive", "suite", "--trials", "3", "--dry-run")
    assert "4 cells, of which 4 apply, 3 trials each, 1 control run" in out


def test_a_matrix_is_shown_and_its_standing_is_the_exit_code(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {}

    def run_matrix(**how: Any) -> Matrix:
        asked.update(how)
        return Matrix(result_of(cell_of(None)), MatrixFile(tmp_path, tmp_path / "matrix.json"))

    monkeypatch.setattr("harness.cli.running.runtime", lambda _say: "the engine")
    monkeypatch.setattr("harness.run.matrix.run_matrix", run_matrix)
    argv = ["active-passive", "node-kill", "--users", "3", "--seed", "5", "--trials", "2", "--results", str(tmp_path)]
    code, out, _ = harness("matrix", *argv)
    assert code == 2
    assert "1 cell: 1 no proof; exit code 2" in out
    assert f"matrix: {tmp_path}/matrix.json" in out
    assert (asked["runtime"], asked["seed"], asked["results"]) == ("the engine", 5, tmp_path)
    assert [one.load.users for row in asked["rows"] for one in row.experiments] == [3]
    assert asked["asked"] == Words("active-passive", "node-kill", 2, 3)
    assert asked["argv"] == ["harness", "matrix", *argv]


def test_draw_prints_a_picture(harness: Harness) -> None:
    code, out, _ = harness("draw", "active-passive")
    assert code == 0
    assert out.startswith("flowchart LR\n")
    code, out, _ = harness("draw", "active-passive", "--format", "svg")
    assert code == 0
    assert out.startswith("<svg ")
    code, _, error = harness("draw", "active-passive", "--format", "png")
    assert code == 64
    assert "one of: mermaid, svg" in error


@pytest.mark.long
def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "harness", "--help"], capture_output=True, text=True, check=True)
    assert "doctor" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("command", [["--help"], ["list"], ["validate"]])
def test_what_only_reads_files_loads_none_of_the_heavy_packages(command: list[str]) -> None:
    """What makes it answer at once: `benchmarks/command_line.py` says how soon."""
    heavy = ("bokeh", "cryptography", "docker", "gevent", "jinja2", "numpy", "pandas", "pyarrow", "requests", "scipy")
    code = f"""
import sys
from harness.cli import app
app({command!r}, standalone_mode=False)
print([package for package in {heavy!r} if package in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_down_all_ends_every_run(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    remains = [Remains("abc123", "active-passive", agent="c0ffee"), Remains("def456", "ha")]
    ended: list[str] = []
    monkeypatch.setattr("harness.runtime.engine.connect", lambda: None)
    monkeypatch.setattr("harness.runtime.janitor.find_remains", lambda client: remains)
    monkeypatch.setattr("harness.runtime.janitor.end_run", lambda client, one, image: ended.append(one.run_id))
    monkeypatch.setattr("harness.runtime.docker.DockerRuntime.ensure_images", lambda *_: {"agent": "an image"})
    code, out, _ = harness("down", "--all")
    assert code == 0
    assert ended == ["abc123", "def456"]
    assert "ha (run def456) is gone" in out


def test_down_without_a_name_takes_nothing_down(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    remains = [Remains("abc123", "active-passive", agent="c0ffee")]
    monkeypatch.setattr("harness.runtime.engine.connect", lambda: None)
    monkeypatch.setattr("harness.runtime.janitor.find_remains", lambda client: remains)
    code, _, error = harness("down")
    assert code == 64
    assert "abc123 (active-passive)" in error
