"""The whole pipeline on the fake runtime and the fake clock: from the files to the verdict."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from typing import Any

import pytest

from harness.core.experiment import Experiment, Fault
from harness.core.history import Event, EventKind, FaultStep, read_history
from harness.core.verdict import Outcome
from harness.errors import RunError, RunInterrupted, UsageError
from harness.faults.base import Evidence, State
from harness.faults.host import Host
from harness.faults.kinds.machines import Kill
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime
from harness.spec.loader import load_topology
from tests.unit.fake_runs import NO_TAKEOVER, Result, Run, Toothless, experiment

pytestmark = pytest.mark.long


def test_active_passive_keeps_its_promise_when_a_node_dies(usual: Result) -> None:
    assert usual.outcome is Outcome.PASS, usual.measures.verdict.reasons
    assert usual.steps() == [step.value for step in FaultStep]
    assert {row.outcome.value for row in usual.measures.sessions} == {"restarted"}
    assert len(usual.measures.sessions) == 12
    log_in = next(one for one in usual.measures.capabilities if one.capability == "log_in")
    (outage,) = log_in.outages
    assert outage.recovery.value == "by_design"
    assert outage.seconds_upper is not None
    assert outage.seconds_lower <= 3.0 <= outage.seconds_upper  # the fake standby takes over after exactly 3 s
    assert usual.measures.writes.lost == 0
    assert usual.runtime.deployments[0].removed


@pytest.mark.drawn
def test_a_standby_that_never_takes_over_breaks_the_promise(run: Run) -> None:
    result = run(on=load_topology(NO_TAKEOVER), what=experiment("node-kill"))
    assert result.outcome is Outcome.FAIL
    assert result.measures.worst_recovery.value == "by_repair"
    assert any("by_repair" in reason for reason in result.measures.verdict.reasons)


def test_a_fault_without_effect_is_inconclusive_and_still_undone(run: Run) -> None:
    result = run(Behaviour(faults={"kill": Toothless()}))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.steps() == ["prepare", "inject", "confirm", "undo", "confirm_recovery", "cleanup"]
    assert any("is alive" in reason for reason in result.measures.verdict.reasons)
    assert "kill on workbench[active] undone" in result.watcher.notes


class Unconfirmed(Kill):
    """A kill whose recovery can't be seen."""

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        return Evidence(False, "nobody knows")


def test_a_recovery_of_the_fault_that_cannot_be_seen_is_inconclusive(run: Run) -> None:
    assert run(Behaviour(faults={"kill": Unconfirmed()})).outcome is Outcome.INCONCLUSIVE


@pytest.mark.drawn
def test_no_steady_state_is_inconclusive_and_nothing_is_broken(run: Run) -> None:
    result = run(Behaviour(steady=False))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.steps() == []
    assert any("0 of 12 people work" in reason for reason in result.measures.verdict.reasons)


def test_a_platform_that_refuses_people_without_any_fault_fails(run: Run) -> None:
    result = run(Behaviour(steady=False, refusal="WebSocketBadStatusException: 403"))
    assert result.outcome is Outcome.FAIL, result.measures.verdict.reasons
    assert result.steps() == []
    (check,) = result.measures.verdict.checks
    assert (check.name, check.kept) == ("works without any fault", False)
    assert re.fullmatch(
        r"0 of 12 people worked after 1\d\d s; \w+ refused (\d+) of \1 times in the last 30 s, most often "
        r"`WebSocketBadStatusException: 403`",
        check.observed,
    )


def test_the_history_says_how_many_people_worked_when_the_wait_for_the_steady_state_ended(
    run: Run, usual: Result
) -> None:
    for result, reached, working in ((usual, True, 12), (run(Behaviour(carries=5)), False, 5)):
        (event,) = read_history(result.folder.history).of(EventKind.STEADY)
        assert (event.data["reached"], event.data["working"]) == (reached, working)
        assert event.data["seconds"] > 0


@pytest.mark.drawn
def test_a_container_that_never_gets_ready_is_an_error_with_its_log(run: Run) -> None:
    result = run(Behaviour(never_ready="database"))
    assert result.outcome is Outcome.ERROR
    assert any("database was not ready" in reason for reason in result.measures.verdict.reasons)
    assert any("boom" in note for note in result.watcher.notes)
    assert result.runtime.deployments[0].removed


