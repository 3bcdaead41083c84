"""How long a snapshot of `single-dr` with 1 GB of homes takes, and its restore, against `cp -a` of the same homes.

Part of `make bench`. Each is timed in the container, until what was written is on the disk (`sync`), with the machine's
page cache as it is. The copy is made on the standby too, to another folder of the same disk. Prints a table; asserts
nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

from harness.components.base import generate_secrets
from harness.components.jupyterhub import STANDBY
from harness.components.registry import plan
from harness.core.specs import NodeContext
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.engine import ensure_engine
from harness.spec.loader import load_topology

TOPOLOGY = Path(__file__).resolve().parents[1] / "topologies/single-dr.yaml"
NODE = "workbench-0"
LIMIT_S = 900.0
#: How many files of how many bytes, all of noise: half of it large, some in many small ones, as homes are.
FILES = ((64, 8 << 20), (4000, 100 << 10), (7000, 10 << 10))
MAKE = f"""
import os
for number, (count, size) in enumerate({FILES}):
    for index in range(count):
        folder = f"/homes/user-{{index % 50:03}}/kind-{{number}}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{{folder}}/{{index}}", "wb") as file:
            file.write(os.urandom(size))
os.system("chown -R 1000:1000 /homes")
"""


def main() -> None:
    topology = load_topology(TOPOLOGY)
    # none but the one that is asked for
    topology = replace(topology, workbench=replace(topology.workbench, snapshot_every_s=86_400))
    runtime = DockerRuntime(ensure_engine(print))
    runtime.ensure_images(["agent", "workbench"], lambda what, state: print(f"image {what}: {state}"))
    deployment = runtime.open(secrets.token_hex(3), topology.name)
    try:
        context = NodeContext(
            run_id=deployment.run_id, subnet_prefix=deployment.subnet_prefix, secrets=generate_secrets()
        )
        specs = [spec for spec in plan(topology, context) if spec.name != "client"]
        deployment.start(specs, lambda *_: None)
        measure(deployment)
    finally:
        deployment.remove()


def measure(deployment: DockerDeployment) -> None:
    run(deployment, NODE, ["python3", "-c", MAKE])
    size_mb = int(run(deployment, NODE, ["du", "-sm", "/homes"]).split()[0])
    files = sum(count for count, _ in FILES)
    print(f"{size_mb} MiB of homes in {files} files")
    taken_s = timed(deployment, NODE, "take-snapshot")
    restored_s = timed(deployment, STANDBY, "restore-snapshot")
    copied_s = timed(deployment, STANDBY, "cp -a /homes /srv/hub/copy")
    print(f"{'snapshot':10}{taken_s:8.1f} s{size_mb / taken_s:8.0f} MiB/s{taken_s / copied_s:8.1f} times cp -a")
    print(f"{'restore':10}{restored_s:8.1f} s{size_mb / restored_s:8.0f} MiB/s{restored_s / copied_s:8.1f} times cp -a")
    print(f"{'cp -a':10}{copied_s:8.1f} s{size_mb / copied_s:8.0f} MiB/s")


def timed(deployment: DockerDeployment, name: str, command: str) -> float:
    """Seconds, in the container; what was written before is on the disk already."""
    run(deployment, name, ["sync"])
    script = f"begin=$(date +%s%N); {command} >&2 || exit 1; sync; echo took $(($(date +%s%N) - begin))"
    return int(run(deployment, name, ["sh", "-c", script]).split()[-1]) / 1e9


def run(deployment: DockerDeployment, name: str, argv: list[str]) -> str:
    done = deployment.execute(name, argv, timeout_s=LIMIT_S)
    if done.exit_code != 0:
        raise SystemExit(f"{name}: {' '.join(argv)}: {done.output}")
    return done.output


if __name__ == "__main__":
    main()
