"""A topology brought up to look at, without load, that outlives the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.components.base import generate_secrets
from harness.components.registry import entrance, platform
from harness.core.specs import NodeContext
from harness.core.topology import Topology
from harness.run.orchestrator import new_run_id
from harness.run.plan import needed_images
from harness.run.stage import CLIENT
from harness.runtime.docker import DockerRuntime

__all__ = ["Place", "bring_up"]


@dataclass(frozen=True)
class Place:
    """Where a platform is and how to get in."""

    run_id: str
    url: str
    password: str


def bring_up(runtime: DockerRuntime, topology: Topology, say: Callable[[str], None]) -> Place:
    """Start everything but the load client, with the entrance published on 127.0.0.1. Raises `RunError`."""
    names = [name for name in needed_images(topology) if name != CLIENT]
    runtime.ensure_images(names, lambda what, state: say(f"image {what}: {state}"))
    run_id, secrets = new_run_id(), generate_secrets()
    deployment = runtime.open(run_id, topology.name, keep=True)
    try:
        context = NodeContext(run_id=run_id, subnet_prefix=deployment.subnet_prefix, secrets=secrets)
        scheme, container, port, path = entrance(topology)
        specs = [
            replace(spec, publish=(port,)) if spec.name == container else spec for spec in platform(topology, context)
        ]
        deployment.start(specs, lambda spec, seconds: say(f"{spec.name} ready after {seconds:.1f} s"))
        url = f"{scheme}://127.0.0.1:{deployment.published_port(container, port)}{path}"
    except BaseException:
        deployment.stop_keeping()
        raise
    return Place(run_id, url, secrets["USER_PASSWORD"])
