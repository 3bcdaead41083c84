"""Several experiments on one platform, on the fake runtime: what is shared, what is fresh, and the verdict on all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.core.clock import FakeClock
from harness.core.experiment import AbortWhen, Experiment
from harness.core.history import EventKind, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import RunInterrupted
from harness.faults.registry import RULES
from harness.report.terminal import render_suite
from harness.run.abort import AbortCondition
from harness.run.artifacts import RunFolder
from harness.run.choice import choose
from harness.run.experiment import run_suite
from harness.run.suite import STANDARD_SUITE, SuiteEntry, chosen_experiments, overall, write_suite
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.spec import Catalog
from tests.unit.fake_runs import ROOT, Recorder

pytestmark = pytest.mark.long

Suite = Callable[..., tuple[list[SuiteEntry], FakeRuntime]]


@pytest.fixture
def suite(tmp_path: Path, topology: Topology) -> Suite:
    def go(
        experiments: Sequence[Experiment], behaviour: Behaviour | None = None
    ) -> tuple[list[SuiteEntry], FakeRuntime]:
        clock = FakeClock()
        runtime = FakeRuntime(clock, topology, behaviour)
        entries = run_suite(
            runtime=runtime,
            topology=topology,
            experiments=experiments,
            results=tmp_path,
            watcher=Recorder(),
            seed=7,
            clock=clock,
        )
        return entries, runtime

    return go


def outcomes(entries: Sequence[SuiteEntry]) -> list[str]:
    return [entry.outcome.value if entry.outcome else entry.why_not for entry in entries]


def test_experiments_share_one_platform_and_each_has_a_folder_and_people_of_its_own(
    suite: Suite, node_kill: Experiment
) -> None:
    entries, runtime = suite([node_kill, replace(node_kill, name="again")])
    assert outcomes(entries) == ["PASS", "PASS"], [entry.summary for entry in entries]
    assert len(runtime.deployments) == 1
    assert runtime.deployments[0].removed
    folders = [entry.folder for entry in entries if entry.folder]
    assert len({folder.path for folder in folders}) == 2
    first, second = (read_history(folder.history) for folder in folders)
    assert {event.data["container"] for event in first.of(EventKind.READY)} > {"client", "workbench-0"}
    assert [event.data["container"] for event in second.of(EventKind.READY)] == ["client"]
    for entry in entries:
        assert entry.measures is not None
        assert len(entry.measures.sessions) == node_kill.load.users
        assert entry.measures.writes.lost == 0
        assert [one.unacknowledged_present for one in entry.measures.writes.stores] == [0, 0, 0], "theirs alone"


def test_a_platform_that_nobody_can_work_on_at_the_end_is_not_used_again(suite: Suite, node_kill: Experiment) -> None:
    no_time_to_come_back = replace(node_kill, settle_s=0.0, faults=(replace(node_kill.faults[0], hold_s=1.0),))
    entries, runtime = suite([no_time_to_come_back, node_kill])
    assert len(runtime.deployments) == 2
    assert all(deployment.removed for deployment in runtime.deployments)
    assert outcomes(entries)[1] == "PASS"


def test_an_experiment_that_sets_a_clock_gets_a_platform_of_its_own(suite: Suite, node_kill: Experiment) -> None:
    skew = replace(node_kill.faults[0], fault="clock_skew", target="database[0]", options={"offset_s": 60})
    entries, runtime = suite([node_kill, replace(node_kill, faults=(skew,)), node_kill, node_kill])
    assert "ERROR" not in outcomes(entries), [entry.summary for entry in entries]
    assert len(runtime.deployments) == 3
    preloaded = [
        {name for name, spec in deployment._specs.items() if "LD_PRELOAD" in spec.environment}
        for deployment in runtime.deployments
    ]
    assert preloaded == [set(), {"database"}, set()]


def test_an_error_gets_the_next_experiment_a_fresh_platform(suite: Suite, node_kill: Experiment) -> None:
    impossible = replace(node_kill, faults=(node_kill.faults[0], replace(node_kill.faults[0], at_s=5.5)))
    entries, runtime = suite([impossible, node_kill])
    assert outcomes(entries) == ["ERROR", "PASS"]
    assert len(runtime.deployments) == 2
    assert overall(entries) is Outcome.ERROR


def test_after_an_interruption_the_rest_is_not_run(suite: Suite, node_kill: Experiment) -> None:
    def interrupt(_now_ns: int) -> None:
        raise RunInterrupted("SIGINT")

    entries, runtime = suite([node_kill, node_kill], Behaviour(on_sleep=interrupt))
    assert outcomes(entries) == ["INCONCLUSIVE", "INCONCLUSIVE"]
    assert entries[1].why_not == "not run: interrupted before its turn"
    assert len(runtime.deployments) == 1
    assert runtime.deployments[0].removed


# -- abort ---------------------------------------------------------------------------------------------------------


def test_an_experiment_that_goes_too_far_is_given_up_and_undone_at_once(suite: Suite, node_kill: Experiment) -> None:
    limit = AbortWhen(working_below_percent=50, for_s=2)
    (entry,), runtime = suite([replace(node_kill, abort_when=limit)], Behaviour(takeover_s=10.0))
    assert entry.measures is not None
    assert entry.measures.verdict.outcome is Outcome.FAIL
    check = next(check for check in entry.measures.verdict.checks if check.name == "not aborted")
    assert not check.kept
    assert "fewer than 50% of 12 people could work for 2" in check.observed
    assert "recovered" in check.observed
    (fault,) = entry.measures.facts.faults
    assert fault.undo_before_ns is not None
    assert fault.inject_before_ns is not None
    assert (fault.undo_before_ns - fault.inject_before_ns) / 1e9 < 4.0, "undone at once, not after the hold of 40 s"
    assert entry.measures.abort_to_recovery_s is not None
    assert entry.measures.to_json_dict()["abort_to_recovery_s"] == entry.measures.abort_to_recovery_s
    assert runtime.deployments[0].platform.host.paper.untouched()


def test_a_limit_that_is_kept_is_a_check_that_is_kept(suite: Suite, node_kill: Experiment) -> None:
    (entry,), _ = suite([replace(node_kill, abort_when=AbortWhen(working_below_percent=50, for_s=30))])
    assert entry.measures is not None
    assert entry.measures.verdict.outcome is Outcome.PASS
    assert any(check.name == "not aborted" and check.kept for check in entry.measures.verdict.checks)


def test_the_abort_condition_counts_seconds_without_a_break() -> None:
    condition = AbortCondition(AbortWhen(working_below_percent=20, for_s=10), users=10)

    def met_at(second: int, working: int) -> str:
        return condition.met({"t_ns": second * 10**9, "users": {"working": working}})

    assert not met_at(0, 1)
    assert not met_at(9, 1)
    assert not met_at(10, 2), "20% are not fewer than 20%"
    assert not met_at(11, 0)
    assert not met_at(20, 0)
    assert met_at(21, 0) == "fewer than 20% of 10 people could work for 10.0 s, 0 at last"
    assert not AbortCondition(None, 10).met({"t_ns": 0, "users": {}})


# -- what is chosen, and the whole ---------------------------------------------------------------------------------


def test_words_of_the_command_line() -> None:
    assert chosen_experiments("suite", list) == list(STANDARD_SUITE)
    assert chosen_experiments("all", lambda: ["a", "b"]) == ["a", "b"]
    assert chosen_experiments("a, b,a,", list) == ["a", "b"]


def test_the_standard_suite_applies_to_active_passive() -> None:
    chosen = choose(Catalog(ROOT), "active-passive", "suite", RULES, users=3)
    assert [experiment.name for experiment in chosen.experiments] == list(STANDARD_SUITE)
    assert {experiment.load.users for experiment in chosen.experiments} == {3}
    assert set(STANDARD_SUITE) <= set(chosen.topology.promises)
    assert not chosen.not_applicable


def entry(outcome: Outcome | None) -> SuiteEntry:
    class Fixed(SuiteEntry):
        @property
        def outcome(self) -> Outcome | None:
            return outcome

    return Fixed("x")


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        ([Outcome.PASS, Outcome.PASS], Outcome.PASS),
        ([Outcome.PASS, None], Outcome.PASS),
        ([None], Outcome.INCONCLUSIVE),
        ([], Outcome.INCONCLUSIVE),
        ([Outcome.PASS, Outcome.INCONCLUSIVE], Outcome.INCONCLUSIVE),
        ([Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS], Outcome.FAIL),
        ([Outcome.FAIL, Outcome.ERROR], Outcome.ERROR),
    ],
)
def test_the_verdict_on_the_whole(outcomes: list[Outcome | None], whole: Outcome) -> None:
    assert overall([entry(outcome) for outcome in outcomes]) is whole


def test_the_folder_of_the_results_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/pair/node-kill/run")
    path = write_suite(Path("results"), "pair", [SuiteEntry("node-kill", RunFolder(folder))])
    assert json.loads(path.read_text())["experiments"][0]["folder"] == "pair/node-kill/run"


def test_the_summary_says_what_the_topology_does_not_protect_from(
    suite: Suite, node_kill: Experiment, tmp_path: Path
) -> None:
    entries, _ = suite([node_kill])
    entries.append(SuiteEntry("gpu-loss", why_not="not applicable: no GPU", applicable=False))
    path = write_suite(tmp_path, "active-passive", entries)
    text = StringIO()
    rows = [(one.experiment, one.measures or one.why_not) for one in entries]
    render_suite("active-passive", rows, overall(entries), Console(file=text, width=120), path)
    printed = text.getvalue()
    assert "not applicable: no GPU" in printed
    assert "PASS  active-passive, 2 experiments" in printed
    assert printed.splitlines()[-2:] == [
        "active-passive does not protect from:",
        "  node-kill: 12 of 12 sessions lost what was in memory",
    ]
    written = json.loads(path.read_text())
    assert [one["outcome"] for one in written["experiments"]] == ["PASS", None]
    assert (tmp_path / written["experiments"][0]["folder"] / "report.html").is_file()
