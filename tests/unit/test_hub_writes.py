"""What the hubs acknowledged against what is in their own databases: in the analysis, and in whole runs on the fake
runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from harness.analysis import Measures, RunRecord, analyse
from harness.analysis.writes import StoreWrites
from harness.components.registry import hub_readbacks, members
from harness.core.clock import FakeClock
from harness.core.history import EventKind, read_history
from harness.core.products import Workbench
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Role, Store
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.run.watcher import Watcher
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.runtime.fake_database import FakeHubs
from harness.spec.catalog import Catalog
from harness.spec.loader import load_experiment, load_topology
from tests.unit.analysis_runs import TOKENS, fault_events, history, in_hub, record, token

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = [Catalog(ROOT).topology_path(name) for name in Catalog(ROOT).topologies()]
ACTIVE_PASSIVE = load_topology(ROOT / "topologies/active-passive.yaml")


def hub(measures: Measures) -> StoreWrites:
    found = measures.writes.of(Store.HUB)
    assert found is not None
    return found


def each_its_own(run_: RunRecord) -> RunRecord:
    """The same where each node's hub has a database of its own."""
    return replace(run_, topology=replace(run_.topology, workbench=Workbench(mode="active-active")))


#: Two on node 0, then its writer was led to node 1.
MOVED = [token(1, 1), token(2, 2), token(3, 3, ok=0, detail="refused"), token(4, 4, node="workbench-1")]


def test_what_is_in_the_one_database_is_found_whoever_wrote_it() -> None:
    found = hub(analyse(record(tokens=MOVED, saved=in_hub(1, 2, 4))))
    assert (found.acknowledged, found.found, found.lost, found.lost_elsewhere) == (3, 3, 0, 0)
    assert (found.duplicated, found.reordered, found.unacknowledged_present) == (0, 0, 0)
    assert found.lost_of == "0 of 3 in the hub's database"


def test_where_each_hub_has_its_own_a_number_counts_in_that_of_the_hub_that_acknowledged_it() -> None:
    kept = [*in_hub(1, 2, place="workbench-0"), *in_hub(4, place="workbench-1")]
    found = hub(analyse(each_its_own(record(tokens=MOVED, saved=kept))))
    assert (found.found, found.lost, found.lost_elsewhere) == (3, 0, 0)
    wrong = [*in_hub(1, 4, place="workbench-0"), *in_hub(2, place="workbench-1")]
    found = hub(analyse(each_its_own(record(tokens=MOVED, saved=wrong))))
    assert (found.found, found.lost, found.lost_elsewhere) == (1, 2, 2)
    assert found.first_lost == "value 2 of writer-0 in the hub's database"
    assert found.lost_of == "2 of 3 in the hub's database (2 of them on another node)"


def test_what_a_restored_database_does_not_have_is_lost_with_its_age() -> None:
    """The database is that of 2 s before the fault, which is at 5 s; what came later was lost with it."""
    there = [write.value for write in TOKENS if not 3e9 <= write.send_ns - TOKENS[5].send_ns < 8e9]
    run_ = record(tokens=TOKENS, saved=in_hub(*there))
    measures = analyse(run_)
    found = hub(measures)
    assert (found.acknowledged, found.lost) == (45, 5)
    assert found.first_lost == "value 9 of writer-0 in the hub's database"
    assert found.recovery_point_s == pytest.approx(4.0)
    check = next(one for one in measures.verdict.checks if one.name == "acknowledged writes lost")
    assert not check.kept
    assert check.observed.endswith(
        "5 of 45 in the hub's database, the first: value 9 of writer-0 in the hub's database"
    )


def test_duplicates_unacknowledged_and_reordered_ones_are_counted() -> None:
    found = hub(analyse(record(tokens=MOVED, saved=in_hub(2, 1, 4, 4, 3))))
    assert (found.lost, found.duplicated, found.unacknowledged_present) == (0, 1, 1)
    assert found.first_duplicated == "value 4 of writer-0 in the hub's database"
    assert (found.reordered, found.first_reordered) == (1, "value 1 of writer-0 in the hub's database, after value 2")


def test_each_writers_numbers_are_their_own() -> None:
    tokens = [token(1, 1), token(1, 1, writer="writer-1", node="workbench-1")]
    saved = in_hub(1, place="workbench-1", writer="writer-1")
    found = hub(analyse(each_its_own(record(tokens=tokens, saved=saved))))
    assert (found.lost, found.first_lost) == (1, "value 1 of writer-0 in the hub's database")


