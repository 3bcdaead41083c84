"""Pacing, ladder, bookkeeping and classification of the load client, and its HTTP side against a loopback server."""

from __future__ import annotations

import csv
import errno
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import gevent
import pytest
import requests

from harness.core.clock import NS_PER_S
from harness.core.entrances import Entrance
from harness.core.rows import BalancerView, DatabaseWrite, HubWrite, Operation, ProbeSample, split_checked
from harness.core.words import Capability
from harness.load.bookkeeping import CapabilityState, Ledger
from harness.load.deadlines import classify, deadline
from harness.load.failures import CellFailed, DeadlineMissed, KernelGone, NotLoggedIn, Refused, StartFailed, describe
from harness.load.jupyterhub import JupyterHubClient, ServerState
from harness.load.ladder import PATIENT_ROUNDS, Finding, Rung, Step, climb, next_rung
from harness.load.pacing import Grid
from harness.load.people import People, Plan
from harness.load.session import Session
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


# -- ladder --------------------------------------------------------------------------------------------------------

F, R = Finding, Rung
WEBSOCKET_FAILED = Step(R.WEBSOCKET, F.FAILED)
NOT_ENTERED = Step(R.OAUTH, F.FAILED)
NOT_FOUND = Step(R.FIND_KERNEL, F.FAILED)
UNREACHABLE = [WEBSOCKET_FAILED, NOT_ENTERED, NOT_FOUND]


@pytest.mark.parametrize(
    ("steps", "rounds", "expected"),
    [
        ([], 0, R.WEBSOCKET),
        ([Step(R.WEBSOCKET, F.WORKS)], 0, None),
        ([WEBSOCKET_FAILED], 0, R.OAUTH),
        ([WEBSOCKET_FAILED, NOT_ENTERED], 0, R.FIND_KERNEL),
        ([WEBSOCKET_FAILED, Step(R.OAUTH, F.ENTERED)], 0, R.WEBSOCKET),
        ([WEBSOCKET_FAILED, Step(R.OAUTH, F.ENTERED), WEBSOCKET_FAILED], 0, R.FIND_KERNEL),
        ([WEBSOCKET_FAILED, NOT_ENTERED, Step(R.FIND_KERNEL, F.KERNEL_ALIVE)], 9, None),
        ([WEBSOCKET_FAILED, NOT_ENTERED, Step(R.FIND_KERNEL, F.KERNEL_GONE)], 0, R.RESPAWN),
        (UNREACHABLE, 0, R.LOG_IN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.FAILED)], 9, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_GONE)], 0, R.RESPAWN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_THERE)], 0, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_THERE)], PATIENT_ROUNDS, R.RESPAWN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN)], 9, R.OAUTH),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN), NOT_ENTERED, NOT_FOUND], 0, R.LOG_IN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN), *[Step(R.LOG_IN, F.LOGGED_IN_AGAIN)]], 0, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_GONE), Step(R.RESPAWN, F.FAILED)], 9, None),
    ],
)
def test_next_rung(steps: list[Step], rounds: int, expected: Rung | None) -> None:
    assert next_rung(steps, rounds) is expected


def test_no_respawn_without_authority() -> None:
    """However long a server stays out of reach: as long as the hub does not answer, nobody starts a second one."""
    for rounds in range(50):
        steps: list[Step] = []
        while rung := next_rung(steps, rounds):
            assert rung is not Rung.RESPAWN
            steps.append(Step(rung, Finding.FAILED))


def test_climb_reports_success_and_tries_no_more() -> None:
    answers = iter([F.FAILED, F.ENTERED, F.WORKS])
    tried: list[Rung] = []

    def attempt(rung: Rung) -> Finding:
        tried.append(rung)
        return next(answers)

    assert climb(attempt, threading.Event())
    assert tried == [R.WEBSOCKET, R.OAUTH, R.WEBSOCKET]


def test_climb_ends_with_the_run() -> None:
    stop = threading.Event()
    tried: list[Rung] = []

    def attempt(rung: Rung) -> Finding:
        tried.append(rung)
        if len(tried) == 6:
            stop.set()
        return F.FAILED

    assert not climb(attempt, stop)
    assert tried == [R.WEBSOCKET, R.OAUTH, R.FIND_KERNEL, R.LOG_IN, R.WEBSOCKET, R.OAUTH]


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


