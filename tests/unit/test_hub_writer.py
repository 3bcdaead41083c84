"""The writers of the hubs: a number is used once, a hub that does not know the log-in gets another one, each hub has a
writer, and what was written is read from each hub's own database."""

from __future__ import annotations

import csv
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gevent
import gevent.event
import pandas as pd
import pytest
import requests

from harness.components import databases
from harness.components.postgresql import hub_readback
from harness.components.registry import hub_readbacks
from harness.core.clock import FakeClock
from harness.core.entrances import Entrance
from harness.core.history import EventKind, HistoryWriter, read_history
from harness.core.products import Patroni, Workbench
from harness.core.rows import HubWrite, split_checked
from harness.core.topology import Topology
from harness.errors import DeploymentError, RecordError
from harness.load import hub_writer
from harness.load.failures import BadAnswer, NotLoggedIn, Refused
from harness.load.hub_writer import HubWriters
from harness.load.jupyterhub import JupyterHubClient
from harness.load.keeper import MOVES_AT_MOST
from harness.run.artifacts import RunFolder
from harness.run.recorder import read_back
from harness.runtime.base import ExecResult
from tests.unit.analysis_runs import topology

ONE = topology()
APART = replace(ONE, workbench=Workbench(mode="active-active"))
FILES = replace(APART, database=None)
BALANCER = (Entrance("http://127.0.0.1:9"),)
DIRECT = (Entrance("http://127.0.0.1:9", "workbench-0"), Entrance("http://127.0.0.1:10", "workbench-1"))


class Hub(JupyterHubClient):
    """A platform that works, behind a balancer that sends each new browser to the next of `nodes`."""

    nodes: ClassVar[Iterator[str]]
    kept: ClassVar[list[tuple[str, str]]]
    """Node and note."""
    logged_in_at: ClassVar[list[tuple[str, str]]]
    """Account and node, for each log-in."""
    on_token: ClassVar[Any]
    """Called with the browser and the note of each token that is asked for."""
    known: set[str]
    """The nodes whose hubs know this browser."""

    def logged_in(self) -> bool:
        self.node = self.node or next(self.nodes)
        self.known = getattr(self, "known", set())
        return self.node in self.known

    def log_in(self) -> None:
        self.logged_in_at.append((self.user, self.node))
        self.known.add(self.node)

    def create_token(self, note: str) -> None:
        type(self).on_token(self, note)
        if self.node not in self.known:
            raise Refused(403, "POST", f"/hub/api/users/{self.user}/tokens")
        self.kept.append((self.node, note))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    class Fresh(Hub):
        nodes = itertools.cycle(["a", "b"])
        kept: ClassVar = []
        logged_in_at: ClassVar = []
        on_token: ClassVar = staticmethod(lambda browser, note: None)

    monkeypatch.setattr(hub_writer, "JupyterHubClient", Fresh)
    monkeypatch.setattr(hub_writer, "WRITE_PERIOD_S", 0.02)
    return Fresh


Rows = list[dict[str, str]]


def written(path: Path, until: Callable[[], bool], entrances: Sequence[Entrance] = BALANCER, serving: int = 1) -> Rows:
    """The rows of writers that were stopped when `until` held."""
    stop = gevent.event.Event()
    writers = HubWriters(entrances, "secret", path, stop, serving_nodes=serving, writer="x2-writer")
    running = [gevent.spawn(one.run, writers.earlier(one)) for one in writers.everybody]
    try:
        with gevent.Timeout(10):
            while not until():
                gevent.sleep(0.01)
    finally:
        stop.set()
        gevent.joinall(running, timeout=5, raise_error=True)
        assert all(one.dead for one in running)
        rows = writers.close()
    body, stated = split_checked(path.read_bytes(), HubWrite, "hub writes")
    assert rows == stated
    return list(csv.DictReader(body.decode().splitlines()))


def values(rows: Rows) -> list[int]:
    return [int(row["value"]) for row in rows]


def test_numbers_grow_on_the_grid_after_one_log_in(hub: type[Hub], tmp_path: Path) -> None:
    rows = written(tmp_path / "w", lambda: len(hub.kept) >= 5)
    assert values(rows) == list(range(1, len(rows) + 1))
    assert hub.kept == [("a", f"x2-writer-0/{value}") for value in values(rows)]
    assert hub.logged_in_at == [("probe-x2-writer-0", "a")]
    assert {(row["writer"], row["ok"], row["node"], row["detail"]) for row in rows} == {("x2-writer-0", "1", "a", "")}
    assert all(int(row["due_ns"]) % 20_000_000 == 0 for row in rows)
    assert all(int(row["due_ns"]) <= int(row["send_ns"]) <= int(row["end_ns"]) for row in rows)


