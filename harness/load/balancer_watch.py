"""What each load balancer believes about each node: its own statistics, asked for on an absolute grid.

The statistics are HAProxy's CSV (its management guide, 9.1). Nothing is judged here: its words are written down as they
are, and a balancer that does not answer is a row too.
"""

from __future__ import annotations

import csv
import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import gevent.event
import gevent.pool

from harness.core.clock import to_ns
from harness.core.rows import UNREACHABLE, BalancerView, RowWriter
from harness.errors import RunError
from harness.load.deadlines import deadline
from harness.load.failures import BadAnswer, DeadlineMissed, describe
from harness.load.pacing import Grid, ticks

__all__ = ["ANSWER_S", "PERIOD_S", "VARIABLE", "BalancerWatch", "addresses", "read_statistics"]

#: Where the client's environment names the statistics of every balancer: URLs with spaces between.
VARIABLE = "BALANCER_STATISTICS"

#: A balancer changes its mind with its checks, every 0.5 s by default: asked less often, it could change it twice
#: between two answers; more often, nothing new would be heard.
PERIOD_S = 0.5
#: An answer takes milliseconds. A balancer that hangs is noticed in time, and costs two questions at the most.
ANSWER_S = 1.0
#: Between those of the probes (0, 0.06, 0.11 and 0.15 s), so that they do not compete for the processor.
_PHASE_S = 0.2

#: Column `type` of HAProxy's CSV: 0 is a frontend, 1 a backend as a whole, 2 a server, 3 a listener.
_SERVER: Final = "2"
_COLUMNS: Final = ("pxname", "svname", "type", "status", "check_status", "check_code")

#: What counts against the balancer; anything else is a mistake of the harness.
_FAILURES = (OSError, http.client.HTTPException, BadAnswer, DeadlineMissed)


def addresses(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The URLs of all balancers; none where the variable is absent."""
    return tuple(environment.get(VARIABLE, "").split())


def read_statistics(text: str) -> Iterator[tuple[str, str, str, str]]:
    """Backend, server, status and check of every server, from HAProxy's CSV.

    Raises `BadAnswer` if it is not that.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# "):
        raise BadAnswer("not HAProxy's statistics: the first line does not name the columns")
    rows = csv.DictReader([lines[0].removeprefix("# "), *lines[1:]])
    if missing := [column for column in _COLUMNS if column not in (rows.fieldnames or ())]:
        raise BadAnswer(f"HAProxy's statistics without {', '.join(missing)}")
    for row in rows:
        if None in row.values():  # it ends with the columns
            raise BadAnswer("HAProxy's statistics end in the middle of a line")
        if row["type"] == _SERVER:
            found = row["check_status"].removeprefix("* ")  # a check is under way
            code = f"/{row['check_code']}" if row["check_code"] else ""
            yield row["pxname"], row["svname"], row["status"], f"{found}{code}"


class BalancerWatch:
    """Asks every balancer on the grid, each in its own greenlet: one that is slow never delays another."""

    def __init__(self, urls: Sequence[str], path: Path) -> None:
        self._urls = tuple(urls)
        self._path = path
        self._rows = RowWriter(path, BalancerView)
        self._stop = gevent.event.Event()
        self._greenlets = gevent.pool.Group()
        self._broken = ""

    def start(self) -> None:
        """Begin; returns at once."""
        for url in self._urls:
            self._greenlets.spawn(self._follow, url).link_exception(self._note_broken)

    def check(self) -> None:
        """Raises `RunError` if the instrument broke: that is not the platform's doing."""
        if self._broken:
            raise RunError(f"the watch on the balancers broke: {self._broken}")

    def stop(self) -> dict[str, Any]:
        """Ask no more, wait for the answers that are under way, close the file; returns its path and rows."""
        self._stop.set()
        self._greenlets.join(timeout=ANSWER_S + 1)
        self._rows.close()
        self.check()
        return {"path": str(self._path), "rows": self._rows.rows}

    def _follow(self, url: str) -> None:
        grid = Grid(to_ns(_PHASE_S), to_ns(PERIOD_S))
        for _ in ticks(grid, self._stop):
            self._ask(url)

    def _ask(self, url: str) -> None:
        parts = urlsplit(url)
        balancer = parts.fragment or parts.netloc
        send_ns = time.monotonic_ns()
        try:
            with deadline(ANSWER_S):
                said = list(read_statistics(_get(parts.netloc, parts.path)))
        except _FAILURES as error:
            said = [("", "", UNREACHABLE, describe(error))]
        end_ns = time.monotonic_ns()
        for backend, server, status, check in said:
            self._rows.write(BalancerView(send_ns, end_ns, balancer, backend, server, status, check))

    def _note_broken(self, greenlet: Any) -> None:
        # gevent has printed the traceback; the harness hears of it with the next request
        self._broken = self._broken or f"{type(greenlet.exception).__name__}: {greenlet.exception}"


def _get(host: str, path: str) -> str:
    """The page, by a connection of its own: one that is kept would hide that the balancer accepts no new ones."""
    connection = http.client.HTTPConnection(host)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise BadAnswer(f"{answer.status} GET {path}")
    return body.decode("utf-8", errors="replace")
