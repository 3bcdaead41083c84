"""Links between roles: what becomes of the topology's key, without Docker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.components import SECRETS, images, plan
from harness.components.hops import Hop, hop, listen_port
from harness.core.experiment import Fault
from harness.core.names import LINK_ROLE
from harness.core.products import Workbench
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.errors import SpecError
from harness.faults.kinds.packets import Loss, Partition
from harness.faults.kinds.traffic import Reset
from harness.faults.registry import RULES
from harness.runtime.images import context_files, published_reference
from harness.spec import load_experiment, load_topology
from harness.spec.resolved import dump_resolved, load_resolved

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = NodeContext(run_id="r1", subnet_prefix="192.0.2", secrets={name: f"value-of-{name}" for name in SECRETS})


def linked(*pairs: tuple[Role, Role]) -> Topology:
    """The pair of nodes of the catalogue, with links."""
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    return replace(topology, links=tuple(Link(from_=source, to=target) for source, target in pairs))


def planned(topology: Topology) -> dict[str, ContainerSpec]:
    return {spec.name: spec for spec in plan(topology, CONTEXT)}


def proxies(spec: ContainerSpec) -> dict[str, tuple[str, str]]:
    (text,) = spec.files.values()
    assert all(proxy["enabled"] for proxy in json.loads(text))
    return {proxy["name"]: (proxy["listen"], proxy["upstream"]) for proxy in json.loads(text)}


def test_without_links_nothing_changes() -> None:
    assert "toxiproxy" not in images(linked())
    assert not [spec for spec in plan(linked(), CONTEXT) if spec.role == LINK_ROLE]


def test_nodes_reach_the_database_through_a_listener_of_their_own() -> None:
    specs = planned(linked((Role.WORKBENCH, Role.DATABASE)))
    link = specs["link-workbench-database"]
    assert (link.role, link.image, link.host_number) == ("link", "toxiproxy", 41)
    assert proxies(link) == {
        "workbench-0_database_5432": ("0.0.0.0:10000", "192.0.2.20:5432"),
        "workbench-1_database_5432": ("0.0.0.0:10100", "192.0.2.20:5432"),
    }
    assert link.command == ("-host", "127.0.0.1", "-config", "/etc/toxiproxy.json")
    assert link.ready is not None
    assert link.ready.argv == ("/usr/local/bin/ready", "workbench-0_database_5432", "workbench-1_database_5432")
    for number in range(2):
        node = specs[f"workbench-{number}"]
        assert f"@link-workbench-database:{10_000 + 100 * number}/hub" in node.secrets["HUB_DB_URL"]
        assert "link-workbench-database" in node.depends_on
        assert node.environment["HOMES_SERVER"] == "storage:/export", "only the link that was asked for"
    assert next(iter(specs)) == link.name, "each container comes after those it depends on"
    assert images(linked((Role.WORKBENCH, Role.DATABASE)))[0] == "toxiproxy"


def test_homes_come_through_a_link_by_both_of_their_ports() -> None:
    specs = planned(linked((Role.WORKBENCH, Role.STORAGE)))
    assert proxies(specs["link-workbench-storage"]) == {
        "workbench-0_storage_2049": ("0.0.0.0:10000", "192.0.2.30:2049"),
        "workbench-0_storage_20048": ("0.0.0.0:10001", "192.0.2.30:20048"),
        "workbench-1_storage_2049": ("0.0.0.0:10100", "192.0.2.30:2049"),
        "workbench-1_storage_20048": ("0.0.0.0:10101", "192.0.2.30:20048"),
    }
    environment = specs["workbench-1"].environment
    assert environment["HOMES_SERVER"] == "link-workbench-storage:/export"
    assert (environment["HOMES_NFS_PORT"], environment["HOMES_MOUNT_PORT"]) == ("10100", "10101")
    script = (ROOT / "harness/images/workbench/mount-homes").read_text()
    assert "HOMES_NFS_PORT" in script
    assert "HOMES_MOUNT_PORT" in script


def test_the_balancer_checks_and_serves_through_its_link() -> None:
    specs = planned(linked((Role.LOAD_BALANCER, Role.WORKBENCH)))
    text = specs["load-balancer"].files["/etc/haproxy/haproxy.cfg"]
    assert "  server workbench-0 192.0.2.40:10000 check port 10001\n" in text
    assert "  server workbench-1 192.0.2.40:10010 check port 10011\n" in text
    assert proxies(specs["link-load-balancer-workbench"])["load-balancer_workbench-1_8002"] == (
        "0.0.0.0:10011",
        "192.0.2.12:8002",
    )
    assert "link-load-balancer-workbench" in specs["load-balancer"].depends_on


def test_every_pair_that_may_have_a_link_has_an_address_of_its_own() -> None:
    everything = replace(linked(*Link.POSSIBLE), workbench=Workbench(nodes=9))
    hosts = [spec.host_number for spec in plan(everything, CONTEXT)]
    assert len(hosts) == len(set(hosts))
    ports = [listen_port(one, other, service) for one in range(9) for other in range(9) for service in range(2)]
    assert len(ports) == len(set(ports))


def test_the_next_hop_is_the_link_only_where_there_is_one() -> None:
    direct = Hop("database", 20, 5432)
    source, target = (Role.WORKBENCH, 3), (Role.DATABASE, 0)
    assert hop(linked((Role.WORKBENCH, Role.STORAGE)), source, target, direct) == direct
    linked_hop = hop(linked((Role.WORKBENCH, Role.DATABASE)), source, target, direct)
    assert linked_hop == Hop("link-workbench-database", 41, 10_300)


def test_links_are_written_to_the_resolved_spec_as_they_were_read() -> None:
    topology = linked((Role.WORKBENCH, Role.DATABASE))
    text = dump_resolved(topology, load_experiment(ROOT / "experiments/node-kill.yaml", RULES))
    assert "links:\n  - product: toxiproxy\n    from: workbench\n    to: database\n" in text
    assert load_resolved(text)[0] == topology


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{from: workbench, to: workbench}", "expected two different roles: one of: load_balancer to workbench,"),
        ("{from: storage, to: database}", "which do not talk that way, expected one of: load_balancer to workbench,"),
        ("{from: database, to: workbench}", "did you mean the other way round?"),
        ("{from: users, to: load_balancer}", "links[0].from is 'users', expected one of: load_balancer, workbench,"),
        ("{fro: workbench, to: database}", "unknown key links[0].fro, did you mean from?"),
        ("{from: workbench, to: databas}", "links[0].to is 'databas', expected one of:"),
        (
            "{from: workbench, to: database}\n  - {from: workbench, to: database}",
            "links[1] is from workbench to database, expected it once: the first is links[0]",
        ),
    ],
)
def test_mistakes_in_links(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    base = (ROOT / "topologies/active-passive.yaml").read_text()
    path.write_text(f"{base}\nlinks:\n  - {line}\n")
    with pytest.raises(SpecError) as caught:
        load_topology(path)
    assert [problem for problem in caught.value.problems if message in problem], caught.value.problems


def test_what_only_a_link_can_do_is_refused_without_one() -> None:
    fault = Fault(fault="reset", target="workbench[0]", peer="database[primary]", at_s=0, hold_s=1)
    assert Reset().refusal(linked((Role.WORKBENCH, Role.DATABASE)), fault) == ""
    assert "`links: [{from: workbench, to: database}]`" in Reset().refusal(linked(), fault)
    back = replace(fault, target="database[primary]", peer="workbench[0]")
    assert "`links: [{from: workbench, to: database}]`" in Reset().refusal(linked(), back)
    apart = replace(fault, target="storage[0]", peer="database[primary]")
    assert Reset().refusal(linked(), apart) == "storage and database do not talk to each other"


def test_a_cut_past_a_link_would_change_nothing_and_is_refused() -> None:
    fault = Fault(fault="partition", target="workbench[0]", peer="database[primary]", at_s=0, hold_s=1)
    refusal = Partition().refusal(linked((Role.WORKBENCH, Role.DATABASE)), fault)
    assert refusal.startswith("a link stands between workbench and database, and they do not talk directly")
    assert Partition().refusal(linked((Role.WORKBENCH, Role.STORAGE)), fault) == ""
    assert Loss().refusal(linked((Role.WORKBENCH, Role.DATABASE)), replace(fault, peer="")) == ""


def test_the_published_image_is_of_the_version_that_is_built() -> None:
    files = context_files("toxiproxy")
    version = published_reference(files).rpartition(":")[2]
    assert f"github.com/Shopify/toxiproxy/v2 v{version} h1:" in files["go.sum"].decode()
    assert f"Version={version}" in files["Dockerfile"].decode()
    assert published_reference(context_files("storage")) == ""
