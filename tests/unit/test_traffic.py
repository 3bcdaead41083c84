"""Faults of traffic, on paper: which mechanism is chosen, what the kernel would be told, what counts as proof."""

from __future__ import annotations

import struct

import pytest

from harness.core.clock import FakeClock
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.kinds.traffic import Bandwidth, Jitter, Latency, Reset
from harness.faults.kinds.traffic_proof import Proof, over, shown
from harness.faults.rehearsal import RehearsalHost
from harness.faults.scripts.questions import LARGEST_BYTES, question
from harness.faults.scripts.shaping import Shape, handle_of, script

TAG = "chaos-abc123-0"


@pytest.fixture
def host() -> RehearsalHost:
    return RehearsalHost(FakeClock().now_ns, "abc123")


def aim(options: object = None, *, target: str = "workbench-0", peers: tuple[str, ...] = ("database",)) -> Aim:
    return Aim(target=target, tag=TAG, peers=peers, options=options)


def test_a_link_between_the_two_is_preferred_because_the_peer_is_reached_by_it_only(host: RehearsalHost) -> None:
    state = Latency().prepare(host, aim(Latency.Options(latency_ms=100)))
    assert (state["mechanism"], state["link"]) == ("toxiproxy", "link-workbench-database")
    assert state["proxies"] == ["workbench-0_database_7"]
    Latency().inject(host, state)
    (command,) = host.paper.commands
    assert command.endswith(
        f"toxic add -n {TAG} -t latency --upstream -a latency=100 -a jitter=0 workbench-0_database_7"
    )


def test_what_the_accepting_side_sends_is_delayed_on_its_way_back(host: RehearsalHost) -> None:
    for name in ("workbench-0", "workbench-1"):
        host.machines.look(name)
    peers = ("workbench-0", "workbench-1")
    state = Latency().prepare(host, aim(Latency.Options(latency_ms=100), target="database", peers=peers))
    assert state["proxies"] == ["workbench-0_database_7", "workbench-1_database_7"]
    assert [toxic["stream"] for toxic in state["toxics"]] == ["downstream"]


def test_a_neighbour_of_the_target_is_left_alone(host: RehearsalHost) -> None:
    host.machines.look("workbench-1")
    assert Reset().prepare(host, aim())["proxies"] == ["workbench-0_database_7"]


def test_without_a_link_the_kernel_delays_what_goes_to_the_peer(host: RehearsalHost) -> None:
    host.machines.links = ()
    fault = Latency()
    state = fault.prepare(host, aim(Latency.Options(latency_ms=200, jitter_ms=40)))
    assert state["mechanism"] == "kernel"
    assert host.paper.commands == []
    fault.inject(host, state)
    peer = host.machines.look("database").address
    assert "netem limit 100000 delay 200ms 40ms; tc filter add dev eth0" in host.paper.commands[0]
    assert f"u32 match ip dst {peer}/32 flowid" in host.paper.commands[0]
    assert fault.confirm(host, state).shown
    fault.undo(host, state)
    fault.undo(host, state)
    assert host.paper.wrong == {}
    assert fault.confirm_recovery(host, state).shown


@pytest.mark.parametrize(
    ("fault", "options"),
    [(Jitter(), Jitter.Options(jitter_ms=100)), (Bandwidth(), Bandwidth.Options(rate_kb_per_s=50))],
)
def test_the_kernels_way_lives_and_an_inert_one_is_caught(host: RehearsalHost, fault: Jitter, options: object) -> None:
    host.machines.links = ()
    state = fault.prepare(host, aim(options))
    host.paper.inert = True
    fault.inject(host, state)
    assert not fault.confirm(host, state).shown
    host.paper.inert = False
    fault.inject(host, state)
    assert fault.confirm(host, state).shown
    assert not fault.confirm_recovery(host, state).shown
    fault.undo(host, state)
    assert fault.confirm_recovery(host, state).shown


def test_where_neither_is_there_the_message_names_the_topologys_key(host: RehearsalHost) -> None:
    host.machines.links = ()
    host.traffic.why_not = "Specified qdisc kind is unknown."
    with pytest.raises(GuardError, match="no link between workbench-0 and database, and this kernel can't") as caught:
        Latency().prepare(host, aim(Latency.Options(latency_ms=200)))
    assert "`links:" in caught.value.hint


def test_a_delay_that_no_look_could_tell_is_refused(host: RehearsalHost) -> None:
    with pytest.raises(GuardError, match="can't be told from a busy machine"):
        Latency().prepare(host, aim(Latency.Options(latency_ms=100, jitter_ms=95)))


