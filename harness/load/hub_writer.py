"""Has each hub write growing numbers into its own database, through JupyterHub's API as a person does, so that a run
can say whether an acknowledged one was lost.

Each number is the note of an API token that may do nothing: the smallest thing that a person can have made without any
right, and one row. JupyterHub commits it before it answers, and hashes a token of its own making once, not 16,384 times
as one that somebody chose (`Hashed.generated_rounds` and `APIToken.new` in jupyterhub/orm.py).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent.event

from harness.core.clock import to_ns
from harness.core.entrances import Entrance, places
from harness.core.names import hub_note, hub_writer_name
from harness.core.rows import HubWrite, RowWriter
from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, classify, deadline
from harness.load.failures import FAILURES, describe
from harness.load.jupyterhub import JupyterHubClient
from harness.load.keeper import MOVES_AT_MOST
from harness.load.ladder import Event, patiently
from harness.load.pacing import Grid, ticks

__all__ = ["WRITE_DEADLINE_S", "WRITE_PERIOD_S", "HubWriter", "HubWriters"]

#: Once a second to each hub, also while it fails: an instrument must not be the load, and a hub is one thread for
#: everybody's log-ins and starts. Measured: making a token and finding it again takes JupyterHub 6.1.1 2.1 ms of
#: processor, with SQLite and without the web request around it. The log-in probes take 60 ms a second.
WRITE_PERIOD_S = 1.0
#: Apart from the phases of the probes, for the same reason as theirs.
_PHASE_S = 0.2
#: The patience of whoever logs in, which is part of it where it must be done first.
WRITE_DEADLINE_S = DEADLINE_S[Capability.LOG_IN]


class HubWriter:
    """A person who does nothing but have tokens made. Every attempt is a row."""

    def __init__(
        self, place: int, come: Callable[[], JupyterHubClient], writer: str, rows: RowWriter[HubWrite], stop: Event
    ) -> None:
        """`come` opens a browser without cookies, which the balancer may send anywhere."""
        self._come = come
        self._writer = writer
        self._rows = rows
        self._stop = stop
        self._values = itertools.count(1)
        self._client = come()
        self._logged_in = False
        self.place = place
        self.settled = gevent.event.Event()
        """Set once it will not move of its own accord any more, or because the run ended first."""

    @property
    def node(self) -> str:
        """The node that answered it last; empty where nobody says."""
        return self._client.node

    def run(self, earlier: Sequence[HubWriter] = ()) -> None:
        """Log in on a node that none of the `earlier` writers is on, as far as that can be had; then write at each
        point of the grid, wherever the platform leads to, until the run ends."""
        self._settle(earlier)
        grid = Grid(to_ns(_PHASE_S), to_ns(WRITE_PERIOD_S))
        for due_ns in ticks(grid, self._stop):
            self._write(due_ns)
        self._client.close()

    def _settle(self, earlier: Sequence[HubWriter]) -> None:
        patiently(self._begin, self._stop)
        for writer in earlier:
            writer.settled.wait()
        for _ in range(MOVES_AT_MOST):
            if self._stop.is_set() or self.node not in {writer.node for writer in earlier if writer.node}:
                break
            self._client.close()
            self._client, self._logged_in = self._come(), False
            patiently(self._begin, self._stop)
        self.settled.set()

    def _begin(self) -> bool:
        """Log in before the first number. This is upkeep of the instrument, so it has no row."""
        try:
            with deadline(WRITE_DEADLINE_S):
                self._log_in()
        except FAILURES:
            self._client.close()
        return self._logged_in

    def _log_in(self) -> None:
        """Anew only where this hub does not know the log-in any more: it is another hub, or has lost it."""
        if not self._client.logged_in():
            self._client.log_in()
            self._client.logged_in()  # renews the cookie that the hub's API wants
        self._logged_in = True

    def _write(self, due_ns: int) -> None:
        """One number, which is used up whether it was acknowledged or not: nobody knows if it arrived."""
        value, failure = next(self._values), ""
        send_ns = time.monotonic_ns()
        try:
            with deadline(WRITE_DEADLINE_S):
                if not self._logged_in:
                    self._log_in()
                self._client.create_token(hub_note(self._writer, value))
        except FAILURES as error:
            failure = describe(error)
        end_ns = time.monotonic_ns()
        ok, detail = classify(send_ns, end_ns, failure, WRITE_DEADLINE_S)
        self._rows.write(HubWrite(self._writer, value, due_ns, send_ns, end_ns, ok, self.node, detail))
        if not ok:
            self._client.close()
            self._logged_in = False


class HubWriters:
    """A writer for each place where people come in, and the file with all their rows."""

    def __init__(
        self,
        entrances: Sequence[Entrance],
        password: str,
        path: Path,
        stop: Event,
        *,
        serving_nodes: int,
        writer: str,
    ) -> None:
        """Each has an account of its own, with the writer's name."""
        self._apart = len(entrances) == 1
        self._rows = RowWriter(path, HubWrite)

        def one(place: int, entrance: Entrance) -> HubWriter:
            name = hub_writer_name(writer, place)
            return HubWriter(
                place,
                lambda: JupyterHubClient(entrance.url, f"probe-{name}", password, node=entrance.node),
                name,
                self._rows,
                stop,
            )

        self.everybody = tuple(one(*at) for at in enumerate(places(entrances, serving_nodes)))

    def earlier(self, writer: HubWriter) -> tuple[HubWriter, ...]:
        """Those whose nodes `writer` leaves to them."""
        return self.everybody[: writer.place] if self._apart else ()

    def close(self) -> int:
        """Close the file; returns the number of rows."""
        self._rows.close()
        return self._rows.rows
