"""What an experiment needs of its platform, wherever it runs: a suite, trials, a matrix, a pytest test."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.core.change import Scale, Upgrade
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment
from harness.core.history import EventKind, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import UsageError
from harness.run.choice import Chosen, Repetition
from harness.run.dry import plan_lines
from harness.run.experiment import run_suite
from harness.run.matrix import run_matrix
from harness.run.matrix_plan import make_matrix_plan
from harness.run.needs import needs_of
from harness.run.schedule import control_of, make_plan
from harness.run.trials import run_trials
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT, SOUND, Recorder, experiment
from tests.unit.pytest_runs import Inner

pytest_plugins = ["pytester"]

FOREIGN = "company/workbench:7"
PREVIOUS = "workbench@previous"


@pytest.fixture(scope="module")
def pair() -> Topology:
    return load_topology(ROOT / "topologies/active-active.yaml")


@pytest.fixture(scope="module")
def rolling() -> Experiment:
    made = experiment("rolling-upgrade")
    return replace(made, load=replace(made.load, users=2, ramp_s=1), steady_state_s=3, settle_s=6)


@pytest.fixture
def short_kill(node_kill: Experiment, rolling: Experiment) -> Experiment:
    kill = replace(node_kill.faults[0], target="workbench[0]", hold_s=10)
    return replace(node_kill, load=rolling.load, steady_state_s=3, settle_s=6, faults=(kill,))


def upgraded(rolling: Experiment, **more: Any) -> Experiment:
    assert rolling.upgrade is not None
    return replace(rolling, upgrade=replace(rolling.upgrade, **more))


def first_releases(runtime: FakeRuntime) -> list[str]:
    """What each platform's nodes began with, or were exchanged for."""
    return [deployment.platform.releases["workbench-0"] for deployment in runtime.deployments]


def test_an_upgrade_needs_its_first_release_both_images_and_places_that_nobody_has_used(
    pair: Topology, rolling: Experiment
) -> None:
    needs = needs_of(pair, upgraded(rolling, strategy="blue_green"))
    assert (needs.release, needs.later, needs.fresh) == (PREVIOUS, ("workbench",), True)
    assert needs.topology.workbench.spare_nodes == 2
    plain = needs_of(pair, replace(rolling, upgrade=None))
    assert (plain.release, plain.later, plain.fresh, plain.topology) == ("workbench", (), False, pair)


def test_a_platform_serves_whoever_needs_the_same_and_did_not_ask_for_a_fresh_one(
    pair: Topology, rolling: Experiment
) -> None:
    runtime = FakeRuntime(FakeClock(), pair)
    plain = needs_of(pair, replace(rolling, upgrade=None))
    upgrade = needs_of(pair, rolling)
    assert plain.served_by(plain.stage(runtime, "a"))
    assert not upgrade.served_by(upgrade.stage(runtime, "b"))
    assert not plain.served_by(upgrade.stage(runtime, "b")), "its nodes are of another release"


@pytest.mark.long
def test_trials_of_an_upgrade_begin_with_its_release_after_a_control_run_without_it(
    pair: Topology, rolling: Experiment, tmp_path: Path
) -> None:
    clock = FakeClock()
    runtime = FakeRuntime(clock, pair)
    kept = run_trials(
        runtime=runtime,
        topology=pair,
        experiment=rolling,
        repetition=Repetition(2),
        results=tmp_path,
        watcher=Recorder(),
        seed=7,
        clock=clock,
    )
    assert kept.set.control.measures is not None
    assert kept.set.control.measures.verdict.outcome is Outcome.PASS
    assert [trial.measures is not None for trial in kept.set.trials] == [True, True]
    assert first_releases(runtime) == [PREVIOUS, "workbench", "workbench"], "the control run is not upgraded"
    assert all(deployment.removed for deployment in runtime.deployments)


def test_a_planned_change_comes_at_a_moment_that_is_drawn_and_is_in_the_schedule(
    pair: Topology, rolling: Experiment
) -> None:
    plan = make_plan(pair, rolling, 5, 7)
    (first, *_) = plan.trials
    assert first.offset_s > 0
    assert first.experiment.upgrade is not None
    assert first.experiment.upgrade.at_s == pytest.approx(5 + first.offset_s)
    assert first.schedule["changes"][0]["to"] == "current"
    assert len({run.sha256 for run in plan.trials}) == 5
    assert "changes" not in plan.control.schedule
    scaled = replace(rolling, upgrade=None, scale=(Scale(to=3, at_s=5), Scale(to=2, at_s=40)))
    (trial,) = make_plan(pair, scaled, 1, 7).trials
    assert [one.at_s for one in trial.experiment.scale] == pytest.approx([5 + trial.offset_s, 40 + trial.offset_s])
    assert control_of(scaled).changes == ()


@pytest.mark.long
def test_a_matrix_runs_an_upgrade_between_other_experiments(
    pair: Topology, rolling: Experiment, short_kill: Experiment, tmp_path: Path
) -> None:
    clock = FakeClock()
    runtime = FakeRuntime(clock, pair)
    names = (short_kill.name, rolling.name, "again")
    row = Chosen(pair, (short_kill, rolling, replace(short_kill, name="again")), (), by_name=True, names=names)
    done = run_matrix(runtime=runtime, rows=[row], results=tmp_path, watcher=Recorder(), seed=7, clock=clock)
    assert first_releases(runtime) == ["workbench", "workbench", "workbench"], "the second is upgraded"
    assert len(runtime.deployments) == 3
    (cell,) = [cell for cell in done.result.cells if cell.experiment == rolling.name]
    (end,) = read_history(tmp_path / cell.trials[0].folder / "history.jsonl").of(EventKind.CHANGED)
    assert end.data["how"] == "done"


