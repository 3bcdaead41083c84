"""Faults of what a machine may use, seen by processes on it that need it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.core.names import AGENT_ROLE
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.janitor import find_remains, heal
from tests.conftest import eventually, left_of
from tests.integration.rig import IDLE, break_it, mend_it, pid_of, step

#: Says how many rounds it made in each quarter of a second.
BUSY = """
use Time::HiRes 'time'; $| = 1;
while (1) { my $until = time + 0.25; my $n = 0; $n++ while time < $until; print "$n\n" }
"""
#: Holds as many MiB as its argument says, and says when it has them.
FAT = 'my $fat = "x" x ($ARGV[0] * 1048576); $| = 1; print "fat\n"; sleep 600'


def rounds(deployment: DockerDeployment) -> list[int]:
    """The observer: what a busy loop on the machine got done in each of the next quarters of a second."""
    known = len(deployment.log("node").split())
    eventually(lambda: len(deployment.log("node").split()) >= known + 7, "the busy loop goes on")
    return [int(count) for count in deployment.log("node").split()[known + 1 :]]  # the first may have begun earlier


def start(deployment: DockerDeployment, *command: str) -> None:
    deployment.start([replace(IDLE, name="node", host_number=10, command=command)], lambda *_: None)


def start_fat(deployment: DockerDeployment) -> None:
    """A machine with a process that is much fatter than what eats its memory."""
    start(deployment, "sh", "-c", f"perl -e '{FAT}' 300 & sleep 600")
    eventually(lambda: "fat" in deployment.log("node"), "it holds its memory")


def names(deployment: DockerDeployment) -> list[str]:
    """The machine's processes, as its own /proc has them."""
    return deployment.execute("node", ["sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null"]).output.split()


def ms(injected: Mapping[str, Any]) -> float:
    return float(injected["after_ns"] - injected["before_ns"]) / 1e6


def test_cpu_leaves_a_share_of_one_core(deployment: DockerDeployment) -> None:
    start(deployment, "perl", "-e", BUSY)
    # a whole core is what it got in its best quarter: the host may be busy otherwise
    before = max(rounds(deployment))
    break_it(deployment, "cpu", "node", options={"share_percent": 5})
    during = statistics.median(rounds(deployment))
    mend_it(deployment)
    after = max(rounds(deployment))
    print(f"rounds in 0.25 s: {before} before, {during:.0f} during ({during / before:.1%}), {after} after")
    assert during < 0.15 * before
    assert after > 3 * during