def test_a_rate_that_no_question_would_notice_is_refused(host: RehearsalHost) -> None:
    with pytest.raises(GuardError, match="takes long enough to be seen") as caught:
        Bandwidth().prepare(host, aim(Bandwidth.Options(rate_kb_per_s=20_000)))
    assert "smaller rate_kb_per_s" in caught.value.hint


def test_a_fault_without_another_side_is_refused(host: RehearsalHost) -> None:
    with pytest.raises(GuardError, match="workbench-0 is its only peer"):
        Reset().prepare(host, aim(peers=()))


def test_a_cluster_is_reached_through_its_gate(host: RehearsalHost) -> None:
    # on paper the link leads to whatever was looked at: here the gate, which no target names
    host.machines.look("workbench-0")
    host.machines.look("database-gate")
    host.machines.links = ("link-workbench-database",)
    state = Reset().prepare(host, aim(peers=("database-1",)))
    assert "workbench-0_database-1_7" in state["proxies"]


def test_whatever_leads_to_a_cluster_is_on_the_clusters_side(host: RehearsalHost) -> None:
    for name in ("workbench-0", "database-0", "database-1", "database-proxy"):
        host.machines.look(name)
    host.machines.links = ("link-workbench-database",)
    everybody = aim(Latency.Options(latency_ms=200), peers=("database-0", "database-1", "database-proxy"))
    state = Latency().prepare(host, everybody)
    assert state["mechanism"] == "toxiproxy"
    assert any("database-proxy" in proxy for proxy in state["proxies"])


def test_a_link_that_is_gone_has_nothing_left(host: RehearsalHost) -> None:
    fault = Reset()
    state = fault.prepare(host, aim())
    fault.inject(host, state)
    host.machines.restart("id-of-link-workbench-database")
    commands = list(host.paper.commands)
    fault.undo(host, state)
    assert host.paper.commands == commands
    evidence = fault.confirm_recovery(host, state)
    assert evidence.shown
    assert "has gone since" in evidence.text


def test_the_script_for_the_kernel_filters_last() -> None:
    lines = script("eth0", "7a:", ["192.0.2.1", "192.0.2.2"], Shape(rate_kb_per_s=64)).splitlines()
    assert lines == [
        "qdisc add dev eth0 root handle 7a: htb default 0",
        "class add dev eth0 parent 7a: classid 7a:1 htb rate 512kbit burst 1600 cburst 1600 quantum 1600",
        "filter add dev eth0 parent 7a: protocol ip prio 1 u32 match ip dst 192.0.2.1/32 flowid 7a:1",
        "filter add dev eth0 parent 7a: protocol ip prio 1 u32 match ip dst 192.0.2.2/32 flowid 7a:1",
    ]


def test_a_handle_is_a_number_of_16_bits_and_never_the_kernels_own() -> None:
    handles = {handle_of(f"chaos-abc123-{index}") for index in range(200)}
    assert len(handles) > 190, "a run has few acts, and each target is a namespace of its own"
    assert all(0 < int(handle.removesuffix(":"), 16) <= 0xFFFF for handle in handles)


def test_every_attempt_must_be_late_and_all_must_be_answered() -> None:
    proof = Proof(by="least", seconds=0.1, count=3, before_s=0.002)
    assert shown(proof, [0.102, 0.09, 0.3])
    assert not shown(proof, [0.102, 0.03, 0.3]), "one that is quick: the others were a busy moment"
    assert not shown(proof, [0.102, 0.102]), "one was not answered"
    assert over(proof, [0.3, 0.02, 0.4])
    assert not over(proof, [0.1, 0.1, 0.1])
    assert not over(proof, [])


def test_jitter_is_seen_by_its_spread() -> None:
    proof = Proof(by="spread", seconds=0.1, count=3)
    assert shown(proof, [0.01, 0.1, 0.2])
    assert not shown(proof, [0.1, 0.11, 0.12]), "late, but evenly"


@pytest.mark.parametrize("service", sorted(LARGEST_BYTES))
def test_questions_are_as_long_as_asked_and_know_their_answer(service: int) -> None:
    short, long = question(service), question(service, LARGEST_BYTES[service])
    assert len(short.data) < 200
    assert LARGEST_BYTES[service] * 0.95 <= len(long.data) <= LARGEST_BYTES[service] * 1.2
    assert not short.whole(b"")


def test_postgresql_is_asked_for_tls_or_to_log_in() -> None:
    assert question(5432).data == struct.pack(">2i", 8, 80877103)
    assert question(5432).whole(b"N")
    long = question(5432, 9_000)
    assert struct.unpack(">i", long.data[:4])[0] == len(long.data) <= 10_000
    assert not long.whole(b"R\0\0\0\x17\0")
    assert long.whole(b"R" + struct.pack(">i", 8) + bytes(4))
