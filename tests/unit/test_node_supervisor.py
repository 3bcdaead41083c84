"""The pure logic of the Workbench node's supervisor: who is active, what is done, what is said."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import harness

IMAGE = Path(harness.__file__).parent / "images" / "workbench"
S = 1_000_000_000
GRACE_S = 15.0
ENVIRONMENT = {
    "NODE_NAME": "workbench-1",
    "HUB_DB_URL": "postgresql://hub:pw@database:5432/hub",
    "HUB_COOKIE_SECRET": "ab" * 32,
    "CONFIGPROXY_AUTH_TOKEN": "token",
}


@pytest.fixture(scope="module")
def node() -> Iterator[SimpleNamespace]:
    """The image's modules; the image is no package of the harness, so its folder is on the path only here."""
    sys.path.insert(0, str(IMAGE))
    try:
        names = ("machine", "settings", "processes", "status", "peers", "load")
        modules: dict[str, ModuleType] = {n: importlib.import_module(f"node_supervisor.{n}") for n in names}
        yield SimpleNamespace(**modules)
    finally:
        sys.path.remove(str(IMAGE))
        for name in [n for n in sys.modules if n.partition(".")[0] == "node_supervisor"]:
            del sys.modules[name]


def seen(node: SimpleNamespace, lease: str, **changes: Any) -> Any:
    facts: dict[str, Any] = {
        "now_ns": 100 * S, "homes_ready": True, "proxy_alive": True, "hub_alive": True, "hub_answered_ns": 100 * S,
    }  # fmt: skip
    return node.machine.Observation(lease=node.machine.Lease[lease], **(facts | changes))


def decide(node: SimpleNamespace, phase: str, lease: str, **changes: Any) -> Any:
    return node.machine.decide(node.machine.Phase[phase], seen(node, lease, **changes), GRACE_S)


def names(decision: Any) -> tuple[str, list[str]]:
    return decision.phase.name, [action.name for action in decision.actions]


@pytest.mark.parametrize("lease", ["UNREACHABLE", "IDLE", "ELSEWHERE", "BARRED", "CONTACT_LOST"])
def test_standby_stays_standby_without_the_lease(node: SimpleNamespace, lease: str) -> None:
    decision = decide(node, "STANDBY", lease)
    assert names(decision) == ("STANDBY", [])
    assert not decision.serving
    assert decision.wanted
    assert decision.reason


@pytest.mark.parametrize(("lease", "ready"), [("ELSEWHERE", True), ("BARRED", True), ("UNREACHABLE", False)])
def test_standby_is_ready_while_it_reaches_the_database(node: SimpleNamespace, lease: str, ready: bool) -> None:
    assert decide(node, "STANDBY", lease).ready is ready


@pytest.mark.parametrize("lacking", ["homes_ready", "proxy_alive"])
def test_a_node_that_could_not_serve_does_not_ask_for_the_lease(node: SimpleNamespace, lacking: str) -> None:
    decision = decide(node, "STANDBY", "IDLE", **{lacking: False})
    assert not decision.wanted
    assert not decision.ready


def test_the_lease_starts_the_hub_and_only_its_answer_opens_the_node(node: SimpleNamespace) -> None:
    # the answer on record is from an earlier tenure
    taken = decide(node, "STANDBY", "HELD", hub_alive=False)
    assert names(taken) == ("STARTING", ["START_HUB"])
    assert not taken.serving
    waiting = decide(node, "STARTING", "HELD", hub_answered_ns=None)
    assert names(waiting) == ("STARTING", [])
    assert (waiting.serving, waiting.ready) == (False, False)
    opened = decide(node, "STARTING", "HELD")
    assert names(opened) == ("ACTIVE", [])
    assert (opened.serving, opened.ready) == (True, True)


def test_a_dead_hub_is_restarted_under_the_lease_without_leaving_the_node(node: SimpleNamespace) -> None:
    decision = decide(node, "ACTIVE", "HELD", hub_alive=False, hub_answered_ns=98 * S)
    assert names(decision) == ("ACTIVE", ["START_HUB"])
    assert decision.serving


@pytest.mark.parametrize(("silent_s", "serving"), [(14, True), (16, False)])
def test_a_hub_that_stays_silent_closes_the_node(node: SimpleNamespace, silent_s: int, serving: bool) -> None:
    decision = decide(node, "ACTIVE", "HELD", hub_answered_ns=(100 - silent_s) * S)
    assert names(decision) == ("ACTIVE", [])
    assert decision.serving is serving


def test_losing_the_database_keeps_hub_and_sessions(node: SimpleNamespace) -> None:
    decision = decide(node, "ACTIVE", "CONTACT_LOST")
    assert names(decision) == ("ACTIVE", [])
    assert decision.serving


