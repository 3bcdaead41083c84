"""Trials on the fake runtime: one platform, a control run, what is kept of each, and when no more are run."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import cli
from harness.analysis.trial_set import Trial
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment
from harness.core.history import EventKind, Phase, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import RecordError, RunInterrupted
from harness.faults.registry import RULES
from harness.report.trials import render_trials
from harness.run.choice import Repetition
from harness.run.experiment import run_experiment
from harness.run.schedule import make_plan
from harness.run.trials import Kept, reanalyse, run_trials
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.spec.loader import load_experiment, load_topology
from tests.unit.fake_runs import Recorder

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Bench:
    """Everything a set of trials needs, and what it left."""

    results: Path
    topology: Topology
    experiment: Experiment
    behaviour: Behaviour = field(default_factory=Behaviour)
    watcher: Recorder = field(default_factory=Recorder)
    clock: FakeClock = field(default_factory=FakeClock)
    runtime: FakeRuntime = field(init=False)

    def __post_init__(self) -> None:
        self.runtime = FakeRuntime(self.clock, self.topology, self.behaviour)

    def go(
        self,
        trials: int,
        *,
        width: float | None = None,
        seed: int = 7,
        on_result: Callable[[Trial], None] = lambda _: None,
    ) -> Kept:
        return run_trials(
            runtime=self.runtime,
            topology=self.topology,
            experiment=self.experiment,
            repetition=Repetition(trials, width),
            results=self.results,
            watcher=self.watcher,
            seed=seed,
            clock=self.clock,
            argv=["harness", "run"],
            on_result=on_result,
        )

    def run_json(self, trial: Trial) -> Mapping[str, Any]:
        content: dict[str, Any] = json.loads((self.results / trial.folder / "run.json").read_text())
        return content


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    whole = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    quick = replace(
        whole,
        load=replace(whole.load, users=2, ramp_s=1.0, start_probe_every_s=1.0),
        faults=(replace(whole.faults[0], at_s=2.0, hold_s=12.0),),
        steady_state_s=3.0,
        settle_s=6.0,
    )
    return Bench(tmp_path / "results", topology, quick)


def written(kept: Kept) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(kept.path.read_text())
    return content


def printed(kept: Kept) -> str:
    text = StringIO()
    render_trials(kept.set, Console(file=text, width=120), kept.path)
    return text.getvalue()


def outcomes(kept: Kept) -> list[str]:
    return [trial.outcome.value for trial in kept.set.trials]


def test_trials_share_one_platform_after_a_control_run_and_each_has_a_folder_of_its_own(bench: Bench) -> None:
    takeovers = iter([1.0, 2.0, 3.0, 6.0])

    def next_takeover(_trial: Trial) -> None:
        bench.behaviour.takeover_s = next(takeovers, 0.0)

    kept = bench.go(4, on_result=next_takeover)
    found, (deployment,) = kept.set, bench.runtime.deployments
    assert deployment.removed
    assert outcomes(kept) == ["PASS"] * 4
    assert found.outcome is Outcome.PASS
    assert found.control_is_clean
    assert found.control.measures is not None
    assert found.control.measures.outages == ()
    runs = [found.control, *found.trials]
    assert len({trial.folder for trial in runs}) == 5
    assert {trial.deployment for trial in runs} == {deployment.run_id}
    assert [bool(trial.fresh_because) for trial in runs] == [False] * 5
    assert kept.path.parent == bench.results / "active-passive/node-kill/trials"
    assert kept.path.stem == Path(found.control.folder).name
    assert found.control.folder.startswith("active-passive/control/")
    log_in = next(one for one in found.summary.measures if one.name == "outage of log_in").over_trials
    assert log_in.median is not None
    assert log_in.largest is not None
    assert log_in.mean == pytest.approx(3.0, abs=0.15)  # of take-overs of 1, 2, 3 and 6 s
    assert log_in.median.value == pytest.approx(2.5, abs=0.15)
    assert log_in.largest.value == pytest.approx(6.0, abs=0.15)
    # people restart 2 s after that: s = sqrt(14/3) = 2.16, t(0.975, 3) = 3.182, half = 3.44
    work = found.summary.longest.over_trials
    assert work.interval is not None
    assert work.interval.lower == pytest.approx(5 - 3.44, abs=0.2)
    assert work.interval.upper == pytest.approx(5 + 3.44, abs=0.2)
    restarted = next(one for one in found.summary.measures if one.name == "sessions restarted").over_trials
    assert (restarted.mean, restarted.interval) == (2, None)

    content = written(kept)
    assert (content["seed"], content["trials_at_most"], content["outcome"]) == (7, 4, "PASS")
    assert content["summary"]["trials"] == 4
    for trial in runs:
        facts = bench.run_json(trial)
        assert facts["schedule_sha256"] == trial.schedule_sha256
        assert facts["seed"] == trial.seed
        assert facts["trial"]["number"] == trial.number
        assert (bench.results / trial.folder / "report.html").is_file()
    assert bench.run_json(found.trials[1])["trial"]["set"] == kept.path.stem

    text = printed(kept)
    assert "control  PASS     unaffected  none" in text
    assert "recovered by design: 4 of 4 trials, 100.0% (95% Clopper-Pearson 39.8 to 100.0%); 4 by design" in text
    assert "largest of 4" in text
    assert "p95: not available, it needs 20 trials" in text
    assert f"trials: {kept.path}" in text


def test_faults_come_when_and_hit_whom_the_schedule_says(bench: Bench) -> None:
    fault = replace(bench.experiment.faults[0], target="workbench[any]")
    bench.experiment = replace(bench.experiment, faults=(fault,))
    kept = bench.go(2)
    for trial in kept.set.trials:
        history = read_history(bench.results / trial.folder / "history.jsonl")
        (planned,) = trial.schedule["faults"]
        inject = next(e for e in history.of(EventKind.FAULT) if e.data["step"] == "inject")
        (steady,) = history.of(EventKind.STEADY)
        assert (inject.t_ns - steady.t_ns) / 1e9 == pytest.approx(2.0 + trial.offset_s, abs=0.01)
        assert planned["at_s"] == pytest.approx(2.0 + trial.offset_s)
        assert inject.data["targets"] == planned["targets"]


def test_the_same_seed_repeats_the_set_down_to_its_outages(bench: Bench, tmp_path: Path) -> None:
    bench.behaviour.takeover_spread_s = 3.0
    again = Bench(tmp_path / "again", bench.topology, bench.experiment, bench.behaviour)
    first, second = bench.go(2), again.go(2)
    assert first.set.plan_sha256 == second.set.plan_sha256
    assert first.set.summary == second.set.summary
    hashes = [trial.schedule_sha256 for trial in first.set.trials]
    assert hashes == [trial.schedule_sha256 for trial in second.set.trials]
    lengths = [trial.measures.outages[0].seconds for trial in first.set.trials if trial.measures]
    assert lengths[0] != lengths[1], "take-overs vary with the seed"
    assert make_plan(bench.topology, bench.experiment, 2, 8).sha256 != first.set.plan_sha256


def test_a_single_run_keeps_its_exact_times_and_says_the_hash_of_its_schedule(bench: Bench) -> None:
    folder, measures = run_experiment(
        runtime=bench.runtime,
        topology=bench.topology,
        experiment=bench.experiment,
        results=bench.results,
        watcher=bench.watcher,
        seed=7,
        clock=bench.clock,
    )
    window, (fault,) = measures.facts.window, measures.facts.faults
    assert window is not None
    assert fault.inject_before_ns is not None
    assert (fault.inject_before_ns - window.start_ns) / 1e9 == pytest.approx(2.0, abs=0.01)
    assert len(json.loads((folder.path / "run.json").read_text())["schedule_sha256"]) == 64


# -- when no more are run --------------------------------------------------------------------------------------------


def test_enough_is_enough_once_the_interval_is_narrow(bench: Bench) -> None:
    bench.behaviour.takeover_spread_s = 0.5
    kept = bench.go(8, width=0.5)
    assert outcomes(kept) == ["PASS"] * 5, "five at the least"
    assert kept.set.outcome is Outcome.PASS, "what was not wished for any more is not missing"
    assert bench.runtime.deployments[0].removed
    content = written(kept)
    assert "somewhat too narrow" in content["stopped_early"]
    assert (content["trials_at_most"], len(content["trials"])) == (8, 5)
    text = printed(kept)
    assert "after 5 of at most 8 trials: an interval at which one stops" in text
    assert "wished 50%" in text
    assert "5 of 8 trials" in text


def test_an_outage_in_the_control_run_proves_nothing_and_ends_the_set(bench: Bench) -> None:
    def falter(_now_ns: int) -> None:
        if bench.watcher.phases[-1] is Phase.SETTLE and not bench.watcher.notes[-1].startswith("faltered"):
            bench.watcher.note("faltered")
            bench.runtime.deployments[0].platform._leave("workbench-0")

    bench.behaviour.on_sleep = falter
    kept = bench.go(3)
    assert kept.set.outcome is Outcome.INCONCLUSIVE
    assert outcomes(kept) == ["INCONCLUSIVE"] * 3
    first, rest = kept.set.reasons
    assert first.startswith("control run: INCONCLUSIVE: the platform was not steady")
    assert rest.startswith("trials 1 to 3: not run: the control run was not clean")
    assert written(kept)["control"]["outcome"] == "INCONCLUSIVE"
    assert bench.runtime.deployments[0].removed
    assert "control run: INCONCLUSIVE" in printed(kept)


def test_an_error_in_the_control_run_is_an_error(bench: Bench) -> None:
    bench.behaviour.lose_row = True
    kept = bench.go(2)
    assert kept.set.outcome is Outcome.ERROR
    assert kept.set.control.outcome is Outcome.ERROR


def test_an_interruption_in_a_trial_ends_the_set(bench: Bench) -> None:
    def interrupt(_now_ns: int) -> None:
        if bench.watcher.notes[-1].startswith("kill") and "trial 2 of 3" in bench.watcher.notes:
            raise RunInterrupted("SIGINT")

    bench.behaviour.on_sleep = interrupt
    kept = bench.go(3)
    assert outcomes(kept) == ["PASS", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert kept.set.outcome is Outcome.INCONCLUSIVE
    assert kept.set.reasons == (
        "trial 2: INCONCLUSIVE: interrupted by SIGINT",
        "trial 3: not run: interrupted before its turn",
    )
    content = written(kept)
    assert content["interrupted"] is True
    assert content["summary"]["trials"] == 1, "the one that was cut short is in no number"
    assert content["summary"]["proving_nothing"] == 1
    assert "1 trial(s) prove nothing" in printed(kept)


def test_a_signal_between_two_trials_is_heard(bench: Bench) -> None:
    class Signalling(Recorder):
        def note(self, text: str) -> None:
            super().note(text)
            if text == "trial 2 of 3":
                os.kill(os.getpid(), signal.SIGINT)

    bench.watcher = Signalling()
    kept = bench.go(3)
    assert outcomes(kept) == ["PASS", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert kept.set.reasons == ("trials 2 to 3: not run: interrupted before its turn",)
    assert written(kept)["interrupted"] is True
    assert bench.runtime.deployments[0].removed


def test_what_breaks_the_harness_leaves_the_trials_before_it_in_the_file(bench: Bench) -> None:
    def full(trial: Trial) -> None:
        if trial.number == 1:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        bench.go(2, on_result=full)
    (path,) = (bench.results / "active-passive/node-kill/trials").glob("*.json")
    content = json.loads(path.read_text())
    assert [trial["outcome"] for trial in content["trials"]] == ["PASS", "INCONCLUSIVE"]
    assert content["trials"][1]["why_not"] == "not run: its turn did not come"
    assert bench.runtime.deployments[0].removed


# -- platforms, and reading it again ---------------------------------------------------------------------------------


def test_a_trial_that_left_the_platform_broken_gets_the_next_one_a_fresh_one_and_it_is_said(bench: Bench) -> None:
    fault = replace(bench.experiment.faults[0], hold_s=1.0)
    bench.experiment = replace(bench.experiment, settle_s=0.0, faults=(fault,))  # no time to come back
    kept = bench.go(2)
    assert len(bench.runtime.deployments) == 2, "the control run and the first trial share one"
    assert all(deployment.removed for deployment in bench.runtime.deployments)
    assert [trial.fresh_because for trial in kept.set.trials] == ["", "0 of 2 people worked at the end"]
    assert written(kept)["trials"][1]["fresh_because"] == "0 of 2 people worked at the end"
    assert "trial 2 got a fresh platform: 0 of 2 people worked at the end" in printed(kept)
    work = kept.set.summary.longest.over_trials
    assert (kept.set.outcome, work.censored, work.mean_is_lower_bound) == (Outcome.FAIL, 2, True)
    assert work.interval is None or work.interval.upper is None
    assert "2 not ended" in printed(kept)


def test_a_trial_in_which_the_harness_broke_gets_the_next_one_a_fresh_platform(bench: Bench) -> None:
    def break_once(trial: Trial) -> None:
        bench.behaviour.lose_row = trial.number == 0

    kept = bench.go(2, on_result=break_once)
    assert outcomes(kept) == ["ERROR", "PASS"]
    assert kept.set.trials[1].fresh_because == "the harness broke on it"
    assert len(bench.runtime.deployments) == 2
    assert kept.set.outcome is Outcome.ERROR
    assert kept.set.summary.trials == 1


def test_a_set_is_rebuilt_from_what_its_runs_recorded(bench: Bench) -> None:
    kept = bench.go(2)
    before = written(kept)
    for trial in kept.set.trials:
        (bench.results / trial.folder / "measures.json").unlink()
    rebuilt, path = reanalyse(kept.path)
    assert path.resolve() == kept.path.resolve()
    assert written(kept) == before
    assert rebuilt.summary == kept.set.summary
    assert (bench.results / kept.set.trials[0].folder / "measures.json").is_file()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 0, "plan_sha256": ""}', '{"schema": 1}'])
def test_a_file_that_is_no_set_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=r"x\.json"):
        reanalyse(path)


def test_the_command_prints_the_set_and_its_verdict_is_the_exit_code(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def harness(*argv: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *argv])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, capsys.readouterr().out

    monkeypatch.setattr("harness.run.trials.run_trials", partial(run_trials, clock=bench.clock))
    monkeypatch.setattr("harness.cli.running.runtime", lambda _say: bench.runtime)
    words = ["--users", "2", "--trials", "1", "--seed", "7", "--results", str(bench.results)]
    code, out = harness("run", "active-passive", "node-kill", *words)
    assert code == 0
    assert "trial 1: PASS" in out
    assert "PASS  active-passive · node-kill, 1 trials" in out
    (path,) = (bench.results / "active-passive/node-kill/trials").glob("*.json")
    assert json.loads(path.read_text())["argv"][-1] == str(bench.results)
    code, again = harness("analyze", str(path))
    assert code == 0
    assert again.splitlines()[-3:] == out.splitlines()[-3:]
