"""What files may say of a disaster, and what is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec import load_experiment, load_topology
from harness.spec.loader import check_pair, why_not_applicable
from tests.unit.spec_files import EXPERIMENT, PROMISE, TOPOLOGY, experiment_problems, topology_problems
from tests.unit.spec_rules import RULES

pytestmark = pytest.mark.usefixtures("short_paths")

DISASTER = "description: a\nsource: b\nfaults: []\ndisaster: {at_s: 30}\n"
ALONE = "description: one node\nworkbench: {nodes: 1, mode: single}\n"


def pair_problems(topology: str, experiment: str, name: str = "e") -> list[str]:
    Path("t.yaml").write_text(topology)
    path = Path(f"{name}.yaml")
    path.write_text(experiment)
    with pytest.raises(SpecError) as caught:
        check_pair(load_topology(Path("t.yaml")), load_experiment(path, RULES), Path("t.yaml"), path, RULES)
    return caught.value.problems


@pytest.mark.parametrize("topology", [ALONE, TOPOLOGY])
def test_a_topology_that_keeps_nothing_elsewhere_has_nothing_for_a_disaster(topology: str) -> None:
    why = (
        "disaster: t keeps nothing elsewhere that one could go on with; workbench.standby does (one node), or backup "
        "(with database and storage)"
    )
    assert pair_problems(topology, DISASTER) == [f"e.yaml:4: can't be done to t.yaml: {why}"]
    loaded = load_experiment(Path("e.yaml"), RULES)
    assert why_not_applicable(load_topology(Path("t.yaml")), loaded, RULES) == why


@pytest.mark.parametrize(
    "plan",
    [
        ALONE.replace("single}", "single, standby: warm}"),
        ALONE.replace("single}", "single, standby: cold, snapshot_every_s: 20}"),
        f"{TOPOLOGY}backup: {{every_s: 30}}\n",
    ],
)
def test_each_plan_can_be_tried(plan: str) -> None:
    Path("t.yaml").write_text(plan)
    Path("e.yaml").write_text(DISASTER)
    topology, experiment = load_topology(Path("t.yaml")), load_experiment(Path("e.yaml"), RULES)
    check_pair(topology, experiment, Path("t.yaml"), Path("e.yaml"), RULES)
    assert why_not_applicable(topology, experiment, RULES) == ""


def test_objectives_of_a_recovery_belong_to_a_disaster() -> None:
    promise = PROMISE.replace("    why", "    rto_s: 60\n    why")
    assert pair_problems(TOPOLOGY + promise, EXPERIMENT, "node-kill") == [
        "node-kill.yaml:3: t.yaml promises rto_s or rpo_s for node-kill, expected neither: they are of a disaster, and "
        "it has none"
    ]


def test_a_disaster_stands_alone() -> None:
    assert experiment_problems(f"{EXPERIMENT}disaster: {{}}\n") == [
        "e.yaml:8: disaster together with faults, expected one of them: nobody could tell which of both did what to "
        "people"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            f"{ALONE}backup: {{every_s: 30}}\n",
            "t.yaml:3: backup without database and storage, expected database and storage: it covers what they have; "
            "workbench.snapshot_every_s covers what is on a node's own disk",
        ),
        (
            f"{TOPOLOGY.replace('storage: {}', 'backup: {}')}",
            "t.yaml:6: backup without storage, expected database and storage: it covers what they have; "
            "workbench.snapshot_every_s covers what is on a node's own disk",
        ),
        (f"{TOPOLOGY}backup: {{every_s: 0}}\n", "t.yaml:7: backup.every_s is 0, expected a whole number of at least 1"),
    ],
)
def test_a_backup_covers_what_servers_have(text: str, problem: str) -> None:
    assert topology_problems(text) == [problem]
