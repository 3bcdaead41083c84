"""What a run leaves, on the fake runtime: its files, what was read back, and what analysis says of damaged ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import pytest

from harness.analysis.checks_audit import CheckVerdict
from harness.analysis.writes import StoreWrites
from harness.components import databases
from harness.core.history import EventKind, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Role, Store
from harness.errors import RecordError
from harness.run.artifacts import RunFolder
from harness.runtime.fake import Behaviour
from harness.runtime.fake_database import FakeDatabase
from tests.unit.fake_runs import Result, Run, experiment

pytestmark = pytest.mark.long


def test_every_artefact_of_the_design_is_written_and_analysis_alone_rebuilds_it(
    usual: Result, damaged: RunFolder
) -> None:
    derived = ("measures.json", "verdict.json", "outages.csv", "sessions.csv", "report.html", "junit.xml")
    recorded = (
        "run.json",
        "spec.resolved.yaml",
        "history.jsonl",
        "operations.parquet",
        "probes.parquet",
        "database_writes.parquet",
        "hub_writes.parquet",
        "balancer.parquet",
        "servers.parquet",
        "saved.parquet",
        "harness.log",
    )
    path = usual.folder.path
    assert all((path / name).stat().st_size for name in (*derived, *recorded))
    assert (path / "containers/workbench-0/log").read_text().endswith("Z workbench-0 said nothing\n")
    assert (path.parents[2] / "latest").resolve() == path
    before = json.loads((path / "measures.json").read_text())
    for name in derived:
        (damaged.path / name).unlink()
    damaged.analyse()
    assert all((damaged.path / name).stat().st_size for name in derived)
    assert json.loads((damaged.path / "measures.json").read_text()) == before


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
    assert [one.lost for one in writes.stores] == [0, 3, 0]
    (reason,) = [reason for reason in result.measures.verdict.reasons if "promise acknowledged writes" in reason]
    assert f"0 of {writes.stores[0].acknowledged} in homes, 3 of {writes.stores[1].acknowledged} in the data" in reason
    assert reason.endswith("of writer in the database")


def test_a_database_that_was_away_and_lost_nothing(run: Run, topology: Topology) -> None:
    what = experiment("db-failover")
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
    # a picture is of the topology as it is written, and this one still has the key
    monkeypatch.setattr("harness.run.artifacts.paper_picture", lambda _: None)
    result = run()
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    assert [one.store for one in result.measures.writes.stores] == [Store.HOME, Store.HUB]
    assert result.folder.load().database_writes.empty


def test_homes_on_each_nodes_own_disk_are_read_there_and_what_a_person_left_behind_is_lost(
    run: Run, usual: Result, topology: Topology
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
    record = RunFolder.existing(usual.folder.path).load().saved
    assert set(record[record["store"] == Store.HOME.value]["place"]) == {"storage"}


@pytest.mark.drawn
def test_a_lost_row_is_an_error_not_silence(run: Run) -> None:
    result = run(Behaviour(lose_row=True))
    assert result.outcome is Outcome.ERROR
    assert any("SHA-256" in reason for reason in result.measures.verdict.reasons)


def test_the_same_seed_gives_the_same_rows(usual: Result, run: Run) -> None:
    rows = [(r.folder.path / "operations.parquet").read_bytes() for r in (usual, run())]
    assert rows[0] == rows[1]


def test_a_truncated_history_is_named_with_its_line(damaged: RunFolder) -> None:
    lines = damaged.history.read_text().splitlines(keepends=True)
    damaged.history.write_text("".join(lines[:-2]))
    with pytest.raises(RecordError, match=rf"history\.jsonl:{len(lines) - 2}: the history was not closed"):
        damaged.analyse()


@pytest.mark.parametrize("name", ["probes", "balancer"])
def test_a_missing_row_file_of_a_whole_run_is_an_error(damaged: RunFolder, name: str) -> None:
    (damaged.path / f"{name}.parquet").unlink()
    with pytest.raises(RecordError, match=rf"{name}\.parquet"):
        damaged.analyse()


@pytest.mark.parametrize("name", ["operations", "database_writes", "hub_writes", "saved"])
def test_rows_that_were_changed_after_the_run_are_refused(damaged: RunFolder, name: str) -> None:
    path = damaged.path / f"{name}.parquet"
    path.write_bytes((damaged.path / "probes.parquet").read_bytes())
    with pytest.raises(RecordError, match=rf"{name}\.parquet: is not the file that the history of this run knows"):
        damaged.analyse()


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
    result = run(what=experiment("health-check-audit"))
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    words = [(one.fault, one.verdict) for one in result.measures.checks_audit.backends]
    assert words == [(0, CheckVerdict.RIGHT), (1, CheckVerdict.RIGHT)]


def test_a_balancer_that_is_down_says_nothing(run: Run) -> None:
    result = run(what=experiment("lb-loss"))
    (audit,) = result.measures.checks_audit.backends
    assert audit.verdict is CheckVerdict.SILENT
    assert audit.unreachable_s == pytest.approx(25, abs=0.6)
