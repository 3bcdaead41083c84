"""Which containers a target means at the moment of injection."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.core.topology import Topology
from harness.errors import RunError
from harness.run.targets import resolve
from harness.runtime.fake import FakeRuntime
from harness.spec import load_topology

ROOT = Path(__file__).resolve().parents[2]
NODES = tuple(f"workbench-{index}" for index in range(5))


@pytest.fixture
def topology() -> Topology:
    loaded = load_topology(ROOT / "topologies/active-passive.yaml")
    return replace(loaded, workbench=replace(loaded.workbench, nodes=5))


def meant(topology: Topology, target: str, *, seed: int = 1, **sessions: int) -> tuple[str, ...]:
    deployment = FakeRuntime(FakeClock(), topology).open("abc123", "t")
    for name in NODES:
        deployment.platform.boot(name)
    try:
        counted = {name.replace("_", "-"): number for name, number in sessions.items()}
        return resolve(deployment, topology, target, sessions=counted, lot=random.Random(seed))
    finally:
        deployment.remove()


def test_numbers_and_all(topology: Topology) -> None:
    assert meant(topology, "workbench[3]") == ("workbench-3",)
    assert meant(topology, "workbench[*]") == NODES
    assert meant(topology, "storage[*]") == ("storage",)


def test_the_only_member_is_meant_whatever_the_word(topology: Topology) -> None:
    assert meant(topology, "load_balancer[holder]") == ("load-balancer",)
    assert meant(topology, "database[primary]") == ("database",)
    assert meant(topology, "storage[active]") == ("storage",)


def test_the_active_node_is_asked_for(topology: Topology) -> None:
    assert meant(topology, "workbench[active]") == ("workbench-0",)


def test_the_busiest_node_is_the_one_with_the_most_sessions(topology: Topology) -> None:
    assert meant(topology, "workbench[busiest]", workbench_1=3, workbench_4=7) == ("workbench-4",)
    assert meant(topology, "workbench[busiest]", workbench_2=3, workbench_4=3) == ("workbench-2",)


def test_lots_are_drawn_from_the_seed(topology: Topology) -> None:
    assert meant(topology, "workbench[any]", seed=5) == meant(topology, "workbench[any]", seed=5)
    assert len({meant(topology, "workbench[any]", seed=seed) for seed in range(20)}) > 1
    assert len({meant(topology, "workbench[40%]", seed=seed) for seed in range(20)}) > 1


@pytest.mark.parametrize(("share", "count"), [("1%", 1), ("40%", 2), ("50%", 2), ("70%", 4), ("100%", 5)])
def test_a_share_is_rounded_and_at_least_one(topology: Topology, share: str, count: int) -> None:
    found = meant(topology, f"workbench[{share}]")
    assert len(set(found)) == count
    assert list(found) == sorted(found)


def test_nobody_active_is_said_with_what_was_asked(topology: Topology) -> None:
    deployment = FakeRuntime(FakeClock(), topology).open("abc123", "t")
    with pytest.raises(RunError, match=r"workbench\[active\] must be a container, found none: asked workbench-0"):
        resolve(deployment, topology, "workbench[active]", sessions={}, lot=random.Random(1))
    deployment.remove()
