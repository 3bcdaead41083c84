"""What a run needs, known before anything is started."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from harness.core.experiment import Experiment, Fault, Growth, Load
from harness.core.products import Workbench
from harness.core.topology import Topology
from harness.errors import UsageError
from harness.run.plan import SESSION_BYTES, WARM_PARENT_BYTES, Act, check_memory, lasts_s, needed_images, time_line
from tests.unit.pair import TOPOLOGY

GB = 1_000_000_000
FAULT = Fault(fault="kill", target="workbench[active]", at_s=5, hold_s=20)


def experiment(users: int = 12, *faults: Fault) -> Experiment:
    return Experiment(description="d", source="s", faults=faults, load=Load(users=users))


def largest(topology: Topology, memory_bytes: int) -> int:
    """How many users the check lets pass."""
    low, high = 0, 10_000
    while low < high:
        middle = (low + high + 1) // 2
        try:
            check_memory(topology, experiment(middle), {"memory_bytes": memory_bytes})
        except UsageError:
            high = middle - 1
        else:
            low = middle
    return low


@pytest.mark.long
def test_every_way_of_starting_sessions_has_its_figures() -> None:
    assert set(SESSION_BYTES) == set(WARM_PARENT_BYTES) == {"cold", "prewarmed"}


@pytest.mark.parametrize(("session_start", "users"), [("cold", 115), ("prewarmed", 256)])
def test_how_sessions_start_decides_how_many_fit(session_start: Literal["cold", "prewarmed"], users: int) -> None:
    workbench = Workbench(session_start=session_start)
    assert largest(replace(TOPOLOGY, workbench=workbench), 20 * GB) == users


def test_each_prewarmed_node_costs_a_warm_parent() -> None:
    one, nine = (largest(replace(TOPOLOGY, workbench=Workbench(nodes=nodes)), 20 * GB) for nodes in (1, 9))
    assert (one - nine) * SESSION_BYTES["prewarmed"] == pytest.approx(8 * (200_000_000 + 120_000_000), rel=0.05)


def test_the_refusal_names_the_largest_number_that_fits() -> None:
    with pytest.raises(UsageError) as caught:
        check_memory(TOPOLOGY, experiment(500), {"memory_bytes": 8 * GB})
    assert str(caught.value).startswith("500 users do not fit into the engine's memory of 8.0 GB")
    assert "at 60 MB a session (prewarmed), pair carries 86 at the most" in str(caught.value)
    check_memory(TOPOLOGY, experiment(86), {"memory_bytes": 8 * GB})


def test_everybody_who_comes_by_growth_must_fit() -> None:
    growth = Growth(at_s=45, users_each=12, every_s=20, users_at_most=96)
    machine = {"memory_bytes": 8 * GB}
    with pytest.raises(UsageError) as caught:
        check_memory(TOPOLOGY, replace(experiment(), growth=growth), machine)
    assert str(caught.value).startswith("96 users do not fit into the engine's memory of 8.0 GB")
    assert str(caught.value).endswith("hint: set `growth: {users_at_most: 86}` in the experiment")
    check_memory(TOPOLOGY, replace(experiment(), growth=replace(growth, users_at_most=86)), machine)
    with pytest.raises(UsageError, match=r"and fewer `load: \{users: 80\}` or `growth: \{users_each: 12\}`"):
        check_memory(TOPOLOGY, replace(experiment(80), growth=growth), machine)


def test_a_run_lasts_until_the_last_act_and_the_last_step() -> None:
    growth = Growth(at_s=10, users_each=12, every_s=20, users_at_most=37)
    assert lasts_s(experiment()) == 0
    assert lasts_s(experiment(12, FAULT)) == 25
    assert lasts_s(replace(experiment(12, FAULT), growth=growth)) == 10 + 3 * 20


def test_the_time_line_has_every_act_in_order() -> None:
    early = replace(FAULT, at_s=1, hold_s=2)
    assert time_line(experiment(12, FAULT, early)) == [
        Act(1, False, 1), Act(3, True, 1), Act(5, False, 0), Act(25, True, 0),
    ]  # fmt: skip


def test_a_run_needs_the_agent_and_every_role() -> None:
    assert needed_images(TOPOLOGY)[0] == "agent"
    assert "workbench" in needed_images(TOPOLOGY)
