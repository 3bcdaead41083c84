"""What an upgrade and a scaling consist of, and that the way back leads back from wherever they stopped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.change import ChangeStep, Scale, Upgrade
from harness.core.products import Database, LoadBalancer, Storage, Workbench
from harness.core.topology import Topology
from harness.run.changes.steps import Step, scale_steps, upgrade_steps, way_back

CLUSTER = Topology(
    name="cluster",
    description="two nodes at work",
    load_balancer=LoadBalancer(),
    workbench=Workbench(mode="active-active"),
    database=Database(),
    storage=Storage(),
)
PAIR = replace(CLUSTER, name="pair", workbench=Workbench(mode="active-passive"))
ALONE = Topology(name="alone", description="one node", workbench=Workbench(nodes=1, mode="single"))
NODES = ("workbench-0", "workbench-1")
SPARES = ("workbench-2", "workbench-3")


def upgrade(strategy: str, **more: Any) -> Upgrade:
    how: Any = strategy
    return Upgrade(from_="previous", to="current", strategy=how, **more)


@dataclass
class Paper:
    """The platform on paper: which release each node that is there has, and what the balancer does with it."""

    release: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NODES, ""))
    balancer: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(NODES, "open") | dict.fromkeys(SPARES, "closed")
    )
    kept: set[str] = field(default_factory=set)
    migrated: set[str] = field(default_factory=set)

    def take(self, step: Step, *, works: bool = True) -> None:
        for node in step.nodes:
            match step.what:
                case ChangeStep.DRAIN:
                    self.balancer[node] = "drained"
                case ChangeStep.CLOSE:
                    self.balancer[node] = "closed"
                case ChangeStep.OPEN:
                    assert node in self.release, f"{node} was opened, and is not there"
                    self.balancer[node] = "open"
                case ChangeStep.RETIRE:
                    del self.release[node]
                case ChangeStep.START:
                    assert node not in self.release, f"{node} was started twice"
                    self.release[node] = step.release
                    if step.release and works:
                        self.migrated.add(node)
                case ChangeStep.BACK_UP:
                    self.kept.add(node)
                case ChangeStep.RESTORE:
                    assert node in self.kept, f"{node} has nothing to go back to"
                    assert node not in self.release, f"the database of {node} was exchanged under a hub that runs"
                    self.migrated.discard(node)
                case ChangeStep.WAIT | ChangeStep.GATE:
                    pass


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "all_at_once"])
def test_an_upgrade_ends_with_the_new_release_and_everything_open(strategy: str) -> None:
    paper = Paper()
    for step in upgrade_steps(CLUSTER, upgrade(strategy), NODES, SPARES):
        paper.take(step)
    assert set(paper.release.values()) == {"current"}
    there = SPARES if strategy == "blue_green" else NODES
    assert {node for node, state in paper.balancer.items() if state == "open"} == set(paper.release) == set(there)


def test_rolling_takes_one_node_after_the_other_and_opens_it_behind_its_gate() -> None:
    steps = upgrade_steps(CLUSTER, upgrade("rolling"), NODES, ())
    words = ["drain", "wait", "close", "back_up", "retire", "start", "gate", "open"]
    assert [(step.what.value, *step.nodes) for step in steps] == [(word, node) for node in NODES for word in words]


def test_in_a_pair_the_standby_comes_first_and_must_serve_when_the_active_one_goes() -> None:
    steps = upgrade_steps(PAIR, upgrade("rolling"), NODES, (), active="workbench-0")
    first, second = (
        [step.what.value for step in steps if step.nodes == (node,)] for node in ("workbench-1", "workbench-0")
    )
    assert first == ["close", "retire", "start", "gate", "open", "gate"], "a standby has no hub to be backed up"
    assert second == ["close", "back_up", "retire", "start", "gate", "open"]
    assert steps[0].nodes == ("workbench-1",)


def test_without_a_balancer_nobody_is_led_anywhere() -> None:
    steps = upgrade_steps(ALONE, upgrade("rolling"), ("workbench-0",), ())
    assert [step.what.value for step in steps] == ["back_up", "retire", "start", "gate"]


@given(
    strategy=st.sampled_from(["rolling", "blue_green", "all_at_once"]),
    pair=st.booleans(),
    active=st.sampled_from(NODES),
    drained=st.booleans(),
    data=st.data(),
)
def test_the_way_back_leads_back_from_every_step(
    strategy: str, pair: bool, active: str, drained: bool, data: st.DataObject
) -> None:
    if pair and strategy == "blue_green":
        strategy = "rolling"
    topology, change = PAIR if pair else CLUSTER, upgrade(strategy)
    steps = upgrade_steps(topology, change, NODES, SPARES, active=active if pair else "")
    begun = steps[: data.draw(st.integers(1, len(steps)), label="stopped after")]
    paper = Paper()
    for step in begun:
        paper.take(step)
    for step in way_back(topology, change, begun, drained=drained):
        paper.take(step, works=False)
    assert paper.release == dict.fromkeys(NODES, ""), "the nodes with the release they had"
    assert paper.balancer == Paper().balancer
    if strategy != "blue_green":
        assert not paper.migrated & paper.kept, "no hub is left with a database that its release did not make"


def test_a_database_that_stays_is_not_restored() -> None:
    change = upgrade("all_at_once", database="keep")
    steps = upgrade_steps(CLUSTER, change, NODES, ())
    assert ChangeStep.RESTORE not in {step.what for step in way_back(CLUSTER, change, steps, drained=False)}


def test_scaling_lets_the_next_ones_come_and_the_last_ones_go() -> None:
    up = scale_steps(CLUSTER, Scale(to=3, at_s=0), NODES, SPARES)
    assert [(step.what.value, step.nodes) for step in up] == [
        ("start", ("workbench-2",)),
        ("gate", ("workbench-2",)),
        ("open", ("workbench-2",)),
    ]
    down = scale_steps(CLUSTER, Scale(to=1, at_s=0), NODES, SPARES)
    assert [(step.what.value, step.nodes) for step in down] == [
        (word, ("workbench-1",)) for word in ("drain", "wait", "close", "retire")
    ]
    hard = scale_steps(CLUSTER, Scale(to=1, at_s=0, drain=False), NODES, SPARES)
    assert [step.what.value for step in hard] == ["close", "retire"]
    assert scale_steps(CLUSTER, Scale(to=2, at_s=0), NODES, SPARES) == []
