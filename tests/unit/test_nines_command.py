"""`harness nines` on folders of runs: the answer, its exit code, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.analysis.nines import Nines, Question
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import SpecError, UsageError
from harness.faults.registry import RULES
from harness.report.nines import duration, render_nines
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.run.nines import answer
from harness.run.several import runs_below
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_experiment, load_topology
from tests.unit.fake_runs import NO_TAKEOVER, Recorder, with_other_spec
from tests.unit.test_cli import Harness, harness

pytestmark = pytest.mark.long

__all__ = ["harness"]  # the fixture

ROOT = Path(__file__).resolve().parents[2]
OWN = """\
rates:
  lb-loss: {per_year: 1, uncertainty_percent: 50, source: a test}
manual_repair: {median_s: 1800, p95_s: 7200, source: a test}
"""
QUESTION = Question(draws=2000)


def run(results: Path, topology: Topology, experiment: Experiment) -> RunFolder:
    clock = FakeClock()
    folder, measures = run_experiment(
        runtime=FakeRuntime(clock, topology),
        topology=topology,
        experiment=experiment,
        results=results,
        watcher=Recorder(),
        seed=7,
        clock=clock,
    )
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments on one topology, of which the first was run three times; `latest` is there too."""
    results = tmp_path_factory.mktemp("results")
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    for name in ("node-kill", "lb-loss"):
        experiment = load_experiment(ROOT / f"experiments/{name}.yaml", RULES)
        first = run(results, topology, replace(experiment, load=replace(experiment.load, users=2)))
        for copy in ("b", "c") if name == "node-kill" else ():
            shutil.copytree(first.path, first.path.with_name(f"20260101T000000Z-{copy}"))
    return results


@pytest.fixture
def results(recorded: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(recorded, tmp_path / "results", symlinks=True))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


Ask = Callable[..., Nines]


@pytest.fixture
def ask() -> Ask:
    def go(*paths: Path, rates: Path | None = None, question: Question = QUESTION) -> Nines:
        return answer(paths, question, rates_file=rates, experiments=["node-kill", "lb-loss"], faults=sorted(RULES))

    return go


def shown(nines: Nines) -> str:
    text = StringIO()
    render_nines(nines, Console(file=text, width=120))
    return " ".join(text.getvalue().split())


def test_every_run_is_a_trial_once(ask: Ask, recorded: Path, own: Path) -> None:
    runs = [folder for one in ("node-kill", "lb-loss") for folder in (recorded / "active-passive" / one).iterdir()]
    found = ask(recorded, recorded / "latest", *runs, rates=own)
    assert dict(found.trials_by_experiment) == {"node-kill": 3, "lb-loss": 1}
    assert [(one.experiment, one.machines, len(one.trials)) for one in found.hazards] == [
        ("lb-loss", 1, 1),
        ("node-kill", 1, 3),  # one of the two is active
    ]
    assert {one.outage_s > 2 for one in found.trials if one.experiment == "node-kill"} == {True}


def test_the_answer_has_all_that_was_asked_for(ask: Ask, recorded: Path, own: Path) -> None:
    found = ask(recorded, rates=own)
    text = shown(found)
    assert (found.meets, found.exit_code) == (True, 0)
    for words in (
        "4 runs are counted (lb-loss 1, node-kill 3), 0 are left out",
        "3 of 3",  # by design
        "99.999%",
        "95% credible interval",
        "cost (2000 users at $50 an hour)",
        "sessions that lose what is in memory",
        "by the block diagram",
        "what may not be claimed",
        "Jeff Dean",
        "repair: half within 30 min, 95% within 2 h: a test",
        "MET under these rates and these faults",
    ):
        assert words in text, text


def test_a_target_out_of_reach_is_not_met(ask: Ask, recorded: Path, own: Path) -> None:
    found = ask(recorded, rates=own, question=Question(draws=2000, target_percent=99.999))
    assert (found.meets, found.exit_code) == (False, 1)
    assert "NOT MET under these rates" in shown(found)


