"""Nodes and their cold standby as components, without Docker."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from harness.components import (
    jupyterhub,
    members,
    readback,
)
from harness.core.products import Workbench
from harness.core.specs import Mount
from harness.core.topology import Topology
from harness.core.words import Role
from tests.unit.pair import TOPOLOGY, planned


def test_a_node_gets_its_contract() -> None:
    workbench = Workbench(takeover="first-holder", standby_poll_s=0.25, session_start="cold", homes_client="fuse")
    spec = planned(replace(TOPOLOGY, workbench=workbench))["workbench-1"]
    assert spec.environment == {
        "NODE_NAME": "workbench-1",
        "HUB_MODE": "active-passive",
        "TAKEOVER": "first-holder",
        "PEERS": "10.71.4.11",
        "STANDBY_POLL_S": "0.25",
        "LEASE_TTL_S": "3.0",
        "DB_KEEPALIVES_IDLE_S": "2",
        "DB_KEEPALIVES_INTERVAL_S": "1",
        "DB_KEEPALIVES_COUNT": "3",
        "DB_TCP_USER_TIMEOUT_MS": "3000",
        "SESSION_START": "cold",
        "HOMES_SERVER": "storage:/export",
        "HOMES_CLIENT": "fuse",
        "SUPERVISED": "yes",
        "HUB_START": "prewarmed",
    }
    assert spec.secrets["HUB_DB_URL"] == "postgresql://hub:value-of-DB_PASSWORD@database:5432/hub"
    assert spec.capabilities == ("SYS_ADMIN",)
    assert spec.devices == ("/dev/fuse",)
    assert spec.security_options == ("apparmor=unconfined", "seccomp=unconfined")
    assert spec.depends_on == (), "it waits for database and storage by itself"


def test_nodes_differ_in_name_address_and_whom_they_ask_only() -> None:
    first, second = (planned()[name] for name in jupyterhub.names(TOPOLOGY))
    assert (first.environment["PEERS"], second.environment["PEERS"]) == ("10.71.4.12", "10.71.4.11")
    environment = {**second.environment, "NODE_NAME": first.name, "PEERS": first.environment["PEERS"]}
    assert replace(second, name=first.name, host_number=first.host_number, environment=environment) == first


def test_the_active_probe_asks_the_page_that_the_balancer_checks() -> None:
    argv = jupyterhub.ACTIVE_PROBE
    assert argv[0] == "python3"
    assert "'http://127.0.0.1:8002/active'" in argv[-1]


@pytest.mark.long
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_active_probe_exits_0_for_a_200_only(status: int, code: int) -> None:
    server = (
        "import http.server, subprocess, sys, threading\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        f"    def do_GET(self): self.send_response({status}); self.end_headers()\n"
        "    def log_message(self, *a): pass\n"
        "s = http.server.HTTPServer(('127.0.0.1', 0), H)\n"
        "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
        "sys.exit(subprocess.run([sys.executable, *[a.replace(':8002', f':{s.server_port}') for a in sys.argv[2:]]],\n"
        "                        stderr=subprocess.DEVNULL).returncode)\n"
    )
    assert subprocess.run(["python3", "-c", server, *jupyterhub.ACTIVE_PROBE], check=False).returncode == code


DR = Topology(
    name="dr",
    description="a node and a machine in reserve",
    workbench=Workbench(nodes=1, mode="single", snapshot_every_s=20, standby="cold"),
)


def test_a_node_with_snapshots_has_a_backup_disk_and_shares_it_with_the_standby() -> None:
    specs = planned(DR)
    assert list(specs) == ["workbench-0", "workbench-standby", "client"]
    for name in ("workbench-0", "workbench-standby"):
        assert specs[name].mounts[-1] == Mount(volume="backup", path="/backup")
        assert specs[name].environment["SNAPSHOT_EVERY_S"] == "20"
    alone = planned(replace(DR, workbench=replace(DR.workbench, standby="none")))
    assert list(alone) == ["workbench-0", "client"]
    assert alone["workbench-0"].mounts
    without = planned(replace(DR, workbench=Workbench(nodes=1, mode="single")))["workbench-0"]
    own = (Mount(volume="workbench-0-hub", path="/srv/hub"), Mount(volume="workbench-0-homes", path="/homes"))
    assert without.mounts == own, "its own disk outlives its software"
    disk = (
        Mount(volume="workbench-standby-hub", path="/srv/hub"),
        Mount(volume="workbench-standby-homes", path="/homes"),
    )
    assert specs["workbench-standby"].mounts[:-1] == disk, "a machine of its own"
    assert "SNAPSHOT_EVERY_S" not in without.environment


def test_a_warm_standbys_disk_is_what_the_node_copies_to() -> None:
    warm = replace(DR, workbench=Workbench(nodes=1, mode="single", standby="warm", copy_every_s=0.5))
    node, standby = (planned(warm)[name] for name in ("workbench-0", "workbench-standby"))
    assert node.environment["COPY_EVERY_S"] == "0.5"
    assert "COPY_EVERY_S" not in standby.environment, "it copies to nobody"
    its_own = {"NODE_NAME": "workbench-standby"}
    assert {**standby.environment, "COPY_EVERY_S": "0.5"} == {**node.environment, **its_own}
    assert {mount.volume: mount.path for mount in node.mounts} == {
        "workbench-0-hub": "/srv/hub",
        "workbench-0-homes": "/homes",
        "workbench-standby-hub": "/standby/hub",
        "workbench-standby-homes": "/standby/homes",
    }
    assert {mount.volume: mount.path for mount in standby.mounts} == {
        "workbench-standby-hub": "/srv/hub",
        "workbench-standby-homes": "/homes",
    }
    assert "COPY_EVERY_S" not in planned(DR)["workbench-0"].environment


def test_the_cold_standby_is_no_member_of_the_role() -> None:
    assert members(DR, Role.WORKBENCH) == ("workbench-0",)
    assert readback(DR)[0] == ("workbench-0",)
    standby = planned(DR)["workbench-standby"]
    assert standby.role not in list(Role)
    hosts = [
        spec.host_number
        for spec in (*planned(DR).values(), *planned(replace(TOPOLOGY, workbench=Workbench(nodes=9))).values())
    ]
    assert standby.host_number == 10
    assert hosts.count(10) == 1


def test_the_cold_standby_could_take_the_nodes_place_and_starts_nothing() -> None:
    """What it is told is the node's own, so that log-ins survive; only its name is not."""
    node, standby = (planned(DR)[name] for name in ("workbench-0", "workbench-standby"))
    assert standby.command == ("standby",)
    assert standby.secrets == node.secrets
    assert standby.environment == {**node.environment, "NODE_NAME": "workbench-standby"}
    assert standby.image == node.image
    assert standby.depends_on == ()
    assert standby.ready is not None
    assert standby.ready.argv == ("/usr/local/bin/standby-ready",)
