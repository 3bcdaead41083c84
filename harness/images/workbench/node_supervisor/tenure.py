"""A node that needs no lease, because it serves whatever others do; it only watches whether its database answers."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg

from node_supervisor.log import log
from node_supervisor.machine import Lease
from node_supervisor.settings import Settings

__all__ = ["OwnTenure"]


class OwnTenure(threading.Thread):
    """Looks like `LeaseKeeper`, and always holds. In its own thread: a query blocks while the database is frozen."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="database", daemon=True)
        self._settings = settings
        self._connection: psycopg.Connection[Any] | None = None
        self._answered_ns = 0
        self._answers = True
        #: Whether the node can do its part; written by the supervisor.
        self.wanted = False

    @property
    def view(self) -> Lease:
        """Nobody else wants what this node has; but a hub that finds no database ends, so there must have been one."""
        if not self.database_answered_ns:
            return Lease.UNREACHABLE
        return Lease.HELD if self.wanted else Lease.IDLE

    @property
    def held_ns(self) -> int:
        """Now: nobody can have taken anything while the node was frozen."""
        return time.monotonic_ns()

    @property
    def database_answered_ns(self) -> int:
        """When the last look that the database answered began, monotonic. A file needs no looking at."""
        return self._answered_ns if self._settings.has_server else time.monotonic_ns()

    def give_up(self) -> None:
        """There is nothing to give up: such a node is never fenced."""

    def run(self) -> None:
        while self._settings.has_server:
            began = time.monotonic_ns()
            try:
                self._look()
            except (psycopg.Error, OSError) as error:
                self._close()
                if self._answers:
                    log("database", f"{type(error).__name__}: {str(error).strip()[:200]}")
                self._answers = False
            else:
                if not self._answers:
                    log("database", "answers again")
                self._answered_ns, self._answers = began, True
            time.sleep(self._settings.heartbeat_s)

    def _look(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._settings.database_url,
                autocommit=True,
                application_name=self._settings.node_name,
                **self._settings.connect_arguments,
            )
        self._connection.execute("select 1")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