def test_it_is_not_asked_more_than_once_a_second() -> None:
    assert hub_writer.WRITE_PERIOD_S >= 1


def test_a_hub_that_does_not_know_the_log_in_gets_another_one_and_the_numbers_go_on(
    hub: type[Hub], tmp_path: Path
) -> None:
    def move(browser: Hub, note: str) -> None:
        if note.endswith("/3"):
            browser.node = "b"  # the balancer leads to the other hub, which has a database of its own

    hub.on_token = staticmethod(move)
    rows = written(tmp_path / "w", lambda: len(hub.kept) >= 5)
    assert values(rows) == list(range(1, len(rows) + 1))
    assert [(row["value"], row["node"], row["detail"]) for row in rows if row["ok"] == "0"] == [
        ("3", "b", "Refused: 403 POST /hub/api/users/*/tokens")
    ]
    assert hub.kept[:4] == [
        ("a", "x2-writer-0/1"),
        ("a", "x2-writer-0/2"),
        ("b", "x2-writer-0/4"),
        ("b", "x2-writer-0/5"),
    ]
    assert [node for _, node in hub.logged_in_at] == ["a", "b"]


def test_where_the_log_in_is_still_known_there_is_no_other_one(hub: type[Hub], tmp_path: Path) -> None:
    def fail(browser: Hub, note: str) -> None:
        if note.endswith(("/2", "/3")):
            raise ConnectionRefusedError(111, "refused")

    hub.on_token = staticmethod(fail)
    rows = written(tmp_path / "w", lambda: len(hub.kept) >= 4)
    assert [(row["value"], row["detail"]) for row in rows if row["ok"] == "0"] == [
        ("2", "ConnectionRefusedError: ECONNREFUSED"),
        ("3", "ConnectionRefusedError: ECONNREFUSED"),
    ]
    assert len(hub.logged_in_at) == 1


def test_a_hub_without_an_answer_misses_the_deadline(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_writer, "WRITE_DEADLINE_S", 0.1)
    hub.on_token = staticmethod(lambda browser, note: gevent.sleep(60) if note.endswith("/2") else None)
    rows = written(tmp_path / "w", lambda: len(hub.kept) >= 3)
    assert [row["detail"] for row in rows[:3]] == ["", "deadline", ""]
    assert int(rows[1]["end_ns"]) - int(rows[1]["send_ns"]) < 2e9
    assert values(rows) == list(range(1, len(rows) + 1)), "points of the grid that were missed are no numbers"


