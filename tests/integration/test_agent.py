"""The agent on real containers: a fault with its proof and its undo, guards, and cleaning up after a dead harness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import docker
import pytest

from harness.analysis.log_lines import read_log
from harness.core.names import AGENT_ROLE, LABEL_RUN
from harness.core.specs import ReadyProbe
from harness.errors import DeploymentError, PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.images import BASE_IMAGE
from harness.runtime.janitor import end_run, find_remains, heal
from tests.conftest import eventually, left_of, seconds_until_gone
from tests.integration.rig import IDLE, ORDERLY, break_it, mend_it, pid_of


def test_kill_takes_effect_and_is_undone_as_an_observer_sees_it(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    agent, before = deployment.agent, pid_of(engine, deployment, "idle")
    address = engine.api.inspect_container(deployment.container_name("idle"))["NetworkSettings"]["Networks"]
    assert agent.call("fault", step="prepare", index=0, fault="kill", targets=["idle"])["ok"]
    injected = agent.call("fault", step="inject", index=0)
    assert injected["after_ns"] - injected["before_ns"] < 50_000_000
    assert agent.call("fault", step="confirm", index=0, timeout_s=20)["ok"]
    # the observer: the engine's own word and a command that can't be run any more
    assert pid_of(engine, deployment, "idle") == 0
    with pytest.raises(DeploymentError, match="could not be run"):
        deployment.execute("idle", ["true"])
    agent.call("fault", step="undo", index=0)
    assert agent.call("fault", step="confirm_recovery", index=0, timeout_s=20)["ok"]
    assert pid_of(engine, deployment, "idle") not in (0, before)
    assert deployment.execute("idle", ["true"]).exit_code == 0
    after = engine.api.inspect_container(deployment.container_name("idle"))["NetworkSettings"]["Networks"]
    assert [n["IPAddress"] for n in after.values()] == [n["IPAddress"] for n in address.values()]
    assert agent.call("undo_all")["undone"] == []


def test_stop_lets_the_machine_finish_in_order(deployment: DockerDeployment, engine: docker.DockerClient) -> None:
    deployment.start([ORDERLY], lambda *_: None)
    break_it(deployment, "stop", "orderly")
    state = engine.api.inspect_container(deployment.container_name("orderly"))["State"]
    assert (state["Running"], state["OOMKilled"], state["ExitCode"]) == (False, False, 0)
    mend_it(deployment)
    assert deployment.execute("orderly", ["true"]).exit_code == 0


def test_pause_freezes_every_process_and_undo_thaws_them(deployment: DockerDeployment) -> None:
    # a machine that says something all the time: the observer hears it fall silent and go on
    ticker = "while true; do echo tick; sleep 0.02; done"
    deployment.start([replace(IDLE, name="ticker", host_number=10, command=("sh", "-c", ticker))], lambda *_: None)

    def ticks() -> int:
        return len(deployment.log("ticker"))

    before = ticks()
    eventually(lambda: ticks() > before, "the machine ticks")
    break_it(deployment, "pause", "ticker")
    silent_since = ticks()
    time.sleep(0.5)  # 25 ticks of a machine that is not frozen
    assert ticks() == silent_since
    mend_it(deployment)
    eventually(lambda: ticks() > silent_since, "the machine ticks again")


def test_the_engine_stamps_lines_by_the_clock_that_the_agent_looks_at(deployment: DockerDeployment) -> None:
    says = ("sh", "-c", "echo Loading success.; sleep 1000")
    before_ns = deployment.agent.call("ping")["wall_ns"]
    deployment.start([replace(IDLE, name="load-balancer", host_number=10, command=says)], lambda *_: None)
    eventually(lambda: deployment.log("load-balancer") == "Loading success.\n", "it has spoken")
    after_ns = deployment.agent.call("ping")["wall_ns"]
    (line,) = read_log("load-balancer", [deployment.log("load-balancer", stamped=True)], "log").lines
    assert line.text == "Loading success."
    assert line.engine_ns is not None
    assert before_ns < line.engine_ns < after_ns


def test_isolate_cuts_the_link_and_undo_joins_it_again(deployment: DockerDeployment) -> None:
    others = [replace(IDLE, name=name, host_number=number, mounts=()) for name, number in (("peer", 10), ("other", 11))]
    deployment.start(others, lambda spec, seconds: None)

    def peer_reaches(host_number: int) -> bool:
        # a port where nobody listens: only a machine that is reached can refuse the connection
        ask = f"exec 3<>/dev/tcp/{deployment.subnet_prefix}.{host_number}/9"
        return "Connection refused" in deployment.execute("peer", ["bash", "-c", ask], timeout_s=5).output

    assert peer_reaches(9)
    break_it(deployment, "isolate")
    assert not peer_reaches(9)
    assert peer_reaches(11), "only the target is cut off"
    assert deployment.execute("idle", ["true"]).exit_code == 0, "its processes go on"
    mend_it(deployment)
    eventually(lambda: peer_reaches(9), "the target is reached again")


def test_a_container_of_another_run_is_refused(deployment: DockerDeployment, engine: docker.DockerClient) -> None:
    foreign = engine.containers.run(
        BASE_IMAGE,
        ["sleep", "600"],
        name=deployment.container_name("foreign"),
        labels={LABEL_RUN: "ffffff"},
        network="none",
        detach=True,
    )
    try:
        with pytest.raises(PeerError, match="bears the run label 'ffffff'"):
            deployment.agent.call("fault", step="prepare", index=0, fault="kill", targets=["foreign"])
        foreign.reload()
        assert foreign.status == "running"
    finally:
        foreign.remove(force=True)


def test_a_target_that_shares_the_hosts_network_is_refused(
    deployment: DockerDeployment, engine: docker.DockerClient, run_id: str
) -> None:
    engine.containers.run(
        BASE_IMAGE,
        ["sleep", "600"],
        name=deployment.container_name("host-net"),
        labels={LABEL_RUN: run_id},
        network="host",
        detach=True,
    )
    with pytest.raises(PeerError, match="shares the host's network or PID namespace: refused"):
        deployment.agent.call("fault", step="prepare", index=0, fault="kill", targets=["host-net"])


HARNESS_THAT_HANGS = """
import sys
from harness.runtime.docker import DockerRuntime
from harness.runtime.engine import connect
from harness.runtime.images import BASE_IMAGE
from tests.integration.rig import IDLE
runtime = DockerRuntime(connect(), {"idle": BASE_IMAGE})
runtime.ensure_images(["agent"], lambda *_: None)
deployment = runtime.open(sys.argv[1], "test")
deployment.start([IDLE], lambda *_: None)
deployment.agent.call("fault", step="prepare", index=0, fault="kill", targets=["idle"])
deployment.agent.call("fault", step="inject", index=0)
print("injected", flush=True)
sys.stdin.read()
"""


def start_harness(run_id: str) -> subprocess.Popen[str]:
    """A harness of its own process, in mid-fault."""
    argv = [sys.executable, "-c", HARNESS_THAT_HANGS, run_id]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "injected\n"
    return process


def test_nothing_is_left_ten_seconds_after_the_harness_is_killed_in_mid_fault(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str
) -> None:
    process = start_harness(run_id)
    assert left_of(engine, run_id)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    seconds_until_gone(engine, run_id, limit_s=10)


def test_doctor_heals_what_a_dead_agent_left(runtime: DockerRuntime, engine: docker.DockerClient, run_id: str) -> None:
    process = start_harness(run_id)
    engine.containers.get(f"chaos-{run_id}-{AGENT_ROLE}").kill()
    process.kill()
    process.communicate()
    (remains,) = [r for r in find_remains(engine) if r.run_id == run_id]
    assert not remains.alive
    assert {name.removeprefix(f"chaos-{run_id}") for name in remains.names()} == {"", "-agent", "-idle", "-v"}
    agent_image = runtime.ensure_images(["agent"], lambda *_: None)["agent"]
    done = heal(engine, remains, agent_image).done
    assert "undone: kill on idle" in done
    assert left_of(engine, run_id) == []


def test_a_platform_that_was_kept_outlives_the_harness_until_it_is_ended(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str
) -> None:
    deployment = runtime.open(run_id, "test", keep=True)
    deployment.start([IDLE], lambda spec, seconds: None)
    deployment.agent.close()
    (remains,) = [r for r in find_remains(engine) if r.run_id == run_id]
    assert remains.alive
    end_run(engine, remains, runtime.ensure_images(["agent"], lambda *_: None)["agent"])
    assert left_of(engine, run_id) == []


def test_a_container_that_ends_before_it_is_ready_is_named_with_its_log(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str
) -> None:
    script = "echo the disk is on fire; exit 3"
    broken = replace(
        IDLE, command=("sh", "-c", script), ready=ReadyProbe(argv=("true",), proves="nothing", timeout_s=20)
    )
    deployment = runtime.open(run_id, "test")
    try:
        with pytest.raises(DeploymentError, match="ended with exit code 3") as caught:
            deployment.start([broken], lambda spec, seconds: None)
        assert "the disk is on fire" in caught.value.detail
    finally:
        deployment.remove()
    assert left_of(engine, run_id) == []


def test_two_deployments_have_networks_of_their_own(runtime: DockerRuntime, deployment: DockerDeployment) -> None:
    # the same first choice of a subnet: ids that are equal modulo the size of the pool
    other = runtime.open(f"{int(deployment.run_id, 16) + 255:06x}"[-6:], "test")
    try:
        assert other.subnet_prefix != deployment.subnet_prefix
    finally:
        other.remove()


def test_a_second_look_at_the_images_builds_nothing(runtime: DockerRuntime) -> None:
    said: list[str] = []
    names = ["agent", "load_balancer"]
    first = runtime.ensure_images(names, lambda what, state: said.append(what))
    assert runtime.ensure_images(names, lambda what, state: said.append(what)) == first
    assert said == []
