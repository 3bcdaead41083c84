"""The JSON Schemas accept every file that is shipped, and refuse mistakes of every kind that they can see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from harness.faults.registry import FAULTS, RULES
from harness.spec.catalog import Catalog
from harness.spec.document import parse, read
from harness.spec.json_schema import experiment_schema, topology_schema
from tests.unit.fault_samples import SAMPLES
from tests.unit.test_cli import Harness, harness

__all__ = ["harness"]

ROOT = Path(__file__).resolve().parents[2]
TOPOLOGIES = [Catalog(ROOT).topology_path(name) for name in Catalog(ROOT).topologies()]
TOPOLOGIES += sorted(ROOT.glob("tests/e2e/topologies/*.yaml"))
EXPERIMENTS = sorted(ROOT.glob("experiments/*.yaml")) + sorted(ROOT.glob("tests/e2e/experiments/*.yaml"))

TOPOLOGY = """\
description: two nodes
load_balancer: {nodes: 2, vip: true}
workbench: {nodes: 2}
database: {}
storage: {}
links: [{from: workbench, to: database}]
promises:
  node-kill: {recovers: by_design, session_outcome: restarted, log_in_kept: true, outage_at_most_s: 30, why: it is so}
known_broken:
  node-kill: it is not
"""
EXPERIMENT = """\
description: a node is cut off
source: it happens
faults:
  - fault: partition
    target: workbench[active]
    peer: database[*]
    options: {direction: both}
    at_s: 5
    hold_s: 40
