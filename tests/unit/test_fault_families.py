"""What single kinds of faults promise beyond the life that all of them share, on paper."""

from __future__ import annotations

import re
import socket
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.core.experiment import Fault
from harness.faults.agent import processes
from harness.faults.agent.storage import null_call
from harness.faults.base import Aim
from harness.faults.host import GuardError, ProcessState
from harness.faults.host.limits import Burn
from harness.faults.kinds.database import _CLIENT_TITLE, Failover, KillConnections
from harness.faults.kinds.processes import Crash, Freeze, ProcessOptions
from harness.faults.kinds.resources import Cpu, CpuOptions, Memory, MemoryOptions
from harness.faults.rehearsal import RehearsalHost
from harness.spec.loader import load_topology

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host() -> RehearsalHost:
    return RehearsalHost(FakeClock().now_ns, "abc123")


def aim(options: object = None, target: str = "workbench-0") -> Aim:
    return Aim(target=target, tag="chaos-abc123-0", options=options)


# -- processes -----------------------------------------------------------------------------------------------------


def test_a_process_that_is_not_there_is_refused_with_the_names_of_those_that_are(host: RehearsalHost) -> None:
    machine = host.machines.look("workbench-0")
    for name in ("tini", "node"):
        host.processes.find(machine.pid, name)
    host.processes.absent = {"jupiterhub"}
    with pytest.raises(
        GuardError, match="no process of workbench-0 is called 'jupiterhub'; these are there: node, tini"
    ):
        Crash().prepare(host, aim(ProcessOptions(process="jupiterhub")))


def test_undo_of_crash_restarts_the_machine_only_where_the_process_does_not_come_back(host: RehearsalHost) -> None:
    state = Crash().prepare(host, aim(ProcessOptions(process="worker")))
    Crash().inject(host, state)
    host.processes.absent = {"worker"}
    Crash().undo(host, state)
    assert host.paper.commands[-1] == "docker restart workbench-0"
    host.processes.absent = set()
    Crash().undo(host, state)
    assert host.paper.commands.count("docker restart workbench-0") == 1


def test_undo_of_crash_leaves_a_paused_machine_to_whoever_thaws_it(host: RehearsalHost) -> None:
    state = Crash().prepare(host, aim(ProcessOptions(process="worker")))
    host.paper.break_("paused", "workbench-0")
    host.processes.absent = {"worker"}
    Crash().undo(host, state)
    assert host.paper.commands == []


def test_a_frozen_process_that_has_gone_since_is_recovered_and_one_that_is_gone_is_not_frozen(
    host: RehearsalHost,
) -> None:
    state = Freeze().prepare(host, aim(ProcessOptions(process="worker")))
    host.processes.kill(*state["processes"][0])
    assert not Freeze().confirm(host, state).shown
    assert Freeze().confirm_recovery(host, state).shown


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["su", "postgres", "-c", "psql"], {"comm", "su"}),
        (["/usr/bin/node", "/opt/bin/configurable-http-proxy"], {"comm", "node", "configurable-http-proxy"}),
        (["python3.11", "-m", "node_supervisor"], {"comm", "python3.11", "-m", "node_supervisor"}),
        (["postgres: hub hub 10.0.0.1(5) idle"], {"comm", "postgres: hub hub 10.0.0.1(5) idle"}),
        ([], {"comm"}),
        ([""], {"comm"}),
    ],
)
def test_a_process_is_called_by_its_program_and_by_the_script_of_an_interpreter(
    monkeypatch: pytest.MonkeyPatch, words: list[str], names: set[str]
) -> None:
    monkeypatch.setattr(processes, "_words", lambda pid: words)
    assert processes._names(ProcessState(7, 1, "comm", "S")) == names


# -- database ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "is_client"),
    [
        ("postgres: hub hub 10.71.4.11(53012) idle", True),
        ("postgres: 15/main: hub hub 10.71.4.11(53012) idle in transaction", True),
        ("postgres: postgres hub [local] SELECT", True),
        ("postgres: hub hub fe80::1(53012)", True),
        ("postgres: a user hub node.example(53012) authentication", True),
        ("postgres: walsender replicator 10.71.4.12(40000) streaming 0/3000148", False),
        ("postgres: pg: walsender replicator hub 10.71.4.12(40000) streaming 0/3000148", False),
        ("postgres: checkpointer", False),
        ("postgres: 15/main: autovacuum launcher", False),
        ("postgres: logical replication launcher", False),
        ("postgres: parallel worker for PID 77", False),
        ("postgres -D /var/lib/postgresql/data/cluster -c listen_addresses=*", False),
        ("psql -c select postgres: hub hub 10.71.4.11(53012) idle", False),
    ],
)
def test_processes_that_serve_clients_are_told_from_all_others_by_their_titles(title: str, is_client: bool) -> None:
    assert bool(re.match(_CLIENT_TITLE, title)) is is_client


