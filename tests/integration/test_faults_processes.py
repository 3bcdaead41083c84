"""Faults of single processes, on machines whose processes are shells that say what they do."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import docker
import pytest

from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment
from tests.conftest import eventually, first_of
from tests.integration.rig import IDLE, ORDERLY, break_it, mend_it, pid_of, step

TICK = "while :; do echo $0; sleep 0.02; done"
#: PID 1 starts a worker again 0.2 s after it died; both have names of their own, and each says who it is.
SUPERVISED = f"""
cp /bin/bash /tmp/worker; cp /bin/bash /tmp/bystander
/tmp/bystander -c '{TICK}' bystander &
while :; do /tmp/worker -c '{TICK}' worker; sleep 0.2; done
"""
#: Nobody starts anything again. PID 1 says when it begins and when it ends in order.
UNSUPERVISED = f"""
echo boot
cp /bin/bash /tmp/worker; cp /bin/bash /tmp/bystander
/tmp/worker -c '{TICK}' worker &
/tmp/bystander -c '{TICK}' bystander &
trap 'echo shutdown; exit 0' TERM; while :; do sleep 0.1; done
"""
WORKER = {"process": "worker"}


def start(deployment: DockerDeployment, script: str) -> None:
    deployment.start([replace(IDLE, name="node", host_number=10, command=("bash", "-c", script))], lambda *_: None)
    eventually(lambda: ticks(deployment, "worker") > 0 and ticks(deployment, "bystander") > 0, "both tick")


def ticks(deployment: DockerDeployment, who: str) -> int:
    """The observer: what the process itself said so far."""
    return deployment.log("node").splitlines().count(who)


def goes_on(deployment: DockerDeployment, who: str) -> None:
    before = ticks(deployment, who)
    eventually(lambda: ticks(deployment, who) > before, f"the {who} ticks")


def is_silent(deployment: DockerDeployment, who: str) -> None:
    before = ticks(deployment, who)
    time.sleep(0.4)  # 20 ticks of a process that runs
    assert ticks(deployment, who) <= before + 1  # one may have been on its way to the log


def worker(deployment: DockerDeployment) -> tuple[str, str]:
    """PID in its machine and state of the worker, as the machine's own /proc has them."""
    stats = deployment.execute("node", ["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null"]).output.splitlines()
    ((pid, state),) = [(line.split()[0], line.split()[2]) for line in stats if line.split()[1] == "(worker)"]
    return pid, state


def ms(injected: Mapping[str, Any]) -> float:
    return float(injected["after_ns"] - injected["before_ns"]) / 1e6


