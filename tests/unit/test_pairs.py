"""Pairs with a virtual address, without Docker: what each member is told, and the small programs that decide."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from harness.components import SECRETS, ganesha, haproxy, keepalived, member_probe, members, plan, readback
from harness.components.haproxy_config import MONITOR_PORT
from harness.core.experiment import Fault
from harness.core.products import Database, LoadBalancer, Storage, Workbench
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.tls import SERVED_PATH
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.registry import FAULTS

PAIRS = Topology(
    name="pairs",
    description="nothing is alone but the database",
    load_balancer=LoadBalancer(nodes=2, vip=True),
    workbench=Workbench(),
    database=Database(),
    storage=Storage(nodes=2, vip=True, vrrp_interval_s=1.234),
)
ALONE = replace(PAIRS, load_balancer=LoadBalancer(), storage=Storage())
CONTEXT = NodeContext(run_id="r1", subnet_prefix="10.71.4", secrets={name: f"value-of-{name}" for name in SECRETS})
IMAGES = Path(__file__).resolve().parents[2] / "harness/images"


def planned(topology: Topology = PAIRS) -> Mapping[str, ContainerSpec]:
    return {spec.name: spec for spec in plan(topology, CONTEXT)}


def told(name: str) -> list[str]:
    """The lines of a member's keepalived.conf."""
    return [line.strip() for line in planned()[name].files[keepalived.CONFIG_PATH].splitlines() if line.strip()]


# -- what each member is told --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "own", "other", "priority"),
    [("load-balancer-0", "10.71.4.5", "10.71.4.6", 250), ("load-balancer-1", "10.71.4.6", "10.71.4.5", 240)],
)
def test_each_balancer_knows_itself_and_the_other(name: str, own: str, other: str, priority: int) -> None:
    urls = f"http://127.0.0.1:{MONITOR_PORT}/reaches-a-node http://{other}:{MONITOR_PORT}/reaches-a-node"
    lines = told(name)
    assert lines[lines.index("vrrp_script may_hold {") :] == [
        "vrrp_script may_hold {",
        f'script "/usr/local/bin/may-hold {urls}"',
        "interval 1",
        "timeout 1",
        "fall 1",
        "rise 1",
        "}",
        "vrrp_instance pair {",
        "state BACKUP",
        "nopreempt",
        "interface eth0",
        "virtual_router_id 4",
        f"priority {priority}",
        "advert_int 0.2",
        f"unicast_src_ip {own}",
        "unicast_peer {",
        other,
        "}",
        "virtual_ipaddress {",
        "10.71.4.4/32 dev eth0",
        "}",
        "track_script {",
        "may_hold",
        "}",
        "}",
    ]
    assert {f"router_id {name}", "vrrp_version 3", "vrrp_garp_master_refresh 1"} <= set(lines)


@pytest.mark.parametrize(
    ("name", "own", "other", "priority"),
    [("storage-0", "10.71.4.30", "10.71.4.31", 250), ("storage-1", "10.71.4.31", "10.71.4.30", 240)],
)
def test_each_server_knows_itself_and_the_other(name: str, own: str, other: str, priority: int) -> None:
    lines = told(name)
    assert 'script "/usr/local/bin/answers 127.0.0.1 2049"' in lines
    assert lines[lines.index("virtual_router_id 29") :] == [
        "virtual_router_id 29",
        f"priority {priority}",
        "advert_int 1.23",
        f"unicast_src_ip {own}",
        "unicast_peer {",
        other,
        "}",
        "virtual_ipaddress {",
        "10.71.4.29/32 dev eth0",
        "}",
        "track_script {",
        "may_hold",
        "}",
        'notify_master "/usr/local/bin/address-moved held"',
        'notify_backup "/usr/local/bin/address-moved lost"',
        'notify_fault "/usr/local/bin/address-moved lost"',
        'notify_master_rx_lower_pri "/usr/local/bin/address-moved contested"',
        "}",
    ]


def test_braces_are_balanced() -> None:
    for name in (*haproxy.names(PAIRS), *ganesha.names(PAIRS)):
        text = planned()[name].files[keepalived.CONFIG_PATH]
        assert text.count("{") == text.count("}") > 0


def test_only_members_of_a_pair_get_what_a_pair_needs() -> None:
    specs = planned()
    for name, address in {"load-balancer": "10.71.4.4", "storage": "10.71.4.29"}.items():
        single = planned(ALONE)[name]
        assert keepalived.CONFIG_PATH not in single.files
        assert keepalived.VIRTUAL_ADDRESS not in single.environment
        for number in (0, 1):
            spec = specs[f"{name}-{number}"]
            assert spec.environment[keepalived.VIRTUAL_ADDRESS] == address
            assert spec.capabilities == (*single.capabilities, "NET_ADMIN", "NET_RAW")
            assert spec.image == single.image
    assert [specs[f"storage-{number}"].environment["NFS_SERVER_NUMBER"] for number in (0, 1)] == ["0", "1"]


