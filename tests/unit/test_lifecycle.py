"""The life cycle of a fault, its journal and its guards, without Docker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import FakeClock
from harness.errors import HarnessError
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.journal import Entry, Journal, parse_entries
from harness.faults.kinds.machines import Kill
from harness.faults.lifecycle import CONFIRM_TIMEOUT_S, Lifecycle
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from tests.unit.fault_samples import sample

AIM = Aim(target="workbench-0", tag="chaos-abc123-0")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def host(clock: FakeClock) -> RehearsalHost:
    return RehearsalHost(clock.now_ns, "abc123")


@pytest.fixture
def lifecycle(host: RehearsalHost, clock: FakeClock, tmp_path: Path) -> Lifecycle:
    return Lifecycle(host, Journal(tmp_path / "journal.jsonl"), FAULTS, run_id="abc123", pause=clock.sleep)


def advance(lifecycle: Lifecycle, *steps: str) -> Mapping[str, Any]:
    """Take steps of fault 0; returns the last answer."""
    return [lifecycle.step(step=step, index=0) for step in steps][-1]


def test_kill_goes_through_its_life_with_evidence(lifecycle: Lifecycle, clock: FakeClock) -> None:
    assert lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])["ok"]
    confirmed = advance(lifecycle, "inject", "confirm")
    assert confirmed["ok"]
    assert confirmed["evidence"] == "workbench-0: process 10000 is gone, engine says exited"
    clock.sleep(1)
    recovered = advance(lifecycle, "undo", "confirm_recovery")
    assert recovered["ok"]
    assert "process 20000 is alive" in recovered["evidence"]
    advance(lifecycle, "cleanup")
    assert lifecycle.undo_all() == []


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_goes_through_its_life(
    lifecycle: Lifecycle, host: RehearsalHost, clock: FakeClock, kind: str
) -> None:
    assert lifecycle.step(step="prepare", index=0, **sample(kind))["ok"]
    assert host.paper.commands == [], "looking changes nothing"
    advance(lifecycle, "inject")
    assert host.paper.commands
    assert advance(lifecycle, "confirm")["ok"]
    clock.sleep(1)
    advance(lifecycle, "undo")
    assert advance(lifecycle, "confirm_recovery")["ok"]
    advance(lifecycle, "cleanup")
    assert host.paper.wrong == {}
    assert lifecycle.undo_all() == []


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_that_does_nothing_is_caught(lifecycle: Lifecycle, host: RehearsalHost, kind: str) -> None:
    host.paper.inert = True  # whatever is done has no effect
    lifecycle.step(step="prepare", index=0, **sample(kind))
    answer = advance(lifecycle, "inject", "confirm")
    assert not answer["ok"]
    assert answer["evidence"]


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_is_undone_from_the_journal_alone(
    host: RehearsalHost, clock: FakeClock, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "journal.jsonl"
    first = Lifecycle(host, Journal(path), FAULTS, run_id="abc123")
    first.step(step="prepare", index=0, **sample(kind))
    first.step(step="inject", index=0)
    clock.sleep(1)
    second = Lifecycle(host, Journal(path), FAULTS, run_id="abc123")
    assert second.undo_all() == [f"undone: {kind} on workbench-0"]
    assert host.paper.wrong == {}
    assert second.undo_all() == []


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_the_undo_of_every_fault_can_be_repeated_and_needs_no_injection(
    host: RehearsalHost, clock: FakeClock, kind: str
) -> None:
    arguments = sample(kind)
    fault = FAULTS[kind]
    aim = Aim(
        target="workbench-0",
        tag="chaos-abc123-0",
        peers=tuple(arguments.get("peers", ())),
        options=fault.Options(**arguments.get("options", {})),
    )
    state = json.loads(json.dumps(fault.prepare(host, aim)))
    fault.undo(host, state)
    assert host.paper.wrong == {}
    fault.inject(host, state)
    clock.sleep(1)
    for _ in range(3):
        fault.undo(host, state)
    assert host.paper.wrong == {}


def test_the_journal_knows_before_the_machine_dies(lifecycle: Lifecycle, host: RehearsalHost, tmp_path: Path) -> None:
    known: list[str] = []
    host.paper.on_change = lambda _name: known.append((tmp_path / "journal.jsonl").read_text())
    lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])
    advance(lifecycle, "inject")
    (entry,) = parse_entries(known[0])
    assert (entry.fault, entry.open, entry.state["pid"]) == ("kill", True, 10000)


def test_an_effect_that_does_not_show_is_reported_after_the_time_limit(
    lifecycle: Lifecycle, host: RehearsalHost
) -> None:
    host.paper.inert = True
    lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])
    answer = advance(lifecycle, "inject", "confirm")
    assert not answer["ok"]
    assert (answer["after_ns"] - answer["before_ns"]) / 1e9 == pytest.approx(CONFIRM_TIMEOUT_S, abs=0.1)


def test_a_reused_pid_is_not_killed(host: RehearsalHost) -> None:
    state = dict(Kill().prepare(host, AIM))
    state["start_ticks"] += 1  # it was another process that had the number then
    Kill().inject(host, state)
    assert host.machines.look("workbench-0").running


@pytest.mark.parametrize(("wrong", "message"), [("down", "is exited"), ("paused", "is paused")])
def test_a_machine_that_is_not_there_is_not_broken(host: RehearsalHost, wrong: str, message: str) -> None:
    host.machines.look("workbench-0")
    host.paper.break_(wrong, "workbench-0")
    with pytest.raises(GuardError, match=message):
        Kill().prepare(host, AIM)


def test_a_machine_that_shares_the_hosts_namespaces_is_refused(host: RehearsalHost) -> None:
    host.machines.own_namespaces = False
    with pytest.raises(GuardError, match="refused"):
        Kill().prepare(host, AIM)


def test_one_failed_undo_does_not_stop_the_others(host: RehearsalHost, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for index, name in enumerate(("gone", "there", "elsewhere")):
        host.machines.look(name)
        host.paper.break_("down", name)
        container_id = "id-of-" + name if name != "there" else "no-id"
        journal.write(Entry(f"{index}/{name}", "kill", {"container": name, "id": container_id}, open=True))
    undone = Lifecycle(host, journal, FAULTS, run_id="abc123").undo_all()
    assert undone[0] == "undone: kill on elsewhere"
    assert undone[1].startswith("could not undo kill (1/there): there is no container no-id")
    assert undone[2] == "undone: kill on gone"


def test_no_two_acts_have_the_same_tag(host: RehearsalHost, tmp_path: Path) -> None:
    seen = []

    class Spy(Kill):
        def prepare(self, host: Any, aim: Aim) -> Any:
            seen.append(aim.tag)
            return super().prepare(host, aim)

    lifecycle = Lifecycle(host, Journal(tmp_path / "j"), {"kill": Spy()}, run_id="abc123")
    for index in range(3):
        lifecycle.step(step="prepare", index=index, fault="kill", targets=["workbench-0"])
    assert seen == ["chaos-abc123-0", "chaos-abc123-1", "chaos-abc123-2"]


def test_a_host_on_paper_refuses_containers_it_does_not_know(host: RehearsalHost) -> None:
    with pytest.raises(HarnessError, match="no container"):
        host.machines.start("c0ffee")


def test_a_torn_last_line_is_forgiven_and_a_torn_middle_is_not() -> None:
    whole = json.dumps({"id": "0/a", "fault": "kill", "state": {}, "open": True})
    assert [e.id for e in parse_entries(whole + '\n{"id": "1/b", "fa')] == ["0/a"]
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        parse_entries('{"id": "1/b", "fa\n' + whole + "\n")


def test_a_torn_last_line_does_not_swallow_the_next_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).write(Entry("0/a", "kill", {"container": "a"}, open=True))
    with path.open("a") as file:
        file.write('{"id": "1/b", "fa')
    journal = Journal(path)
    journal.write(Entry("2/c", "kill", {"container": "c"}, open=True))
    assert [entry.id for entry in journal.open_entries()] == ["2/c", "0/a"]
