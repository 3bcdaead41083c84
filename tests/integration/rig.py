"""What tests of faults on real containers share: machines that do nothing, and the steps of a fault's life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import docker

from harness.core.specs import ContainerSpec, Mount
from harness.runtime.docker import DockerDeployment

__all__ = ["IDLE", "break_it", "mend_it", "pid_of", "step"]

#: A machine that does nothing, from an image that is there anyway (no Python in it, but bash and perl).
IDLE = ContainerSpec(
    name="idle",
    role="idle",
    image="idle",
    host_number=9,
    command=("sleep", "600"),
    mounts=(Mount(volume="v", path="/v"),),
)


def pid_of(engine: docker.DockerClient, deployment: DockerDeployment, name: str) -> int:
    """Of a container's PID 1 on the host; 0 if it does not run."""
    return int(engine.api.inspect_container(deployment.container_name(name))["State"]["Pid"])


def step(deployment: DockerDeployment, name: str, *, index: int = 0, **first: Any) -> Mapping[str, Any]:
    """One step of a fault; fails with the evidence where the step did."""
    answer = deployment.agent.call("fault", step=name, index=index, timeout_s=40, **first)
    assert answer["ok"], answer["evidence"]
    return answer


def break_it(
    deployment: DockerDeployment,
    kind: str,
    target: str = "idle",
    *,
    peers: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    index: int = 0,
) -> Mapping[str, Any]:
    """Prepare, inject and see proof; returns the answer with the stamps of the injection."""
    step(
        deployment,
        "prepare",
        index=index,
        fault=kind,
        targets=[target],
        peers=list(peers),
        options=dict(options or {}),
    )
    injected = step(deployment, "inject", index=index)
    step(deployment, "confirm", index=index)
    return injected


def mend_it(deployment: DockerDeployment, *, index: int = 0) -> None:
    """Undo, see proof, clean up; the journal must know of nothing that is left."""
    step(deployment, "undo", index=index)
    step(deployment, "confirm_recovery", index=index)
    step(deployment, "cleanup", index=index)
    assert deployment.agent.call("undo_all")["undone"] == []
