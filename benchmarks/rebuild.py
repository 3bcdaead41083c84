"""How long a rebuild from nothing takes beside bringing the same topology up, images built: `make bench`.

Brings `active-active` up to stay seven times, and rebuilds it seven times: single ones differ by as much as the two do.
Asserts nothing.
"""

from __future__ import annotations

import statistics
import time

from benchmarks.main_job import ROOT
from harness.run.docker_platforms import DockerPlatforms
from harness.run.rebuild import rebuild
from harness.runtime.engine import ensure_engine
from harness.spec import Catalog, load_topology

TOPOLOGY = "active-active"
TIMES = 7
#: At the most so many times as long as `up`.
AIM_RATIO = 1.2


def main() -> None:
    topology = load_topology(Catalog(ROOT).topology_path(TOPOLOGY))
    platforms = DockerPlatforms(ensure_engine(print), topology, lambda _: None)
    ups_s, rebuilds_s = [], []
    with platforms.held():
        for _ in range(TIMES):
            began = time.monotonic()
            run_id = platforms.bring_up(()).run_id
            ups_s.append(time.monotonic() - began)
            print(f"up {ups_s[-1]:.1f} s", flush=True)
            found = rebuild(platforms, topology, images=False, say=lambda _: None)
            rebuilds_s.append(sum(found.phases_s.values()))
            phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.phases_s.items())
            print(f"rebuild {rebuilds_s[-1]:.1f} s: {phases}; {len(found.before or ())} things of {run_id} differed")
            platforms.take_down(found.run_id)
    up_s, rebuild_s = statistics.median(ups_s), statistics.median(rebuilds_s)
    print(f"{TOPOLOGY}: up {up_s:.1f} s, rebuild {rebuild_s:.1f} s: {rebuild_s / up_s:.2f} times (aim: {AIM_RATIO})")


if __name__ == "__main__":
    main()