def test_crash_ends_one_process_and_its_supervisor_starts_it_again(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start(deployment, SUPERVISED)
    machine = pid_of(engine, deployment, "node")
    before, _ = worker(deployment)
    break_it(deployment, "crash", "node", options=WORKER)
    assert deployment.execute("node", ["cat", f"/proc/{before}/stat"]).exit_code != 0, "that process is gone"
    goes_on(deployment, "bystander")
    mend_it(deployment)
    goes_on(deployment, "worker")
    assert worker(deployment)[0] != before
    assert pid_of(engine, deployment, "node") == machine, "nothing was restarted but the process"


def test_undo_of_crash_restarts_the_machine_where_nobody_starts_the_process_again(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start(deployment, UNSUPERVISED)
    machine = pid_of(engine, deployment, "node")
    break_it(deployment, "crash", "node", options=WORKER)
    is_silent(deployment, "worker")
    goes_on(deployment, "bystander")
    mend_it(deployment)
    goes_on(deployment, "worker")
    assert pid_of(engine, deployment, "node") not in (0, machine)


def test_a_crash_that_takes_the_machine_with_it_is_undone_by_starting_it(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    before = pid_of(engine, deployment, "idle")
    break_it(deployment, "crash", options={"process": "sleep"})  # its PID 1
    begun = time.monotonic()
    mend_it(deployment)
    assert time.monotonic() - begun < 4, "no supervisor is waited for"
    assert pid_of(engine, deployment, "idle") not in (0, before)
    assert deployment.execute("idle", ["true"]).exit_code == 0


def test_undo_of_crash_does_not_hang_on_a_machine_that_was_paused_or_is_gone(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    start(deployment, UNSUPERVISED)
    container = engine.containers.get(deployment.container_name("node"))
    break_it(deployment, "crash", "node", options=WORKER)
    container.pause()
    begun = time.monotonic()
    step(deployment, "undo")
    assert time.monotonic() - begun < 2
    container.remove(force=True)
    mend_it(deployment)


def test_freeze_stops_one_process_and_leaves_the_others_alone(deployment: DockerDeployment) -> None:
    start(deployment, SUPERVISED)
    break_it(deployment, "freeze", "node", options=WORKER)
    is_silent(deployment, "worker")
    goes_on(deployment, "bystander")
    assert worker(deployment)[1] == "T"
    mend_it(deployment)
    goes_on(deployment, "worker")


@pytest.mark.parametrize("meanwhile", first_of("killed", "paused", "restarted", "removed"))
def test_undo_of_freeze_copes_with_what_happened_meanwhile(
    deployment: DockerDeployment, engine: docker.DockerClient, meanwhile: str
) -> None:
    start(deployment, SUPERVISED)
    container = engine.containers.get(deployment.container_name("node"))
    break_it(deployment, "freeze", "node", options=WORKER)
    if meanwhile == "killed":
        deployment.execute("node", ["sh", "-c", f"kill -9 {worker(deployment)[0]}"])
    elif meanwhile == "paused":
        container.pause()
    elif meanwhile == "restarted":
        container.restart(timeout=0)
    else:
        container.remove(force=True)
    begun = time.monotonic()
    step(deployment, "undo")
    assert time.monotonic() - begun < 2
    if meanwhile == "paused":
        container.unpause()
    mend_it(deployment)
    if meanwhile != "removed":
        goes_on(deployment, "worker")


def test_a_process_that_is_not_there_is_refused_with_the_names_of_those_that_are(deployment: DockerDeployment) -> None:
    start(deployment, SUPERVISED)
    with pytest.raises(
        PeerError, match=r"no process of node is called 'jupyterhub'; these are there: .*bystander.*worker"
    ):
        step(deployment, "prepare", fault="crash", targets=["node"], options={"process": "jupyterhub"})


def test_restart_makes_a_new_incarnation(deployment: DockerDeployment, engine: docker.DockerClient) -> None:
    start(deployment, UNSUPERVISED)
    machine = pid_of(engine, deployment, "node")
    break_it(deployment, "restart", "node")
    assert pid_of(engine, deployment, "node") not in (0, machine)
    said = [line for line in deployment.log("node").splitlines() if line in {"boot", "shutdown"}]
    assert said == ["boot", "shutdown", "boot"]
    goes_on(deployment, "worker")
    mend_it(deployment)


def test_undo_of_restart_starts_a_machine_that_is_down(
    deployment: DockerDeployment, engine: docker.DockerClient
) -> None:
    deployment.start([ORDERLY], lambda *_: None)
    break_it(deployment, "restart", "orderly")
    engine.containers.get(deployment.container_name("orderly")).kill()
    mend_it(deployment)
    assert pid_of(engine, deployment, "orderly") != 0


def test_crash_and_freeze_act_within_20_ms_of_their_stamps(deployment: DockerDeployment) -> None:
    start(deployment, SUPERVISED)
    for kind in ("crash", "freeze"):
        took = []
        for index in range(20):
            took.append(ms(break_it(deployment, kind, "node", options=WORKER, index=index)))
            mend_it(deployment, index=index)
        print(f"{kind}: {statistics.median(took):.2f} ms, at most {max(took):.2f} ms over {len(took)}")
        assert sorted(took)[-2] < 20  # one of twenty may have met a busy moment of the host
