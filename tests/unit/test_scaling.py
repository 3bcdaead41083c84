"""More and fewer nodes: who came to them, who was interrupted, and a policy that follows a day's curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import Measures, analyse
from harness.core.change import ChangeEnd, Scale
from harness.core.history import Event, EventKind, read_history
from harness.core.products import Autoscale
from harness.core.topology import Topology
from harness.errors import SpecError
from harness.faults.registry import RULES
from harness.report.scaling import scaling_lines
from harness.report.sentence import plain_sentence
from harness.run.dry import plan_lines
from harness.run.needs import needs_of
from harness.run.plan import check_memory, platform_for
from harness.run.schedule import control_of, schedule
from harness.spec.loader import check_pair, load_topology, why_not_applicable
from tests.unit.analysis_runs import history, op, record
from tests.unit.fake_runs import ROOT, Result, experiment, run_once
from tests.unit.spec_files import EXPERIMENT, TOPOLOGY, experiment_problems, topology_problems


def catalogued(name: str) -> Topology:
    return load_topology(ROOT / f"topologies/{name}.yaml")


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run_once(tmp_path_factory.mktemp("day"), catalogued("autoscaled"), experiment("office-day"))


# -- the policy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sessions", "nodes"), [(0, 1), (6, 1), (7, 2), (12, 2), (13, 3), (40, 3)])
def test_the_policy_wants_as_many_nodes_as_sessions_need_within_its_limits(sessions: int, nodes: int) -> None:
    assert Autoscale(sessions_per_node=6, nodes_at_least=1, nodes_at_most=3).wanted(sessions) == nodes


@pytest.mark.long
def test_nodes_follow_the_day_and_every_look_is_recorded(day: Result) -> None:
    looks = [event.data for event in read_history(day.folder.history).of(EventKind.AUTOSCALE)]
    began = [(look["wanted"], look["index"]) for look in looks if look["index"] is not None]
    assert began == [(3, 0), (2, 1), (1, 2)]
    assert max(sum(look["sessions"].values()) for look in looks) == 16


@pytest.mark.long
def test_after_a_change_it_cools_down_and_a_place_that_somebody_left_is_taken_first(tmp_path: Path) -> None:
    on, what = catalogued("autoscaled"), experiment("office-day")
    policy = Autoscale(sessions_per_node=8, nodes_at_most=2, cool_down_s=25)
    on = replace(on, workbench=replace(on.workbench, autoscale=policy))
    result = run_once(tmp_path, on, what)
    looks = [event.data for event in read_history(result.folder.history).of(EventKind.AUTOSCALE)]
    assert any(look["wanted"] != len(look["nodes"]) and look["index"] is None for look in looks)
    changes = result.measures.facts.changes
    assert [(change.what, change.nodes) for change in changes] == [
        ("workbench to 1", ("workbench-1",)),
        ("workbench to 2", ("workbench-1",)),
        ("workbench to 1", ("workbench-1",)),
    ]


def test_a_decision_is_a_change_like_a_planned_one(day: Result) -> None:
    changes = day.measures.facts.changes
    assert [change.what for change in changes] == [f"workbench to {to}" for to in (3, 2, 1)]
    assert {change.ended for change in changes} == {ChangeEnd.DONE}
    assert [change.nodes for change in changes] == [("workbench-2",), ("workbench-2",), ("workbench-1",)]
    assert [change.steps[0].step for change in changes] == ["start", "drain", "drain"]


def test_what_the_nodes_of_a_policy_cost(day: Result) -> None:
    measured, window = day.measures.autoscale, day.measures.facts.window
    assert measured is not None
    assert window is not None
    assert [number for _, number in measured.nodes] == [2, 3, 2, 1]
    assert measured.fixed_node_s == pytest.approx(3 * window.seconds)
    assert window.seconds < measured.node_s < measured.fixed_node_s
    assert measured.sessions_per_node_most is not None
    assert measured.sessions_per_node_most > 5
    lines = list(scaling_lines(day.measures))
    assert lines[2].startswith("workbench to 1: workbench-1 went")
    assert any(line.startswith("node-seconds: ") for line in lines)
    assert plain_sentence(day.measures).startswith("A policy changed the number of nodes 3 times")


def test_without_a_policy_nothing_follows() -> None:
    reason = why_not_applicable(catalogued("active-active"), experiment("office-day"), RULES)
    assert reason == "load.day: active-active has no workbench.autoscale by which the number of nodes could follow"


def test_there_is_a_place_for_each_node_that_the_policy_may_start() -> None:
    on, what = catalogued("autoscaled"), experiment("office-day")
    assert platform_for(on, what).workbench.spare_nodes == 1
    assert needs_of(on, what).fresh, "nobody can use it afterwards"
    assert platform_for(on, experiment("node-kill")).workbench.spare_nodes == 0
    check_memory(on, what, {"memory_bytes": 20e9})
    control = control_of(experiment("scale-down"))
    assert (control.scale, control.load.stay) == ((), experiment("scale-down").load.stay)
    assert control_of(what).load.day == ()


# -- planned scaling -----------------------------------------------------------------------------------------------


def _step(at: float, step: str, *nodes: str) -> tuple[float, EventKind, dict[str, Any]]:
    data = {"index": 0, "step": step, "nodes": list(nodes), "back": False, "began_ns": 0, "ok": True, "evidence": ""}
    began = 1_000_000_000_000 + round((at - 0.5) * 1e9)
    return at, EventKind.CHANGE, data | {"began_ns": began}


def _scaled(operations: Sequence[Any], steps: Sequence[Any], to: int) -> Measures:
    run = record(operations, events=history(extra=[*steps, (20, EventKind.CHANGED, _DONE)]))
    return analyse(replace(run, experiment=replace(run.experiment, faults=(), scale=(Scale(to=to, at_s=5),))))


_DONE = {"index": 0, "how": "done", "reason": ""}


def _session(user: str, node: str, first: int, **named: Any) -> list[Any]:
    own = {"user": user, "session": f"{user}-1", "node": node, "kernel": user} | named
    return [op(t, expected=i + 1, found=i + 1, **own) for i, t in enumerate(range(first, 39))]


def test_sessions_that_begin_once_a_node_is_open_are_counted_by_where_they_are() -> None:
    steps = [_step(6, "start", "workbench-2"), _step(8, "gate", "workbench-2"), _step(9, "open", "workbench-2")]
    people = [
        *_session("a", "workbench-0", -5),
        *_session("b", "workbench-2", 12),
        *_session("c", "workbench-2", 14),
        *_session("d", "workbench-1", 14),
    ]
    (scaled,) = _scaled(people, steps, 3).scaling
    assert (scaled.joined, scaled.new_sessions, scaled.new_on_joined) == (("workbench-2",), 3, 2)
    assert scaled.interrupted == 0


def test_who_loses_their_memory_when_a_node_goes_is_interrupted() -> None:
    steps = [_step(6, "close", "workbench-1"), _step(7, "retire", "workbench-1")]
    cut_off = _session("b", "workbench-1", -5)[:12]
    again = [op(8, 9, ok=0, user="b", session="b-1"), *_session("b", "workbench-0", 10, kernel="new")]
    measures = _scaled([*_session("a", "workbench-0", -5), *cut_off, *again], steps, 1)
    (scaled,) = measures.scaling
    assert (scaled.left, scaled.interrupted, scaled.new_sessions) == (("workbench-1",), 1, 0)
    assert list(scaling_lines(measures)) == ["workbench to 1: workbench-1 went, 1 session interrupted"]


@pytest.mark.long
def test_where_care_is_taken_the_active_node_stays(tmp_path: Path) -> None:
    result = run_once(tmp_path, catalogued("active-passive"), experiment("scale-down"))
    steps: Sequence[Event] = read_history(result.folder.history).of(EventKind.CHANGE)
    assert {node for event in steps for node in event.data["nodes"]} == {"workbench-1"}
    assert result.measures.sessions_lost == 0
    assert (result.folder.path / "containers/workbench-1-1").is_dir(), "its log is kept before it goes"


def test_the_log_of_a_node_that_joined_is_kept(tmp_path: Path) -> None:
    result = run_once(tmp_path, catalogued("active-passive"), experiment("scale-up"))
    assert (result.folder.path / "containers/workbench-2").is_dir()


def test_a_plan_says_what_will_be_done() -> None:
    on = catalogued("active-active")
    lines = list(plan_lines(on, [experiment("scale-down-hard")], []))
    assert [line.strip() for line in lines if "workbench to" in line or "workbench-1" in line][-3:] == [
        "5.0 s  workbench to 1 nodes, without draining whoever goes",
        "close workbench-1",
        "retire workbench-1",
    ]
    assert any("people stay for 10 to 40 s" in line for line in lines)
    day = list(plan_lines(catalogued("autoscaled"), [experiment("office-day")], []))
    assert any("1 to 3 nodes, one for each 5 sessions" in line for line in day)
    assert "changes" in schedule(on, experiment("scale-down-hard"), 7)
    assert "changes" not in schedule(on, experiment("node-kill"), 7)


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "reason"),
    [
        ("single", "single has no load_balancer, so nobody would be sent to a node that joins"),
        ("sticky-trap", "sticky-trap has no storage, so a node that goes takes its people's homes with it"),
        ("ha", "scale to 3: ha has as many nodes by then, so nothing would change"),
    ],
)
def test_nodes_that_cannot_be_scaled_are_not(on: str, reason: str) -> None:
    path, what = ROOT / f"topologies/{on}.yaml", ROOT / "experiments/scale-up.yaml"
    assert reason in why_not_applicable(catalogued(on), experiment("scale-up"), RULES)
    with pytest.raises(SpecError) as caught:
        check_pair(catalogued(on), experiment("scale-up"), path, what, RULES)
    assert reason in str(caught.value)


_NO_FAULTS = EXPERIMENT.partition("faults:")[0] + "faults: []\n"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("scale: [{role: database, to: 3, at_s: 5}]", "scale[0].role is 'database', expected workbench"),
        ("scale: [{to: 12, at_s: 5}]", "scale[0].to is 12, expected a whole number from 1 to 9"),
        (
            "load: {stay: {at_least_s: 9, at_most_s: 4}}",
            "load.stay.at_most_s is 4 with at_least_s 9, expected at least that",
        ),
        (
            "load: {day: [{at_s: 20, users: 4}, {at_s: 10, users: 4}]}",
            "load.day[1].at_s is 10 after 20, expected the points in the order of time",
        ),
        (
            "load: {stay: {at_least_s: 4, at_most_s: 9}, day: [{at_s: 20, users: 4}]}",
            "load.stay together with load.day, expected one: both say when people go",
        ),
        (
            "load: {day: [{at_s: 20, users: 4}]}\nscale: [{to: 1, at_s: 5}]",
            "scale together with load.day, expected one of them: nobody could tell who is away because of what",
        ),
    ],
)
def test_an_attendance_that_cannot_be_is_said_to_be_so(
    more: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert any(problem in one for one in experiment_problems(_NO_FAULTS + more))


@pytest.mark.parametrize(
    ("policy", "problem"),
    [
        (
            "{sessions_per_node: 6, nodes_at_least: 4, nodes_at_most: 3}",
            "workbench.autoscale.nodes_at_least is 4 with nodes_at_most 3, expected at most 3",
        ),
        (
            "{sessions_per_node: 6, nodes_at_least: 3, nodes_at_most: 4}",
            "workbench.autoscale keeps 3 to 4 nodes with workbench.nodes 2, expected that number among them",
        ),
        ("{sessions_per_node: 6, nodes_at_most: 12}", "expected a whole number from 1 to 9"),
        ("{sessions_per_node: 6, nodes_at_most: 3}", "expected it with mode: active-active and storage only"),
    ],
)
def test_a_policy_that_cannot_be_is_said_to_be_so(
    policy: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = TOPOLOGY.replace("  nodes: 2\n", f"  nodes: 2\n  autoscale: {policy}\n")
    assert any(problem in one for one in topology_problems(text))
