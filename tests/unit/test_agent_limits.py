"""Reading and writing the files of control groups, in both versions, in a folder that looks like one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import PeerError
from harness.faults.agent import cgroups, limits
from harness.faults.agent.limits import RealLimits
from harness.faults.host import GuardError
from harness.faults.host.limits import CpuLimit, MemoryLimit

MB = 2**20
VERSION_1 = {
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_period_us": "100000",
    "cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 5",
    "memory.limit_in_bytes": "9223372036854771712",
    "memory.memsw.limit_in_bytes": "9223372036854771712",
    "memory.usage_in_bytes": str(50 * MB),
    "memory.memsw.usage_in_bytes": str(53 * MB),
    "memory.stat": f"cache 7\ninactive_file 5\ntotal_inactive_file {20 * MB}",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
}
VERSION_2 = {
    "cpu.max": "max 100000",
    "cpu.stat": "usage_usec 1\nnr_periods 9\nnr_throttled 3\nthrottled_usec 5",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.current": str(50 * MB),
    "memory.swap.current": str(3 * MB),
    "memory.stat": f"anon 7\ninactive_file {20 * MB}",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 2\noom_kill 2\noom_group_kill 0",
}
GROUP = "some/group"


@pytest.fixture(params=[VERSION_1, VERSION_2], ids=["version 1", "version 2"])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    monkeypatch.setattr(cgroups, "HOST_CGROUPS", tmp_path)
    (tmp_path / GROUP).mkdir(parents=True)
    for name, text in request.param.items():
        (tmp_path / GROUP / name).write_text(text + "\n")
    found: Mapping[str, str] = request.param
    return found


def written(tmp_path: Path, files: Mapping[str, str]) -> dict[str, str]:
    """What is not as it was."""
    now = {name: (tmp_path / GROUP / name).read_text().strip() for name in files}
    return {name: text for name, text in now.items() if text != files[name]}


def test_limits_are_read(files: Mapping[str, str]) -> None:
    assert RealLimits().cpu(GROUP) == CpuLimit(quota_us=None, period_us=100_000, held_back=3)
    assert RealLimits().memory(GROUP) == MemoryLimit(
        limit_bytes=None, swap_limit_bytes=None, used_bytes=30 * MB, oom_kills=2
    )


def test_a_processor_quota_is_written_where_the_version_has_it(files: Mapping[str, str], tmp_path: Path) -> None:
    name = "cpu.max" if "cpu.max" in files else "cpu.cfs_quota_us"
    RealLimits().set_cpu(GROUP, 5_000)
    assert written(tmp_path, files) == {name: "5000"}
    RealLimits().set_cpu(GROUP, None)
    assert (tmp_path / GROUP / name).read_text() == ("max" if "cpu.max" in files else "-1")


def test_a_memory_limit_lets_no_swap_take_its_place(files: Mapping[str, str], tmp_path: Path) -> None:
    RealLimits().squeeze_memory(GROUP, 64 * MB)
    # version 1 counts memory and swap together, version 2 swap alone; 3 MiB of it are in use
    if "memory.max" in files:
        expected = {"memory.max": str(64 * MB), "memory.swap.max": str(3 * MB)}
    else:
        expected = {"memory.limit_in_bytes": str(64 * MB), "memory.memsw.limit_in_bytes": str(67 * MB)}
    assert written(tmp_path, files) == expected


@pytest.mark.parametrize("before", [None, 256 * MB])
def test_memory_limits_are_put_back(files: Mapping[str, str], tmp_path: Path, before: int | None) -> None:
    names = ["memory.max", "memory.swap.max"] if "memory.max" in files else [n for n in files if "limit_in" in n]
    RealLimits().squeeze_memory(GROUP, 64 * MB)
    RealLimits().set_memory(GROUP, before, before)
    none = "max" if "memory.max" in files else "-1"
    assert [(tmp_path / GROUP / name).read_text() for name in names] == [str(before or none)] * 2


def test_a_kernel_that_does_not_count_swap_is_fine(files: Mapping[str, str], tmp_path: Path) -> None:
    for name in files:
        if "swap" in name or "memsw" in name:
            (tmp_path / GROUP / name).unlink()
    RealLimits().squeeze_memory(GROUP, 64 * MB)
    RealLimits().set_memory(GROUP, None, None)
    assert not list((tmp_path / GROUP).glob("*sw*")), "nothing is made that was not there"


def test_a_group_that_is_gone_is_fine(files: Mapping[str, str]) -> None:
    assert RealLimits().cpu("gone") is None
    assert RealLimits().memory("gone") is None
    assert RealLimits().burn("gone") is None
    RealLimits().set_cpu("gone", 5000)
    RealLimits().set_memory("gone", None, None)
    RealLimits().squeeze_memory("gone", MB)


def test_a_group_that_can_not_be_read_is_no_group_that_is_gone(files: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / GROUP / "cpu.stat").unlink()
    with pytest.raises(PeerError, match=r"some/group can't be read: .*cpu\.stat"):
        RealLimits().cpu(GROUP)


def test_a_group_that_holds_more_than_one_container_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "HOST_CGROUPS", tmp_path)
    monkeypatch.setattr(cgroups, "group_of", lambda pid, controller: tmp_path / "docker")
    with pytest.raises(GuardError, match="is no control group of container c0ffee alone: refused"):
        RealLimits().cpu_group("c0ffee", 4711)
    monkeypatch.setattr(cgroups, "group_of", lambda pid, controller: tmp_path / "system.slice/docker-c0ffee.scope")
    assert RealLimits().memory_group("c0ffee", 4711) == "system.slice/docker-c0ffee.scope"
    monkeypatch.setattr(cgroups, "group_of", lambda pid, controller: None)
    with pytest.raises(GuardError, match="process 4711 has no control group for memory"):
        RealLimits().memory_group("c0ffee", 4711)


def test_what_eats_memory_is_found_and_ended_by_its_tag_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # whoever looks for it is another object than the one that started it, as after a crash
    # it speaks once it runs: the kernel shows a program's environment a moment after it has begun to load it
    argv = ["sh", "-c", "echo runs; exec sleep 60"]
    environment = {**os.environ, limits.TAG_VARIABLE: "chaos-unit-0-a"}
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as sleeper:
        try:
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == b"runs\n"
            assert list(RealLimits().eaters("chaos-unit-0-a")) == [sleeper.pid]
            assert list(RealLimits().eaters("chaos-unit-0")) == []
            RealLimits().stop_eating("chaos-unit-0-b")
            assert sleeper.poll() is None
            RealLimits().stop_eating("chaos-unit-0-a")
            assert sleeper.wait(timeout=5) == -9
        finally:
            sleeper.kill()
