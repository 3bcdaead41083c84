"""How many trials a claim needs, and what a block diagram promises, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.nines import Question, block_diagram, budget_s, more_flawless_trials, not_claimed, project
from harness.analysis.nines.claims import flawless_trials, miss_probability_at_most
from harness.analysis.nines.diagram import machine_availability
from harness.analysis.nines.enough import enough_trials
from harness.core.products import Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.rates import Rate
from harness.core.topology import Topology
from tests.unit.nines_samples import hazard, missed, rate, trial


@pytest.mark.parametrize(("at_most", "trials"), [(0.5, 5), (0.2, 14), (0.1, 29), (0.05, 59), (0.03, 99), (0.01, 299)])
def test_flawless_trials_are_those_of_the_formula(at_most: float, trials: int) -> None:
    assert trials == math.ceil(math.log(0.05) / math.log(1 - at_most))
    assert flawless_trials(at_most) == trials


@pytest.mark.parametrize("trials", [1, 5, 20, 59, 1000])
def test_flawless_trials_bound_the_misses_by_about_three_in_so_many(trials: int) -> None:
    assert miss_probability_at_most(0, trials) == pytest.approx(1 - 0.05 ** (1 / trials))
    assert miss_probability_at_most(0, trials) <= 3 / trials


def test_nothing_is_known_without_a_trial_that_recovered() -> None:
    assert miss_probability_at_most(0, 0) == 1.0
    assert miss_probability_at_most(3, 3) == 1.0


@pytest.mark.long
@given(st.integers(0, 5), st.integers(0, 40), st.floats(0.01, 0.9))
def test_so_many_more_are_enough_and_one_less_is_not(misses: int, good: int, at_most: float) -> None:
    trials = misses + good
    more = flawless_trials(at_most, misses, trials)
    assert miss_probability_at_most(misses, trials + more) <= at_most * (1 + 1e-9)
    if more:
        assert miss_probability_at_most(misses, trials + more - 1) > at_most


@pytest.mark.parametrize("at_most", [0.0, 1.0, -1.0])
def test_a_share_of_nothing_or_all_needs_no_trials(at_most: float) -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        flawless_trials(at_most)


def test_more_trials_for_one_failure_are_those_of_the_formula() -> None:
    # 12 a year, 30 s, an hour to repair: 99.95% leaves (15778.8 - 12 x 30) / (12 x 3570) = 0.3599; 7 flawless trials
    one = hazard(*(trial(30.0) for _ in range(3)), rate=Rate(per_year=12, uncertainty_percent=10, source="a test"))
    found = more_flawless_trials(one, [one], 99.95, budget_s(99.95))
    assert found.miss_at_most == pytest.approx(0.35991, abs=1e-5)
    assert found.more == 7 - 3
    after_a_miss = replace(one, trials=(*one.trials, missed()))
    more = more_flawless_trials(after_a_miss, [after_a_miss], 99.95, budget_s(99.95)).more
    assert more is not None
    assert more > 4


def test_what_no_trial_can_change_is_said() -> None:
    rare = hazard(trial(30.0), rate=Rate(per_year=0.5, uncertainty_percent=10, source="a test"))
    found = more_flawless_trials(rare, [rare], 99.9, budget_s(99.9))
    assert (found.more, found.why) == (0, "even if each one needs a repair")
    slow = hazard(trial(1000.0), rate=Rate(per_year=20, uncertainty_percent=10, source="a test"))
    found = more_flawless_trials(slow, [slow], 99.99, budget_s(99.99))
    assert (found.more, found.why) == (None, "too much even if each one recovers by design")
    never = hazard(missed(), rate=Rate(per_year=20, uncertainty_percent=10, source="a test"))
    assert more_flawless_trials(never, [never], 99.99, budget_s(99.99)).why == "no trial recovered by design"
    assert more_flawless_trials(rare, [rare, slow], 99.99, budget_s(99.99)).why == "the others alone use up the budget"


@pytest.mark.long
def test_enough_trials_reach_the_probability_and_not_by_far() -> None:
    some = [hazard(*(trial(30.0) for _ in range(2)), rate=rate(events=20, exposure_years=20))]
    question = Question(target_percent=99.99, draws=10_000)
    now = project(some, question).target(99.99).probability_total
    found = enough_trials(some, question, 99.99, now)
    assert now < 0.95
    assert found.more is not None
    # One miss is over the budget. Of about one failure a year 1 / (2 + 2 + more) is missed, which must come below 5%.
    assert 10 <= found.more <= 20
    assert found.probability_at_best == 1.0


def test_where_outages_by_design_are_too_long_no_trials_are_enough() -> None:
    some = [hazard(trial(3000.0), rate=rate(events=20, exposure_years=10))]
    found = enough_trials(some, Question(), 99.99, 0.1)
    assert found.more is None
    assert found.probability_at_best is not None
    assert found.probability_at_best < 0.95


def test_what_may_not_be_claimed_names_trials_and_what_was_left_out() -> None:
    text = "\n".join(not_claimed([hazard(trial(), trial())], {"disk-full": "watched by others"}, ["dns on x"], [12]))
    for words in ("node-kill 2", "disk-full: watched by others", "dns on x", "12 people", "operators", "not tested"):
        assert words in text
    assert "4 to 12 people" in "\n".join(not_claimed([], {}, [], [12, 4]))


def topology(**roles: Any) -> Topology:
    parts: dict[str, Any] = {"workbench": Workbench()} | roles
    return Topology(name="t", description="d", **parts)


def test_one_machine_is_up_between_its_failures() -> None:
    # a quarter of a year to repair, once a year between failures: 1 / 1.25
    assert machine_availability(1.0, 365.25 * 86400 / 4) == pytest.approx(0.8)


def test_roles_are_in_series_and_their_nodes_in_parallel() -> None:
    quarter = 365.25 * 86400 / 4
    whole = topology(load_balancer=LoadBalancer(), workbench=Workbench(nodes=3), database=Database())
    diagram = block_diagram(whole, 1.0, quarter)
    assert [(b.name, b.machines, b.needed) for b in diagram.blocks] == [
        ("load_balancer", 1, 1),
        ("workbench", 3, 1),
        ("database", 1, 1),
    ]
    # 0.8 x (1 - 0.2^3) x 0.8
    assert diagram.availability == pytest.approx(0.8 * 0.992 * 0.8)
    assert diagram.downtime_s == pytest.approx((1 - 0.63488) * 365.25 * 86400)


def test_teams_of_their_own_do_not_stand_for_each_other() -> None:
    (block,) = block_diagram(topology(workbench=Workbench(nodes=2, mode="separate")), 1.0, 365.25 * 86400 / 4).blocks
    assert block.needed == 2
    assert block.availability == pytest.approx(0.64)


def test_a_cluster_has_its_proxy_and_the_majority_of_its_memory() -> None:
    cluster = topology(database=Patroni(failsafe_mode=False), storage=Storage(nodes=2, vip=True))
    blocks = {b.name: b for b in block_diagram(cluster, 1.0, 365.25 * 86400 / 4).blocks}
    assert (blocks["proxy to the primary"].machines, blocks["etcd"].needed) == (1, 2)
    # two of three: 0.8^3 + 3 x 0.8^2 x 0.2
    assert blocks["etcd"].availability == pytest.approx(0.896)
    assert blocks["storage"].availability == pytest.approx(0.96)
    own = block_diagram(topology(database=Patroni(proxy="per-node")), 1.0, 3600)
    assert [block.name for block in own.blocks] == ["workbench", "database"]


@pytest.mark.long
@given(st.floats(0.001, 100), st.floats(1, 1e6), st.integers(1, 8))
def test_a_node_more_never_makes_it_worse(failures: float, repair_s: float, nodes: int) -> None:
    few, more = (
        block_diagram(topology(workbench=Workbench(nodes=n, mode="active-active")), failures, repair_s)
        for n in (nodes, nodes + 1)
    )
    assert 0 < few.availability <= more.availability + 1e-12 <= 1 + 1e-9


def test_the_worked_example_of_the_documentation() -> None:
    per_node = Rate(per_year=0.5, uncertainty_percent=100, source="a test")
    nodes = hazard(*(trial(x) for x in (10.0, 12.0, 14.0, 12.0)), rate=per_node, machines=2)
    balancer = hazard(missed(), rate=replace(per_node, per_year=0.1), experiment="lb-loss")
    assert nodes.expected_downtime_s == pytest.approx(610)
    assert balancer.expected_downtime_s == pytest.approx(360)
    assert miss_probability_at_most(0, 4) == pytest.approx(0.53, abs=0.005)
    found = project([nodes, balancer], Question(target_percent=99.99))
    assert found.total_s.mean == pytest.approx(970, rel=0.03)
    assert found.users_s.mean == pytest.approx(965, rel=0.03)
    assert [line.share_total_ratio for line in found.hazards] == pytest.approx([0.63, 0.37], abs=0.01)
    assert found.target(99.9).used_total_ratio == pytest.approx(0.031, abs=0.001)
    assert found.cost.mean == pytest.approx(26800, rel=0.03)
    no_missed_node = 5 * (16 * math.log(2) - 32 + 36 - 56 / 3 + 15 / 4)
    assert no_missed_node == pytest.approx(0.868, abs=0.001)
    assert found.target(99.99).probability_total == pytest.approx(no_missed_node / 1.1, abs=0.006)
    by_mean = more_flawless_trials(nodes, [nodes, balancer], 99.99, budget_s(99.99))
    assert by_mean.miss_at_most == pytest.approx(0.776, abs=0.001)
    assert (flawless_trials(0.776), by_mean.more) == (3, 0)
    (by_probability,) = (one for one in found.enough if one.percent == 99.99)
    assert by_probability.more is None
    assert by_probability.probability_at_best == pytest.approx(1 / 1.1, abs=0.012)
    pair = topology(load_balancer=LoadBalancer(), workbench=Workbench(nodes=2, mode="active-active"))
    diagram = block_diagram(pair, 0.5, 3600)
    assert [round(block.downtime_s, 1) for block in diagram.blocks] == [1799.9, 0.1]
