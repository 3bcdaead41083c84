"""Somebody who comes to one node to see whether it works for people: logs in, starts a session, runs a cell, saves."""

from __future__ import annotations

import gevent

from harness.core.entrances import Entrance
from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, PROBE_DEADLINE_S, deadline
from harness.load.failures import FAILURES, describe
from harness.load.jupyterhub import JupyterHubClient
from harness.load.ladder import Event
from harness.load.session import Action, Session

__all__ = ["Visit"]


class Visit:
    """One visit, by an account of its own; it begins at once, and each step is tried once."""

    def __init__(self, entrance: Entrance, name: str, password: str, stop: Event) -> None:
        self.over = False
        self.why_not = ""
        """Which step failed and how; empty while none has."""
        self._client = JupyterHubClient(entrance.url, name, password, node=entrance.node)
        self._session = Session(self._client, stop)
        gevent.spawn(self._make)

    def _make(self) -> None:
        steps: tuple[tuple[Capability, Action], ...] = (
            (Capability.LOG_IN, self._session.log_in),
            (Capability.START_SESSION, self._session.start),
            (Capability.WORK, self._session.work),
            (Capability.SAVE, lambda: self._session.save(1)),
        )
        for capability, action in steps:
            self.why_not = self._failure(capability, action)
            if self.why_not:
                break
        self._end()
        self.over = True

    def _failure(self, capability: Capability, action: Action) -> str:
        try:
            with deadline(PROBE_DEADLINE_S[capability]):
                action()
        except FAILURES as error:
            return f"{capability.value}: {describe(error)}"
        return ""

    def _end(self) -> None:
        """Leave nothing running; where the node fails at this, it has failed at something before."""
        try:
            with deadline(DEADLINE_S[Capability.LOG_IN]):
                self._client.stop_server()
        except FAILURES as error:
            self.why_not = self.why_not or f"the end of the session: {describe(error)}"
        self._client.close()
