"""The database as a cluster, without Docker: its containers, its contradictions, and the switchover on paper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.components import SECRETS, images, member_probe, members, patroni, plan, postgresql
from harness.core.clock import FakeClock
from harness.core.experiment import Fault
from harness.core.products import Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.specs import ContainerSpec, Mount, NodeContext
from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.errors import SpecError
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.kinds.switchover import Switchover
from harness.faults.registry import RULES
from harness.faults.rehearsal import RehearsalHost
from harness.spec.loader import load_experiment, load_topology
from harness.spec.resolved import dump_resolved, load_resolved
from tests.conftest import ROOT

TOPOLOGY = Topology(
    name="cluster",
    description="a database that fails over",
    load_balancer=LoadBalancer(),
    workbench=Workbench(),
    database=Patroni(),
    storage=Storage(),
)
CONTEXT = NodeContext(run_id="r1", subnet_prefix="10.71.4", secrets={name: f"value-of-{name}" for name in SECRETS})
SERVERS = {"database-0": "10.71.4.20", "database-1": "10.71.4.21", "database-2": "10.71.4.22"}


def planned(database: Patroni | None = None) -> Mapping[str, ContainerSpec]:
    return {spec.name: spec for spec in plan(replace(TOPOLOGY, database=database or Patroni()), CONTEXT)}


def configured(database: Patroni, name: str = "database-0") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(planned(database)[name].files[patroni.CONFIG_PATH])
    return found


# -- containers ----------------------------------------------------------------------------------------------------


def test_every_container_comes_after_those_it_depends_on() -> None:
    specs = planned()
    assert [name for name in specs if name.startswith(("database", "etcd"))] == [
        *("etcd-0", "etcd-1", "etcd-2"),
        *("database-0", "database-1", "database-2"),
        "database-proxy",
    ]
    for index, spec in enumerate(specs.values()):
        assert set(spec.depends_on) <= set(list(specs)[:index])
    assert specs["database-1"].depends_on == ("etcd-0", "etcd-1", "etcd-2")
    assert specs["database-proxy"].depends_on == ("database-0", "database-1", "database-2")
    assert specs["workbench-0"].depends_on == ()


def test_the_servers_alone_are_members_of_the_role() -> None:
    assert members(TOPOLOGY, Role.DATABASE) == ("database-0", "database-1", "database-2")
    assert TOPOLOGY.size(Role.DATABASE) == 3
    assert [name for name, spec in planned().items() if spec.role == Role.DATABASE] == list(SERVERS)
    assert member_probe(TOPOLOGY, Role.DATABASE, "primary") == patroni.PRIMARY_PROBE
    assert "'http://127.0.0.1:8008/primary'" in patroni.PRIMARY_PROBE[-1]


def test_all_images_are_named() -> None:
    assert set(images(TOPOLOGY)) == {spec.image for spec in plan(TOPOLOGY, CONTEXT)}


def test_addresses_are_distinct_for_the_most_servers() -> None:
    largest = replace(TOPOLOGY, database=Patroni(nodes=5, etcd_nodes=5), workbench=Workbench(nodes=9))
    hosts = [spec.host_number for spec in plan(largest, CONTEXT)]
    assert len(hosts) == len(set(hosts))
    assert largest.size(Role.DATABASE) == 5


def test_each_server_has_a_disk_and_an_identity_of_its_own() -> None:
    first, second = planned()["database-0"], planned()["database-1"]
    assert first.mounts == (Mount(volume="database-0", path="/var/lib/postgresql/data", size_mb=2048),)
    assert second.mounts[0].volume == "database-1"
    found = configured(Patroni(), "database-1")
    assert found["name"] == "database-1"
    assert found["postgresql"]["connect_address"] == "10.71.4.21:5432"
    assert found["restapi"]["connect_address"] == "10.71.4.21:8008"
    assert found["etcd3"]["hosts"] == ["10.71.4.50:2379", "10.71.4.51:2379", "10.71.4.52:2379"]


def test_knobs_reach_patroni_in_its_own_words_and_units() -> None:
    found = configured(
        Patroni(
            ttl_s=40,
            loop_wait_s=4,
            retry_timeout_s=7,
            primary_start_timeout_s=11,
            maximum_lag_kb=3,
            replica_timeout_s=9,
            synchronous=True,
            synchronous_strict=True,
            failsafe_mode=False,
        )
    )
    cluster = found["bootstrap"]["dcs"]
    assert {key: value for key, value in cluster.items() if key != "postgresql"} == {
        "ttl": 40,
        "loop_wait": 4,
        "retry_timeout": 7,
        "primary_start_timeout": 11,
        "maximum_lag_on_failover": 3072,
        "synchronous_mode": True,
        "synchronous_mode_strict": True,
        "failsafe_mode": False,
    }
    assert found["postgresql"]["parameters"]["wal_sender_timeout"] == 9000
    assert found["postgresql"]["parameters"]["wal_receiver_timeout"] == 9000


def test_a_server_of_a_cluster_gives_up_clients_as_the_single_one_does() -> None:
    knobs: dict[str, Any] = {
        "keepalives_idle_s": 7,
        "keepalives_interval_s": 3,
        "keepalives_count": 5,
        "user_timeout_s": 9,
    }
    found = configured(Patroni(**knobs))["postgresql"]["parameters"]
    alone = postgresql.parameters(Database(**knobs))
    assert {name: found[name] for name in alone} == alone
    assert alone["tcp_user_timeout"] == 9000


def test_the_other_servers_may_ask_in_failsafe_mode_and_nobody_else() -> None:
    assert configured(Patroni())["restapi"]["allowlist"] == ["127.0.0.1", *SERVERS.values()]


def test_the_proxy_leads_to_the_primary_and_cuts_who_was_with_the_former() -> None:
    database = Patroni(check_interval_s=0.25, check_timeout_s=1.5, check_fall=4, check_rise=3, user_timeout_s=9)
    lines = [line.strip() for line in patroni.proxy_config(database, SERVERS).splitlines()]
    assert "option httpchk OPTIONS /primary" in lines
    assert "timeout check 1500ms" in lines
    assert "bind :5432 tcp-ut 9s" in lines
    assert "default-server port 8008 inter 250ms fall 4 rise 3 tcp-ut 9s on-marked-down shutdown-sessions" in lines
    assert [line for line in lines if line.startswith("server ")] == [
        f"server {name} {address}:5432 check" for name, address in SERVERS.items()
    ]
    for side in ("clit", "srvt"):
        assert [line for line in lines if line.startswith(f"{side}cpka")] == [
            f"{side}cpka-idle 2s",
            f"{side}cpka-intvl 1s",
            f"{side}cpka-cnt 3",
        ]


def test_nodes_reach_the_primary_through_the_proxy() -> None:
    assert planned()["workbench-1"].secrets["HUB_DB_URL"] == (
        "postgresql://hub:value-of-DB_PASSWORD@database-proxy:5432/hub"
    )


def test_a_link_to_the_database_ends_at_the_proxy() -> None:
    topology = replace(TOPOLOGY, links=(Link(from_=Role.WORKBENCH, to=Role.DATABASE),))
    specs = {spec.name: spec for spec in plan(topology, CONTEXT)}
    proxies = json.loads(specs["link-workbench-database"].files["/etc/toxiproxy.json"])
    assert {proxy["upstream"] for proxy in proxies} == {"10.71.4.25:5432"}
    ports = [proxy["listen"].rpartition(":")[2] for proxy in proxies]
    for index, port in enumerate(ports):
        assert f"@link-workbench-database:{port}/hub" in specs[f"workbench-{index}"].secrets["HUB_DB_URL"]


def test_each_container_gets_only_the_secrets_that_it_uses_and_shows_none() -> None:
    specs = planned()
    assert sorted(specs["database-0"].secrets) == [
        "DB_PASSWORD",
        "PATRONI_REPLICATION_PASSWORD",
        "PATRONI_REWIND_PASSWORD",
        "PATRONI_SUPERUSER_PASSWORD",
    ]
    assert not specs["etcd-0"].secrets
    assert not specs["database-proxy"].secrets
    shown = [
        text for spec in specs.values() for text in (*spec.command, *spec.environment.values(), *spec.files.values())
    ]
    assert not [text for text in shown if "value-of-" in text]


# -- files ---------------------------------------------------------------------------------------------------------


def load(folder: Path, database: str) -> Topology:
    path = folder / "t.yaml"
    path.write_text(
        "description: d\nload_balancer: {product: haproxy}\nworkbench: {nodes: 2}\nstorage: {product: nfs-ganesha}\n"
        f"database:\n{database}\n"
    )
    return load_topology(path)


def test_a_file_may_say_the_product_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "  product: patroni").database == Patroni()
    assert load(tmp_path, "  keepalives_idle_s: 5").database == Database(keepalives_idle_s=5)


def test_what_was_resolved_is_read_again(tmp_path: Path) -> None:
    topology = load(tmp_path, "  {product: patroni, nodes: 2, ttl_s: 30}")
    text = dump_resolved(topology, load_experiment(ROOT / "experiments/node-kill.yaml", RULES))
    assert "ttl_s: 30" in text
    assert load_resolved(text)[0] == topology


@pytest.mark.parametrize(
    ("database", "problem"),
    [
        ("  product: mysql", "t.yaml:6: database.product is 'mysql', expected one of: postgresql, patroni"),
        (
            "  product: patron",
            ":6: database.product is 'patron', expected one of: postgresql, patroni, did you mean pa",
        ),
        ("  product: 5", "t.yaml:6: database.product is 5, expected one of: postgresql, patroni"),
        (
            "  product: postgresql\n  ttl_s: 30",
            "t.yaml:7: unknown key database.ttl_s, which only product: patroni has; say so, or leave the key out",
        ),
        ("  product: patroni\n  ttl: 30", "t.yaml:7: unknown key database.ttl, did you mean ttl_s?"),
        ("  product: patroni\n  ttl_s: 19", "t.yaml:7: database.ttl_s is 19, expected a whole number of at least 20"),
        ("  product: patroni\n  nodes: 6", "t.yaml:7: database.nodes is 6, expected a whole number from 1 to 5"),
        ("  product: patroni\n  etcd_nodes: 2", "t.yaml:7: database.etcd_nodes is 2, expected one of: 1, 3, 5"),
        (
            "  product: patroni\n  nodes: 1",
            "t.yaml:7: database.nodes is 1 with database.synchronous true, expected at least 2: one server has no "
            "replica to wait for; raise nodes, or say synchronous: false",
        ),
        (
            "  product: patroni\n  synchronous: false\n  synchronous_strict: true",
            "t.yaml:8: database.synchronous_strict is true with database.synchronous false, expected both true: ",
        ),
        (
            "  product: patroni\n  loop_wait_s: 10\n  retry_timeout_s: 10",
            "t.yaml:5: database.ttl_s is 20 with loop_wait_s 10 and retry_timeout_s 10, expected at least "
            "loop_wait_s + 2 x retry_timeout_s = 30: ",
        ),
    ],
)
def test_mistakes_are_named_once(tmp_path: Path, database: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, database)
    (only,) = caught.value.problems
    assert problem in only


# -- switchover ----------------------------------------------------------------------------------------------------

FAULT = Fault(fault="switchover", target="database[primary]", at_s=1, hold_s=1)
AIM = Aim(target="database-1", tag="chaos-r1-0")


@pytest.fixture
def host() -> RehearsalHost:
    return RehearsalHost(FakeClock().now_ns, "r1")


def test_a_switchover_needs_somebody_to_hand_over_to() -> None:
    kind = Switchover()
    assert kind.refusal(TOPOLOGY, FAULT) == ""
    assert "or the fault restart" in kind.refusal(replace(TOPOLOGY, database=Database()), FAULT)
    alone = replace(TOPOLOGY, database=Patroni(nodes=1, synchronous=False))
    assert "at least 2" in kind.refusal(alone, FAULT)
    assert "database[primary], not database[0]" in kind.refusal(TOPOLOGY, replace(FAULT, target="database[0]"))


def test_the_primary_hands_over_once(host: RehearsalHost) -> None:
    kind = Switchover()
    state = kind.prepare(host, AIM)
    assert not kind.confirm(host, state).shown
    kind.inject(host, state)
    found = kind.confirm(host, state)
    assert found.shown
    assert found.text == "database-0 says to be the primary, it was database-1"
    kind.inject(host, state)
    assert len(host.paper.commands) == 1
    kind.undo(host, state)
    assert kind.confirm(host, state).shown, "the roles stay changed"
    assert kind.confirm_recovery(host, state).shown


def test_a_replica_is_not_asked_to_hand_over(host: RehearsalHost) -> None:
    kind = Switchover()
    kind.inject(host, kind.prepare(host, AIM))
    with pytest.raises(GuardError, match="database-1 is not the primary"):
        kind.prepare(host, AIM)


def test_a_machine_that_has_gone_since_is_no_open_end(host: RehearsalHost) -> None:
    kind = Switchover()
    state = kind.prepare(host, AIM)
    kind.inject(host, state)
    host.paper.break_("down", "database-1")
    assert not kind.confirm(host, state).shown
    assert kind.confirm_recovery(host, state).shown