def test_missing_rates_are_asked_for(ask: Ask, recorded: Path) -> None:
    found = ask(recorded)
    assert (found.meets, found.exit_code, found.projection) == (None, 2, None)
    text = shown(found)
    assert "how often lb-loss happens (kill on load_balancer[holder])" in text
    assert "manual_repair:" in text
    assert "node-kill:" not in text, "the shipped rates have one"
    assert "NOT KNOWN" in text


def test_runs_without_proof_are_left_out_and_said(ask: Ask, results: Path, own: Path) -> None:
    first, second, _ = sorted((results / "active-passive/node-kill").iterdir())
    lines = (first / "history.jsonl").read_text().splitlines(keepends=True)
    (first / "history.jsonl").write_text("".join(lines[:-1]))
    (second / "probes.parquet").unlink()
    found = ask(results, rates=own)
    assert dict(found.trials_by_experiment) == {"node-kill": 1, "lb-loss": 1}
    whys = sorted(one.why for one in found.left_out)
    assert whys[0].startswith(f"not whole: history.jsonl:{len(lines) - 1}: the history was not closed")
    assert whys[1].startswith("not whole: probes.parquet: these rows are missing")
    assert "1 of node-kill: not whole: probes.parquet" in shown(found)


def test_without_any_trial_nothing_can_be_told(ask: Ask, results: Path, own: Path) -> None:
    for history in results.rglob("history.jsonl"):
        if not history.parent.is_symlink():
            history.write_text(history.read_text().splitlines(keepends=True)[0])
    found = ask(results, rates=own)
    assert (found.exit_code, found.missing, len(found.left_out)) == (2, (), 4)
    assert "0 runs are counted, 4 are left out" in shown(found)


def test_two_topologies_are_refused_with_their_names(ask: Ask, results: Path) -> None:
    other = replace(load_topology(ROOT / "topologies/active-passive.yaml"), name="other")
    experiment = load_experiment(ROOT / "experiments/lb-loss.yaml", RULES)
    run(results, other, replace(experiment, load=replace(experiment.load, users=2)))
    with pytest.raises(UsageError, match=r"2 topologies: active-passive \(4 runs\), other \(1 runs\)"):
        ask(results)


def test_another_knob_is_refused_by_its_name(ask: Ask, results: Path) -> None:
    one = sorted((results / "active-passive/node-kill").iterdir())[1]
    with_other_spec(RunFolder(one), "lease_ttl_s: 3.0", "lease_ttl_s: 9.0")
    with pytest.raises(UsageError, match=r"topology\.workbench\.lease_ttl_s is .* expected the same in all runs"):
        ask(results)


def test_a_suite_file_means_its_runs(ask: Ask, results: Path, own: Path) -> None:
    runs = sorted((results / "active-passive/node-kill").iterdir())[:2]
    suite = results / "active-passive/suites/x.json"
    suite.parent.mkdir()
    entries = [{"experiment": "node-kill", "folder": str(one.relative_to(results))} for one in runs]
    suite.write_text(json.dumps({"experiments": [*entries, {"experiment": "lb-loss", "folder": None}]}))
    assert [folder.path for folder in runs_below(suite)] == runs
    matrix = results / "matrix/x.json"
    matrix.parent.mkdir()
    matrix.write_text(json.dumps({"cells": entries}))
    assert dict(ask(matrix, rates=own).trials_by_experiment) == {"node-kill": 2}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("nowhere", None, "there is no such file or folder"),
        ("x.json", "{", "expected the JSON file of a suite, a matrix"),
        ("x.json", "{}", "there is no run in it"),
        ("x.json", '{"cells": [{"folder": "gone/node-kill/1"}]}', "folder is gone/node-kill/1, expected the folder"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, content: str | None, expected: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=expected):
        runs_below(tmp_path / name)


def test_an_empty_folder_has_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run in it, expected a folder with a history\.jsonl"):
        runs_below(tmp_path)