@pytest.mark.parametrize("phase", ["STANDBY", "STARTING", "ACTIVE"])
def test_a_lease_taken_by_the_other_node_fences_in_every_phase(node: SimpleNamespace, phase: str) -> None:
    decision = decide(node, phase, "TAKEN_AWAY")
    assert names(decision) == ("STANDBY", ["FENCE"])
    assert (decision.serving, decision.ready, decision.wanted) == (False, False, True)


def test_a_node_that_was_frozen_looks_at_the_lease_before_it_serves(node: SimpleNamespace) -> None:
    assert not decide(node, "ACTIVE", "HELD", stalled=True).serving
    assert not decide(node, "ACTIVE", "CONTACT_LOST", stalled=True).serving
    assert decide(node, "ACTIVE", "HELD", stalled=False).serving


def test_fenced_then_standby_then_active_again(node: SimpleNamespace) -> None:
    phase = "ACTIVE"
    path = []
    for lease, changes in [
        ("TAKEN_AWAY", {}),
        ("ELSEWHERE", {"hub_alive": False}),
        ("HELD", {"hub_alive": False}),
        ("HELD", {}),
    ]:
        decision = decide(node, phase, lease, **changes)
        phase = decision.phase.name
        path.append(names(decision))
    assert path == [("STANDBY", ["FENCE"]), ("STANDBY", []), ("STARTING", ["START_HUB"]), ("ACTIVE", [])]


@pytest.mark.parametrize(
    ("first_holder_only", "holder", "allowed"),
    [(False, "workbench-2", True), (True, None, True), (True, "workbench-1", True), (True, "workbench-2", False)],
)
def test_takeover_policy(node: SimpleNamespace, first_holder_only: bool, holder: str | None, allowed: bool) -> None:
    last = None if holder is None else node.machine.LeaseRow(holder, 3)
    assert node.machine.may_take(first_holder_only, last, "workbench-1") is allowed


@pytest.mark.parametrize(
    ("holder", "epoch", "ours"),
    [
        ("workbench-1", 3, True),
        ("workbench-2", 4, False),  # taken, perhaps released again since
        ("workbench-1", 5, False),  # another life of this node
        ("workbench-2", 2, True),  # the record of this tenure was lost in a failover of the database
    ],
)
def test_a_tenure_goes_on_only_if_nobody_was_in_between(
    node: SimpleNamespace, holder: str, epoch: int, ours: bool
) -> None:
    assert node.machine.still_ours(node.machine.LeaseRow(holder, epoch), "workbench-1", 3) is ours


def test_a_lost_record_does_not_end_a_tenure(node: SimpleNamespace) -> None:
    assert node.machine.still_ours(None, "workbench-1", 3)


def test_a_hub_of_a_single_node_has_a_file(node: SimpleNamespace) -> None:
    url = "sqlite:////srv/hub/jupyterhub.sqlite"
    settings = node.settings.Settings.from_environment(ENVIRONMENT | {"HUB_MODE": "single", "HUB_DB_URL": url})
    assert settings.mode is node.settings.Mode.SINGLE
    assert (settings.has_server, settings.sqlalchemy_url) == (False, url)


def test_settings_defaults(node: SimpleNamespace) -> None:
    settings = node.settings.Settings.from_environment(ENVIRONMENT)
    assert settings.takeover is node.settings.Takeover.AUTOMATIC
    assert (settings.mode, settings.supervised) == (node.settings.Mode.ACTIVE_PASSIVE, True)
    assert settings.has_server
    assert (settings.standby_poll_s, settings.lease_ttl_s) == (0.5, 3.0)
    assert settings.sqlalchemy_url == "postgresql+psycopg://hub:pw@database:5432/hub"
    assert settings.connect_arguments["tcp_user_timeout"] == 3000
    assert len(settings.service_token) == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NODE_NAME", ""),
        ("HUB_MODE", "quorum"),
        ("SUPERVISED", "sometimes"),
        ("TAKEOVER", "sometimes"),
        ("HUB_COOKIE_SECRET", "xyz"),
        ("STANDBY_POLL_S", "soon"),
        ("LEASE_TTL_S", "-1"),
        ("LEASE_TTL_S", "1"),
        ("HUB_GRACE_S", "nan"),
    ],
)
def test_settings_name_the_variable_that_is_wrong(node: SimpleNamespace, name: str, value: str) -> None:
    with pytest.raises(node.settings.SettingsError, match=name):
        node.settings.Settings.from_environment(ENVIRONMENT | {name: value})


@pytest.mark.parametrize(
    ("environment", "session"),
    [
        (b"PATH=/bin\0JUPYTERHUB_SERVICE_PREFIX=/user/a/\0", True),
        (b"JUPYTERHUB_SERVICE_PREFIX=/user/a/", True),
        (b"NOTE=JUPYTERHUB_SERVICE_PREFIX=\0", False),
        (b"", False),
    ],
)
def test_processes_of_sessions_are_known_by_their_environment(
    node: SimpleNamespace, environment: bytes, session: bool
) -> None:
    assert node.processes.is_session(environment) is session