"""


def _validator(schema: dict[str, Any]) -> Draft7Validator:
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


@pytest.fixture(scope="module")
def topology() -> Draft7Validator:
    return _validator(topology_schema())


@pytest.fixture(scope="module")
def experiment() -> Draft7Validator:
    return _validator(experiment_schema(RULES, {kind: fault.summary for kind, fault in FAULTS.items()}))


def places(validator: Draft7Validator, text: str) -> list[str]:
    """Where the schema finds a mistake."""
    found = validator.iter_errors(parse(text, "x.yaml").data)
    return sorted(".".join(str(step) for step in error.absolute_path) for error in found)


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_every_topology_that_is_shipped_is_valid(topology: Draft7Validator, path: Path) -> None:
    assert [error.message for error in topology.iter_errors(read(path).data)] == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_that_is_shipped_is_valid(experiment: Draft7Validator, path: Path) -> None:
    assert [error.message for error in experiment.iter_errors(read(path).data)] == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("nodes: 2, vip", "nods: 2, vip", "load_balancer"),
        ("description:", "name: x\ndescription:", ""),
        ("description: two nodes\n", "", ""),
        ("workbench: {nodes: 2}\n", "", ""),
        ("{nodes: 2, vip: true}", "", "load_balancer"),
        ("workbench: {nodes: 2}", "workbench: {nodes: 10}", "workbench.nodes"),
        ("workbench: {nodes: 2}", "workbench: {nodes: two}", "workbench.nodes"),
        ("vip: true", "vip: 1", "load_balancer.vip"),
        ("vip: true", "check: deep", "load_balancer.check"),
        ("vip: true", "check_interval_s: 0", "load_balancer.check_interval_s"),
        ("database: {}", "database: {product: patrony}", "database.product"),
        ("database: {}", "database: {etcd_nodes: 3}", "database"),
        ("database: {}", "database: {product: patroni, etcd_nodes: 2}", "database.etcd_nodes"),
        ("database: {}", "database: null", "database"),
        ("storage: {}", "storage: {product: zfs}", "storage.product"),
        ("from: workbench", "from_: workbench", "links.0"),
        ("from: workbench", "from: scheduler", "links.0.from"),
        ("by_design", "not_recovered", "promises.node-kill.recovers"),
        ("why: it is so", "because: it is so", "promises.node-kill"),
        ("node-kill: it is not", "node-kill: true", "known_broken.node-kill"),
    ],
)
def test_mistakes_in_a_topology(topology: Draft7Validator, old: str, new: str, where: str) -> None:
    assert places(topology, TOPOLOGY) == []
    assert old in TOPOLOGY
    assert where in places(topology, TOPOLOGY.replace(old, new))


def test_each_database_has_its_own_keys(topology: Draft7Validator) -> None:
    patroni = TOPOLOGY.replace("database: {}", "database: {product: patroni, nodes: 2, etcd_nodes: 5, size_mb: 0}")
    assert places(topology, patroni) == []
    assert places(topology, TOPOLOGY.replace("database: {}", "database: {product: postgresql, size_mb: 0}")) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("partition", "partitoin", "faults.0.fault"),
        ("workbench[active]", "workbench[primary]", "faults.0.target"),
        ("workbench[active]", "workbench[-1]", "faults.0.target"),
        ("workbench[active]", "scheduler[0]", "faults.0.target"),
        ("workbench[active]", "database[cluster]", "faults.0.target"),
        ("database[*]", "database", "faults.0.peer"),
        ("    peer: database[*]\n", "", "faults.0"),
        ("direction: both", "direction: up", "faults.0.options.direction"),
        ("direction: both", "way: both", "faults.0.options"),
        ("hold_s: 40", "hold_s: -1", "faults.0.hold_s"),
        ("hold_s: 40", "holds: 40", "faults.0"),
        ("    at_s: 5\n", "", "faults.0"),
        ("source: it happens\n", "", ""),
        ("fault: partition", "fault: kill", "faults.0.peer"),
        ("fault: partition", "fault: kill", "faults.0.options"),
        ("fault: partition", "fault: failover", "faults.0.target"),
        ("source:", "load: {users: 0}\nsource:", "load.users"),
        ("source:", "abort_when: {for_s: 5}\nsource:", "abort_when"),
        ("source:", "growth: {at_s: 5}\nsource:", "growth"),
        ("source:", "links: [{from: workbench}]\nsource:", "links.0"),
        ("source:", "name: x\nsource:", ""),
    ],
)
def test_mistakes_in_an_experiment(experiment: Draft7Validator, old: str, new: str, where: str) -> None:
    assert places(experiment, EXPERIMENT) == []
    assert old in EXPERIMENT
    assert where in places(experiment, EXPERIMENT.replace(old, new))


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_kind_of_fault_is_known_with_its_options(experiment: Draft7Validator, kind: str) -> None:
    rules, sample = RULES[kind], SAMPLES.get(kind, {})
    role = min(rules.roles, default="workbench")
    fault: dict[str, Any] = {"fault": kind, "target": f"{role}[0]", "at_s": 1, "hold_s": 2}
    if sample.get("peers"):
        fault["peer"] = f"{sample['peers'][0]}[0]"
    if sample.get("options"):
        fault["options"] = sample["options"]
    whole = {"description": "d", "source": "s", "faults": [fault]}
    assert [error.message for error in experiment.iter_errors(whole)] == []
    fault["options"] = {**fault.get("options", {}), "no_such_option": 1}
    assert not experiment.is_valid(whole)


def test_what_a_key_decides_is_in_the_schema() -> None:
    definitions = topology_schema()["$defs"]
    assert definitions["LoadBalancer"]["properties"]["check_fall"]["description"].startswith("Failed checks in a row")
    assert definitions["Patroni"]["properties"]["keepalives_idle_s"]["description"].startswith("Idle seconds")
    assert definitions["Link"]["properties"]["from"]["description"] == "The role that opens the connections."
    assert "title" not in str(definitions)


@pytest.mark.long
def test_schema_writes_both_schemas(harness: Harness, tmp_path: Path) -> None:
    code, out, _ = harness("schema", "--folder", str(tmp_path))
    assert code == 0
    for kind in ("topology", "experiment"):
        path = f"docs/schema/{kind}.schema.json"
        assert path in out
        assert (tmp_path / path).read_text() == (ROOT / path).read_text()
