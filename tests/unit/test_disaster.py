"""Disasters from the files to what they leave, on the fake runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.brief import Brief, brief_of
from harness.analysis.comparable import readings_of
from harness.components import backup
from harness.components.base import generate_secrets
from harness.components.registry import plan
from harness.core.change import ChangeEnd
from harness.core.experiment import Experiment
from harness.core.history import Event, EventKind, read_history
from harness.core.specs import NodeContext
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Recovery, SessionOutcome, Store
from harness.report import tables
from harness.report.matrix_words import measured, promised
from harness.run.dry import plan_lines
from harness.runtime.fake import Behaviour
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT, Result, experiment, run_once
from tests.unit.matrix_runs import cell_of

pytestmark = pytest.mark.long

Struck = Callable[..., Result]


@pytest.fixture(scope="module")
def cold() -> Topology:
    return load_topology(ROOT / "topologies/single-dr.yaml")


@pytest.fixture(scope="module")
def disaster() -> Experiment:
    found = experiment("disaster")
    return replace(found, load=replace(found.load, users=4))


@pytest.fixture
def strike(tmp_path: Path, cold: Topology, disaster: Experiment) -> Struck:
    def go(on: Topology = cold, **behaviour: object) -> Result:
        return run_once(tmp_path, on, disaster, Behaviour(**behaviour))  # type: ignore[arg-type]  # of any field

    return go


def steps(result: Result) -> Sequence[Event]:
    return read_history(result.folder.history).of(EventKind.CHANGE)


def end(result: Result) -> tuple[ChangeEnd, str]:
    (event,) = read_history(result.folder.history).of(EventKind.CHANGED)
    return ChangeEnd(event.data["how"]), event.data["reason"]


def promising(topology: Topology, **objectives: float) -> Topology:
    promise = replace(topology.promises["disaster"], **objectives)  # type: ignore[arg-type]  # of any objective
    return replace(topology, promises={**topology.promises, "disaster": promise})


def test_the_machine_is_gone_and_the_standby_takes_its_place(strike: Struck) -> None:
    result = strike()
    assert end(result) == (ChangeEnd.RESTORED, "")
    assert [(event.data["step"], *event.data["nodes"], event.data["back"]) for event in steps(result)] == [
        ("destroy", "workbench-0", False),
        ("restore", "workbench-standby", True),
        ("promote", "workbench-standby", "workbench-0", True),
        ("gate", "workbench-0", True),
    ]
    evidence = steps(result)[0].data["evidence"]
    assert evidence == "workbench-0 gone with the volumes workbench-0-hub, workbench-0-homes"
    (deployment,) = result.runtime.deployments
    assert deployment.places == {"workbench-standby": "workbench-0"}
    assert [order for name, order in deployment.orders] == ["restore-snapshot", "promote", "/usr/local/bin/ready"]


def test_the_restore_begins_when_somebody_would_have_noticed(
    tmp_path: Path, cold: Topology, disaster: Experiment
) -> None:
    assert disaster.disaster is not None
    later = replace(disaster, disaster=replace(disaster.disaster, begin_after_s=17))
    lost, restore, *_ = steps(run_once(tmp_path, cold, later))
    assert restore.data["began_ns"] - lost.data["began_ns"] == pytest.approx(17e9, abs=0.6e9)


def test_a_warm_standby_is_not_restored(strike: Struck) -> None:
    result = strike(load_topology(ROOT / "topologies/single-warm.yaml"))
    assert [event.data["step"] for event in steps(result)] == ["destroy", "promote", "gate"]
    assert result.outcome is Outcome.PASS


def test_recovery_time_and_point_are_measured_from_when_the_disaster_began(strike: Struck) -> None:
    result = strike(snapshot_age_s=12)
    recovery = result.measures.recovery
    assert recovery is not None
    assert recovery.restored
    assert recovery.first_log_in_s is not None
    assert recovery.all_working_s is not None
    # 5 s until somebody begins, 4 s of the fake's boot, 2 s until people have sessions again
    assert recovery.first_log_in_s == pytest.approx(9, abs=1)
    assert recovery.all_working_s == pytest.approx(11, abs=2)
    assert (recovery.people, recovery.people_working) == (4, 4)
    assert recovery.recovery_point_s == pytest.approx(12, abs=2)
    homes = next(one for one in recovery.stores if one.store is Store.HOME)
    assert homes.lost > 4
    assert homes.newest_kept_age_s is not None
    assert homes.first_lost_age_s is not None
    assert homes.newest_kept_age_s >= homes.first_lost_age_s - 2, "what is older than the snapshot is there"
    assert result.measures.writes.lost == homes.lost, "nothing is lost after the restore"
    assert result.measures.worst_recovery is Recovery.BY_REPAIR
    assert result.measures.worst_session is SessionOutcome.RESTARTED
    assert result.outcome is Outcome.PASS


def test_nothing_lost_is_a_recovery_point_of_zero(strike: Struck) -> None:
    recovery = strike().measures.recovery
    assert recovery is not None
    assert recovery.recovery_point_s == 0
    assert [one.first_lost for one in recovery.stores] == [None, None]


@pytest.mark.parametrize(
    ("objective", "check", "observed"),
    [({"rto_s": 9.0}, "recovery time", "4 of 4 at work after"), ({"rpo_s": 9.0}, "recovery point", " s (value ")],
)
def test_an_objective_that_is_missed_fails_the_run(
    strike: Struck, cold: Topology, objective: dict[str, float], check: str, observed: str
) -> None:
    result = strike(promising(cold, **objective), snapshot_age_s=12)
    assert result.outcome is Outcome.FAIL
    (broken,) = [one for one in result.measures.verdict.checks if not one.kept]
    assert broken.name == check
    assert observed in broken.observed


def test_without_an_rpo_the_number_of_lost_writes_counts(strike: Struck, cold: Topology) -> None:
    no_rpo = replace(cold.promises["disaster"], rpo_s=None)
    result = strike(replace(cold, promises={"disaster": no_rpo}), snapshot_age_s=12)
    assert [one.name for one in result.measures.verdict.checks if not one.kept] == ["acknowledged writes lost"]


def test_a_restore_that_is_refused_fails_the_run_and_nothing_is_looked_up(strike: Struck) -> None:
    refusal = "restore-snapshot: /backup/20260301T020000Z is incomplete: expected homes.tar, found none"
    result = strike(standby_refuses=refusal)
    how, reason = end(result)
    assert how is ChangeEnd.STUCK
    assert refusal in reason
    assert steps(result)[-1].data["ok"] is False
    assert any("nobody took the place of workbench-0" in note for note in result.watcher.notes)
    recovery = result.measures.recovery
    assert recovery is not None
    assert not recovery.restored
    assert (recovery.all_working_s, recovery.recovery_point_s, recovery.stores) == (None, None, ())
    assert result.outcome is Outcome.FAIL
    broken = {one.name: one.observed for one in result.measures.verdict.checks if not one.kept}
    assert refusal in broken["disaster"]
    assert broken["recovery time"] == "nobody logged in again, 0 of 4 at work"
    assert "recovery point" not in broken, "nobody looked"


def test_terminal_and_page_say_what_is_there_and_what_is_missing(strike: Struck) -> None:
    result = strike(snapshot_age_s=12)
    line = tables.recovery_line(result.measures)
    assert line.startswith("recovery time: first log-in after ")
    page = (result.folder.path / "report.html").read_text()
    assert line in page
    assert "After the disaster" in page
    homes, hub = tables.recovery_rows(result.measures)
    assert homes[0] == "in homes"
    assert "of user" in homes[4]
    assert hub[4:] == ("none", "", "0")


def test_many_runs_are_compared_by_it(strike: Struck) -> None:
    measures = strike(snapshot_age_s=12).measures
    assert measures.recovery is not None
    brief = Brief.from_json_dict(json.loads(json.dumps(brief_of(measures).to_json_dict())))
    times = (measures.recovery.all_working_s, measures.recovery.recovery_point_s)
    assert (brief.recovery_time_s, brief.recovery_point_s) == times
    found = readings_of(json.loads(json.dumps(measures.to_json_dict())))
    assert found["recovery_point_s"].value == measures.recovery.recovery_point_s
    assert found["recovery_all_working_s"].value == measures.recovery.all_working_s


def test_a_matrix_says_what_was_promised_and_what_came_of_it(strike: Struck, cold: Topology) -> None:
    cell = cell_of(strike(snapshot_age_s=12).measures, promise=cold.promises["disaster"])
    assert promised(cell.promise) == "by repair, 30 s, restarted, RTO 60 s, RPO 30 s"
    assert re.search(r", everybody at work after 1\d\.\d s, 1[0-4]\.\d s of writes lost$", measured(cell))


def test_a_run_without_a_disaster_has_nothing_of_it(tmp_path: Path, cold: Topology) -> None:
    measures = run_once(tmp_path, cold, experiment("node-kill")).measures
    assert measures.recovery is None
    assert tables.recovery_line(measures) == ""
    assert tables.recovery_rows(measures) == []


def test_a_platform_with_servers_is_started_anew_and_restored_before_anybody_is_let_in(
    tmp_path: Path, disaster: Experiment
) -> None:
    ha = load_topology(ROOT / "topologies/ha.yaml")
    result = run_once(tmp_path, ha, disaster)
    assert end(result) == (ChangeEnd.RESTORED, "")
    done = [(event.data["step"], event.data["nodes"]) for event in steps(result)]
    lost, first, restored, then = done[:4]
    databases = [*(f"database-{i}" for i in range(3)), *(f"etcd-{i}" for i in range(3))]
    nodes = [f"workbench-{i}" for i in range(3)]
    assert first == ("start", [*databases, "backup"])
    assert then == ("start", ["storage-0", "storage-1", *nodes])
    assert lost == ("destroy", [*first[1], *then[1]]), "balancers keep nothing"
    assert restored == ("restore", ["backup"])
    assert done[4:] == [("gate", [node]) for node in nodes]
    assert result.measures.writes.read_back


def test_new_machines_have_the_databases_under_another_name_until_they_are_restored() -> None:
    ha = load_topology(ROOT / "topologies/ha.yaml")
    context = NodeContext(run_id="r", subnet_prefix="10.0.0", secrets=generate_secrets())
    specs = {spec.name: spec for spec in plan(ha, context)}
    new = {name: backup.beside(spec) for name, spec in specs.items()}
    assert {name for name in specs if new[name] != specs[name]} == {"database-0", "database-1", "database-2", "backup"}
    assert new["database-0"].environment["DB_NAMES"] == "hub_coming hub_1_coming hub_2_coming harness_coming"
    assert new["backup"].environment == {**specs["backup"].environment, "DB_RESTORED_AS": "_coming"}
    assert specs["backup"].environment["DB_NAMES"] == "hub hub_1 hub_2 harness"
    assert specs["backup"].environment["PGHOST"] == "10.0.0.20,10.0.0.21,10.0.0.22"
    assert [mount.elsewhere for mount in specs["backup"].mounts] == [False, True]


def test_the_dry_run_has_the_steps_in_order(cold: Topology, disaster: Experiment) -> None:
    lines = list(plan_lines(cold, [disaster], []))
    begin = lines.index("      30.0 s  destroy workbench-0")
    assert lines[begin + 1 : begin + 4] == [
        "      35.0 s  restore workbench-standby",
        "        then  promote workbench-standby, workbench-0",
        "        then  gate workbench-0",
    ]