def test_session_pids_reads_every_process(node: SimpleNamespace, tmp_path: Path) -> None:
    for pid, environment in {"7": b"JUPYTERHUB_SERVICE_PREFIX=/user/a/\0", "8": b"A=1\0", "self": b""}.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "environ").write_bytes(environment)
    (tmp_path / "9").mkdir()  # gone between the listing and the look
    assert node.processes.session_pids(tmp_path) == [7]


def snapshot(node: SimpleNamespace, looked_ns: int, *, log_in: bool = True) -> Any:
    return node.status.Snapshot(
        looked_ns=looked_ns, phase="active", serving=True, log_in=log_in, ready=True, reason="held", since_ns=5
    )


def test_active_page(node: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.status.time, "monotonic_ns", lambda: 100 * S)
    board = node.status.Board("workbench-1")
    assert board.page("/active")[0] == 503
    board.latest = snapshot(node, 100 * S)
    assert board.page("/active") == (200, {"node": "workbench-1", "active": True, "since_monotonic_ns": 5})
    assert board.page("/log-in")[0] == 200
    board.latest = snapshot(node, 100 * S, log_in=False)
    assert (board.page("/active")[0], board.page("/log-in")[0]) == (200, 503)
    assert "the database does not answer" in board.page("/log-in")[1]["reason"]
    # the handler wakes before the supervisor does when a frozen node thaws
    board.latest = snapshot(node, 90 * S)
    status, content = board.page("/active")
    assert (status, content["active"]) == (503, False)
    assert board.page("/ready")[0] == 503
    assert board.page("/other")[0] == 404


@pytest.mark.parametrize(("supervised", "starts"), [(True, 2), (False, 1)])
def test_a_process_that_ended_is_started_again_only_where_the_node_is_supervised(
    node: SimpleNamespace, tmp_path: Path, supervised: bool, starts: int
) -> None:
    started: list[int] = []

    def start(_self: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["true"])
        process.wait()
        started.append(process.pid)
        return process

    ends = type("Ends", (node.processes.Kept,), {"_start": start})
    kept = ends("test", tmp_path / "pid", 0.0, supervised=supervised)
    assert kept.keep()
    assert kept.keep() is supervised
    assert len(started) == starts


# -- how busy a node is --------------------------------------------------------------------------------------------


def test_the_processor_time_is_read_from_either_version_of_control_groups(
    node: SimpleNamespace, tmp_path: Path
) -> None:
    v1, v2 = tmp_path / "cpuacct.usage", tmp_path / "cpu.stat"
    v1.write_text("5000000\n")
    assert node.load.cpu_time_ns(v2, v1) == 5_000_000
    v2.write_text("usage_usec 7\nuser_usec 3\n")
    assert node.load.cpu_time_ns(v2, v1) == 7_000


def test_a_busy_node_says_so(node: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, used = [0], [0]
    monkeypatch.setattr(node.load.time, "monotonic_ns", lambda: clock[0])
    monkeypatch.setattr(node.load, "cpu_time_ns", lambda: used[0])
    meter = node.load.Meter(2)
    clock[0], used[0] = S, S // 2  # half a second of the two that there are
    assert meter.percent() == 75
    clock[0], used[0] = S + 1, 2 * S
    assert meter.percent() == 75, "asked again at once, it can't know better"
    clock[0], used[0] = 2 * S, S // 2 + 2 * S
    assert meter.percent() == 1


# -- asking the other nodes ----------------------------------------------------------------------------------------


def waits_until(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "not within 5 s"
        time.sleep(0.01)


def test_a_peer_that_is_active_is_heard_and_forgotten_when_nobody_asks(
    node: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.peers, "POLL_S", 0.01)
    board = node.status.Board("workbench-0")
    asked: list[str] = []
    page = board.page

    def asked_for(path: str) -> Any:
        asked.append(path)
        return page(path)

    monkeypatch.setattr(board, "page", asked_for)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    node.status.serve(board, port)
    watch = node.peers.PeerWatch(["127.0.0.1"], port)
    watch.start()
    watch.ask(True)
    waits_until(lambda: len(asked) == 3)  # two rounds are over, in which the peer said that it is not active
    assert watch.active == ""
    serving = {field: getattr(board.latest, field) for field in board.latest.__slots__}
    board.latest = node.status.Snapshot(**{**serving, "serving": True, "looked_ns": time.monotonic_ns() + 60 * S})
    waits_until(lambda: watch.active == "127.0.0.1")
    watch.ask(False)
    assert watch.active == ""


def test_peers_that_do_not_answer_are_not_active(node: SimpleNamespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert not node.peers.PeerWatch([], port)._is_active("127.0.0.1")
