"""Writes growing numbers into the platform's database, so that a run can say whether an acknowledged one was lost.

One writer with one connection: what it was told is in the order in which the server said it. It has a connection of its
own, past the hub, because the hub can't say which of its writes were acknowledged.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.core.clock import to_ns
from harness.core.names import WRITES_TABLE
from harness.core.rows import DatabaseWrite, RowWriter
from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, classify, deadline
from harness.load.failures import FAILURES, describe
from harness.load.ladder import Event, patiently
from harness.load.pacing import Grid, ticks

__all__ = ["WRITE_DEADLINE_S", "WRITE_PERIOD_S", "Connection", "DatabaseWriter", "Driver", "Way"]

#: 20 a second. What a failover loses is the end of what was acknowledged, so the period is how exactly that end is
#: known; and a second of steady state is enough to show that the writer works. Each commit is one synced write (0.75 ms
#: on the database's disk), so they keep that disk busy for 1.5% of the time.
WRITE_PERIOD_S = 0.05
#: The patience of whoever saves into a home. The connection, where it must be made first, is part of it.
WRITE_DEADLINE_S = DEADLINE_S[Capability.SAVE]

_CREATE = f"create table if not exists {WRITES_TABLE} (writer text not null, value bigint not null)"
_SERVER = "select host(inet_server_addr())"
_INSERT = f"insert into {WRITES_TABLE} values (%s, %s)"  # noqa: S608 - a name that stands in the code


class Connection(Protocol):
    """What is used of a psycopg connection in autocommit mode."""

    def execute(self, query: str, params: tuple[str, int] | None = None) -> Any: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Driver:
    """How to connect, and what counts against the platform when it is raised."""

    connect: Callable[[], Connection]
    failures: tuple[type[Exception], ...]


@dataclass(frozen=True, kw_only=True)
class Way:
    """The way to the database, with libpq's limits as the platform's own nodes have them."""

    url: str
    keepalives_idle_s: int
    keepalives_interval_s: int
    keepalives_count: int
    tcp_user_timeout_ms: int
    connect_timeout_s: int = 2
    """The shortest that libpq accepts, and what the nodes have."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Way | None:
        """None without `DATABASE_URL`: then the platform has no database. Raises `KeyError` for half a description."""
        if "DATABASE_URL" not in environment:
            return None
        return cls(
            url=environment["DATABASE_URL"],
            keepalives_idle_s=int(environment["DB_KEEPALIVES_IDLE_S"]),
            keepalives_interval_s=int(environment["DB_KEEPALIVES_INTERVAL_S"]),
            keepalives_count=int(environment["DB_KEEPALIVES_COUNT"]),
            tcp_user_timeout_ms=int(environment["DB_TCP_USER_TIMEOUT_MS"]),
        )

    def driver(self) -> Driver:
        """psycopg. It waits with what gevent has patched (`select`), so it holds up nobody else.

        Its OperationalError and InternalError are the platform's doing: a server that is gone, starts, shuts down, has
        no room, or takes no writes because it is primary no longer. Any other (a statement it does not understand, a
        missing permission) is a mistake of the harness.
        """
        import psycopg  # noqa: PLC0415 - it needs libpq, which is there where there is a database to talk to

        def connect() -> Connection:
            connection: Connection = psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=self.connect_timeout_s,
                keepalives_idle=self.keepalives_idle_s,
                keepalives_interval=self.keepalives_interval_s,
                keepalives_count=self.keepalives_count,
                tcp_user_timeout=self.tcp_user_timeout_ms,
            )
            return connection

        return Driver(connect, (psycopg.OperationalError, psycopg.InternalError))


class DatabaseWriter:
    """Every attempt is a row. Without a driver there is no database, and the file has no rows."""

    def __init__(self, driver: Driver | None, writer: str, path: Path, stop: Event) -> None:
        self._driver = driver
        self._writer = writer
        self._stop = stop
        self._rows = RowWriter(path, DatabaseWrite)
        self._values = itertools.count(1)
        self._connection: Connection | None = None
        self._server = ""

    def run(self) -> None:
        """Write at each point of the grid; after a failure try again with short random pauses, on a new connection.

        Returns when the run ends.
        """
        driver = self._driver
        if driver is None:
            return
        grid = Grid(0, to_ns(WRITE_PERIOD_S))
        for due_ns in ticks(grid, self._stop):
            if not self._write(driver, due_ns):
                patiently(lambda: self._write(driver, time.monotonic_ns()), self._stop)
        self._disconnect()

    def close(self) -> int:
        """Close the file; returns the number of rows."""
        self._rows.close()
        return self._rows.rows

    def _write(self, driver: Driver, due_ns: int) -> bool:
        """One number, which is used up whether it was acknowledged or not: nobody knows if it arrived."""
        value, failure = next(self._values), ""
        send_ns = time.monotonic_ns()
        try:
            with deadline(WRITE_DEADLINE_S):
                connection = self._connection or self._connect(driver)
                connection.execute(_INSERT, (self._writer, value))
        except (*FAILURES, *driver.failures) as error:
            failure = describe(error)
        end_ns = time.monotonic_ns()
        ok, detail = classify(send_ns, end_ns, failure, WRITE_DEADLINE_S)
        self._rows.write(DatabaseWrite(self._writer, value, due_ns, send_ns, end_ns, ok, self._server, detail))
        if not ok:
            self._disconnect()
        return bool(ok)

    def _connect(self, driver: Driver) -> Connection:
        connection = self._connection = driver.connect()
        self._server = str(connection.execute(_SERVER).fetchone()[0])
        connection.execute(_CREATE)
        return connection

    def _disconnect(self) -> None:
        """Closing sends no cancel: a server that waits for its replica would take that as a reason to acknowledge."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._server = None, ""