@pytest.mark.drawn
def test_an_interruption_in_mid_fault_undoes_it_and_is_inconclusive(run: Run) -> None:
    def interrupt_while_the_node_is_away(_now_ns: int) -> None:
        if stopped():
            raise RunInterrupted("SIGINT")

    behaviour = Behaviour(on_sleep=interrupt_while_the_node_is_away)
    clock_of: list[FakeRuntime] = []

    def stopped() -> bool:
        return bool(clock_of and clock_of[0].deployments[0].platform.host.paper.wrong)

    original = FakeRuntime.open

    def open_and_remember(self: FakeRuntime, run_id: str, topology: str, *, keep: bool = False) -> Any:
        clock_of.append(self)
        return original(self, run_id, topology, keep=keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeRuntime, "open", open_and_remember)
        result = run(behaviour)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert any("SIGINT" in reason for reason in result.measures.verdict.reasons)
    platform = result.runtime.deployments[0].platform
    assert platform.host.paper.untouched(), "the killed node was not started again"
    assert result.runtime.deployments[0].removed


def test_a_control_run_without_fault_has_no_outage(run: Run, node_kill: Experiment) -> None:
    result = run(what=replace(node_kill, faults=()))
    assert not result.measures.outages
    assert {row.outcome.value for row in result.measures.sessions} == {"undisturbed"}


def test_more_users_than_the_memory_carries_is_said_before_anything_starts(run: Run, node_kill: Experiment) -> None:
    crowd = replace(node_kill, load=replace(node_kill.load, users=5000))
    with pytest.raises(UsageError, match=r"5000 users do not fit .* active-passive carries 3\d\d at the most"):
        run(what=crowd)


@pytest.mark.drawn
def test_two_faults_in_one_timeline(run: Run, node_kill: Experiment) -> None:
    second = Fault(fault="kill", target="workbench[active]", at_s=60, hold_s=30)
    result = run(what=replace(node_kill, faults=(*node_kill.faults, second)))
    log_in = next(one for one in result.measures.capabilities if one.capability == "log_in")
    assert [outage.recovery.value for outage in log_in.outages] == ["by_design", "by_design"]


def test_the_hold_counts_from_the_injection(usual: Result, node_kill: Experiment) -> None:
    (fault,) = usual.measures.facts.faults
    assert fault.undo_before_ns is not None
    assert fault.inject_before_ns is not None
    assert (fault.undo_before_ns - fault.inject_before_ns) / 1e9 == pytest.approx(node_kill.faults[0].hold_s, abs=0.01)


def test_a_node_that_is_down_is_not_taken_for_the_active_one(run: Run, node_kill: Experiment) -> None:
    overlapping = Fault(fault="kill", target="workbench[active]", at_s=15, hold_s=60)
    result = run(what=replace(node_kill, faults=(*node_kill.faults, overlapping), blast_radius=2))
    assert [fault.targets for fault in result.measures.facts.faults] == [("workbench-0",), ("workbench-1",)]


def test_nobody_to_hit_is_an_error_that_says_so(run: Run, node_kill: Experiment) -> None:
    at_once = Fault(fault="kill", target="workbench[active]", at_s=5.5, hold_s=10)
    result = run(what=replace(node_kill, faults=(*node_kill.faults, at_once)))
    assert result.outcome is Outcome.ERROR
    assert any("must be a container, found none" in reason for reason in result.measures.verdict.reasons)


def test_a_full_disk_is_an_error_and_everything_is_removed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    deployments: list[FakeDeployment] = []
    original = FakeRuntime.open

    def open_and_remember(self: FakeRuntime, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:
        deployments.append(original(self, run_id, topology, keep=keep))
        return deployments[-1]

    monkeypatch.setattr(FakeRuntime, "open", open_and_remember)
    lines = iter(range(8))
    to_line = Event.to_line

    def no_room_after_some_lines(event: Event) -> str:
        if next(lines, None) is None:
            # what a write to a full disk looks like to the writer: the text that does not fit raises when it is flushed
            raise OSError(errno.ENOSPC, "No space left on device")
        return to_line(event)

    monkeypatch.setattr(Event, "to_line", no_room_after_some_lines)
    with pytest.raises(RunError, match="No space left on device"):
        run()
    assert deployments[0].removed
