"""The life cycle of a fault, its journal and its guards, without Docker."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.faults.base import ContainerState, GuardError
from harness.faults.journal import Entry, Journal, parse_entries
from harness.faults.lifecycle import CONFIRM_TIMEOUT_S, Lifecycle
from harness.faults.machines import Kill
from harness.faults.registry import FAULTS


@dataclass
class Machine:
    """One container that can be killed and started."""

    clock: FakeClock = field(default_factory=FakeClock)
    running: bool = True
    pid: int = 4242
    start_ticks: int = 99
    own_namespaces: bool = True
    immortal: bool = False
    paused: bool = False
    linked: bool = True
    journal_at_kill: str = ""
    journal: Path | None = None

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def container(self, name: str) -> ContainerState:
        return ContainerState(
            id="c0ffee",
            name=name,
            run_id="abc123",
            running=self.running,
            status="paused" if self.paused else "running" if self.running else "exited",
            pid=self.pid if self.running else 0,
            start_ticks=self.start_ticks,
            own_namespaces=self.own_namespaces,
            frozen=self.paused,
        )

    def process_alive(self, pid: int, start_ticks: int) -> bool:
        return self.running and (pid, start_ticks) == (self.pid, self.start_ticks)

    def kill_process(self, pid: int) -> None:
        assert pid == self.pid
        self.journal_at_kill = self.journal.read_text() if self.journal else ""
        if not self.immortal:
            self.running = False

    def start_container(self, container_id: str) -> None:
        assert container_id == "c0ffee"
        if not self.running:
            self.running, self.pid, self.start_ticks = True, self.pid + 1, self.start_ticks + 500

    def stop_container(self, container_id: str) -> None:
        self.kill_process(self.pid)

    def pause_container(self, container_id: str) -> None:
        self.paused = not self.immortal

    def unpause_container(self, container_id: str) -> None:
        self.paused = False

    def outer_device(self, pid: int) -> str:
        return f"veth{pid}"

    def set_link(self, device: str, *, up: bool) -> None:
        assert device == f"veth{self.pid}"
        self.linked = up or self.immortal

    def link_is_up(self, device: str) -> bool:
        return self.linked

    def untouched(self) -> bool:
        """As before any fault, seen from outside."""
        return self.running and self.linked and not self.paused


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def lifecycle(machine: Machine, tmp_path: Path) -> Lifecycle:
    machine.journal = tmp_path / "journal.jsonl"
    return Lifecycle(machine, Journal(machine.journal), FAULTS, pause=machine.clock.sleep)


def test_kill_goes_through_its_life_with_evidence(lifecycle: Lifecycle, machine: Machine) -> None:
    assert lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])["ok"]
    lifecycle.step(step="inject", index=0)
    confirmed = lifecycle.step(step="confirm", index=0)
    assert confirmed["ok"]
    assert confirmed["evidence"] == "workbench-0: process 4242 is gone, engine says exited"
    lifecycle.step(step="undo", index=0)
    recovered = lifecycle.step(step="confirm_recovery", index=0)
    assert recovered["ok"]
    assert "process 4243 is alive" in recovered["evidence"]
    lifecycle.step(step="cleanup", index=0)
    assert lifecycle.undo_all() == []


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_goes_through_its_life(lifecycle: Lifecycle, machine: Machine, kind: str) -> None:
    assert lifecycle.step(step="prepare", index=0, fault=kind, targets=["workbench-0"])["ok"]
    assert machine.untouched()
    lifecycle.step(step="inject", index=0)
    assert not machine.untouched()
    assert lifecycle.step(step="confirm", index=0)["ok"]
    lifecycle.step(step="undo", index=0)
    assert machine.untouched()
    assert lifecycle.step(step="confirm_recovery", index=0)["ok"]
    lifecycle.step(step="cleanup", index=0)
    assert lifecycle.undo_all() == []


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_that_does_nothing_is_caught(lifecycle: Lifecycle, machine: Machine, kind: str) -> None:
    machine.immortal = True  # whatever is done to it has no effect
    lifecycle.step(step="prepare", index=0, fault=kind, targets=["workbench-0"])
    lifecycle.step(step="inject", index=0)
    answer = lifecycle.step(step="confirm", index=0)
    assert not answer["ok"]
    assert answer["evidence"]


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_is_undone_from_the_journal_alone(machine: Machine, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "journal.jsonl"
    first = Lifecycle(machine, Journal(path), FAULTS)
    first.step(step="prepare", index=0, fault=kind, targets=["workbench-0"])
    first.step(step="inject", index=0)
    assert Lifecycle(machine, Journal(path), FAULTS).undo_all() == [f"undone: {kind} on workbench-0"]
    assert machine.untouched()


def test_the_journal_knows_before_the_machine_dies(lifecycle: Lifecycle, machine: Machine) -> None:
    lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])
    lifecycle.step(step="inject", index=0)
    (entry,) = parse_entries(machine.journal_at_kill)
    assert (entry.fault, entry.open, entry.state["pid"]) == ("kill", True, 4242)


def test_an_effect_that_does_not_show_is_reported_after_the_time_limit(lifecycle: Lifecycle, machine: Machine) -> None:
    machine.immortal = True
    lifecycle.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])
    lifecycle.step(step="inject", index=0)
    answer = lifecycle.step(step="confirm", index=0)
    assert not answer["ok"]
    assert (answer["after_ns"] - answer["before_ns"]) / 1e9 == pytest.approx(CONFIRM_TIMEOUT_S, abs=0.1)


def test_undo_works_from_the_journal_alone_in_another_process(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Lifecycle(machine, Journal(path), FAULTS)
    first.step(step="prepare", index=0, fault="kill", targets=["workbench-0"])
    first.step(step="inject", index=0)
    second = Lifecycle(machine, Journal(path), FAULTS)
    assert second.undo_all() == ["undone: kill on workbench-0"]
    assert machine.running
    assert second.undo_all() == []


def test_undo_is_idempotent(machine: Machine) -> None:
    state = Kill().prepare(machine, "workbench-0")
    Kill().inject(machine, state)
    for _ in range(3):
        Kill().undo(machine, state)
    assert machine.pid == 4243


def test_a_reused_pid_is_not_killed(machine: Machine) -> None:
    state = Kill().prepare(machine, "workbench-0")
    machine.start_ticks += 1  # another process has the number now
    Kill().inject(machine, state)
    assert machine.running


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"running": False}, "is exited"),
        ({"paused": True}, "is paused"),
        ({"pid": 1}, "no machine to break"),
        ({"own_namespaces": False}, "refused"),
    ],
)
def test_guards(machine: Machine, change: dict[str, int], message: str) -> None:
    for name, value in change.items():
        setattr(machine, name, value)
    with pytest.raises(GuardError, match=message):
        Kill().prepare(machine, "workbench-0")


def test_one_failed_undo_does_not_stop_the_others(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write(Entry("0/gone", "kill", {"container": "gone", "id": "c0ffee"}, open=True))
    journal.write(Entry("1/there", "kill", {"container": "there", "id": "c0ffee"}, open=True))

    started: list[str] = []

    class FailsOnce(Machine):
        def start_container(self, container_id: str) -> None:
            started.append(container_id)
            if len(started) == 1:
                raise OSError("no such container")

    assert Lifecycle(FailsOnce(), journal, FAULTS).undo_all() == [
        "could not undo kill (1/there): no such container",
        "undone: kill on gone",
    ]
    assert started == ["c0ffee", "c0ffee"]


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
