"""Faults of disks: what is refused before anything is touched, and what the kernel's rules look like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import FakeClock
from harness.core.experiment import Fault
from harness.core.products import Database, Storage
from harness.faults.agent import throttle
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.host.volumes import Attempt, Limit
from harness.faults.kinds.disks import DiskFull, IoSlow, IoStall
from harness.faults.kinds.stale import Stale
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.spec.loader import load_topology

TOPOLOGY = load_topology(Path(__file__).resolve().parents[2] / "topologies/active-passive.yaml")
PLAIN = replace(TOPOLOGY, storage=Storage(size_mb=0), database=Database(size_mb=0))
DISK_FAULTS = ("disk_full", "read_only", "io_stall", "io_slow", "stale")


@pytest.fixture
def host() -> RehearsalHost:
    return RehearsalHost(FakeClock().now_ns, "abc123")


def fault(kind: str, target: str = "storage[0]", **options: Any) -> Fault:
    return Fault(fault=kind, target=target, options=options, at_s=0, hold_s=1)


@pytest.mark.parametrize("kind", DISK_FAULTS)
def test_a_role_without_a_disk_of_its_own_is_refused(kind: str) -> None:
    assert FAULTS[kind].refusal(TOPOLOGY, fault(kind, iops=20)) == ""
    assert FAULTS[kind].refusal(PLAIN, fault(kind, iops=20)).startswith("storage.size_mb is 0")


def test_the_size_of_the_very_role_counts() -> None:
    mixed = replace(PLAIN, storage=TOPOLOGY.storage)
    assert DiskFull().refusal(mixed, fault("disk_full")) == ""
    assert DiskFull().refusal(mixed, fault("disk_full", "database[0]")).startswith("database.size_mb is 0")


def test_a_slow_disk_needs_to_know_how_slow() -> None:
    assert "iops or kb_per_s" in IoSlow().refusal(TOPOLOGY, fault("io_slow"))
    assert IoSlow().refusal(TOPOLOGY, fault("io_slow", kb_per_s=500)) == ""


def test_less_is_free_than_is_to_be_left(host: RehearsalHost) -> None:
    aim = Aim(target="database", tag="t", options=DiskFull.Options(leave_mb=5000))
    with pytest.raises(GuardError, match="only 960 MiB of volume-of-database are free, so 5000 can't be left"):
        DiskFull().prepare(host, aim)


def test_there_is_no_room_for_a_copy(host: RehearsalHost) -> None:
    host.paper.break_("disk full", "storage", 1024)
    with pytest.raises(GuardError, match="more than half full"):
        Stale().prepare(host, Aim(target="storage", tag="t"))


def test_two_faults_of_one_disk_do_not_overlap(host: RehearsalHost) -> None:
    host.machines.look("storage")
    host.paper.break_("disk frozen", "storage")
    with pytest.raises(GuardError, match="the disk of storage is broken already: a write has not returned"):
        DiskFull().prepare(host, Aim(target="storage", tag="t", options=DiskFull.Options()))


def test_a_write_that_only_just_began_is_no_stall(host: RehearsalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    state = IoStall().prepare(host, Aim(target="storage", tag="t"))
    monkeypatch.setattr(host.volumes, "attempt", lambda volume: Attempt("", hangs=True, took_ms=20))
    assert not IoStall().confirm(host, state).shown


@pytest.mark.parametrize(("iops", "kb_per_s"), [(50, 0), (0, 50), (31, 0), (0, 31)])
def test_a_disk_that_is_faster_than_its_limit_is_no_slow_one(
    host: RehearsalHost, monkeypatch: pytest.MonkeyPatch, iops: int, kb_per_s: int
) -> None:
    aim = Aim(target="storage", tag="t", options=IoSlow.Options(iops=20, kb_per_s=64))
    state = IoSlow().prepare(host, aim)
    IoSlow().inject(host, state)
    assert IoSlow().confirm(host, state).shown
    measured = replace(host.volumes.measure(state["volume"], 0, 0), iops=iops or 20, kb_per_s=kb_per_s * 2 or 64)
    monkeypatch.setattr(host.volumes, "measure", lambda *_: measured)
    assert IoSlow().confirm(host, state).shown == (measured.iops <= 30 and measured.kb_per_s <= 96)


def test_rules_of_version_1_are_written_read_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "is_version_2", lambda: False)
    files = {
        way: tmp_path / f"blkio.throttle.{way}_device" for way in ("read_bps", "write_bps", "read_iops", "write_iops")
    }
    for file in files.values():
        file.write_text("")
    throttle.set_limit(tmp_path, "7:3", Limit(iops=20, kb_per_s=100))
    assert {way: file.read_text() for way, file in files.items()} == {
        "read_bps": "7:3 102400",
        "write_bps": "7:3 102400",
        "read_iops": "7:3 20",
        "write_iops": "7:3 20",
    }
    assert throttle.limit_of(tmp_path, "7:3") == Limit(20, 100)
    assert throttle.limit_of(tmp_path, "7:30") == Limit()
    throttle.set_limit(tmp_path, "7:3", Limit())
    assert files["write_bps"].read_text() == "7:3 0"


def test_rules_of_version_2_are_written_read_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "is_version_2", lambda: True)
    rules = tmp_path / "io.max"
    rules.write_text("")
    throttle.set_limit(tmp_path, "7:3", Limit(iops=20))
    assert rules.read_text() == "7:3 rbps=max wbps=max riops=20 wiops=20"
    assert throttle.limit_of(tmp_path, "7:3") == Limit(iops=20)
    throttle.set_limit(tmp_path, "7:3", Limit())
    assert throttle.limit_of(tmp_path, "7:3") == Limit()


def test_a_host_that_cannot_limit_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "is_version_2", lambda: True)
    with pytest.raises(GuardError, match=r"io\.max is not there"):
        throttle.set_limit(tmp_path, "7:3", Limit(iops=20))


@pytest.mark.parametrize("kind", ["stop", "restart", "nfs_restart"])
def test_a_machine_whose_disk_does_not_answer_can_t_be_shut_down(host: RehearsalHost, kind: str) -> None:
    stalled = IoStall().prepare(host, Aim(target="storage", tag="chaos-abc123-0"))
    IoStall().inject(host, stalled)
    with pytest.raises(GuardError, match="the disk of storage does not answer"):
        FAULTS[kind].prepare(host, Aim(target="storage", tag="chaos-abc123-1"))
    IoStall().undo(host, stalled)
    assert FAULTS[kind].prepare(host, Aim(target="storage", tag="chaos-abc123-1"))["container"] == "storage"
