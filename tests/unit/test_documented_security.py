"""The page on security names every permission that is asked for, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from harness.components.base import generate_secrets
from harness.components.registry import plan
from harness.core.specs import ContainerSpec, NodeContext
from harness.spec import Catalog, load_topology
from tests.unit.documented import ROOT

PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
CATALOG = Catalog(ROOT)
#: What every container of the engine may do already is not asked for; this is whose row says what is asked for beyond.
ROWS = {
    "workbench": "nodes, a standby, and a machine that backs up",
    "standby": "nodes, a standby, and a machine that backs up",
    "storage": "storage",
    "load_balancer": "members of a pair",
    "client": "client",
}


def row(first: str) -> str:
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*$", PAGE, re.MULTILINE)
    return str(found)


def agents_arguments() -> dict[str, object]:
    """What `start_agent` asks the engine for."""
    tree = ast.parse((ROOT / "harness/runtime/agent.py").read_text(encoding="utf-8"))
    (call,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "with_kwargs"
    ]
    return {
        keyword.arg: ast.literal_eval(keyword.value)
        for keyword in call.keywords
        if keyword.arg and keyword.arg != "labels"
    }


def test_every_permission_of_the_agent_has_its_row() -> None:
    asked = agents_arguments()
    assert set(asked) == {
        "network", "pid_mode", "cgroupns", "cap_add", "device_cgroup_rules", "security_opt", "stdin_open",
    }  # fmt: skip
    table = PAGE[PAGE.index("| permission |") : PAGE.index("It has no network")]
    capabilities = asked["cap_add"]
    assert isinstance(capabilities, list)
    assert set(re.findall(r"CAP_(\w+)", table)) == set(capabilities)
    assert asked["network"] == "none"
    assert (asked["pid_mode"], asked["cgroupns"]) == ("host", "host")
    assert "host PID namespace" in table
    assert "host's cgroup namespace" in table
    assert asked["device_cgroup_rules"] == ["b 7:* rwm", "c 10:237 rwm"]
    assert "`b 7:*` and `c 10:237`" in table
    assert asked["security_opt"] == ["apparmor=unconfined"]
    assert "`apparmor=unconfined`" in table


def containers() -> Iterator[tuple[str, ContainerSpec]]:
    for name in CATALOG.topologies():
        topology = load_topology(CATALOG.topology_path(name))
        context = NodeContext(run_id="abc123", subnet_prefix="10.71.4", secrets=generate_secrets())
        yield from ((name, spec) for spec in plan(topology, context))


@pytest.mark.parametrize(("topology", "spec"), [pytest.param(t, s, id=f"{t}/{s.name}") for t, s in containers()])
def test_every_permission_of_a_container_has_its_row(topology: str, spec: ContainerSpec) -> None:
    asked = {*spec.capabilities, *spec.devices}
    pair = {"NET_ADMIN", "NET_RAW"}
    if asked & pair:
        assert pair <= asked
        assert all(f"`{name}`" in row("members of a pair") for name in pair)
    if rest := asked - pair:
        assert all(f"`{name}`" in row(ROWS[spec.role]) for name in rest)
    for option in spec.security_options:
        profile = {"apparmor=unconfined": "AppArmor", "seccomp=unconfined": "seccomp"}[option]
        assert profile in row(ROWS[spec.role])
    assert spec.publish == (), "a run publishes no port"


def test_no_row_says_more_than_is_asked_for() -> None:
    every = {name for _, spec in containers() for name in (*spec.capabilities, *spec.devices)}
    table = PAGE[PAGE.index("| container |") : PAGE.index("In a node, only init")]
    assert set(re.findall(r"`([A-Z_]+|/dev/\w+)`", table)) == every