def test_a_rate_that_does_not_fit_its_experiment_is_refused(ask: Ask, results: Path, tmp_path: Path) -> None:
    for run in (results / "active-passive/node-kill").iterdir():
        with_other_spec(RunFolder(run), "target: workbench[active]", "target: workbench[*]")
    path = tmp_path / "rates.yaml"
    path.write_text(OWN.replace("lb-loss", "node-kill"))
    with pytest.raises(UsageError, match=r"rates.yaml: rates.node-kill, expected per: platform, because kill"):
        ask(results / "active-passive/node-kill", rates=path)


def test_a_mistake_in_the_rates_is_named(ask: Ask, recorded: Path, tmp_path: Path) -> None:
    path = tmp_path / "rates.yaml"
    path.write_text("rates: {lb-los: {per_year: 1, uncertainty_percent: 9, source: x}}\n")
    with pytest.raises(SpecError, match="did you mean lb-loss"):
        ask(recorded, rates=path)


def test_a_topology_that_needs_repair_costs_repairs(ask: Ask, tmp_path: Path, own: Path) -> None:
    broken = load_topology(NO_TAKEOVER)
    experiment = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    clock = FakeClock()
    run_experiment(
        runtime=FakeRuntime(clock, broken),
        topology=broken,
        experiment=experiment,
        results=tmp_path / "results",
        watcher=Recorder(),
        clock=clock,
    )
    found = ask(tmp_path / "results", rates=own)
    (hazard,) = found.hazards
    assert (len(hazard.recovered), len(hazard.missed), hazard.missed[0].waiting_ratio) == (0, 1, 1.0)
    assert found.projection is not None
    assert found.projection.hazards[0].outage_s is None
    assert "never by itself" in shown(found)


def test_the_command_exits_with_the_answer(harness: Harness, recorded: Path, own: Path) -> None:
    common = [str(recorded / "active-passive/lb-loss"), "--draws", "2000"]
    code, out, _ = harness("nines", *common)
    assert code == 2
    assert "NOT KNOWN" in out
    code, out, error = harness("nines", *common, "--rates", str(own), "--json", "--users", "10")
    assert code == 0
    assert error.startswith("MET  under these rates")
    written = json.loads(out)
    assert (written["schema"], written["topology"]) == (1, "active-passive")
    assert (written["exit_code"], written["meets"]) == (0, True)
    assert written["question"]["users"] == 10
    assert {line["percent"] for line in written["projection"]["targets"]} >= {90, 99, 99.9, 99.95, 99.99, 99.999}
    assert written["diagram"]["blocks"][0]["downtime_s"] > 0
    assert harness("nines", *common, "--rates", str(own), "--target", "99.999", "--by", "users")[0] == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--target", "100"], "--target 100, expected more than 0 and less than 100 percent"),
        (["--capabilities", "wrk"], "did you mean work?"),
        (["--capabilities", ""], "--capabilities '', expected some of: log_in"),
        (["--by", "user"], "did you mean users?"),
        (["--users", "0"], "--users 0, expected 1 or more"),
        (["--cost-per-hour", "-1"], "--cost-per-hour -1, expected 0 or more"),
        (["--draws", "10"], "--draws 10, expected 1000 to 10000000"),
        (["--rates", "nowhere.yaml"], "nowhere.yaml:1:"),
    ],
)
def test_words_that_mean_nothing_are_refused(
    harness: Harness, recorded: Path, options: Sequence[str], expected: str
) -> None:
    code, _, error = harness("nines", str(recorded / "active-passive/lb-loss"), *options)
    assert code == 64
    assert expected in error


def test_durations_read_as_people_say_them() -> None:
    assert [duration(x) for x in (0, 5.26, 315.6, 3156, 31558, 315576)] == [
        "0 s",
        "5.26 s",
        "5.26 min",
        "52.6 min",
        "8.77 h",
        "3.652 d",
    ]
