"""What tests on real containers share: a deployment that leaves nothing, a machine that does nothing, and the steps of
a fault's life."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import docker

from harness.components.base import generate_secrets
from harness.components.registry import plan
from harness.core.specs import ContainerSpec, Mount, NodeContext
from harness.core.topology import Topology
from harness.errors import DeploymentError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import left_of

__all__ = [
    "IDLE",
    "ORDERLY",
    "Specs",
    "break_it",
    "deployed",
    "mend_it",
    "new_context",
    "pid_of",
    "step",
    "without_people",
]

#: What a deployment is to hold.
Specs = Callable[[NodeContext], Iterable[ContainerSpec]]

#: A machine that does nothing, from an image that is there anyway (no Python in it, but bash and perl).
IDLE = ContainerSpec(
    name="idle",
    role="idle",
    image="idle",
    host_number=9,
    command=("sleep", "600"),
    mounts=(Mount(volume="v", path="/v"),),
)


#: As it, and ends when it is told to; what does not waits for the engine's patience (20 s).
ORDERLY = replace(
    IDLE, name="orderly", host_number=8, mounts=(), command=("sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait")
)


def new_context(run_id: str = "") -> NodeContext:
    """Of a run with secrets of its own. The deployment completes it with its subnet."""
    return NodeContext(run_id=run_id or secrets.token_hex(3), subnet_prefix="", secrets=generate_secrets())


def without_people(topology: Topology) -> Specs:
    """The whole platform; nobody is there to use it."""
    return lambda context: [spec for spec in plan(topology, context) if spec.name != "client"]


@contextmanager
def deployed(
    runtime: DockerRuntime,
    engine: docker.DockerClient,
    name: str,
    specs: Specs,
    context: NodeContext | None = None,
) -> Iterator[DockerDeployment]:
    """The block has the deployment with everything in it ready; after the block nothing of it may be left.

    `name` is the topology's.
    """
    context = context or new_context()
    deployment = runtime.open(context.run_id, name)
    try:
        began = time.monotonic()
        wanted = [*specs(replace(context, subnet_prefix=deployment.subnet_prefix))]
        deployment.start(wanted, lambda spec, seconds: print(f"{spec.name} ready after {seconds:.1f} s"))
        print(f"all are ready after {time.monotonic() - began:.1f} s")
        yield deployment
    except DeploymentError as error:
        print(error.detail)  # the log of what did not start; the message is pytest's to print
        raise
    finally:
        began = time.monotonic()
        deployment.remove()
        print(f"removed after {time.monotonic() - began:.1f} s")
    assert left_of(engine, context.run_id) == []


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
