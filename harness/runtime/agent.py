"""The agent's container: how it is started and what it may do (see docs/security.md, "The agent")."""

from __future__ import annotations

import os
from collections.abc import Mapping

import docker
from docker.errors import APIError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from harness.core.names import AGENT_ROLE, LABEL_ROLE, LABEL_RUN
from harness.errors import DeploymentError, PeerError
from harness.runtime.peer import AttachedPeer

__all__ = ["JOURNAL_PATH", "engine_socket", "start_agent", "talk"]

# our own agent removes what a run leaves, also faults, which Ryuk does not know about
testcontainers_config.ryuk_disabled = True

JOURNAL_PATH = "/var/lib/agent/journal.jsonl"
_FIRST_ANSWER_TIMEOUT_S = 30.0


def engine_socket(client: docker.DockerClient) -> str:
    """The engine's socket as the engine's own host knows it.

    TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE wins. A rootless engine's socket is where DOCKER_HOST says; everywhere else
    (Docker Desktop's machine, a remote engine) it is at its usual place.
    """
    if override := os.environ.get("TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE"):
        return override
    host = os.environ.get("DOCKER_HOST", "")
    if host.startswith("unix://") and any("rootless" in o for o in client.info().get("SecurityOptions", [])):
        return host.removeprefix("unix://")
    return "/var/run/docker.sock"


def start_agent(
    client: docker.DockerClient,
    image: str,
    name: str,
    labels: Mapping[str, str],
    *,
    keep: bool = False,
    journal: str = "",
) -> AttachedPeer:
    """Start an agent for the run in `labels` and talk to it.

    With `keep` it leaves everything in place when the harness is gone, until it is stopped. `journal` is what a dead
    agent left: acts that are still to be undone. Raises `DeploymentError`.
    """
    container = (
        DockerContainer(image)
        .with_name(name)
        .with_envs(RUN_ID=labels[LABEL_RUN], KEEP="1" if keep else "")
        .with_volume_mapping(engine_socket(client), "/var/run/docker.sock", "rw")
        .with_volume_mapping("/sys/fs/cgroup", "/host/sys/fs/cgroup", "rw")
        .with_kwargs(
            labels={**labels, LABEL_ROLE: AGENT_ROLE},
            network="none",
            pid_mode="host",
            cgroupns="host",
            cap_add=["KILL", "SYS_PTRACE", "SYS_ADMIN", "NET_ADMIN", "MKNOD", "DAC_READ_SEARCH"],
            device_cgroup_rules=["b 7:* rwm", "c 10:237 rwm"],  # loop devices, and what gives them out
            security_opt=["apparmor=unconfined"],  # Docker's profile forbids signals to other containers
            stdin_open=True,
        )
    )
    if journal:
        container.with_copy_into_container(journal.encode(), JOURNAL_PATH)
    return talk(container, AGENT_ROLE)


def talk(container: DockerContainer, name: str) -> AttachedPeer:
    """Start a container and attach to its input and output, which is closed when this process ends.

    Raises `DeploymentError` with its log if it does not answer.
    """
    try:
        wrapped = container.start().get_wrapped_container()
        peer = AttachedPeer(wrapped, name)
        peer.call("ping", timeout_s=_FIRST_ANSWER_TIMEOUT_S)
    except APIError as error:
        raise DeploymentError(f"{name} did not start: {error.explanation}") from error
    except PeerError as error:
        log = wrapped.logs().decode(errors="replace")
        raise DeploymentError(f"{name} does not answer: {error.message}", detail=log[-2000:]) from error
    peer.keep_alive()
    return peer
