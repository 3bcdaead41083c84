"""The lease: a Postgres advisory lock, held by an open connection, and a record of who held it last.

The lock excludes; the record tells a node that comes back whether somebody else was active in between.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg

from node_supervisor.log import log
from node_supervisor.machine import Lease, LeaseRow, may_take, still_ours
from node_supervisor.settings import Settings, Takeover

__all__ = ["LeaseKeeper"]

LOCK_KEY = 7_100_001
#: The holder tries more often than a standby, so that it wins when the database comes back.
RETRY_S = 0.1
#: After the database was away a standby lets the former holder, which kept its sessions, come back first: ten of the
#: holder's tries. It costs nothing when a node dies, because then the standby's connection stays.
HOLDER_FIRST_S = 1.0

CREATE = """
create table if not exists node_lease (
  id int primary key check (id = 1), holder text not null, epoch bigint not null,
  taken_at timestamptz not null
)"""
READ = "select holder, epoch from node_lease where id = 1"
TAKE = """
insert into node_lease values (1, %(node)s, %(epoch)s, now())
on conflict (id) do update
  set holder = excluded.holder, epoch = excluded.epoch, taken_at = excluded.taken_at"""
HOLDER = """
select a.application_name, a.pid from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and (l.classid::bigint << 32 | l.objid::bigint) = %(key)s
  and l.database = (select oid from pg_database where datname = current_database())"""


class LeaseKeeper(threading.Thread):
    """Keeps asking the database, in its own thread: a query blocks for as long as the database is frozen."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="lease", daemon=True)
        self._settings = settings
        self._connection: psycopg.Connection[Any] | None = None
        self._connected_s = 0.0
        self._holding = False
        self._epoch: int | None = None  # of this node's tenure; None when it has none
        self._given_up = threading.Event()
        #: Whether to ask for the lease; written by the supervisor.
        self.wanted = False
        #: What the last look found.
        self.view = Lease.UNREACHABLE
        #: When the last look that found the lease held began, monotonic.
        self.held_ns = 0
        #: When the last look that the database answered began, monotonic.
        self.database_answered_ns = 0

    def give_up(self) -> None:
        """Ends the tenure; called when the node is fenced."""
        self._given_up.set()

    def run(self) -> None:
        while True:
            began = time.monotonic_ns()
            before = self.view
            try:
                self.view = self._look()
                self.database_answered_ns = began
            except (psycopg.Error, OSError) as error:
                self._close()
                self.view = Lease.UNREACHABLE if self._epoch is None else Lease.CONTACT_LOST
                if self.view is not before:
                    log("lease", f"database: {type(error).__name__}: {str(error).strip()[:200]}")
            if self.view is Lease.HELD:
                self.held_ns = began
            if self.view is not before:
                log("lease", self.view.value)
            time.sleep(self._pause_s())

    def _pause_s(self) -> float:
        match self.view:
            case Lease.HELD:
                return self._settings.heartbeat_s
            case Lease.CONTACT_LOST | Lease.TAKEN_AWAY:
                return RETRY_S
            case _:
                return self._settings.standby_poll_s

    def _look(self) -> Lease:
        if self._given_up.is_set():
            self._close()  # the connection may be the one that holds the lock
            self._epoch = None
            self._given_up.clear()
        elif self.view is Lease.TAKEN_AWAY:
            return Lease.TAKEN_AWAY  # until the supervisor has fenced
        connection = self._connection or self._connect()
        if self._holding:
            connection.execute("select 1")
            return Lease.HELD
        if self._epoch is not None:
            return self._take_again(connection, self._epoch)
        return self._ask(connection)

    def _connect(self) -> psycopg.Connection[Any]:
        settings = self._settings
        connection = psycopg.connect(
            settings.database_url,
            autocommit=True,
            application_name=settings.node_name,
            **settings.connect_arguments,
        )
        self._connection = connection
        self._connected_s = time.monotonic()
        connection.execute(CREATE)
        return connection

    def _close(self) -> None:
        self._holding = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, connection: psycopg.Connection[Any]) -> Lease:
        last = self._record(connection)
        if not self.wanted:
            return Lease.IDLE
        if not may_take(self._settings.takeover is Takeover.FIRST_HOLDER, last, self._settings.node_name):
            return Lease.BARRED
        if self._holder_comes_first(last) or not self._lock(connection):
            self._end_own_remains(connection)
            return Lease.ELSEWHERE
        # read again under the lock: another tenure may have come and gone since
        last = self._record(connection)
        if not may_take(self._settings.takeover is Takeover.FIRST_HOLDER, last, self._settings.node_name):
            self._close()
            return Lease.BARRED
        epoch = 1 if last is None else last.epoch + 1
        self._write(connection, epoch)
        return Lease.HELD

    def _holder_comes_first(self, last: LeaseRow | None) -> bool:
        """Whether another node held the lease and has not had the time yet to come back to the database."""
        if last is None or last.holder == self._settings.node_name:
            return False
        return time.monotonic() - self._connected_s < HOLDER_FIRST_S

    def _take_again(self, connection: psycopg.Connection[Any], epoch: int) -> Lease:
        """After a lost connection: goes on with the tenure, or learns that it has ended."""
        if self._lock(connection):
            if still_ours(self._record(connection), self._settings.node_name, epoch):
                self._write(connection, epoch)
                return Lease.HELD
            self._close()
            return Lease.TAKEN_AWAY
        return Lease.TAKEN_AWAY if self._end_own_remains(connection) else Lease.CONTACT_LOST

    def _lock(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("select pg_try_advisory_lock(%s::bigint)", (LOCK_KEY,)).fetchone()
        return bool(row and row[0])

    def _record(self, connection: psycopg.Connection[Any]) -> LeaseRow | None:
        row = connection.execute(READ).fetchone()
        return None if row is None else LeaseRow(holder=row[0], epoch=row[1])

    def _write(self, connection: psycopg.Connection[Any], epoch: int) -> None:
        # The kernel answers TCP's own probes even while every process of a node is frozen; only the database
        # can tell a silent holder from a living one.
        ttl_ms = round(self._settings.lease_ttl_s * 1000)
        connection.execute("select set_config('idle_session_timeout', %s, false)", (str(ttl_ms),))
        connection.execute(TAKE, {"node": self._settings.node_name, "epoch": epoch})
        self._holding = True
        self._epoch = epoch

    def _end_own_remains(self, connection: psycopg.Connection[Any]) -> bool:
        """Ends a connection of this node that the server has not yet noticed to be dead.

        Returns:
            Whether it is another node that holds the lock.
        """
        row = connection.execute(HOLDER, {"key": LOCK_KEY}).fetchone()
        if row is None:
            return False
        if row[0] != self._settings.node_name:
            return True
        log("lease", "ending the remains of this node's own former connection")
        connection.execute("select pg_terminate_backend(%s)", (row[1],))
        return False