def test_connections_are_not_ended_where_there_are_none(host: RehearsalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.processes, "titled", lambda pid, pattern: [])
    with pytest.raises(GuardError, match="no client is connected to database"):
        KillConnections().prepare(host, aim(target="database"))


def test_a_failover_is_the_death_of_the_primary() -> None:
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    fault = Fault(fault="failover", target="database[primary]", at_s=0, hold_s=1)
    assert Failover().refusal(topology, fault) == ""
    assert "not database[0]" in Failover().refusal(topology, replace(fault, target="database[0]"))


# -- resources -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("burn", "shown"),
    [
        (Burn(lasted_s=0.2, got_s=0.012, held_back=2), True),
        (Burn(lasted_s=0.2, got_s=0.012, held_back=0), False),  # the kernel never had to hold it back
        (Burn(lasted_s=0.2, got_s=0.150, held_back=1), False),  # and it got far more than its share
    ],
)
def test_a_quota_counts_only_if_a_busy_process_feels_it(
    host: RehearsalHost, monkeypatch: pytest.MonkeyPatch, burn: Burn, shown: bool
) -> None:
    state = Cpu().prepare(host, aim(CpuOptions(share_percent=5)))
    Cpu().inject(host, state)
    monkeypatch.setattr(host.limits, "burn", lambda group: burn)
    evidence = Cpu().confirm(host, state)
    assert evidence.shown is shown
    assert "a quota of 5000 us in 100000 us" in evidence.text


def test_the_least_share_is_what_the_kernel_accepts(host: RehearsalHost, monkeypatch: pytest.MonkeyPatch) -> None:
    found = host.limits.cpu("any")
    assert found is not None
    monkeypatch.setattr(host.limits, "cpu", lambda group: replace(found, period_us=10_000))
    assert Cpu().prepare(host, aim(CpuOptions(share_percent=1)))["quota_us"] == 1000


def test_what_limits_more_already_is_refused(host: RehearsalHost) -> None:
    machine = host.machines.look("workbench-0")
    host.limits.set_cpu(host.limits.cpu_group(machine.id, machine.pid), 5_000)
    with pytest.raises(GuardError, match="may use 5000 us of processor in 100000 us already"):
        Cpu().prepare(host, aim(CpuOptions(share_percent=5)))
    host.limits.set_memory(host.limits.memory_group(machine.id, machine.pid), 2**27, None)
    with pytest.raises(GuardError, match="may use 128 MiB already, so that a limit of 133 MiB takes nothing away"):
        Memory().prepare(host, aim(MemoryOptions(leave_mb=32)))


def test_a_full_memory_counts_only_if_the_kernel_killed_something(
    host: RehearsalHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = Memory().prepare(host, aim(MemoryOptions(leave_mb=32, oom=True)))
    monkeypatch.setattr(host.limits, "eat", lambda group, pid, tag: None)
    Memory().inject(host, state)
    evidence = Memory().confirm(host, state)
    assert not evidence.shown
    assert "a limit of 133 MiB, 100 MiB in use, and that it killed 0 processes" in evidence.text


def test_two_targets_of_one_fault_have_eaters_of_their_own(host: RehearsalHost) -> None:
    options = MemoryOptions(oom=True)
    tags = {Memory().prepare(host, aim(options, target=name))["eater"] for name in ("workbench-0", "workbench-1")}
    assert tags == {"chaos-abc123-0-workbench-0", "chaos-abc123-0-workbench-1"}


# -- storage -------------------------------------------------------------------------------------------------------


def ask(reply: bytes | None) -> str:
    """A NULL call to a server that says `reply` (the call's number stands for NNNN), or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                call = connection.recv(100)
                assert struct.unpack(">11I", call)[2:7] == (0, 2, 100003, 3, 0)
                if reply is not None:
                    connection.sendall(reply.replace(b"NNNN", call[4:8]))
                connection.recv(1)  # until the caller has gone

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return null_call(server.getsockname())
        finally:
            thread.join()


@pytest.mark.long
def test_a_server_that_answers_is_told_from_one_that_does_not() -> None:
    head = struct.pack(">I", 0x80000018) + b"NNNN"
    assert ask(head + struct.pack(">5I", 1, 0, 0, 0, 0)) == ""
    assert ask(head + struct.pack(">5I", 1, 0, 0, 0, 1)) == "an answer that is no success: state 0, result 1"
    assert ask(struct.pack(">7I", 0x80000018, 7, 1, 0, 0, 0, 0)).startswith("an answer that is no success")
    assert ask(None) == "no answer within 0.3 s"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert null_call(address) == "Connection refused"