def test_a_hub_that_refuses_the_password_is_asked_until_the_run_ends(
    hub: type[Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(browser: Hub) -> None:
        asked.append(browser.user)
        raise NotLoggedIn("403 POST /hub/login")

    monkeypatch.setattr(hub, "log_in", refuse)
    assert written(tmp_path / "w", lambda: len(asked) >= 2) == []


def test_a_mistake_of_the_harness_is_no_row(hub: type[Hub], tmp_path: Path) -> None:
    def broken(browser: Hub, note: str) -> None:
        raise ValueError("no such thing")

    hub.on_token = staticmethod(broken)
    writers = HubWriters(BALANCER, "secret", tmp_path / "w", gevent.event.Event(), serving_nodes=1, writer="writer")
    greenlet = gevent.spawn(writers.everybody[0].run)
    greenlet.join(timeout=5)
    assert isinstance(greenlet.exception, ValueError)
    assert writers.close() == 0


@pytest.mark.parametrize("answer", [{"note": "w/1"}, {"id": "a7", "note": "another"}, {"id": "", "note": "w/1"}])
def test_a_token_is_there_when_the_hub_says_so_with_its_id(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, str]
) -> None:
    asked: list[object] = []

    def post(self: object, method: str, url: str, **arguments: object) -> requests.Response:
        asked.append((method, url, arguments["json"]))
        response = requests.Response()
        response.status_code, response._content = status, json.dumps(body).encode()
        response.url, response.request = url, requests.Request(method, url).prepare()
        return response

    monkeypatch.setattr(requests.Session, "request", post)
    client = JupyterHubClient("http://127.0.0.1:9", "ada", "x")
    status, body = 201, {"id": "a7", "note": "w/1", "token": "secret"}
    client.create_token("w/1")
    assert asked == [("POST", "http://127.0.0.1:9/hub/api/users/ada/tokens", {"note": "w/1", "scopes": []})]
    body = answer
    with pytest.raises(BadAnswer):
        client.create_token("w/1")
    status = 200
    with pytest.raises(Refused):
        client.create_token("w/1")


# -- places --------------------------------------------------------------------------------------------------------


def test_each_hub_that_runs_has_a_writer(hub: type[Hub], tmp_path: Path) -> None:
    hub.nodes = iter(["a", "a", "a", "b"])
    rows = written(tmp_path / "w", lambda: {"a", "b"} == {node for node, _ in hub.kept}, BALANCER, 2)
    assert {(row["writer"], row["node"]) for row in rows} == {("x2-writer-0", "a"), ("x2-writer-1", "b")}
    assert {account for account, _ in hub.logged_in_at[1:]} == {"probe-x2-writer-1"}, "who came first stays"


def test_a_writer_that_finds_no_hub_of_its_own_stays_where_it_is(hub: type[Hub], tmp_path: Path) -> None:
    hub.nodes = itertools.repeat("a")
    rows = written(tmp_path / "w", lambda: len(hub.kept) >= 6, BALANCER, 2)
    assert {row["writer"] for row in rows} == {"x2-writer-0", "x2-writer-1"}
    assert len(hub.logged_in_at) == 2 + MOVES_AT_MOST


def test_each_entrance_has_a_writer(hub: type[Hub], tmp_path: Path) -> None:
    rows = written(tmp_path / "w", lambda: len({node for node, _ in hub.kept}) == 2, DIRECT, 2)
    assert {(row["writer"], row["node"]) for row in rows} == {
        ("x2-writer-0", "workbench-0"),
        ("x2-writer-1", "workbench-1"),
    }


# -- reading back --------------------------------------------------------------------------------------------------


def test_whose_database_is_read_where() -> None:
    assert hub_readbacks(ONE) == {"": hub_readback("hub")}
    assert hub_readbacks(APART) == {"workbench-0": hub_readback("hub"), "workbench-1": hub_readback("hub_1")}
    assert hub_readbacks(replace(APART, database=Patroni())) == hub_readbacks(APART)
    assert hub_readbacks(FILES) == dict.fromkeys(("workbench-0", "workbench-1"), databases.FILE_READBACK)
    alone = replace(FILES, workbench=Workbench(mode="single", nodes=1))
    assert list(hub_readbacks(alone)) == ["workbench-0"]


def test_the_servers_own_superuser_reads_the_notes_in_their_order() -> None:
    shell, option, script, _, name = hub_readback("hub_1")
    assert (shell, option, name) == ("sh", "-c", "hub_1")
    assert '-h /run/postgresql -U postgres -d "$1"' in script
    assert "to_regclass('public.api_tokens')" in script
    assert "note ~ '^[a-z0-9-]*writer-[0-9]+/[0-9]+$' order by id;" in script


def read_file(path: Path) -> subprocess.CompletedProcess[str]:
    python, *options, program = databases.FILE_READBACK
    assert (python, options) == ("python3", ["-I", "-c"])
    assert program.count("/srv/hub/jupyterhub.sqlite") == 2
    here = program.replace("/srv/hub/jupyterhub.sqlite", str(path))
    return subprocess.run([sys.executable, *options, here], capture_output=True, text=True, check=False)


def hubs_file(path: Path, notes: Sequence[str | None]) -> Path:
    with closing(sqlite3.connect(path)) as database:
        database.execute("create table api_tokens (id integer primary key, note text)")
        database.executemany("insert into api_tokens (note) values (?)", [(note,) for note in notes])
        database.commit()
    return path


def test_a_nodes_file_gives_the_notes_of_the_writers_in_their_order(tmp_path: Path) -> None:
    notes = ["writer-0/1", None, "Requested via api", "Server at /user/ada/", "x2-writer-1/2", "writer-0/1", "writer/3"]
    path = hubs_file(tmp_path / "hub.sqlite", notes)
    before = path.read_bytes()
    answer = read_file(path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == ["writer-0,1", "x2-writer-1,2", "writer-0,1"]
    assert path.read_bytes() == before


def test_what_a_hub_that_was_killed_left_half_done_is_not_there(tmp_path: Path) -> None:
    path = hubs_file(tmp_path / "hub.sqlite", ["writer-0/1", "writer-0/2"])
    # so many rows with so small a cache that some are in the file before the end of the transaction
    killed = (
        f"import os, signal, sqlite3; database = sqlite3.connect({str(path)!r}); "
        "database.execute('pragma cache_size=1'); "
        "database.executemany('insert into api_tokens (note) values (?)', [('writer-0/3',)] * 20_000); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert path.with_name("hub.sqlite-journal").stat().st_size
    answer = read_file(path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.splitlines() == ["writer-0,1", "writer-0,2"]


def test_where_no_hub_ever_wrote_there_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    answer = read_file(tmp_path / "none.sqlite")
    assert (answer.returncode, answer.stdout, list(tmp_path.iterdir())) == (0, "", [])
    with closing(sqlite3.connect(tmp_path / "empty.sqlite")) as database:
        database.execute("create table users (id integer)")
    assert (read_file(tmp_path / "empty.sqlite").returncode, answer.stdout) == (0, "")


def test_a_file_that_can_not_be_read_fails(tmp_path: Path) -> None:
    (tmp_path / "hub.sqlite").write_bytes(b"no database " * 100)
    answer = read_file(tmp_path / "hub.sqlite")
    assert answer.returncode == 1
    assert "file is not a database" in answer.stderr


class Deployment:
    """Two nodes and a server; `asked` says which command was run where."""

    def __init__(self, hubs: Callable[[str, Sequence[str]], ExecResult]) -> None:
        self._hubs = hubs
        self.asked: list[tuple[str, str]] = []

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        if not any("api_tokens" in word for word in argv):
            return ExecResult(0, "")
        self.asked.append((name, argv[-1] if argv[0] == "sh" else ""))
        return self._hubs(name, argv)


def read(
    tmp_path: Path, on: Topology, hubs: Callable[[str, Sequence[str]], ExecResult]
) -> tuple[list[object], Deployment]:
    clock, deployment = FakeClock(), Deployment(hubs)
    with HistoryWriter(tmp_path / "history.jsonl", clock) as history:
        history.append(EventKind.OPENED, {"schema": 1})
        read_back(deployment, on, RunFolder(tmp_path), history, clock=clock, prefix="x2-")  # type: ignore[arg-type]
    rows = pd.read_parquet(tmp_path / "saved.parquet")
    return list(rows[["store", "user", "value", "place"]].itertuples(index=False, name=None)), deployment


OF_ALL = "x2-writer-0,1\nwriter-0,1\nx2-writer-1,2\nx22-writer-0,3\n"


@pytest.mark.parametrize(
    ("on", "asked", "places"),
    [
        (ONE, [("database", "hub")], ["database"]),
        (APART, [("database", "hub"), ("database", "hub_1")], ["workbench-0", "workbench-1"]),
        (FILES, [("workbench-0", ""), ("workbench-1", "")], ["workbench-0", "workbench-1"]),
    ],
    ids=["one for all", "one each", "a file each"],
)
def test_every_hubs_database_is_read_and_what_others_wrote_is_left_out(
    tmp_path: Path, on: Topology, asked: list[tuple[str, str]], places: list[str]
) -> None:
    found, deployment = read(tmp_path, on, lambda name, argv: ExecResult(0, OF_ALL))
    assert deployment.asked == asked
    assert found == [
        ("hub", who, value, place) for place in places for who, value in (("x2-writer-0", 1), ("x2-writer-1", 2))
    ]
    (event,) = read_history(tmp_path / "history.jsonl").of(EventKind.READBACK)
    assert event.data["stores"] == {"home": 0, "database": 0, "hub": 2 * len(places)}


def test_a_hubs_database_that_can_not_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    def away(name: str, argv: Sequence[str]) -> ExecResult:
        if name == "workbench-1":
            raise DeploymentError("workbench-1: the container is not running")
        return ExecResult(0, OF_ALL)

    with pytest.raises(RecordError, match="the hub's database of workbench-1 could not be read back within 60 s: work"):
        read(tmp_path, FILES, away)
