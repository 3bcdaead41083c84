"""The writer of numbers: a number is used once, a failure is followed by a new connection, and nothing is left out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import pytest

from harness.components import SECRETS, plan
from harness.core.rows import DatabaseWrite, split_checked
from harness.core.specs import NodeContext
from harness.load import database_writer
from harness.load.database_writer import DatabaseWriter, Driver, Way
from tests.unit.analysis_runs import topology


class Away(Exception):
    """The platform's doing."""


@dataclass
class Server:
    """Takes numbers, and does what `on_insert` does with each."""

    on_insert: Callable[[int], None] = lambda value: None
    refuse: int = 0
    """So many connections are refused first."""
    kept: list[tuple[str, int]] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)

    def connect(self) -> Connection:
        if self.refuse:
            self.refuse -= 1
            raise Away("connection refused")
        self.connections.append(Connection(self))
        return self.connections[-1]


@dataclass
class Connection:
    server: Server
    closed: bool = False
    statements: list[str] = field(default_factory=list)

    def execute(self, query: str, params: tuple[str, int] | None = None) -> Any:
        assert not self.closed
        self.statements.append(query.split(maxsplit=1)[0])
        if params is not None:
            self.server.on_insert(params[1])
            self.server.kept.append(params)
        return SimpleNamespace(fetchone=lambda: (f"192.0.2.{20 + len(self.server.connections)}",))

    def close(self) -> None:
        self.closed = True


Rows = list[dict[str, str]]


@contextmanager
def writing(path: Path, driver: Driver | None) -> Iterator[tuple[DatabaseWriter, gevent.Greenlet]]:
    stop = gevent.event.Event()
    writer = DatabaseWriter(driver, "x2-writer", path, stop)
    greenlet = gevent.spawn(writer.run)
    try:
        yield writer, greenlet
    finally:
        stop.set()
        greenlet.join(timeout=5)
        assert greenlet.dead


def written(path: Path, server: Server, until: Callable[[], bool]) -> Rows:
    """The rows of a writer that was stopped when `until` held."""
    with writing(path, Driver(server.connect, (Away,))) as (writer, greenlet), gevent.Timeout(5):
        while not until():
            assert not greenlet.dead
            gevent.sleep(0.01)
    return closed(writer, path)


def closed(writer: DatabaseWriter, path: Path) -> Rows:
    rows = writer.close()
    body, stated = split_checked(path.read_bytes(), DatabaseWrite, "writes")
    assert rows == stated
    return list(csv.DictReader(body.decode().splitlines()))


def test_numbers_grow_on_the_grid_over_one_connection(tmp_path: Path) -> None:
    server = Server()
    rows = written(tmp_path / "w", server, lambda: len(server.kept) >= 6)
    assert [int(row["value"]) for row in rows] == list(range(1, len(rows) + 1))
    assert server.kept == [("x2-writer", int(row["value"])) for row in rows]
    assert {(row["ok"], row["server"], row["detail"], row["writer"]) for row in rows} == {
        ("1", "192.0.2.21", "", "x2-writer")
    }
    assert all(int(row["due_ns"]) % 50_000_000 == 0 for row in rows)
    assert all(int(row["due_ns"]) <= int(row["send_ns"]) <= int(row["end_ns"]) for row in rows)
    (connection,) = server.connections
    assert connection.statements == ["select", "create", *["insert"] * len(rows)]
    assert connection.closed


def test_a_number_is_used_once_whatever_came_of_it(tmp_path: Path) -> None:
    def fail_twice(value: int) -> None:
        if value == 3:
            raise Away("the server closed the connection unexpectedly")
        if value == 5:
            raise ConnectionResetError(104, "reset")

    server = Server(fail_twice)
    rows = written(tmp_path / "w", server, lambda: len(server.kept) >= 6)
    assert [int(row["value"]) for row in rows] == list(range(1, len(rows) + 1))
    assert [(row["value"], row["detail"], row["server"]) for row in rows if row["ok"] == "0"] == [
        ("3", "Away: the server closed the connection unexpectedly", "192.0.2.21"),
        ("5", "ConnectionResetError: ECONNRESET", "192.0.2.22"),
    ]
    assert [row["server"] for row in rows][5] == "192.0.2.23"
    assert [value for _, value in server.kept][:5] == [1, 2, 4, 6, 7]
    assert all(connection.closed for connection in server.connections)


