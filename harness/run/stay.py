"""A topology brought up to look at, without load, that outlives the command."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from harness.components.base import generate_secrets
from harness.components.registry import entrance, platform
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology
from harness.run.orchestrator import new_run_id
from harness.run.plan import needed_images
from harness.run.stage import CLIENT
from harness.runtime.docker import DockerRuntime

__all__ = ["Place", "bring_up", "stay_images", "stay_specs"]


@dataclass(frozen=True)
class Place:
    """Where a platform is and how to get in."""

    run_id: str
    url: str
    password: str


def stay_images(topology: Topology) -> list[str]:
    """Names of the images that it is made of."""
    return [name for name in needed_images(topology) if name != CLIENT]


def stay_specs(topology: Topology, context: NodeContext) -> list[ContainerSpec]:
    """Everything but the load client, with the entrance published."""
    _, entered, port, _ = entrance(topology)
    return [replace(spec, publish=(port,)) if spec.name == entered else spec for spec in platform(topology, context)]


def bring_up(
    runtime: DockerRuntime, topology: Topology, say: Callable[[str], None], *, anew: Collection[str] = ()
) -> Place:
    """Start everything but the load client, with the entrance published on 127.0.0.1. Images in `anew` are built from
    nothing. Raises `RunError`."""
    runtime.ensure_images(stay_images(topology), lambda what, state: say(f"image {what}: {state}"), anew=anew)
    run_id, secrets = new_run_id(), generate_secrets()
    deployment = runtime.open(run_id, topology.name, keep=True)
    try:
        context = NodeContext(run_id=run_id, subnet_prefix=deployment.subnet_prefix, secrets=secrets)
        scheme, container, port, path = entrance(topology)
        deployment.start(
            stay_specs(topology, context), lambda spec, seconds: say(f"{spec.name} ready after {seconds:.1f} s")
        )
        url = f"{scheme}://127.0.0.1:{deployment.published_port(container, port)}{path}"
    except BaseException:
        deployment.stop_keeping()
        raise
    return Place(run_id, url, secrets["USER_PASSWORD"])