def test_a_matrix_with_trials_gives_an_upgrade_a_control_run_on_its_own_release(
    pair: Topology, rolling: Experiment, short_kill: Experiment
) -> None:
    other = replace(upgraded(rolling, to="broken"), name="broken-upgrade")
    names = (short_kill.name, rolling.name, other.name)
    row = Chosen(pair, (short_kill, rolling, other), (), by_name=True, names=names)
    plan = make_matrix_plan([row], trials=1, users=None, seed=7)
    assert sorted(plan.controls.values()) == [(short_kill.name,), (rolling.name, other.name)]


@pytest.mark.long
def test_an_upgrade_as_a_pytest_test_has_a_platform_of_its_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, usual: object
) -> None:
    inner = Inner(pytester, monkeypatch)
    short = "settle_s: 6\nload: {users: 2, ramp_s: 1}\n"
    for name in ("node-kill", "rolling-upgrade"):
        text = (ROOT / f"experiments/{name}.yaml").read_text().replace("hold_s: 40", "hold_s: 10")
        inner.write(f"experiments/{name}.yaml", text.replace("settle_s: 20\n", short))
    inner.write("mine.yaml", SOUND)
    result = inner.run("experiments/", "--topology", "mine.yaml")
    assert result.ret in (0, 1)
    assert len(inner.engine.deployments) == 2
    seen = {folder.path.parent.name: folder for folder in inner.folders()}
    (end,) = read_history(seen["rolling-upgrade"].history).of(EventKind.CHANGED)
    assert end.data["how"] == "done"


# -- what can't be had -------------------------------------------------------------------------------------------------


def in_a_suite(runtime: FakeRuntime, on: Topology, what: Experiment, results: Path) -> None:
    run_suite(runtime=runtime, topology=on, experiments=[what], results=results, watcher=Recorder())


def in_trials(runtime: FakeRuntime, on: Topology, what: Experiment, results: Path) -> None:
    run_trials(
        runtime=runtime,
        topology=on,
        experiment=what,
        repetition=Repetition(1),
        results=results,
        watcher=Recorder(),
    )


def in_a_matrix(runtime: FakeRuntime, on: Topology, what: Experiment, results: Path) -> None:
    row = Chosen(on, (what,), (), by_name=True, names=(what.name,))
    run_matrix(runtime=runtime, rows=[row], results=results, watcher=Recorder())


@pytest.mark.parametrize("how", [in_a_suite, in_trials, in_a_matrix])
@pytest.mark.parametrize(
    ("upgrade", "message"),
    [
        (Upgrade(from_="current", to=FOREIGN), f"the engine has no image {FOREIGN}, and it could not be pulled"),
        (Upgrade(from_=FOREIGN, to="current"), f"the engine has no image {FOREIGN}, and it could not be pulled"),
        (Upgrade(from_="current", to="next"), "there is no release next"),
    ],
)
def test_an_image_that_can_not_be_had_is_refused_before_anything_is_started(
    how: Callable[..., None],
    upgrade: Upgrade,
    message: str,
    pair: Topology,
    rolling: Experiment,
    tmp_path: Path,
) -> None:
    runtime = FakeRuntime(FakeClock(), pair, Behaviour(missing_images=(FOREIGN,)))
    with pytest.raises(UsageError, match=message):
        how(runtime, pair, replace(rolling, upgrade=upgrade), tmp_path)
    assert runtime.deployments == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_so_and_exits_with_64(
    pair: Topology,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = FakeRuntime(FakeClock(), pair, Behaviour(missing_images=(FOREIGN,)))
    monkeypatch.setattr("harness.cli.upgrading.runtime", lambda _say: engine)
    words = ["preupgrade", "active-active", "--from", "current", "--to", FOREIGN, "--results", str(tmp_path / "r")]
    monkeypatch.setattr("sys.argv", ["harness", *words])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == 64
    assert f"the engine has no image {FOREIGN}" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
    assert engine.deployments == []


def test_a_test_whose_image_can_not_be_had_is_an_error_with_that_message(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, usual: object
) -> None:
    inner = Inner(pytester, monkeypatch)
    text = (ROOT / "experiments/rolling-upgrade.yaml").read_text().replace("to: current", f"to: {FOREIGN}")
    inner.write("experiments/rolling-upgrade.yaml", text)
    result = inner.run("experiments/", behaviour=Behaviour(missing_images=(FOREIGN,)))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the engine has no image {FOREIGN}*"])
    opened: list[FakeDeployment] = inner.engine.deployments
    assert opened == []


# -- on paper ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_has_the_steps_and_the_images_of_an_upgrade(pair: Topology, rolling: Experiment) -> None:
    text = "\n".join(plan_lines(pair, [upgraded(rolling, strategy="blue_green")], []))
    assert f"images: agent, storage, database, workbench, load_balancer, client, {PREVIOUS}" in text
    assert "5.0 s  an upgrade, on a platform that nobody has used" in text
    assert "active-active: workbench from previous to current, blue_green" in text
    assert re.search(r"^ +start +workbench-2, workbench-3$", text, re.MULTILINE)
    with pytest.raises(UsageError, match="there is no release next"):
        list(plan_lines(pair, [upgraded(rolling, to="next")], []))


def test_a_dry_run_has_the_scalings(pair: Topology, rolling: Experiment) -> None:
    scaled = replace(rolling, upgrade=None, scale=(Scale(to=3, at_s=5), Scale(to=2, at_s=40, drain=False)))
    lines = list(plan_lines(pair, [scaled], []))
    assert "       5.0 s  workbench to 3 nodes" in lines
    assert "      40.0 s  workbench to 2 nodes, without draining whoever goes" in lines
