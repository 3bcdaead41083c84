"""Pacing, bookkeeping and classification of the load client, and the whole client against a platform that is down."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests

from harness.core.clock import NS_PER_S
from harness.core.entrances import Entrance
from harness.core.rows import BalancerView, DatabaseWrite, HubWrite, Operation, ProbeSample, split_checked
from harness.load.bookkeeping import CapabilityState, Ledger
from harness.load.deadlines import classify, deadline
from harness.load.failures import CellFailed, DeadlineMissed, Refused, describe
from harness.load.jupyterhub import JupyterHubClient
from harness.load.pacing import Grid, ticks, wait_for_turn
from harness.load.people import People, Plan
from harness.load.starts import Account, held_by_the_platform, take

# -- pacing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("now", "expected"), [(0, 100), (100, 100), (101, 150), (149, 150), (150, 150), (1001, 1050)])
def test_grid_first_point(now: int, expected: int) -> None:
    assert Grid(100, 50).first_at_or_after(now) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [(101, 150), (149, 150), (160, 150), (199, 150), (200, 200), (230, 250), (1001, 1050)],
    ids=["early", "just", "a little late", "nearly a period late", "a period late", "skips", "skips many"],
)
def test_grid_never_catches_up_in_a_burst(now: int, expected: int) -> None:
    assert Grid(100, 50).after(100, now) == expected


def test_grid_needs_a_period() -> None:
    with pytest.raises(ValueError, match="period_ns is 0"):
        Grid(0, 0)


def test_points_of_a_grid_come_in_their_order_until_the_run_ends() -> None:
    stop, came = threading.Event(), list[int]()
    grid = Grid(0, NS_PER_S // 200)
    for due_ns in ticks(grid, stop):
        assert time.monotonic_ns() >= due_ns
        came.append(due_ns)
        if len(came) == 3:
            stop.set()
    assert len(came) == 3
    assert all(due_ns % grid.period_ns == 0 for due_ns in came)
    assert came == sorted(set(came))
    assert not wait_for_turn(time.monotonic_ns() + 60 * NS_PER_S, stop), "nobody waits beyond the run"


# -- snapshot ------------------------------------------------------------------------------------------------------


def _state(*samples: tuple[int, bool]) -> CapabilityState:
    state = CapabilityState()
    for send_ns, ok in samples:
        state.observe(send_ns, ok, "" if ok else "deadline")
    return state


@pytest.mark.parametrize(
    ("samples", "good_since"),
    [
        ([], None),
        ([(1, True), (2, True)], 1),
        ([(1, True), (2, False)], None),
        ([(1, False), (2, True), (3, True)], 2),
        ([(2, True), (3, True), (1, False)], 2),  # the bad one was sent first and missed its deadline later
        ([(1, True), (3, True), (4, True), (2, False)], 3),
        ([(2, True), (1, True)], 1),  # a slower answer to an earlier probe
        ([(3, False), (1, True)], None),
        ([(1, True), (3, False), (2, True), (4, True)], 4),
    ],
)
def test_good_since(samples: list[tuple[int, bool]], good_since: int | None) -> None:
    state = _state(*samples)
    assert state.good_since_ns == good_since
    assert state.samples == len(samples)


def _snapshot(*samples: tuple[int, bool, str]) -> object:
    ledger = Ledger(("work",))
    for send_ns, ok, via in samples:
        ledger.observe(ProbeSample("work", send_ns, send_ns, send_ns, int(ok), "", "" if ok else "deadline", via))
    return ledger.snapshot()["work"]


def test_snapshot_says_how_the_last_one_sent_failed() -> None:
    away = {"samples": 3, "good_since_ns": None, "last_ok": False, "last_detail": "deadline"}
    assert _snapshot((1, True, "0"), (3, False, "0"), (2, True, "0")) == away
    assert _snapshot() == {"samples": 0, "good_since_ns": None, "last_ok": False, "last_detail": ""}


def test_a_capability_is_good_where_it_is_good_everywhere() -> None:
    failing = [(1, True, "0"), (2, False, "1"), (3, True, "0")]
    away = {"samples": 3, "good_since_ns": None, "last_ok": False, "last_detail": "deadline"}
    assert _snapshot(*failing) == away
    back = {"samples": 5, "good_since_ns": 4, "last_ok": True, "last_detail": ""}
    assert _snapshot(*failing, (4, True, "1"), (5, True, "0")) == back


# -- deadlines and failures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "failure", "expected"),
    [
        (5.0, "", (1, "")),
        (5.001, "", (0, "deadline")),
        (0.1, "Refused: 503", (0, "Refused: 503")),
        (9, "CellFailed", (0, "CellFailed")),
    ],
)
def test_classify(seconds: float, failure: str, expected: tuple[int, str]) -> None:
    assert classify(NS_PER_S, NS_PER_S + round(seconds * NS_PER_S), failure, 5.0) == expected


def test_deadline_is_a_total() -> None:
    def drip() -> None:
        while True:
            gevent.sleep(0.01)  # each wait is short; only the sum is too long

    began = time.monotonic()
    with pytest.raises(DeadlineMissed), deadline(0.05):
        drip()
    assert time.monotonic() - began < 1


def test_deadline_leaves_other_timers_alone() -> None:
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02), deadline(5):
        gevent.sleep(1)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DeadlineMissed("no answer within 5 s"), "deadline"),
        (Refused(503, "GET", "/user/ada/api/kernels/1-2"), "Refused: 503 GET /user/*/api/kernels/*"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "ConnectionRefusedError: ECONNREFUSED"),
        (requests.ConnectionError(OSError(errno.EHOSTUNREACH, "x")), "ConnectionError: EHOSTUNREACH"),
        (requests.ConnectionError(ConnectionResetError("Remote end closed")), "ConnectionError: ConnectionResetError"),
        (CellFailed("OSError\n [Errno 28]  no space"), "CellFailed: OSError [Errno 28] no space"),
    ],
)
def test_describe(error: Exception, text: str) -> None:
    assert describe(error) == text


# -- accounts of the start_session probes --------------------------------------------------------------------------


def _account(*, free: bool = False, blocked: bool = False) -> Account:
    return Account(JupyterHubClient("http://127.0.0.1:9", "ada", "x"), free=free, blocked=blocked)


def test_an_account_is_taken_once() -> None:
    accounts = [_account(), _account(free=True)]
    assert take(accounts) is accounts[1]
    assert take(accounts) is None


def test_only_a_refusing_platform_makes_a_bad_sample() -> None:
    assert not held_by_the_platform([_account(), _account()])
    assert held_by_the_platform([_account(), _account(blocked=True)])


# -- people --------------------------------------------------------------------------------------------------------


def test_a_group_comes_on_a_grid_and_names_go_on() -> None:
    plan = Plan(
        prefix="", entrances=(Entrance("http://127.0.0.1:9"),), serving_nodes=1, password="x", users=2, beat_s=1.0,
        save_every=2, ramp_s=10.0, start_probe_every_s=5.0, seed=1,
    )  # fmt: skip
    people = People(plan, 0, lambda _: None, threading.Event())
    first = [people.next_person(), people.next_person()]
    with pytest.raises(IndexError):
        people.next_person()
    people.invite(4, from_ns=100 * NS_PER_S, within_s=2.0)
    group = [people.next_person() for _ in range(4)]
    assert [person.name for person in [*first, *group]] == [f"user-{index:03d}" for index in range(6)]
    assert [person.arrival_ns / NS_PER_S for person in [*first, *group]] == [0, 5, 100, 100.5, 101, 101.5]
    assert people.by_state()["starting"] == 6


# -- the whole client against a platform that is down --------------------------------------------------------------


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(data.decode().splitlines()))


@pytest.mark.long
def test_client_against_a_dead_platform(tmp_path: Path) -> None:
    """Two processes, one conversation: everything fails, every row is there, nothing is left behind."""
    program = (
        "from gevent import monkey; monkey.patch_all(); from pathlib import Path; "
        "from harness.load.client import main; main(Path.cwd())"
    )
    arguments = {
        "prefix": "x2-",
        "entrances": "a=http://127.0.0.1:9 b=http://127.0.0.1:9",
        "serving_nodes": 2,
        "password": "x",
        "users": 2,
        "beat_s": 0.1,
        "save_every": 2,
        "ramp_s": 0,
        "start_probe_every_s": 4.0,
        "seed": 1,
    }
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "BALANCER_STATISTICS": "http://127.0.0.1:9/statistics;csv#balancer-1",
        },
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr

        def ask(number: int, op: str, **args: object) -> dict[str, Any]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"id": number, "op": op, "args": args}) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["ok"], answer
            result: dict[str, Any] = answer["result"]
            return result

        ask(1, "start", **arguments)
        ask(2, "grow", users=3)
        # the third log-in probe is half a second after the first: by then the balancer was asked, and everybody tried
        numbers_of = itertools.count(3)
        deadline = time.monotonic() + 20
        while (snapshot := ask(next(numbers_of), "snapshot"))["capabilities"]["log_in"]["samples"] < 3:
            assert time.monotonic() < deadline, snapshot
            time.sleep(0.02)
        stopped = ask(next(numbers_of), "stop", end_sessions=True)
        process.stdin.close()
        assert process.wait(10) == 0
        assert "Traceback" not in process.stderr.read()
    assert snapshot["users"] == {"starting": 5, "working": 0, "recovering": 0, "away": 0, "gave_up": 0}
    operations, rows = split_checked((tmp_path / "operations.csv").read_bytes(), Operation, "operations")
    assert stopped["operations"] == {"path": str(tmp_path / "operations.csv"), "rows": rows}
    assert b"ConnectionError: ECONNREFUSED" in operations
    # names go on counting; the first of the group comes at once, the others within 2 s, when this run may be over
    came = {(row["user"], row["node"]) for row in _rows(operations)}
    everybody = {(f"x2-user-{index:03d}", "ab"[index % 2]) for index in range(5)}
    assert {("x2-user-000", "a"), ("x2-user-001", "b"), ("x2-user-002", "a")} <= came <= everybody
    probes, _ = split_checked((tmp_path / "probes.csv").read_bytes(), ProbeSample, "probes")
    views, _ = split_checked((tmp_path / "balancer.csv").read_bytes(), BalancerView, "balancer")
    log_ins = [(row["via"], row["node"]) for row in _rows(probes) if row["capability"] == "log_in"]
    assert log_ins[:2] == [("0", "a"), ("1", "b")]
    # nobody told it of a database
    _, numbers = split_checked((tmp_path / "database_writes.csv").read_bytes(), DatabaseWrite, "database writes")
    assert stopped["database_writes"] == {"path": str(tmp_path / "database_writes.csv"), "rows": numbers}
    assert numbers == 0
    # nobody could log in, and only a number that was tried is a row
    _, tokens = split_checked((tmp_path / "hub_writes.csv").read_bytes(), HubWrite, "hub writes")
    assert stopped["hub_writes"] == {"path": str(tmp_path / "hub_writes.csv"), "rows": tokens}
    assert tokens == 0
    assert stopped["probe_scheduler"]
    assert stopped["balancer"] == {"path": str(tmp_path / "balancer.csv"), "rows": len(views.splitlines()) - 1}
    assert b",balancer-1,,,unreachable,ConnectionRefusedError: ECONNREFUSED\n" in views
