"""What is injected when and on whom: decided by the seed alone, and told by its hash."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.experiment import Experiment, Growth
from harness.core.topology import Topology
from harness.faults.registry import RULES
from harness.run.choice import Repetition
from harness.run.schedule import control_of, fingerprint, make_plan, phase_range_s, schedule
from harness.run.trials import dry_lines
from harness.spec.loader import load_experiment, load_topology

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def topology() -> Topology:
    return load_topology(ROOT / "topologies/ha.yaml")


@pytest.fixture
def node_kill() -> Experiment:
    return load_experiment(ROOT / "experiments/node-kill.yaml", RULES)


@pytest.fixture
def any_node(node_kill: Experiment) -> Experiment:
    return replace(node_kill, faults=(replace(node_kill.faults[0], target="workbench[any]"),))


def test_the_same_seed_gives_the_same_plan_and_another_one_another(topology: Topology, node_kill: Experiment) -> None:
    first, again, other = (make_plan(topology, node_kill, 5, seed) for seed in (7, 7, 8))
    assert first == again
    assert first.sha256 != other.sha256
    hashes = [run.sha256 for run in (first.control, *first.trials)]
    assert len(set(hashes)) == 6
    assert not set(hashes) & {run.sha256 for run in (other.control, *other.trials)}


def test_the_plan_of_a_seed_does_not_change_unnoticed(topology: Topology, any_node: Experiment) -> None:
    """Written down once: whoever repeats an old set by its seed gets the old schedule, or a new hash."""
    (trial,) = make_plan(topology, any_node, 1, 7).trials
    assert trial.seed == 3553817977
    assert trial.offset_s == 4.298
    assert trial.schedule["faults"][0]["targets"] == ["workbench-0"]
    assert trial.sha256 == fingerprint(json.loads(json.dumps(trial.schedule)))


def test_a_longer_plan_begins_as_a_shorter_one(topology: Topology, node_kill: Experiment) -> None:
    long, short = make_plan(topology, node_kill, 9, 7), make_plan(topology, node_kill, 3, 7)
    assert list(long.trials[:3]) == list(short.trials)


def test_faults_meet_every_phase_of_the_load_and_keep_their_distances(
    topology: Topology, node_kill: Experiment
) -> None:
    kill = node_kill.faults[0]
    growth = Growth(at_s=30, users_each=4, every_s=10, users_at_most=40)
    twice = replace(node_kill, faults=(kill, replace(kill, at_s=60)), growth=growth)
    offsets = []
    for run in make_plan(topology, twice, 200, 1).trials:
        first, second = run.experiment.faults
        assert run.experiment.growth is not None
        assert first.at_s == pytest.approx(5 + run.offset_s)
        assert second.at_s - first.at_s == pytest.approx(55)
        assert run.experiment.growth.at_s - first.at_s == pytest.approx(25)
        assert (first.hold_s, run.experiment.settle_s) == (40, 20)
        offsets.append(run.offset_s)
    assert 0 <= min(offsets) < 0.1
    assert 4.9 < max(offsets) <= phase_range_s(twice) == 5
    assert sum(offsets) / len(offsets) == pytest.approx(2.5, abs=0.3)


def test_the_range_of_phases_is_bounded(node_kill: Experiment) -> None:
    assert phase_range_s(replace(node_kill, load=replace(node_kill.load, start_probe_every_s=60))) == 10


def test_targets_are_containers_where_the_lot_decides_and_words_where_the_moment_does(
    topology: Topology, node_kill: Experiment, any_node: Experiment
) -> None:
    drawn = [run.schedule["faults"][0]["targets"] for run in make_plan(topology, any_node, 30, 3).trials]
    assert {name for (name,) in drawn} == {"workbench-0", "workbench-1", "workbench-2"}
    (of_the_moment,) = make_plan(topology, node_kill, 1, 3).trials
    (fault,) = of_the_moment.schedule["faults"]
    assert (fault["target"], fault["targets"]) == ("workbench[active]", None)


def test_peers_are_in_the_schedule_too(topology: Topology) -> None:
    split = load_experiment(ROOT / "experiments/split-brain.yaml", RULES)
    (fault,) = schedule(topology, split, 1)["faults"]
    assert fault["targets"] is None, "the primary is found out at the moment of injection"
    assert {"database-0", "etcd-0"} <= set(fault["peers"])
    single = load_topology(ROOT / "topologies/single.yaml")
    kill = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    (alone,) = schedule(single, kill, 1)["faults"]
    assert alone["targets"] == ["workbench-0"], "of one member every word means that"


def test_each_thing_that_is_decided_is_in_the_hash(topology: Topology, node_kill: Experiment) -> None:
    fault = node_kill.faults[0]
    others = [
        replace(node_kill, faults=(replace(fault, at_s=6),)),
        replace(node_kill, faults=(replace(fault, hold_s=41),)),
        replace(node_kill, faults=(replace(fault, target="workbench[0]"),)),
        replace(node_kill, faults=(replace(fault, fault="pause"),)),
        replace(node_kill, load=replace(node_kill.load, users=13)),
    ]
    hashes = {fingerprint(schedule(topology, one, 7)) for one in (node_kill, *others)}
    assert len(hashes) == 6
    assert fingerprint(schedule(topology, node_kill, 8)) not in hashes


def test_the_control_run_has_the_load_and_no_fault_and_is_long_enough_to_be_judged(node_kill: Experiment) -> None:
    control = control_of(node_kill)
    assert (control.faults, control.growth, control.abort_when) == ((), None, None)
    assert (control.load, control.steady_state_s) == (node_kill.load, node_kill.steady_state_s)
    assert control.settle_s == 20
    rarely = replace(node_kill, load=replace(node_kill.load, start_probe_every_s=30))
    assert control_of(rarely).settle_s == 120


def test_a_dry_run_says_what_the_seed_decides(topology: Topology, any_node: Experiment) -> None:
    plan = make_plan(topology, any_node, 2, 7)
    lines = list(dry_lines(topology, any_node, Repetition(2), 7))
    assert "2 trials, one after the other, after a control run of 20 s" in lines
    assert any("4.298 s later; workbench[any] is workbench-0" in line for line in lines)
    assert lines[-1] == f"  plan {plan.sha256}"
    without = list(dry_lines(topology, any_node, Repetition(2, 0.2), None))
    assert without[1].startswith("2 trials at the most")
    assert "up to 5 s later" in without[-1]
