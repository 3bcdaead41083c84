"""How soon a fault takes effect after its stamp, and how soon its undoing does: `make bench`.

Each kind is done 20 times on small real machines. `act` is the bracket of the two stamps around the act itself,
`proof` the time from the first stamp until evidence was read from the system. Prints a table with the median and the
worst; asserts nothing. At last the share of a core that the agent takes while nothing happens.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Mapping
from typing import Any

from harness.core.clock import to_s
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.engine import ensure_engine
from harness.runtime.images import BASE_IMAGE
from tests.integration.small_platform import IMAGES, MENU, Dish, small_platform

ROUNDS = 20
IDLE_S = 20.0
#: What the project aims at on 2 cores, in milliseconds; the others have no aim.
AIMS_MS = {"pause": 30.0, **dict.fromkeys(("kill", "crash", "freeze", "partition", "cpu", "memory"), 20.0)}


def main() -> None:
    runtime = DockerRuntime(ensure_engine(print), {"idle": BASE_IMAGE})
    runtime.ensure_images(IMAGES, lambda what, state: print(f"image {what}: {state}"))
    deployment = runtime.open(secrets.token_hex(3), "bench")
    try:
        deployment.start(small_platform(deployment), lambda *_: None)
        print(f"{'fault':18}{'act':>20}{'proof':>20}{'undo':>20}{'recovered':>20}   aim")
        for dish in MENU:
            print(row(dish, [measure(deployment, dish) for _ in range(ROUNDS)]))
        print(f"agent at rest: {agent_share_of_a_core(deployment):.2%} of one core (aim: under 2%)")
    finally:
        deployment.remove()


def measure(deployment: DockerDeployment, dish: Dish) -> dict[str, float]:
    """One life of one fault, in milliseconds."""
    ask = {"fault": dish.kind, "targets": [dish.target], "peers": list(dish.peers), "options": dict(dish.options or {})}
    step(deployment, "prepare", **ask)
    injected, confirmed = step(deployment, "inject"), step(deployment, "confirm")
    undone, recovered = step(deployment, "undo"), step(deployment, "confirm_recovery")
    step(deployment, "cleanup")
    return {
        "act": between_ms(injected, injected),
        "proof": between_ms(injected, confirmed),
        "undo": between_ms(undone, undone),
        "recovered": between_ms(undone, recovered),
    }


def step(deployment: DockerDeployment, name: str, **more: Any) -> Mapping[str, Any]:
    answer = deployment.agent.call("fault", step=name, index=0, timeout_s=60, **more)
    if not answer["ok"]:
        raise SystemExit(f"{name}: {answer['evidence']}")
    return answer


def between_ms(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    return 1000 * to_s(last["after_ns"] - first["before_ns"])


def row(dish: Dish, measured: list[dict[str, float]]) -> str:
    cells = []
    for name in ("act", "proof", "undo", "recovered"):
        values = [one[name] for one in measured]
        cells.append(f"{statistics.median(values):9.1f} /{max(values):7.1f}")
    aim = f"{AIMS_MS[dish.kind]:g} ms" if dish.kind in AIMS_MS else ""
    return f"{dish.kind:18}" + "".join(f"{cell:>20}" for cell in cells) + f"   {aim}"


def agent_share_of_a_core(deployment: DockerDeployment) -> float:
    """From the engine's own accounting of the container, with the heartbeat of a run."""
    first = cpu_ns(deployment)
    began = time.monotonic()
    time.sleep(IDLE_S)  # the thing measured is what it costs while nothing happens
    return to_s(cpu_ns(deployment) - first) / (time.monotonic() - began)


def cpu_ns(deployment: DockerDeployment) -> int:
    return int(deployment.usage("agent")["cpu_stats"]["cpu_usage"]["total_usage"])


if __name__ == "__main__":
    main()