def test_the_longest_time_without_one_is_that_of_the_worst_writer() -> None:
    other = [replace(write, writer="writer-1") for write in TOKENS if not 10 <= write.value < 20]
    assert hub(analyse(record(tokens=TOKENS))).longest_gap_s == pytest.approx(1.0)
    assert hub(analyse(record(tokens=[*TOKENS, *other]))).longest_gap_s == pytest.approx(11.0)
    never = [*TOKENS, token(1, 1, writer="writer-1", ok=0)]
    assert hub(analyse(record(tokens=never))).longest_gap_s == pytest.approx(40.0)
    assert hub(analyse(record(tokens=()))).longest_gap_s is None


def test_what_was_not_read_back_is_a_doubt_and_no_loss() -> None:
    measures = analyse(record(tokens=TOKENS, events=history(fault_events(5, 30), readback=None)))
    found = hub(measures)
    assert (found.acknowledged, found.found, found.lost, found.reordered) == (45, None, None, None)
    assert measures.verdict.outcome is Outcome.INCONCLUSIVE
    assert any("45 in the hub's database are unchecked" in reason for reason in measures.verdict.reasons)


# -- whole runs on the fake runtime --------------------------------------------------------------------------------


@dataclass
class Result:
    folder: RunFolder
    measures: Measures

    @property
    def outcome(self) -> Outcome:
        return self.measures.verdict.outcome


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`node-kill` on the fake platform."""

    def go(behaviour: Behaviour | None = None, on: Topology = ACTIVE_PASSIVE) -> Result:
        clock, what = FakeClock(), load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
        runtime = FakeRuntime(clock, on, behaviour)
        folder, measures = run_experiment(
            runtime=runtime,
            topology=on,
            experiment=what,
            results=tmp_path,
            watcher=Mock(spec=Watcher),
            seed=7,
            clock=clock,
        )
        return Result(folder, measures)

    return go


@pytest.mark.long
def test_all_that_the_hub_acknowledged_is_there_after_a_take_over(run: Run) -> None:
    result = run()
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons
    found = hub(result.measures)
    assert (found.lost, found.duplicated, found.reordered, found.unacknowledged_present) == (0, 0, 0, 0)
    assert found.acknowledged >= 20
    assert found.longest_gap_s == pytest.approx(4.0, abs=1.1), "the fake standby takes over after 3 s"
    (readback,) = read_history(result.folder.history).of(EventKind.READBACK)
    assert readback.data["stores"]["hub"] == found.acknowledged


@pytest.mark.long
def test_what_a_hub_lost_fails_though_homes_and_database_have_everything(run: Run) -> None:
    result = run(Behaviour(lose_hub_writes=2))
    assert result.outcome is Outcome.FAIL
    assert [one.lost for one in result.measures.writes.stores] == [0, 0, 2]
    (reason,) = [reason for reason in result.measures.verdict.reasons if "promise acknowledged writes" in reason]
    assert reason.endswith("of writer-0 in the hub's database")


@pytest.mark.long
@pytest.mark.parametrize("with_database", [True, False])
def test_after_a_failover_what_is_in_the_other_hubs_database_counts_too(run: Run, *, with_database: bool) -> None:
    apart = replace(ACTIVE_PASSIVE, workbench=replace(ACTIVE_PASSIVE.workbench, mode="active-active"))
    result = run(on=apart if with_database else replace(apart, database=None))
    saved = RunFolder.existing(result.folder.path).load().saved
    assert set(saved[saved["store"] == Store.HUB.value]["place"]) == {"workbench-0", "workbench-1"}
    found = hub(result.measures)
    assert (found.lost, found.lost_elsewhere) == (0, 0)
    assert found.acknowledged >= 20


@pytest.mark.long
def test_a_hubs_database_that_is_empty_proves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHubs, "found", lambda *_: [])
    result = run()
    assert result.outcome is Outcome.INCONCLUSIVE
    assert any("acknowledged hub writes was found" in reason for reason in result.measures.verdict.reasons)


@pytest.mark.parametrize("path", CATALOGUE, ids=lambda path: path.stem)
def test_every_topology_of_the_catalogue_says_where_its_hubs_write(path: Path) -> None:
    one = load_topology(path)
    each = [""] if one.workbench.mode == "active-passive" else [*members(one, Role.WORKBENCH)]
    assert list(hub_readbacks(one)) == each
