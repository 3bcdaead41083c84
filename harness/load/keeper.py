"""Keep the sessions alive that the work, reconnect and save probes need. The probes never wait for them.

Whoever has a session on one node sees nothing of the others, so there is a keeper for each place where people have
theirs: for each entrance, or behind one balancer for each node that serves at the same time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import gevent
import gevent.event

from harness.core.entrances import Entrance, places
from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, deadline
from harness.load.failures import FAILURES
from harness.load.jupyterhub import JupyterHubClient
from harness.load.ladder import Event, Finding, Rung, climb, patiently
from harness.load.session import Action, Session
from harness.load.starts import Account, clean

__all__ = ["MOVES_AT_MOST", "Keeper", "Keepers"]

#: How often a keeper tries for a node of its own. Of two nodes a balancer that goes round, or by the number of
#: connections, gives a newcomer the wrong one half of the time at worst: five tries miss three times in a hundred. Each
#: costs a start and a stop of a server, some seconds, before the probes begin.
MOVES_AT_MOST = 5


class Keeper:
    """A probe account with a session; after trouble it climbs the same ladder as everybody else."""

    def __init__(self, number: int, entrance: Entrance, password: str, stop: Event) -> None:
        self.number = number
        self._entrance = entrance
        self._password = password
        self._stop = stop
        self._trouble = gevent.event.Event()
        self._open()
        self.settled = gevent.event.Event()
        """Set once it will not move of its own accord any more, with a session or because the run ended first."""
        self.ready = False
        """Whether it has settled with a session."""

    @property
    def node(self) -> str:
        """The node that answered it last; empty where nobody says."""
        return self._client.node

    def run(self, earlier: Sequence[Keeper] = ()) -> None:
        """Start the session on a node that none of the `earlier` keepers is on, as far as that can be had; then bring
        it back whenever a probe fails, wherever the platform puts it, until the run ends."""
        started = self._begin()
        for keeper in earlier:
            keeper.settled.wait()
        for _ in range(MOVES_AT_MOST):
            if not started or self.node not in {keeper.node for keeper in earlier if keeper.node}:
                break
            started = self._move()
        self.ready = started
        self.settled.set()
        while not self._stop.is_set():
            self._client.leave()  # the probes bring their own connections; an idle one would only fill up
            self._trouble.wait()
            self._trouble.clear()
            climb(self._attempt, self._stop)

    def trouble(self) -> None:
        """A probe failed, or the run ends."""
        self._trouble.set()

    def visitor(self) -> JupyterHubClient:
        """The account with new connections, for one probe."""
        return self._client.fresh()

    def _open(self) -> None:
        """A browser without cookies: the balancer may send it anywhere."""
        self._client = JupyterHubClient(
            self._entrance.url, f"probe-session-{self.number}", self._password, node=self._entrance.node
        )
        self._session = Session(self._client, self._stop)

    def _begin(self) -> bool:
        """Log in and start the session, as often as it takes; False if the run ended first."""
        return patiently(
            lambda: self._perform(Capability.LOG_IN, self._session.log_in) is None, self._stop
        ) and patiently(lambda: self._perform(Capability.START_SESSION, self._session.start) is None, self._stop)

    def _move(self) -> bool:
        """Have the server stopped, so that it is not left behind on the other node, and come as somebody new."""
        clean(Account(self._client), self._stop)
        self._client.close()
        self._open()
        return self._begin()

    def _attempt(self, rung: Rung) -> Finding:
        return self._session.attempt(rung, self._perform)

    def _perform(self, capability: Capability, action: Action, *, rung: Rung | None = None) -> Exception | None:
        """As a person does it, but without rows: this is upkeep of the instrument."""
        del rung
        try:
            with deadline(DEADLINE_S[capability]):
                action()
        except FAILURES as error:
            self._client.close()
            return error
        return None


class Keepers:
    """A keeper for each entrance; with a single one, a keeper for each node that serves."""

    def __init__(self, entrances: Sequence[Entrance], serving_nodes: int, password: str, stop: Event) -> None:
        self._apart = len(entrances) == 1
        where = places(entrances, serving_nodes)
        self.everybody = tuple(Keeper(number, entrance, password, stop) for number, entrance in enumerate(where))

    @property
    def ready(self) -> bool:
        """Whether there is a session everywhere, so that no place is probed before the others."""
        return all(keeper.ready for keeper in self.everybody)

    def earlier(self, keeper: Keeper) -> tuple[Keeper, ...]:
        """Those whose nodes `keeper` leaves to them. They start all at once, and give way in the order of their
        numbers."""
        return self.everybody[: keeper.number] if self._apart else ()

    def turns(self) -> Iterator[Keeper]:
        """Each in turn, for ever. Each kind of probe needs turns of its own: two kinds that shared one would each see
        every other place only."""
        return itertools.cycle(self.everybody)

    def trouble(self) -> None:
        """The run ends: nobody needs to wait for trouble any more."""
        for keeper in self.everybody:
            keeper.trouble()
