"""A small platform of real machines on which every fault that needs no cluster can be done within seconds.

Run as a program it is a harness of its own: it brings the platform up, carries out a sequence of overlapping faults
given as JSON, and takes everything down; tests kill it in the middle.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.components.base import generate_secrets
from harness.components.registry import plan
from harness.core.names import AGENT_ROLE
from harness.core.specs import ContainerSpec, NodeContext
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.engine import connect
from harness.runtime.images import BASE_IMAGE
from harness.spec.loader import load_topology
from tests.conftest import ROOT
from tests.integration.rig import IDLE

__all__ = ["IMAGES", "MENU", "Dish", "small_platform"]

#: Beside the base image, which the nodes run on.
IMAGES = (AGENT_ROLE, "storage", "database")
#: A program that a crash or a freeze can hit, and a supervisor that starts it again.
_NODE = ("bash", "-c", "while true; do sleep 999; done")


@dataclass(frozen=True)
class Dish:
    """One way of using a kind of fault on the small platform."""

    kind: str
    target: str
    peers: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None


#: Every kind of fault that works without a cluster, TLS, a Toxiproxy or a preloaded clock.
MENU: tuple[Dish, ...] = (
    Dish("kill", "node-0"),
    Dish("stop", "database"),
    Dish("restart", "node-1"),
    Dish("pause", "node-0"),
    Dish("crash", "node-1", options={"process": "sleep"}),
    Dish("freeze", "node-0", options={"process": "sleep"}),
    Dish("cpu", "node-1", options={"share_percent": 10.0}),
    Dish("memory", "node-0", options={"leave_mb": 32, "oom": False}),
    Dish("failover", "database"),
    Dish("kill_connections", "database"),
    Dish("nfs_hang", "storage"),
    Dish("nfs_restart", "storage"),
    Dish("disk_full", "database"),
    Dish("read_only", "storage"),
    Dish("io_stall", "database"),
    Dish("io_slow", "storage", options={"iops": 50}),
    Dish("stale", "storage"),
    Dish("isolate", "node-0"),
    Dish("partition", "node-1", peers=("database",), options={"direction": "both", "how": "drop"}),
    Dish("loss", "node-0", peers=("node-1",), options={"percent": 30.0}),
    Dish("dns", "node-1"),
)


def small_platform(deployment: DockerDeployment) -> list[ContainerSpec]:
    """The real storage and database of a topology of the catalogue, and two nodes that do nothing."""
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    context = NodeContext(run_id=deployment.run_id, subnet_prefix=deployment.subnet_prefix, secrets=generate_secrets())
    services = [spec for spec in plan(topology, context) if spec.name in ("storage", "database")]
    nodes = [
        replace(IDLE, name=f"node-{index}", host_number=60 + index, command=_NODE, mounts=()) for index in range(2)
    ]
    return [*services, *nodes]


def _carry_out(deployment: DockerDeployment, sequence: Sequence[Mapping[str, Any]]) -> None:
    """Each fault at its time; one that finds its target broken by another already is refused and passed over."""
    agent, start = deployment.agent, time.monotonic()
    acts = [(entry["at_s"], index, False) for index, entry in enumerate(sequence)]
    acts += [(entry["at_s"] + entry["hold_s"], index, True) for index, entry in enumerate(sequence)]
    in_force = set[int]()
    for at_s, index, undo in sorted(acts):
        time.sleep(max(0.0, start + at_s - time.monotonic()))
        entry = sequence[index]
        if undo and index in in_force:
            for step in ("undo", "confirm_recovery", "cleanup"):
                agent.call("fault", step=step, index=index, timeout_s=60)
        elif not undo:
            try:
                agent.call(
                    "fault",
                    step="prepare",
                    index=index,
                    fault=entry["kind"],
                    targets=[entry["target"]],
                    peers=entry["peers"],
                    options=entry["options"],
                    timeout_s=60,
                )
            except PeerError as error:
                print(f"refused: {error.message}", file=sys.stderr, flush=True)
                continue
            in_force.add(index)
            agent.call("fault", step="inject", index=index, timeout_s=60)
            print(f"{entry['kind']} on {entry['target']}", flush=True)


def main() -> None:
    """`python -m tests.integration.small_platform RUN_ID SEQUENCE`."""
    run_id, sequence = sys.argv[1], json.loads(sys.argv[2])
    runtime = DockerRuntime(connect(), {"idle": BASE_IMAGE})
    runtime.ensure_images(IMAGES, lambda *_: None)
    deployment = runtime.open(run_id, "sequence")
    try:
        deployment.start(small_platform(deployment), lambda *_: None)
        print("up", flush=True)
        _carry_out(deployment, sequence)
    finally:
        deployment.remove()
    print("done", flush=True)


if __name__ == "__main__":
    main()
