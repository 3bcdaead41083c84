"""The rig's programs as they are, on the loopback interface: a server that is killed, stopped and started again."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from harness.components import client, rig
from harness.core.rows import ProbeSample, split_checked
from harness.core.specs import ContainerSpec
from harness.load.rig.probes import RigProbes
from harness.load.rig.supervisor import NUMBER, PROCESS, WORD

#: As in the container, but with a port of the test's own and without going before everything else on the machine.
SERVER = "from harness.load.rig.supervisor import Supervisor; Supervisor({}).run()"
WITNESS = "from harness.load.rig.witness import Witness; Witness().run()"


class Program:
    """One of them, and the conversation with it."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, op: str, **args: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"id": 1, "op": op, "args": args}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["ok"], answer
        return answer["result"]

    def end(self) -> int:
        self.process.communicate(timeout=10)  # closes its input
        return self.process.returncode


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def server(port: int) -> Iterator[Program]:
    program = Program(SERVER.format(port))
    eventually(lambda: len(program.ask("lives")["lives"]) == 1)
    yield program
    child = child_of(program)
    assert program.end() == 0
    assert not Path(f"/proc/{child}").exists(), "the server does not outlive its supervisor"


def eventually(condition: Any, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.005)


def child_of(program: Program) -> int:
    """The server's process, as faults find it: by its name."""
    pid = program.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    assert Path(f"/proc/{child}/comm").read_text().strip() == PROCESS
    return int(child)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(64) == WORD
    except ConnectionRefusedError:
        return False


@pytest.mark.long
def test_a_killed_server_stays_away_as_long_as_it_was_told_and_its_stamps_say_so(server: Program, port: int) -> None:
    assert answers(port)
    server.ask("down", seconds=0.2)
    before_ns = time.monotonic_ns()
    os.kill(child_of(server), signal.SIGKILL)
    eventually(lambda: server.ask("lives")["lives"][0]["ended_ns"] is not None)
    refused_ns = time.monotonic_ns()
    assert not answers(port)
    eventually(lambda: len(server.ask("lives")["lives"]) == 2)
    first, second = server.ask("lives")["lives"]
    assert before_ns < first["ended_ns"] < refused_ns
    assert second["listening_before_ns"] - first["ended_ns"] >= 200_000_000
    assert second["listening_before_ns"] <= second["listening_after_ns"] < time.monotonic_ns()
    assert second["ended_ns"] is None
    assert answers(port)


def test_a_stopped_server_keeps_who_asks_waiting_and_its_supervisor_goes_on(server: Program, port: int) -> None:
    child = child_of(server)
    os.kill(child, signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.settimeout(0.05)
        with pytest.raises(TimeoutError):
            waiting.recv(64)
        assert len(server.ask("lives")["lives"]) == 1
        os.kill(child, signal.SIGCONT)
        waiting.settimeout(5)
        assert waiting.recv(64) == WORD


def test_numbers_that_are_missing_are_the_gaps(server: Program, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
        for number in (0, 1, 2, 5, 6, 4, 7, 9):  # one comes late, which fills no gap: it was lost to whoever waited
            witness.sendto(NUMBER.pack(number), ("127.0.0.1", port))
    eventually(lambda: server.ask("gaps")["gaps"] == [[2, 5], [7, 9]])


def test_processors_are_busy_for_a_part_of_the_time(server: Program) -> None:
    ticks = server.ask("processors")
    assert 0 < ticks["busy"] < ticks["all"]


@pytest.mark.long
def test_the_witness_sends_a_number_each_millisecond_and_remembers_when() -> None:
    program = Program(WITNESS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rig_socket:
        rig_socket.bind(("127.0.0.1", 0))
        rig_socket.settimeout(5)
        program.ask("start", address="127.0.0.1", port=rig_socket.getsockname()[1])
        arrived = []
        for _ in range(100):
            (number,) = NUMBER.unpack(rig_socket.recv(64))
            arrived.append((number, time.monotonic_ns()))
        sent = program.ask("sent", numbers=[number for number, _ in arrived])["sent"]
    assert [number for number, _ in arrived] == list(range(100))
    assert all(before <= after for before, after in sent)
    assert all(before < at_ns for (before, _), (_, at_ns) in zip(sent, arrived, strict=True))
    # on its grid: 99 periods, unless this machine was busy; never faster
    assert sent[-1][0] - sent[0][0] >= 98_000_000
    assert program.end() == 0


@pytest.mark.long
def test_probes_of_each_rate_see_the_server_die_and_come_back(server: Program, port: int, tmp_path: Path) -> None:
    path = tmp_path / "probes.csv"
    probes = RigProbes(path, ("127.0.0.1", port), {"quick": 0.01, "slow": 0.05}, 0.1)
    probes.start()
    eventually(lambda: probes.snapshot()["slow"]["samples"] >= 2)
    server.ask("down", seconds=0.1)
    os.kill(child_of(server), signal.SIGKILL)
    eventually(lambda: not probes.snapshot()["quick"]["last_ok"])
    eventually(lambda: all(state["last_ok"] for state in probes.snapshot().values()))
    rows = probes.stop()
    body, count = split_checked(path.read_bytes(), ProbeSample, "probes")
    samples = list(csv.DictReader(body.decode().splitlines()))
    assert len(samples) == count == rows
    assert {sample["detail"] for sample in samples} >= {"", "ConnectionRefusedError: ECONNREFUSED"}
    for series, period_ns in (("quick", 10_000_000), ("slow", 50_000_000)):
        due = [int(sample["due_ns"]) for sample in samples if sample["capability"] == series]
        assert {second - first for first, second in zip(sorted(due), sorted(due)[1:], strict=False)} >= {period_ns}


def test_an_unknown_program_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.load.rig", "clock"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "expected server, witness or probes, not clock" in done.stderr


def test_a_load_is_one_more_container_that_only_uses_processors() -> None:
    def busy(containers: tuple[ContainerSpec, ...]) -> list[ContainerSpec]:
        return [spec for spec in containers if spec.name == rig.BUSY]

    assert busy(rig.containers()) == []
    (load,) = busy(rig.containers(busy_processes=3))
    assert load.capabilities == ()
    assert "seq 3" in load.command[-1]
    # the truth does not wait for a processor; what measures has no more than in a run
    shares = {spec.name: spec.cpu_shares for spec in rig.containers(busy_processes=3)}
    assert shares[rig.SERVER] == shares[rig.WITNESS] > 1024
    assert (shares[rig.PROBES], shares[rig.BUSY]) == (client.CPU_SHARES, 0)
    hosts = [spec.host_number for spec in rig.containers(busy_processes=3)]
    assert len(set(hosts)) == len(hosts) == 4
