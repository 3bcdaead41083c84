"""Locust runs the people: one `WorkbenchUser` each.

Importing this module patches the standard library for gevent (Locust does so), so only the client process may.
"""

from __future__ import annotations

import logging
from typing import Any

from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from harness.load.people import People

__all__ = ["LoadEnvironment", "WorkbenchUser"]

_log = logging.getLogger(__name__)


class LoadEnvironment(Environment):
    """Locust's environment that also knows the people."""

    def __init__(self, people: People, *, stop_timeout_s: float) -> None:
        super().__init__(user_classes=[WorkbenchUser], stop_timeout=stop_timeout_s)
        self.people = people


class WorkbenchUser(User):
    """A data scientist. All behaviour is in `Person`; this gives it a greenlet, a start, a rhythm and an end."""

    environment: LoadEnvironment

    def __init__(self, environment: LoadEnvironment) -> None:
        super().__init__(environment)
        self.person = environment.people.next_person()

    def on_start(self) -> None:
        """Called once by Locust before the first beat."""
        self._guarded(self.person.arrive)

    def on_stop(self) -> None:
        """Called once by Locust after the last beat."""
        self.person.leave()

    def wait_time(self) -> float:
        """Seconds until the next point of this person's own time grid."""
        return self.person.seconds_to_next_beat()

    @task
    def beat(self) -> None:
        """One beat of work."""
        self._guarded(self.person.beat)
        if self.person.gone:
            raise StopUser

    def _guarded(self, action: Any) -> None:
        try:
            action()
        except Exception:
            # Locust would log it and carry on, beat after beat, which reads as a person who works
            self.person.give_up()
            _log.exception("%s: a mistake of the load client ends this person", self.person.name)
            raise StopUser from None
