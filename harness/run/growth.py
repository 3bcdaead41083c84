"""More people, step by step, while faults come and go: looks whether a step was carried, and goes on or not.

That one decision is taken here because the next step depends on it. It is recorded with what it was taken from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.clock import Clock, to_ns
from harness.core.experiment import Experiment
from harness.core.history import EventKind, GrowthEnd, GrowthStep, HistoryWriter
from harness.run.watcher import Watcher
from harness.runtime.base import Peer

__all__ = ["Growing"]


class Growing:
    """The growth of one experiment; without one it never does anything."""

    def __init__(self, experiment: Experiment, history: HistoryWriter, clock: Clock, watcher: Watcher) -> None:
        self._growth = experiment.growth
        self._history = history
        self._clock = clock
        self._watcher = watcher
        self._users = self._users_before = experiment.load.users
        self._working = 0
        self._due_ns: int | None = None
        self._step_began_ns = 0
        self.began = False
        """Whether people are, or were, overloaded on purpose."""

    @property
    def users(self) -> int:
        """Everybody who has come so far."""
        return self._users

    @property
    def goes_on(self) -> bool:
        """Whether there is a step to look at, or growth is still to begin."""
        return self._due_ns is not None

    def plan(self, start_ns: int) -> None:
        """The steady state was reached at `start_ns`."""
        if self._growth is not None:
            self._due_ns = start_ns + to_ns(self._growth.at_s)

    def look(self, client: Peer, snapshot: Mapping[str, Any]) -> None:
        """If a step is over, see how people are, and let the next group come or end."""
        growth = self._growth
        self._working = snapshot["users"].get("working", 0)
        if growth is None or self._due_ns is None or snapshot["t_ns"] < self._due_ns:
            return
        carried = growth.carried(self._working, self._users, growth.working_at_least_percent)
        if self.began:
            self._record_step(carried=carried)
        if not carried:
            how = GrowthEnd.NOT_CARRIED if self.began else GrowthEnd.NOT_BEGUN
            self._end(how, f"{self._working} of {self._users} people could work")
        elif self._users >= growth.users_at_most:
            self._end(GrowthEnd.AT_MOST, f"all {self._users} people have come")
        else:
            self._let_come(client, min(growth.users_each, growth.users_at_most - self._users), growth.every_s)

    def come(self, client: Peer, more: int, snapshot: Mapping[str, Any]) -> None:
        """For a script, which decides by itself: so many more come now; before the first of them growth begins."""
        self._working = snapshot["users"].get("working", 0)
        self._let_come(client, more, 0.0)

    def seen(self, snapshot: Mapping[str, Any], *, carried: bool) -> None:
        """For a script: the step of the group that came last is over; one that was not carried ends the growth."""
        self._working = snapshot["users"].get("working", 0)
        self._record_step(carried=carried)
        if not carried:
            self._end(GrowthEnd.NOT_CARRIED, f"{self._working} of {self._users} people could work")

    def nobody_more(self) -> None:
        """For a script: it ends, and with it a growth that goes on."""
        if self.began and self.goes_on:
            self._end(GrowthEnd.AT_MOST, f"all {self._users} people have come")

    def undoing(self) -> None:
        """A fault is about to be undone: from then on it is not in force, so a growth that has begun ends."""
        if self.began and self.goes_on:
            self._end(GrowthEnd.UNDONE, "a fault was undone before")

    def cut_short(self) -> None:
        """The experiment ends: what has not come yet never comes."""
        self._due_ns = None

    def _let_come(self, client: Peer, more: int, every_s: float) -> None:
        if not self.began:
            # stamped before anybody comes: here ends the time in which people were not overloaded on purpose
            self._append(GrowthStep.BEGIN, {"users": self._users, "working": self._working})
            self.began = True
        self._step_began_ns = self._clock.now_ns()
        client.call("grow", users=more)
        self._users_before, self._users = self._users, self._users + more
        self._due_ns = self._clock.now_ns() + to_ns(every_s)
        self._watcher.note(f"{more} more people come, {self._users} in all")

    def _record_step(self, *, carried: bool) -> None:
        self._append(
            GrowthStep.STEP,
            {
                "began_ns": self._step_began_ns,
                "users_before": self._users_before,
                "users_after": self._users,
                "working": self._working,
                "carried": carried,
            },
        )

    def _end(self, how: GrowthEnd, reason: str) -> None:
        self._due_ns = None
        self._append(
            GrowthStep.END, {"how": how.value, "users": self._users, "working": self._working, "reason": reason}
        )
        self._watcher.note(f"growth {'ended' if self.began else 'did not begin'}: {reason}")

    def _append(self, step: GrowthStep, data: Mapping[str, Any]) -> None:
        self._history.append(EventKind.GREW, {"step": step.value, **data})
