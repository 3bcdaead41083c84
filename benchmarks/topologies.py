"""How soon each topology of the catalogue serves, images built: `make bench`.

Brings each one up as a run does (every container until its own probe shows that it serves), takes it down, and prints
both times with the number of containers. Asserts nothing.
"""

from __future__ import annotations

import secrets
import time

from benchmarks.main_job import ROOT
from harness.components.base import generate_secrets
from harness.components.registry import plan
from harness.core.specs import NodeContext
from harness.core.topology import Topology
from harness.run.plan import needed_images
from harness.runtime.docker import DockerRuntime
from harness.runtime.engine import ensure_engine
from harness.spec import Catalog, load_topology

#: Seconds until it is ready, at the most, on 2 cores; where there is such an aim.
TARGETS_S = {"active-active": 15.0, "ha": 25.0}


def ready_and_gone_s(runtime: DockerRuntime, topology: Topology) -> tuple[int, float, float]:
    """Containers, seconds until all are ready, seconds until all are gone."""
    run_id = secrets.token_hex(3)
    began = time.monotonic()
    deployment = runtime.open(run_id, topology.name)
    try:
        context = NodeContext(run_id=run_id, subnet_prefix=deployment.subnet_prefix, secrets=generate_secrets())
        specs = plan(topology, context)
        deployment.start(specs, lambda _spec, _seconds: None)
        ready_s = time.monotonic() - began
    finally:
        began = time.monotonic()
        deployment.remove()
    return len(specs) + 1, ready_s, time.monotonic() - began


def main() -> None:
    runtime = DockerRuntime(ensure_engine(print))
    catalog = Catalog(ROOT)
    print(f"{'topology':28} {'containers':>10} {'ready':>9} {'aim':>7} {'gone':>9}")
    for name in catalog.topologies():
        topology = load_topology(catalog.topology_path(name))
        runtime.ensure_images(needed_images(topology), lambda _what, _state: None)
        containers, ready_s, gone_s = ready_and_gone_s(runtime, topology)
        aim = f"{TARGETS_S[name]:.0f} s" if name in TARGETS_S else ""
        print(f"{name:28} {containers:10} {ready_s:7.1f} s {aim:>7} {gone_s:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
