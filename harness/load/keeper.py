"""Keeps the session alive that the work, reconnect and save probes need. The probes never wait for it."""

from __future__ import annotations

import gevent
import gevent.event

from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, deadline
from harness.load.failures import FAILURES
from harness.load.jupyterhub import JupyterHubClient
from harness.load.ladder import Event, Finding, Rung, climb, patiently
from harness.load.session import Action, Session

__all__ = ["Keeper"]


class Keeper:
    """A probe account with a session; after trouble it climbs the same ladder as everybody else."""

    def __init__(self, base_url: str, user: str, password: str, stop: Event) -> None:
        self._client = JupyterHubClient(base_url, user, password)
        self._session = Session(self._client, stop)
        self._stop = stop
        self._trouble = gevent.event.Event()
        self.ready = False
        """Whether there has been a session at all."""

    def run(self) -> None:
        """Start the session, then bring it back whenever a probe fails, until the run ends."""
        started = patiently(lambda: self._perform(Capability.LOG_IN, self._session.log_in) is None, self._stop)
        started = started and patiently(
            lambda: self._perform(Capability.START_SESSION, self._session.start) is None, self._stop
        )
        self.ready = started
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