def test_a_limit_that_is_tighter_already_is_not_replaced(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    engine.containers.get(deployment.container_name("idle")).update(
        cpu_period=100_000, cpu_quota=4_000, mem_limit="16m", memswap_limit="16m"
    )
    with pytest.raises(PeerError, match="may use 4000 us of processor in 100000 us already"):
        step(deployment, "prepare", fault="cpu", targets=["idle"], options={"share_percent": 5})
    with pytest.raises(PeerError, match="may use 16 MiB already"):
        step(deployment, "prepare", fault="memory", targets=["idle"], options={"leave_mb": 64})


def test_a_limit_that_was_there_before_is_put_back(deployment: DockerDeployment, engine: docker.DockerClient) -> None:
    engine.containers.get(deployment.container_name("idle")).update(
        cpu_period=50_000, cpu_quota=40_000, mem_limit="512m", memswap_limit="768m"
    )

    def limits() -> list[str]:
        files = [
            "cpu/cpu.cfs_quota_us",
            "cpu/cpu.cfs_period_us",
            "memory/memory.limit_in_bytes",
            "memory/memory.memsw.limit_in_bytes",
        ]
        return deployment.execute("idle", ["cat", *(f"/sys/fs/cgroup/{file}" for file in files)]).output.split()

    before = limits()
    break_it(deployment, "cpu", options={"share_percent": 5}, index=0)
    break_it(deployment, "memory", options={"leave_mb": 32}, index=1)
    during = limits()
    assert during[:2] == ["2500", "50000"]
    assert int(during[2]) < 64 * 2**20
    step(deployment, "undo", index=1)
    step(deployment, "confirm_recovery", index=1)
    mend_it(deployment, index=0)
    assert limits() == before


def test_memory_is_short_until_undone(deployment: DockerDeployment) -> None:
    def takes(mb: int) -> bool:
        code = f'my $s = "x" x ({mb} * 1048576); print length $s'
        return deployment.execute("idle", ["perl", "-e", code]).output.strip() == str(mb * 1048576)

    assert takes(150)
    break_it(deployment, "memory", options={"leave_mb": 32})
    assert takes(4)
    assert not takes(150), "the kernel ends what wants more than is left"
    mend_it(deployment)
    assert takes(150)


def test_a_program_that_eats_memory_has_the_fattest_process_killed(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start_fat(deployment)
    assert "perl" in names(deployment)
    break_it(deployment, "memory", "node", options={"leave_mb": 32, "oom": True})
    assert "perl" not in names(deployment)
    assert pid_of(engine, deployment, "node") != 0, "the machine goes on"
    mend_it(deployment)
    # what the program ate is free again: it holds nothing in the machine's account
    used = deployment.execute("node", ["cat", "/sys/fs/cgroup/memory/memory.usage_in_bytes"]).output
    assert int(used) < 32 * 2**20


def test_a_machine_whose_first_process_was_killed_for_lack_of_memory_is_started_again(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start(deployment, "perl", "-e", FAT, "300")
    eventually(lambda: "fat" in deployment.log("node"), "it holds its memory")
    break_it(deployment, "memory", "node", options={"leave_mb": 32, "oom": True})
    eventually(lambda: pid_of(engine, deployment, "node") == 0, "the machine is down", limit_s=5)
    mend_it(deployment)
    eventually(lambda: deployment.log("node").count("fat") == 2, "it holds its memory again")


def eaters(engine: docker.DockerClient, deployment: DockerDeployment) -> int:
    """How many programs eat memory in the machine's account and were not started in it: its own processes are those
    that the engine knows."""
    name = deployment.container_name("node")
    group = Path("/sys/fs/cgroup/memory/docker") / str(engine.api.inspect_container(name)["Id"])
    own = {int(row[1]) for row in engine.api.top(name)["Processes"]}
    return len({int(pid) for pid in (group / "cgroup.procs").read_text().split()} - own)


@pytest.mark.skipif(not Path("/sys/fs/cgroup/memory/docker").is_dir(), reason="the observer looks at the host's groups")
def test_what_eats_memory_dies_with_the_agent_and_its_limit_is_healed(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str
) -> None:
    deployment = runtime.open(run_id, "test")
    start_fat(deployment)
    break_it(deployment, "memory", "node", options={"leave_mb": 32, "oom": True})
    assert eaters(engine, deployment) > 0
    engine.containers.get(deployment.container_name(AGENT_ROLE)).kill()
    deployment.agent.close()
    eventually(lambda: eaters(engine, deployment) == 0, "what eats memory ends", limit_s=5)
    (remains,) = [r for r in find_remains(engine) if r.run_id == run_id]
    assert (
        "undone: memory on node"
        in heal(engine, remains, runtime.ensure_images(["agent"], lambda *_: None)["agent"]).done
    )
    assert left_of(engine, run_id) == []


#: Beside the first agent, which still lives: nothing but the undo can end what it started.
ANOTHER_AGENT = """
import os
from harness.faults.agent.__main__ import JOURNAL
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.host import RealHost
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.faults.registry import FAULTS
run_id = os.environ["RUN_ID"]
print(Lifecycle(RealHost(run_id, EngineApi()), Journal(JOURNAL), FAULTS, run_id=run_id).undo_all())
"""


@pytest.mark.skipif(not Path("/sys/fs/cgroup/memory/docker").is_dir(), reason="the observer looks at the host's groups")
def test_another_agent_undoes_limits_from_the_journal_alone(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start_fat(deployment)
    break_it(deployment, "cpu", "node", options={"share_percent": 5}, index=0)
    break_it(deployment, "memory", "node", options={"leave_mb": 32, "oom": True}, index=1)
    assert eaters(engine, deployment) > 0
    done = deployment.execute(AGENT_ROLE, ["python3", "-c", ANOTHER_AGENT])
    assert done.output.strip() == "['undone: memory on node', 'undone: cpu on node']", done.output
    assert eaters(engine, deployment) == 0
    for index in (1, 0):
        step(deployment, "confirm_recovery", index=index)


def test_limits_act_within_20_ms_of_their_stamps(deployment: DockerDeployment) -> None:
    for kind, options in (("cpu", {"share_percent": 5}), ("memory", {"leave_mb": 32})):
        took = []
        for index in range(20):
            took.append(ms(break_it(deployment, kind, options=options, index=index)))
            mend_it(deployment, index=index)
        print(f"{kind}: {statistics.median(took):.2f} ms, at most {max(took):.2f} ms over {len(took)}")
        assert sorted(took)[-2] < 20  # one of twenty may have met a busy moment of the host


def test_both_limits_end_with_the_machine_that_had_them(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    break_it(deployment, "cpu", options={"share_percent": 5}, index=0)
    break_it(deployment, "memory", options={"leave_mb": 32, "oom": True}, index=1)
    engine.containers.get(deployment.container_name("idle")).kill()
    begun = time.monotonic()
    for index in (1, 0):
        step(deployment, "undo", index=index)
        step(deployment, "confirm_recovery", index=index)
    assert time.monotonic() - begun < 2