# -- the client against a loopback server --------------------------------------------------------------------------


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers by a table; `/hub/login` and the two `_xsrf` cookies as JupyterHub does."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[tuple[str, str], tuple[int, object]]]
    seen: ClassVar[list[tuple[str, str, str]]]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("X-XSRFToken", "")))
        status, body = self.answers.get((self.command, self.path), (404, {}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Workbench-Node", "workbench-7")
        if self.path == "/hub/login":
            self.send_header("Set-Cookie", "_xsrf=of-the-hub; Path=/hub/")
            self.send_header("Set-Cookie", "_xsrf=of-the-server; Path=/user/ada/")
            if self.command == "POST" and status == 302:
                self.send_header("Set-Cookie", "jupyterhub-hub-login=yes; Path=/hub/")
        if status == 302:
            self.send_header("Location", "/hub/login")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[type[_Hub]]:
    class Handler(_Hub):
        answers: ClassVar = {
            ("GET", "/hub/login"): (200, {}),
            ("POST", "/hub/login"): (302, {}),
            ("GET", "/hub/home"): (200, {}),
        }
        seen: ClassVar = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        Handler.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
        yield Handler
        server.shutdown()
        thread.join()


@pytest.fixture
def client(hub: type[_Hub]) -> Iterator[JupyterHubClient]:
    client = JupyterHubClient(hub.address, "ada", "secret")  # type: ignore[attr-defined]
    client.kernel_id = "k1"
    yield client
    client.close()


KERNELS = "/user/ada/api/kernels"
MODEL = "/hub/api/users/ada"


def test_log_in_uses_the_cookie_of_each_path(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers[("GET", f"{KERNELS}/k1")] = (200, {"id": "k1"})
    client.log_in()
    assert client.logged_in()
    assert client.kernel_alive()
    assert client.node == "workbench-7"
    assert hub.seen[-2:] == [("GET", "/hub/home", "of-the-hub"), ("GET", f"{KERNELS}/k1", "of-the-server")]


def test_log_in_refused(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers[("POST", "/hub/login")] = (403, {})
    hub.answers[("GET", "/hub/home")] = (302, {})
    with pytest.raises(NotLoggedIn):
        client.log_in()
    assert not client.logged_in()


@pytest.mark.parametrize(
    ("one", "listed", "alive"),
    [
        ((200, {"id": "k1"}), (500, {}), True),
        ((404, {}), (200, []), False),
        ((404, {}), (200, [{"id": "k1"}]), True),
    ],
)
def test_kernel_is_gone_only_by_the_servers_own_word(
    hub: type[_Hub],
    client: JupyterHubClient,
    one: tuple[int, object],
    listed: tuple[int, object],
    alive: bool,
) -> None:
    hub.answers |= {("GET", f"{KERNELS}/k1"): one, ("GET", KERNELS): listed}
    assert client.kernel_alive() is alive


@pytest.mark.parametrize("one", [302, 403, 404, 424, 503])
def test_other_answers_say_nothing_about_the_kernel(hub: type[_Hub], client: JupyterHubClient, one: int) -> None:
    hub.answers |= {("GET", f"{KERNELS}/k1"): (one, {}), ("GET", KERNELS): (503, {})}
    with pytest.raises(Refused):
        client.kernel_alive()


@pytest.mark.parametrize(
    ("model", "state"),
    [
        ({"servers": {"": {"ready": True, "pending": None}}, "pending": None}, ServerState.READY),
        ({"servers": {"": {"ready": False, "pending": "spawn"}}, "pending": "spawn"}, ServerState.PENDING),
        ({"servers": {}, "pending": "stop"}, ServerState.PENDING),
        ({"servers": {}, "pending": None}, ServerState.GONE),
    ],
)
def test_server_state(hub: type[_Hub], client: JupyterHubClient, model: object, state: ServerState) -> None:
    hub.answers[("GET", MODEL)] = (200, model)
    assert client.server() is state


@pytest.mark.parametrize(
    ("post", "model", "started"),
    [
        (201, {}, True),
        (202, {"servers": {"": {"ready": True}}}, True),
        (400, {"servers": {"": {"ready": True}}}, False),
    ],
)
def test_spawn(hub: type[_Hub], client: JupyterHubClient, post: int, model: object, started: bool) -> None:
    hub.answers |= {("POST", f"{MODEL}/server"): (post, {}), ("GET", MODEL): (200, model)}
    assert client.spawn(lambda: False, lambda _: None) is started


def test_spawn_that_the_hub_gave_up(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers |= {("POST", f"{MODEL}/server"): (202, {}), ("GET", MODEL): (200, {"servers": {}})}
    with pytest.raises(StartFailed):
        client.spawn(lambda: False, lambda _: None)


# -- session -------------------------------------------------------------------------------------------------------


class _Kernel(JupyterHubClient):
    """A client whose kernel is a counter."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "ada", "x")
        self.counter = -1
        self.alive = True
        self.valid = True
        self.started: list[str] = []

    def connect(self) -> None:
        pass

    def enter(self) -> None:
        pass

    def log_in(self) -> None:
        self.valid = True

    def logged_in(self) -> bool:
        return self.valid

    def server(self) -> ServerState:
        return ServerState.READY

    def kernel_alive(self) -> bool:
        return self.alive

    def start_kernel(self) -> None:
        self.started.append("kernel")

    def spawn(self, ending: object, pause: object) -> bool:
        self.started.append("server")
        return True

    def run(self, code: str, on_first: object = None) -> str:
        if code == "n = 0":
            self.counter = 0
        elif code.startswith("n += 1"):
            self.counter += 1
        return str(self.counter)


class _Performer:
    def __init__(self) -> None:
        self.rows: list[tuple[Capability, Rung]] = []

    def __call__(self, capability: Capability, action: object, *, rung: Rung) -> Exception | None:
        try:
            action()  # type: ignore[operator]
        except KernelGone as error:
            self.rows.append((capability, rung))
            return error
        self.rows.append((capability, rung))
        return None


def _session(known: int, counter: int) -> tuple[Session, _Kernel]:
    kernel = _Kernel()
    kernel.counter = counter
    session = Session(kernel, threading.Event())
    session.known = known
    return session, kernel


@pytest.mark.parametrize(
    ("known", "counter", "known_after", "next_found"),
    [(5, 5, 5, 6), (5, 6, 6, 7), (5, -1, 5, 1), (5, 0, 5, 1)],
    ids=["kept", "kept, an unanswered cell ran", "memory gone", "memory gone and defined anew"],
)
def test_reopening_tells_kept_from_lost(known: int, counter: int, known_after: int, next_found: int) -> None:
    session, _ = _session(known, counter)
    assert session.attempt(Rung.WEBSOCKET, _Performer()) is Finding.WORKS
    assert session.known == known_after
    assert session.work() == next_found


def test_respawn_goes_back_to_a_kernel_that_turns_up() -> None:
    session, kernel = _session(5, 5)
    assert session.attempt(Rung.RESPAWN, _Performer()) is Finding.WORKS
    assert (kernel.started, session.work()) == ([], 6)


def test_respawn_in_a_server_that_lives_starts_a_kernel_only() -> None:
    session, kernel = _session(5, 5)
    kernel.alive = False
    assert session.attempt(Rung.FIND_KERNEL, _Performer()) is Finding.KERNEL_GONE
    assert session.attempt(Rung.RESPAWN, _Performer()) is Finding.WORKS
    assert (kernel.started, session.known, session.work()) == (["kernel"], 5, 1)


def test_only_a_log_in_that_was_needed_is_a_log_in() -> None:
    session, kernel = _session(5, 5)
    performer = _Performer()
    assert session.attempt(Rung.LOG_IN, performer) is Finding.SERVER_THERE
    assert performer.rows == [(Capability.RECONNECT, Rung.CHECK_LOG_IN)]
    kernel.valid = False
    assert session.attempt(Rung.LOG_IN, performer) is Finding.LOGGED_IN_AGAIN
    assert performer.rows[1:] == [(Capability.RECONNECT, Rung.CHECK_LOG_IN), (Capability.LOG_IN, Rung.LOG_IN)]


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


def _rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(data.decode().splitlines()))


# -- the whole client against a platform that is down --------------------------------------------------------------


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

        def ask(number: int, op: str, **args: object) -> dict[str, object]:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps({"id": number, "op": op, "args": args}) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer["ok"], answer
            result: dict[str, object] = answer["result"]
            return result

        ask(1, "start", **arguments)
        ask(2, "grow", users=3)
        time.sleep(0.5)  # a few probes and attempts
        snapshot = ask(3, "snapshot")
        stopped = ask(4, "stop", end_sessions=True)
        process.stdin.close()
        assert process.wait(10) == 0
        assert "Traceback" not in process.stderr.read()
    assert snapshot["users"] == {"starting": 5, "working": 0, "recovering": 0, "gave_up": 0}
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