def test_both_servers_have_the_same_disk_and_one_reads_the_homes_back() -> None:
    specs = planned()
    assert specs["storage-0"].mounts == specs["storage-1"].mounts == planned(ALONE)["storage"].mounts
    assert readback(PAIRS)[0] == ("storage-0",)


def test_people_and_nodes_come_to_the_virtual_addresses() -> None:
    specs = planned()
    assert specs["client"].environment["PLATFORM_URLS"] == "http://10.71.4.4"
    assert {"load-balancer-0", "load-balancer-1"} < set(specs["client"].depends_on)
    for node in members(PAIRS, Role.WORKBENCH):
        assert specs[node].environment["HOMES_SERVER"] == "10.71.4.29:/export"


def test_the_other_balancer_may_ask_whether_a_node_is_reached() -> None:
    text = planned()["load-balancer-0"].files[haproxy.CONFIG_PATH]
    assert f"frontend monitor\n  bind :{MONITOR_PORT}\n" in text
    assert "frontend monitor" not in planned(ALONE)["load-balancer"].files[haproxy.CONFIG_PATH]


def test_the_certificate_is_right_at_the_virtual_address_and_at_both_own_ones() -> None:
    for topology, addresses in (
        (PAIRS, {"10.71.4.4", "10.71.4.5", "10.71.4.6", "127.0.0.1"}),
        (ALONE, {"10.71.4.5", "127.0.0.1"}),
    ):
        assert topology.load_balancer is not None
        balancer = replace(topology.load_balancer, tls=True)
        specs = planned(replace(topology, load_balancer=balancer))
        for name in haproxy.names(topology):
            served = x509.load_pem_x509_certificate(specs[name].files[SERVED_PATH].encode())
            found = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert {str(address) for address in found.get_values_for_type(x509.IPAddress)} == addresses


def test_the_images_know_the_same_places() -> None:
    for image in ("load_balancer", "storage"):
        assert f"-r {keepalived.CONFIG_PATH} " in (IMAGES / image / "entrypoint").read_text()
        assert f"${{{keepalived.VIRTUAL_ADDRESS}:-}}" in (IMAGES / image / "ready").read_text()


# -- who holds it --------------------------------------------------------------------------------------------------

_OWN = "1: lo    inet 127.0.0.1/8 scope host lo\n17: eth0    inet 10.71.4.{own}/24 brd 10.71.4.255 scope global eth0\n"
_VIRTUAL = "17: eth0    inet 10.71.4.4/32 scope global eth0\n"


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def run(folder: Path, *argv: str) -> int:
    """With the programs in that folder before all others."""
    environment = {"PATH": f"{folder}:/usr/bin:/bin", keepalived.VIRTUAL_ADDRESS: "10.71.4.29"}
    return subprocess.run(argv, env=environment, check=False, timeout=10).returncode


@pytest.mark.parametrize(("own", "virtual", "code"), [(5, True, 0), (6, False, 1), (32, False, 1)])
def test_the_kernels_table_tells_who_holds_the_address(tmp_path: Path, own: int, virtual: bool, code: int) -> None:
    program(tmp_path, "ip", f"cat <<'END'\n{_OWN.format(own=own)}{_VIRTUAL if virtual else ''}END")
    for role, word in ((Role.LOAD_BALANCER, "holder"), (Role.STORAGE, "active")):
        probe = member_probe(PAIRS, role, word)
        assert probe is not None
        assert run(tmp_path, *probe) == code


# -- who may hold it -----------------------------------------------------------------------------------------------


