"""Planned changes from the files to what they leave, on the fake runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.changes import step_effects
from harness.core.change import ChangeEnd, ChangeStep, Scale, Upgrade
from harness.core.clock import to_ns
from harness.core.experiment import Experiment
from harness.core.history import Event, EventKind, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import ChangeFailed
from harness.run.changes.nodes import Nodes
from harness.run.changes.steps import Step
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT, Result, experiment, run_once

pytestmark = pytest.mark.long

Upgraded = Callable[..., Result]


@pytest.fixture(scope="module")
def pair() -> Topology:
    return load_topology(ROOT / "topologies/active-passive.yaml")


@pytest.fixture(scope="module")
def rolling() -> Experiment:
    return experiment("rolling-upgrade")


@pytest.fixture
def upgrade(tmp_path: Path, pair: Topology, rolling: Experiment) -> Upgraded:
    def go(on: Topology = pair, **more: Any) -> Result:
        assert rolling.upgrade is not None
        return run_once(tmp_path, on, replace(rolling, upgrade=replace(rolling.upgrade, **more)))

    return go


def steps(result: Result) -> Sequence[Event]:
    return read_history(result.folder.history).of(EventKind.CHANGE)


def end(result: Result) -> tuple[ChangeEnd, str]:
    (event,) = read_history(result.folder.history).of(EventKind.CHANGED)
    return ChangeEnd(event.data["how"]), event.data["reason"]


def releases(result: Result) -> dict[str, str]:
    found = result.runtime.deployments[0].platform.releases
    return {name: image for name, image in found.items() if name.startswith("workbench")}


def test_the_nodes_get_the_new_release_the_standby_first(upgrade: Upgraded) -> None:
    result = upgrade()
    assert end(result) == (ChangeEnd.DONE, "")
    assert all(event.data["ok"] for event in steps(result))
    order = [event.data["nodes"] for event in steps(result) if event.data["step"] == "start"]
    assert order == [["workbench-1"], ["workbench-0"]]
    assert releases(result) == dict.fromkeys(("workbench-0", "workbench-1"), "workbench")
    orders = result.runtime.deployments[0].orders
    assert ("load-balancer", orders[0][1]) == orders[0]
    assert "set server workbench/workbench-1 state maint" in orders[0][1]


def test_nobody_is_led_to_a_node_that_stands_by(upgrade: Upgraded) -> None:
    result = upgrade()
    said = [order for name, order in result.runtime.deployments[0].orders if name == "load-balancer"]
    # the standby comes first, and by the time of the other one it serves
    for node in ("workbench-1", "workbench-0"):
        states = [order.rsplit(" state ")[1].split("'")[0] for order in said if f"/{node} " in order]
        assert states == ["maint", "drain", "ready"]
    seen = [event.data["evidence"] for event in steps(result) if event.data["step"] == "open"]
    assert seen == ["seen to stand by after 1.0 s, then load-balancer says ready"] * 2


def test_a_release_that_nobody_can_work_with_is_taken_back_at_its_first_gate(upgrade: Upgraded) -> None:
    result = upgrade(load_topology(ROOT / "topologies/active-active.yaml"), to="broken", gate_s=5)
    how, reason = end(result)
    assert how is ChangeEnd.TAKEN_BACK
    assert "nobody could work on workbench-0 within 5 s: log_in" in reason
    assert {node for event in steps(result) for node in event.data["nodes"]} == {"workbench-0"}
    assert set(releases(result).values()) == {"workbench@previous"}
    assert [event.data["step"] for event in steps(result) if event.data["back"]][-1] == "open"


def test_a_release_that_never_gets_healthy_stops_at_the_first_node(upgrade: Upgraded) -> None:
    result = upgrade(to="never-healthy")
    how, reason = end(result)
    assert how is ChangeEnd.TAKEN_BACK
    assert "start workbench-1: workbench-1 was not ready" in reason
    touched = {node for event in steps(result) for node in event.data["nodes"]}
    assert touched == {"workbench-1"}
    assert set(releases(result).values()) == {"workbench@previous"}


def test_the_way_back_is_taken_where_it_is_asked_for(upgrade: Upgraded) -> None:
    result = upgrade(then_back=True)
    assert end(result) == (ChangeEnd.WENT_BACK, "")
    assert set(releases(result).values()) == {"workbench@previous"}
    assert "restore" in {event.data["step"] for event in steps(result)}


def test_a_way_back_that_gets_stuck_is_no_go(upgrade: Upgraded, monkeypatch: pytest.MonkeyPatch) -> None:
    take = Nodes.take

    def unreadable(nodes: Nodes, step: Step, change: Upgrade, *, back: bool) -> str:
        if back and step.what is ChangeStep.START:
            raise ChangeFailed("the old release can't read the new schema")
        return take(nodes, step, change, back=back)

    monkeypatch.setattr(Nodes, "take", unreadable)
    result = upgrade(then_back=True, database="keep")
    how, reason = end(result)
    assert how is ChangeEnd.STUCK
    assert reason.startswith("on the way back: start workbench-")
    assert result.outcome is Outcome.FAIL, result.measures.verdict.reasons


def test_new_nodes_take_the_place_of_the_old_ones_and_what_their_hubs_wrote_is_read(upgrade: Upgraded) -> None:
    result = upgrade(load_topology(ROOT / "topologies/active-active.yaml"), strategy="blue_green")
    assert end(result) == (ChangeEnd.DONE, "")
    assert result.outcome is Outcome.PASS, result.measures.verdict.reasons


def test_a_node_that_joins_is_opened_behind_its_gate(tmp_path: Path, pair: Topology, rolling: Experiment) -> None:
    growing = replace(rolling, upgrade=None, scale=(Scale(to=3, at_s=5), Scale(to=2, at_s=20)), name="scale")
    result = run_once(tmp_path, pair, growing)
    words = [(event.data["index"], event.data["step"], *event.data["nodes"]) for event in steps(result)]
    assert words == [
        (0, "start", "workbench-2"),
        (0, "gate", "workbench-2"),
        (0, "open", "workbench-2"),
        (1, "close", "workbench-2"),
        (1, "retire", "workbench-2"),
    ]


def test_what_people_met_counts_in_one_step_each(upgrade: Upgraded) -> None:
    measures = upgrade(load_topology(ROOT / "topologies/active-active.yaml")).measures
    assert sum(one.disturbed for one in measures.change_steps) == len(measures.sessions) == 12
    away: Counter[str] = Counter()
    for one in measures.change_steps:
        away.update(dict(one.away_s))
    assert away == {one.capability: sum(outage.seconds for outage in one.outages) for one in measures.capabilities}
    assert min(away.values()) > 0


def test_an_outage_is_put_down_to_no_step_before_it_had_surely_begun(upgrade: Upgraded) -> None:
    measures = upgrade(load_topology(ROOT / "topologies/active-active.yaml")).measures
    (saves,) = (one for one in measures.capabilities if one.capability == "save")
    started = next(one.step for one in measures.change_steps if one.step.step is ChangeStep.START)
    edge = replace(saves.outages[0], start_lower_ns=started.began_ns - to_ns(1), start_upper_ns=started.began_ns + 1)
    assert edge.start_ns < started.began_ns
    found = step_effects(measures.facts.changes, (), [replace(saves, outages=(edge,))])
    assert [one.step for one in found if one.away_s] == [started]