@pytest.mark.long
def test_it_comes_back_after_a_refusing_server(tmp_path: Path) -> None:
    server = Server(refuse=3)
    rows = written(tmp_path / "w", server, lambda: len(server.kept) >= 3)
    assert [(row["ok"], row["server"], row["detail"]) for row in rows[:4]] == [
        *[("0", "", "Away: connection refused")] * 3,
        ("1", "192.0.2.21", ""),
    ]
    first_good_ns = int(rows[3]["send_ns"])
    pauses_s = [(first_good_ns - int(row["send_ns"])) / 1e9 for row in rows[1:3]]
    assert all(0.05 < pause_s < 3 for pause_s in pauses_s), "short pauses between the tries"


def test_a_write_without_an_answer_misses_its_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_writer, "WRITE_DEADLINE_S", 0.1)

    def hang_once(value: int) -> None:
        if value == 2:
            gevent.sleep(60)

    server = Server(hang_once)
    rows = written(tmp_path / "w", server, lambda: len(server.kept) >= 3)
    assert [row["detail"] for row in rows[:3]] == ["", "deadline", ""]
    assert int(rows[1]["end_ns"]) - int(rows[1]["send_ns"]) < 2e9
    assert len(server.connections) == 2


def test_a_mistake_of_the_harness_is_no_row(tmp_path: Path) -> None:
    def not_understood(value: int) -> None:
        raise ValueError("syntax error")

    with writing(tmp_path / "w", Driver(Server(not_understood).connect, (Away,))) as (writer, greenlet):
        greenlet.join(timeout=5)
        assert isinstance(greenlet.exception, ValueError)
    assert closed(writer, tmp_path / "w") == []


def test_without_a_database_there_are_no_rows(tmp_path: Path) -> None:
    with writing(tmp_path / "w", None) as (writer, greenlet):
        greenlet.join(timeout=5)
        assert greenlet.successful()
    assert closed(writer, tmp_path / "w") == []


def environment_of_the_client() -> Mapping[str, str]:
    context = NodeContext(run_id="r", subnet_prefix="10.71.4", secrets=dict.fromkeys(SECRETS, "secret"))
    (client,) = [spec for spec in plan(topology(), context) if spec.name == "client"]
    return {**client.environment, **client.secrets}


def test_the_way_is_what_the_client_is_told() -> None:
    assert Way.from_environment(environment_of_the_client()) == Way(
        url="postgresql://hub:secret@10.71.4.20:5432/harness",
        keepalives_idle_s=2,
        keepalives_interval_s=1,
        keepalives_count=3,
        tcp_user_timeout_ms=3000,
    )
    assert Way.from_environment({"PLATFORM_URLS": "http://10.71.4.5"}) is None
    with pytest.raises(KeyError, match="DB_KEEPALIVES_IDLE_S"):
        Way.from_environment({"DATABASE_URL": "postgresql://h/d"})


def test_the_driver_gets_libpqs_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Error(Exception): ...

    class OperationalError(Error): ...

    class InternalError(Error): ...

    asked: list[tuple[str, dict[str, object]]] = []
    psycopg = SimpleNamespace(
        connect=lambda url, **arguments: asked.append((url, arguments)),
        Error=Error,
        OperationalError=OperationalError,
        InternalError=InternalError,
    )
    monkeypatch.setitem(sys.modules, "psycopg", psycopg)
    way = Way.from_environment(environment_of_the_client())
    assert way is not None
    driver = way.driver()
    driver.connect()
    (url, arguments) = asked[0]
    assert url == way.url
    assert arguments == {
        "autocommit": True,
        "connect_timeout": 2,
        "keepalives_idle": 2,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 3000,
    }
    assert driver.failures == (OperationalError, InternalError)
