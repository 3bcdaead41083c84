"""Components: what each role becomes, without Docker."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from harness.components import (
    SECRETS,
    database_readback,
    databases,
    generate_secrets,
    images,
    members,
    plan,
    postgresql,
    readback,
)
from harness.components.base import (
    CLIENT_HOST,
    DATABASE_HOST,
    LOAD_BALANCER_HOST,
    STORAGE_HOST,
    WORKBENCH_FIRST_HOST,
)
from harness.components.registry import COMPONENTS, MEMBER_PROBES, READBACKS
from harness.core.products import Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.specs import Mount
from harness.core.topology import Link
from harness.core.words import Role
from tests.unit.pair import CONTEXT, TOPOLOGY, planned


def test_plan_lists_every_container_after_those_it_depends_on() -> None:
    specs = plan(TOPOLOGY, CONTEXT)
    assert [spec.name for spec in specs] == [
        "storage",
        "database",
        "workbench-0",
        "workbench-1",
        "load-balancer",
        "client",
    ]
    for index, spec in enumerate(specs):
        assert set(spec.depends_on) <= {earlier.name for earlier in specs[:index]}


def test_plan_is_pure() -> None:
    assert plan(TOPOLOGY, CONTEXT) == plan(TOPOLOGY, CONTEXT)


def test_images_are_listed_once_each() -> None:
    assert images(TOPOLOGY) == ("storage", "database", "workbench", "load_balancer", "client")
    assert set(images(TOPOLOGY)) == {spec.image for spec in plan(TOPOLOGY, CONTEXT)}


def test_addresses_are_fixed_and_distinct_for_the_most_nodes() -> None:
    largest = replace(TOPOLOGY, workbench=Workbench(nodes=9))
    hosts = {name: spec.host_number for name, spec in planned(largest).items()}
    assert len(set(hosts.values())) == len(hosts)
    assert hosts["load-balancer"] == LOAD_BALANCER_HOST == 5
    assert hosts["workbench-0"] == WORKBENCH_FIRST_HOST == 11
    assert hosts["workbench-8"] == 19
    assert hosts["database"] == DATABASE_HOST == 20
    assert hosts["storage"] == STORAGE_HOST == 30
    assert hosts["client"] == CLIENT_HOST == 100


def test_members_are_what_a_number_in_a_target_counts() -> None:
    assert members(TOPOLOGY, Role.WORKBENCH) == ("workbench-0", "workbench-1")
    assert members(TOPOLOGY, Role.LOAD_BALANCER) == ("load-balancer",)
    for role in Role:
        assert members(TOPOLOGY, role) == tuple(spec.name for spec in plan(TOPOLOGY, CONTEXT) if spec.role == role)


def test_each_product_of_the_model_has_a_component() -> None:
    products = {part.product for part in (LoadBalancer(), Workbench(), Database(), Patroni(), Storage())}
    assert set(COMPONENTS) == products
    assert {product for product, _ in MEMBER_PROBES} | set(READBACKS) <= products


def test_each_platform_container_says_how_it_is_ready() -> None:
    for spec in planned().values():
        assert (spec.ready is None) == (spec.role == "client")
    probe = planned()["load-balancer"].ready
    assert probe is not None
    assert probe.argv == ("/usr/local/bin/ready", "/hub/login")


# -- secrets -------------------------------------------------------------------------------------------------------


def test_secrets_are_fresh_and_hexadecimal() -> None:
    one, other = generate_secrets(), generate_secrets()
    assert tuple(one) == SECRETS
    assert not set(one.values()) & set(other.values())
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in one.values())


def test_no_secret_is_in_what_artefacts_show() -> None:
    for spec in plan(TOPOLOGY, CONTEXT):
        shown = [
            *spec.command,
            *spec.environment.values(),
            *spec.files.values(),
            *(spec.ready.argv if spec.ready else ()),
        ]
        assert not [text for text in shown if "value-of-" in text]


def test_each_container_gets_only_the_secrets_that_it_uses() -> None:
    assert {name: sorted(spec.secrets) for name, spec in planned().items()} == {
        "storage": [],
        "database": ["DB_PASSWORD"],
        "workbench-0": ["CONFIGPROXY_AUTH_TOKEN", "HUB_COOKIE_SECRET", "HUB_DB_URL", "USER_PASSWORD"],
        "workbench-1": ["CONFIGPROXY_AUTH_TOKEN", "HUB_COOKIE_SECRET", "HUB_DB_URL", "USER_PASSWORD"],
        "load-balancer": [],
        "client": ["DATABASE_URL"],
    }


# -- postgresql ----------------------------------------------------------------------------------------------------


def test_database_settings_are_arguments_in_their_units() -> None:
    database = Database(keepalives_idle_s=7, keepalives_interval_s=3, keepalives_count=5, user_timeout_s=9)
    assert postgresql.settings(database) == (
        "-c",
        "tcp_keepalives_idle=7",
        "-c",
        "tcp_keepalives_interval=3",
        "-c",
        "tcp_keepalives_count=5",
        "-c",
        "tcp_user_timeout=9000",
    )


def test_the_database_keeps_its_data_on_a_volume() -> None:
    spec = planned()["database"]
    assert spec.mounts == (Mount(volume="database", path="/var/lib/postgresql/data", size_mb=2048),)
    assert spec.environment == {"DB_NAMES": "hub harness", "DB_USER": "hub"}


# -- ganesha -------------------------------------------------------------------------------------------------------


def test_storage_gets_what_ganesha_needs() -> None:
    spec = planned(replace(TOPOLOGY, storage=Storage(grace_period_s=15)))["storage"]
    assert spec.environment == {"NFS_GRACE_PERIOD_S": "15"}
    assert spec.mounts == (Mount(volume="homes", path="/export", size_mb=1024),)
    assert spec.capabilities == ("DAC_READ_SEARCH",)
    assert spec.security_options == ("seccomp=unconfined",)


def run_readback(export: Path) -> subprocess.CompletedProcess[str]:
    containers, (shell, option, script) = readback(TOPOLOGY)
    assert containers == ("storage",)
    assert script.count("/export") == 1
    argv = [shell, option, script.replace("/export", str(export))]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_readback_prints_user_and_value_and_skips_torn_lines(tmp_path: Path) -> None:
    for user, text in {"user-1": "1\n2\n", "user 2": "7\n\n8 9\n\x00\x00\n10\n"}.items():
        (tmp_path / user).mkdir()
        (tmp_path / user / "saves.log").write_text(text)
    (tmp_path / "saved-nothing").mkdir()
    answer = run_readback(tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert sorted(answer.stdout.splitlines()) == ["user 2,10", "user 2,7", "user-1,1", "user-1,2"]


def test_readback_of_no_homes_is_empty(tmp_path: Path) -> None:
    answer = run_readback(tmp_path)
    assert (answer.returncode, answer.stdout) == (0, "")


def test_readback_that_could_not_read_everything_fails(tmp_path: Path) -> None:
    (tmp_path / "user-1" / "saves.log").mkdir(parents=True)  # a folder: root reads any file
    assert run_readback(tmp_path).returncode != 0
    assert run_readback(tmp_path / "missing").returncode != 0


# -- reading the database back -------------------------------------------------------------------------------------


def run_database_readback(tmp_path: Path, psql: str) -> subprocess.CompletedProcess[str]:
    """With a psql of its own; who becomes whom is written down instead of done."""
    argv = database_readback(TOPOLOGY)
    assert argv is not None
    assert argv == database_readback(replace(TOPOLOGY, database=Patroni()))
    for name, script in {"psql": psql, "setpriv": 'echo "$@" > become\nshift 5\nexec "$@"\n'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    return subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_the_database_is_read_by_the_superuser_over_the_local_socket(tmp_path: Path) -> None:
    answer = run_database_readback(tmp_path, 'echo "$@"\ncat\n')
    assert (answer.returncode, answer.stderr) == (0, "")
    said, *statements = answer.stdout.splitlines()
    assert said == "-X -q -A -t -F , -v ON_ERROR_STOP=1 -h /run/postgresql -U postgres -d harness"
    assert (tmp_path / "become").read_text().startswith("--reuid postgres --regid postgres --init-groups psql ")
    assert statements == [
        "select to_regclass('public.harness_writes') is not null as there \\gset",
        "\\if :there",
        "select writer, value from public.harness_writes;",
        "\\endif",
    ]


def test_a_database_that_can_not_be_read_fails(tmp_path: Path) -> None:
    answer = run_database_readback(tmp_path, "echo 'the database system is starting up' >&2\nexit 2\n")
    assert (answer.returncode, answer.stdout, answer.stderr) == (2, "", "the database system is starting up\n")


# -- client --------------------------------------------------------------------------------------------------------


def test_the_client_talks_and_reaches_the_balancer_by_address() -> None:
    spec = planned()["client"]
    assert (spec.role, spec.image, spec.conversation) == ("client", "client", True)
    # where processors are short instruments go first: whoever measures late measures nothing
    assert spec.cpu_shares > 1024 > max(one.cpu_shares for name, one in planned().items() if name != "client")
    assert spec.command == ("python3", "-m", "harness.load")
    assert spec.capabilities == ("SYS_NICE",)
    assert spec.environment == {
        "PLATFORM_URLS": "http://10.71.4.5",
        "BALANCER_STATISTICS": "http://10.71.4.5:8404/statistics;csv#load-balancer",
        **databases.limits(Database()),
    }
    assert spec.depends_on == ("load-balancer", "database")


def test_each_balancer_of_a_pair_is_asked_at_its_own_address_for_what_it_believes() -> None:
    pair = replace(TOPOLOGY, load_balancer=LoadBalancer(nodes=2, vip=True))
    assert planned(pair)["client"].environment["BALANCER_STATISTICS"] == (
        "http://10.71.4.5:8404/statistics;csv#load-balancer-0 http://10.71.4.6:8404/statistics;csv#load-balancer-1"
    )
    alone = replace(TOPOLOGY, load_balancer=None, workbench=Workbench(mode="single", nodes=1))
    assert "BALANCER_STATISTICS" not in planned(alone)["client"].environment


def test_the_client_writes_into_the_database_by_its_gate_and_past_every_link() -> None:
    link = Link(from_=Role.WORKBENCH, to=Role.DATABASE)
    password = "value-of-DB_PASSWORD"
    for topology in (TOPOLOGY, replace(TOPOLOGY, links=(link,))):
        spec = planned(topology)["client"]
        assert spec.secrets == {"DATABASE_URL": f"postgresql://hub:{password}@10.71.4.20:5432/harness"}
    spec = planned(replace(TOPOLOGY, database=Patroni(user_timeout_s=7), links=(link,)))["client"]
    assert spec.secrets == {"DATABASE_URL": f"postgresql://hub:{password}@10.71.4.25:5432/harness"}
    assert spec.depends_on == ("load-balancer", "database-proxy")
    # as the nodes have it
    node = planned()["workbench-0"].environment
    assert databases.limits(Database()) == {name: value for name, value in node.items() if name.startswith("DB_")}
    assert spec.environment["DB_TCP_USER_TIMEOUT_MS"] == "7000"


def test_without_a_database_the_client_is_told_nothing_of_one() -> None:
    alone = replace(TOPOLOGY, database=None, workbench=Workbench(mode="active-active"))
    spec = planned(alone)["client"]
    assert (spec.secrets, spec.depends_on) == ({}, ("load-balancer",))
    assert spec.environment == {
        "PLATFORM_URLS": "http://10.71.4.5",
        "BALANCER_STATISTICS": "http://10.71.4.5:8404/statistics;csv#load-balancer",
    }
    assert database_readback(alone) is None