class Balancer:
    """`may-hold`, with pages that answer what they are told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        script = (IMAGES / "load_balancer/may-hold").read_text()
        assert script.count("/run/keepalived/") == 1
        program(folder, "may-hold", script.replace("/run/keepalived/", f"{folder}/"))
        # the last argument is the URL, whose page is a file; without one nobody answers
        program(folder, "curl", 'for url; do :; done\ncat "$url" 2>/dev/null || { printf 000; exit 28; }')

    def may_hold(self, own: str = "", other: str = "") -> bool:
        for name, status in (("own", own), ("other", other)):
            page = self._folder / name
            page.unlink(missing_ok=True)
            if status:
                page.write_text(status)
        argv = (str(self._folder / word) for word in ("may-hold", "own", "other"))
        return run(self._folder, *argv) == 0


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    return Balancer(tmp_path)


def test_a_balancer_that_does_not_answer_gives_the_address_up_at_once(balancer: Balancer) -> None:
    assert not balancer.may_hold(own="", other="200")
    assert not balancer.may_hold(own="", other="")


@pytest.mark.long
def test_a_balancer_that_reaches_no_node_gives_it_up_the_second_time_if_the_other_one_does(balancer: Balancer) -> None:
    assert [balancer.may_hold(own="503", other="200") for _ in range(3)] == [True, False, False]
    assert balancer.may_hold(own="200")
    assert balancer.may_hold(own="503", other="200"), "it starts to count anew"


def test_a_balancer_that_is_cut_off_from_everything_gives_it_up(balancer: Balancer) -> None:
    assert [balancer.may_hold(own="503", other="") for _ in range(3)] == [True, False, False]


def test_nobody_gives_it_up_where_neither_reaches_a_node(balancer: Balancer) -> None:
    assert all(balancer.may_hold(own="503", other="503") for _ in range(4))


def test_a_balancer_that_was_slow_once_is_asked_again(balancer: Balancer, tmp_path: Path) -> None:
    slow_once = f"[ -e {tmp_path}/asked ] || {{ : > {tmp_path}/asked; printf 000; exit 28; }}\nprintf 200"
    program(tmp_path, "curl", slow_once)
    assert balancer.may_hold()


def test_a_server_is_asked_at_rpcs_own_way_of_writing_its_port(tmp_path: Path) -> None:
    program(tmp_path, "rpcinfo", f'echo "$*" >> {tmp_path}/asked; exit 1')
    answers = str(IMAGES / "storage/answers")
    assert run(tmp_path, "sh", answers, "10.71.4.29", "2049") != 0
    assert (tmp_path / "asked").read_text().splitlines() == ["-a 10.71.4.29.8.1 -T tcp 100003 3"] * 2
    program(tmp_path, "rpcinfo", "exit 0")
    assert run(tmp_path, "sh", answers, "10.71.4.29", "2049") == 0


@pytest.mark.long
def test_a_server_that_hangs_is_given_up_within_the_second_that_keepalived_waits(tmp_path: Path) -> None:
    program(tmp_path, "rpcinfo", "exec sleep 9")
    started = time.monotonic()
    assert run(tmp_path, "sh", str(IMAGES / "storage/answers"), "127.0.0.1", "2049") != 0
    assert time.monotonic() - started < 2, "two attempts of 0.4 s, and nine seconds if nobody looked at the time"
    texts = (IMAGES / "storage/answers").read_text(), (IMAGES / "load_balancer/may-hold").read_text()
    assert "timeout 0.4 " in texts[0]
    assert "-m 0.3 " in texts[1]


def test_a_server_that_lost_the_address_is_killed_and_no_other(tmp_path: Path) -> None:
    script = (IMAGES / "storage/address-moved").read_text().replace("/run/keepalived/", f"{tmp_path}/")
    program(tmp_path, "address-moved", script)
    program(tmp_path, "pkill", f'echo "$*" >> {tmp_path}/killed')
    program(tmp_path, "ss", f'echo "$*" >> {tmp_path}/killed')

    def killed(word: str) -> str:
        (tmp_path / "killed").unlink(missing_ok=True)
        assert run(tmp_path, str(tmp_path / "address-moved"), word) == 0
        return (tmp_path / "killed").read_text().strip() if (tmp_path / "killed").exists() else ""

    assert killed("lost") == "", "as it starts"
    assert killed("held") == ""
    assert killed("lost").splitlines() == ["-KILL -x ganesha.nfsd", "--kill --tcp state all src 10.71.4.29"]
    assert killed("lost") == "", "it has been started anew meanwhile"
    assert killed("contested") == "-KILL --older 2 -x ganesha.nfsd"


# -- what faults can't do to a pair --------------------------------------------------------------------------------


def fault(kind: str, target: str, peer: str = "") -> Fault:
    return Fault(fault=kind, target=target, peer=peer, options={}, at_s=0, hold_s=1)


@pytest.mark.parametrize("kind", ["partition", "loss", "latency", "jitter", "bandwidth", "reset", "slow_close"])
def test_packets_that_bear_the_virtual_address_are_not_what_a_fault_would_hit(kind: str) -> None:
    for between in (("workbench[0]", "storage[active]"), ("storage[0]", "workbench[*]")):
        assert "nodes speak to the virtual address" in FAULTS[kind].refusal(PAIRS, fault(kind, *between))
        assert "virtual" not in FAULTS[kind].refusal(ALONE, fault(kind, *between))


@pytest.mark.parametrize("role", ["load_balancer", "storage"])
def test_the_two_of_a_pair_can_be_parted(role: str) -> None:
    assert FAULTS["partition"].refusal(PAIRS, fault("partition", f"{role}[0]", f"{role}[1]")) == ""
    assert FAULTS["loss"].refusal(PAIRS, fault("loss", f"{role}[0]")) == ""
    assert FAULTS["partition"].refusal(PAIRS, fault("partition", "load_balancer[holder]", "workbench[0]")) == ""


@pytest.mark.parametrize("kind", ["read_only", "stale"])
def test_a_disk_that_two_servers_use_is_not_put_right_under_one_of_them(kind: str) -> None:
    assert "both servers of the storage have that disk" in FAULTS[kind].refusal(PAIRS, fault(kind, "storage[active]"))
    assert FAULTS[kind].refusal(ALONE, fault(kind, "storage[active]")) == ""
    if kind == "read_only":
        assert FAULTS[kind].refusal(PAIRS, fault(kind, "database[primary]")) == ""


@pytest.mark.parametrize("kind", ["nfs_hang", "nfs_restart", "disk_full", "io_stall"])
def test_faults_of_one_server_fit_a_pair(kind: str) -> None:
    assert FAULTS[kind].refusal(PAIRS, fault(kind, "storage[active]")) == ""
