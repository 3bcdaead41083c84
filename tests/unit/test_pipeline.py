"""The whole pipeline on the fake runtime and the fake clock: from the files to the verdict and the report."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from harness.analysis import Measures
from harness.analysis.checks_audit import CheckVerdict
from harness.analysis.writes import StoreWrites
from harness.components import databases
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment, Fault
from harness.core.history import Event, EventKind, FaultStep, Phase, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Role, Store
from harness.errors import RecordError, RunError, RunInterrupted, UsageError
from harness.faults.base import Evidence, State
from harness.faults.host import Host
from harness.faults.kinds.machines import Kill
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime
from harness.runtime.fake_database import FakeDatabase
from harness.spec.loader import load_experiment, load_topology

ROOT = Path(__file__).resolve().parents[2]
NO_TAKEOVER = ROOT / "tests/e2e/topologies/active-passive-no-takeover.yaml"


@dataclass
class Recorder:
    """A watcher that keeps what it was told."""

    notes: list[str] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        self.phases.append(phase)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        assert snapshot["users"]


@dataclass
class Result:
    folder: RunFolder
    measures: Measures
    runtime: FakeRuntime
    watcher: Recorder

    @property
    def outcome(self) -> Outcome:
        return self.measures.verdict.outcome

    def steps(self) -> list[str]:
        return [e.data["step"] for e in read_history(self.folder.history).of(EventKind.FAULT)]


Run = Callable[..., Result]


@pytest.fixture
def topology() -> Topology:
    return load_topology(ROOT / "topologies/active-passive.yaml")


@pytest.fixture
def node_kill() -> Experiment:
    return load_experiment(ROOT / "experiments/node-kill.yaml", RULES)


@pytest.fixture
def run(tmp_path: Path, topology: Topology, node_kill: Experiment) -> Run:
    def go(behaviour: Behaviour | None = None, *, on: Topology = topology, what: Experiment = node_kill) -> Result:
        clock, watcher = FakeClock(), Recorder()
        runtime = FakeRuntime(clock, on, behaviour)
        folder, measures = run_experiment(
            runtime=runtime, topology=on, experiment=what, results=tmp_path, watcher=watcher, seed=7, clock=clock
        )
        return Result(folder, measures, runtime, watcher)

    return go


def test_active_passive_keeps_its_promise_when_a_node_dies(run: Run) -> None:
    result = run()
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    assert result.steps() == [step.value for step in FaultStep]
    assert {row.outcome.value for row in result.measures.sessions} == {"restarted"}
    assert len(result.measures.sessions) == 12
    log_in = next(one for one in result.measures.capabilities if one.capability == "log_in")
    (outage,) = log_in.outages
    assert outage.recovery.value == "by_design"
    assert outage.seconds_upper is not None
    assert outage.seconds_lower <= 3.0 <= outage.seconds_upper  # the fake standby takes over after exactly 3 s
    assert result.measures.writes.lost == 0
    assert result.runtime.deployments[0].removed


def test_every_artefact_of_the_design_is_written_and_analysis_alone_rebuilds_it(run: Run) -> None:
    result = run()
    derived = ("measures.json", "verdict.json", "outages.csv", "sessions.csv", "report.html", "junit.xml")
    recorded = (
        "run.json",
        "spec.resolved.yaml",
        "history.jsonl",
        "operations.parquet",
        "probes.parquet",
        "database_writes.parquet",
        "balancer.parquet",
        "servers.parquet",
        "saved.parquet",
        "harness.log",
    )
    path = result.folder.path
    assert all((path / name).stat().st_size for name in (*derived, *recorded))
    assert (path / "containers/workbench-0/log").read_text() == "workbench-0 said nothing\n"
    assert (path.parents[2] / "latest").resolve() == path
    before = json.loads((path / "measures.json").read_text())
    for name in derived:
        (path / name).unlink()
    RunFolder.existing(path).analyse()
    assert json.loads((path / "measures.json").read_text()) == before


def test_a_standby_that_never_takes_over_breaks_the_promise(run: Run) -> None:
    result = run(on=load_topology(NO_TAKEOVER), what=replace_name("node-kill"))
    assert result.outcome is Outcome.FAIL
    assert result.measures.worst_recovery.value == "by_repair"
    assert any("by_repair" in reason for reason in result.measures.verdict.reasons)


def replace_name(name: str) -> Experiment:
    return load_experiment(ROOT / f"experiments/{name}.yaml", RULES)


def test_a_lost_acknowledged_write_fails(run: Run) -> None:
    result = run(Behaviour(lose_save=True))
    assert result.outcome is Outcome.FAIL
    assert result.measures.writes.lost == 1


def database(result: Result) -> StoreWrites:
    found = result.measures.writes.of(Store.DATABASE)
    assert found is not None
    return found


def test_writes_that_a_failover_lost_fail_though_the_homes_have_everything(run: Run) -> None:
    result = run(Behaviour(lose_database_writes=3))
    assert result.outcome is Outcome.FAIL
    writes = result.measures.writes
    assert [one.lost for one in writes.stores] == [0, 3]
    (reason,) = [reason for reason in result.measures.verdict.reasons if "promise acknowledged writes" in reason]
    assert f"0 of {writes.stores[0].acknowledged} in homes, 3 of {writes.stores[1].acknowledged} in the data" in reason
    assert reason.endswith("of writer in the database")


def test_a_database_that_was_away_and_lost_nothing(run: Run, topology: Topology) -> None:
    what = replace_name("db-failover")
    result = run(on=topology, what=what)
    found = database(result)
    assert (found.lost, found.duplicated, found.unacknowledged_present) == (0, 0, 0)
    assert found.acknowledged > 20 * what.steady_state_s
    assert found.longest_gap_s == pytest.approx(what.faults[0].hold_s, abs=0.1)
    (readback,) = read_history(result.folder.history).of(EventKind.READBACK)
    assert readback.data["stores"]["database"] == found.acknowledged
    assert sum(readback.data["stores"].values()) == readback.data["rows"]


def test_a_database_that_can_not_be_read_back_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDatabase, "primary_at", lambda *_: "")
    result = run()
    assert result.outcome is Outcome.ERROR
    assert any("the database could not be read back within 60 s" in r for r in result.measures.verdict.reasons)


def test_without_a_database_there_is_a_file_without_rows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Topology, "roles", lambda _: tuple(role for role in Role if role is not Role.DATABASE))
    monkeypatch.setattr(databases, "chosen", lambda _: None)
    monkeypatch.setattr(FakeDatabase, "add", lambda *_: None)
    result = run()
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    assert [one.store for one in result.measures.writes.stores] == [Store.HOME]
    assert result.folder.load().database_writes.empty


def test_a_lost_row_is_an_error_not_silence(run: Run) -> None:
    result = run(Behaviour(lose_row=True))
    assert result.outcome is Outcome.ERROR
    assert any("SHA-256" in reason for reason in result.measures.verdict.reasons)


class Toothless(Kill):
    """A kill that does nothing and does not say so."""

    def inject(self, host: Host, state: State) -> None:
        """Nothing."""


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


def test_the_history_says_how_many_people_worked_when_the_wait_for_the_steady_state_ended(run: Run) -> None:
    for behaviour, reached, working in ((Behaviour(), True, 12), (Behaviour(carries=5), False, 5)):
        (event,) = read_history(run(behaviour).folder.history).of(EventKind.STEADY)
        assert (event.data["reached"], event.data["working"]) == (reached, working)
        assert event.data["seconds"] > 0


def test_homes_on_each_nodes_own_disk_are_read_there_and_what_a_person_left_behind_is_lost(
    run: Run, topology: Topology
) -> None:
    """The simulated standby takes over without the homes of the node that died."""
    result = run(on=replace(topology, storage=None))
    saved = RunFolder.existing(result.folder.path).load().saved
    homes = saved[saved["store"] == Store.HOME.value]
    assert set(homes["place"]) == {"workbench-0", "workbench-1"}
    assert set(saved[saved["store"] == Store.DATABASE.value]["place"]) == {"database"}
    found = result.measures.writes.of(Store.HOME)
    assert found is not None
    assert found.lost == found.lost_elsewhere == (homes["place"] == "workbench-0").sum() > 0
    assert result.outcome is Outcome.FAIL
    with_storage = run()
    record = RunFolder.existing(with_storage.folder.path).load().saved
    assert set(record[record["store"] == Store.HOME.value]["place"]) == {"storage"}


def test_a_container_that_never_gets_ready_is_an_error_with_its_log(run: Run) -> None:
    result = run(Behaviour(never_ready="database"))
    assert result.outcome is Outcome.ERROR
    assert any("database was not ready" in reason for reason in result.measures.verdict.reasons)
    assert any("boom" in note for note in result.watcher.notes)
    assert result.runtime.deployments[0].removed


def test_an_interruption_in_mid_fault_undoes_it_and_is_inconclusive(run: Run, node_kill: Experiment) -> None:
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


def test_the_same_seed_gives_the_same_rows(run: Run) -> None:
    first, second = run(), run()
    rows = [(r.folder.path / "operations.parquet").read_bytes() for r in (first, second)]
    assert rows[0] == rows[1]


def test_a_truncated_history_is_named_with_its_line(run: Run) -> None:
    result = run()
    lines = result.folder.history.read_text().splitlines(keepends=True)
    result.folder.history.write_text("".join(lines[:-2]))
    with pytest.raises(RecordError, match=rf"history\.jsonl:{len(lines) - 2}: the history was not closed"):
        RunFolder.existing(result.folder.path).analyse()


@pytest.mark.parametrize("name", ["probes", "balancer"])
def test_a_missing_row_file_of_a_whole_run_is_an_error(run: Run, name: str) -> None:
    result = run()
    (result.folder.path / f"{name}.parquet").unlink()
    with pytest.raises(RecordError, match=rf"{name}\.parquet"):
        RunFolder.existing(result.folder.path).analyse()


@pytest.mark.parametrize(("checks", "verdict"), [("follow", CheckVerdict.RIGHT), ("blind", CheckVerdict.BLIND)])
def test_the_checks_are_held_against_what_people_could_do(
    run: Run, checks: Literal["follow", "blind"], verdict: CheckVerdict
) -> None:
    result = run(Behaviour(checks=checks, takeover_s=20.0))
    (audit,) = result.measures.checks_audit.backends
    assert (audit.balancer, audit.backend, audit.verdict) == ("load-balancer", "workbench", verdict)
    assert [server.server for server in audit.servers] == ["workbench-0", "workbench-1"]
    assert audit.any_away_s == pytest.approx(22, abs=0.3)  # 2 s more until the sessions are there
    assert audit.down_s == pytest.approx(20 if checks == "follow" else 0, abs=0.6)
    words = {(one.server, one.before, one.after) for one in result.measures.checks_audit.changes if one.before}
    followed = {("workbench-0", "UP", "DOWN"), ("workbench-1", "DOWN", "UP")}
    assert words == (followed if checks == "follow" else set())


def test_the_audit_of_the_catalogue_has_a_word_for_each_of_its_faults(run: Run) -> None:
    """The simulated platform needs neither database nor storage, so nothing is away and the checks are right."""
    result = run(what=replace_name("health-check-audit"))
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    words = [(one.fault, one.verdict) for one in result.measures.checks_audit.backends]
    assert words == [(0, CheckVerdict.RIGHT), (1, CheckVerdict.RIGHT)]


def test_a_balancer_that_is_down_says_nothing(run: Run) -> None:
    result = run(what=replace_name("lb-loss"))
    (audit,) = result.measures.checks_audit.backends
    assert audit.verdict is CheckVerdict.SILENT
    assert audit.unreachable_s == pytest.approx(25, abs=0.6)


def test_two_faults_in_one_timeline(run: Run, node_kill: Experiment) -> None:
    second = Fault(fault="kill", target="workbench[active]", at_s=60, hold_s=30)
    result = run(what=replace(node_kill, faults=(*node_kill.faults, second)))
    log_in = next(one for one in result.measures.capabilities if one.capability == "log_in")
    assert [outage.recovery.value for outage in log_in.outages] == ["by_design", "by_design"]


@pytest.mark.parametrize("name", ["operations", "database_writes", "saved"])
def test_rows_that_were_changed_after_the_run_are_refused(run: Run, name: str) -> None:
    result = run()
    path = result.folder.path / f"{name}.parquet"
    path.write_bytes((result.folder.path / "probes.parquet").read_bytes())
    with pytest.raises(RecordError, match=rf"{name}\.parquet: is not the file that the history of this run knows"):
        RunFolder.existing(result.folder.path).analyse()


def test_the_hold_counts_from_the_injection(run: Run, node_kill: Experiment) -> None:
    result = run()
    (fault,) = result.measures.facts.faults
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
