"""What a data scientist does: log in, start, run a cell each beat, save now and then, come back after a failure, leave.

Nothing here knows Locust; `users` lets Locust run it.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import gevent

from harness.core.attendance import DayPoint, Stay, moves
from harness.core.clock import to_ns, to_s
from harness.core.entrances import Entrance
from harness.core.rows import Operation
from harness.core.words import LEAVE, Capability
from harness.load.deadlines import DEADLINE_S, classify, deadline
from harness.load.failures import FAILURES, describe
from harness.load.jupyterhub import JupyterHubClient
from harness.load.ladder import Event, Finding, Rung, climb, patiently
from harness.load.pacing import Grid, wait_for_turn
from harness.load.session import Action, Session

__all__ = ["People", "Person", "PersonState", "Plan"]

#: The hub answers such a request within milliseconds, the stop itself goes on behind it.
_END_SESSION_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many people, how busy."""

    prefix: str
    """What their names begin with, so that nobody finds the home of somebody of an earlier crowd."""
    entrances: tuple[Entrance, ...]
    """Person i always takes entrance i modulo their number: his team's server, where each team has its own."""
    serving_nodes: int
    """How many nodes serve people at the same time."""
    password: str = field(repr=False)
    users: int
    beat_s: float
    save_every: int
    ramp_s: float
    start_probe_every_s: float
    seed: int

    def session(self, name: str, entrance: Entrance, stop: Event) -> Session:
        """What the person of this name has on the platform."""
        return Session(JupyterHubClient(entrance.url, name, self.password, node=entrance.node), stop)


class PersonState(StrEnum):
    """What a person is at."""

    STARTING = "starting"
    WORKING = "working"
    RECOVERING = "recovering"
    AWAY = "away"
    """Not there because they don't want to be: before they come, or after they went."""
    GAVE_UP = "gave_up"
    """Only a mistake of the harness ends a person early: the ladder itself never gives up."""


class Person:
    """One data scientist with one session at a time."""

    def __init__(
        self,
        index: int,
        plan: Plan,
        record: Callable[[Operation], None],
        stop: Event,
        *,
        start_ns: int,
        arrival_ns: int,
    ) -> None:
        """`start_ns` anchors everybody's time grid; at `arrival_ns` this person comes."""
        self.name = f"{plan.prefix}user-{index:03d}"
        self.state = PersonState.STARTING
        self._record = record
        self._stop = stop
        self._save_every = plan.save_every
        self.arrival_ns = arrival_ns
        phase_s = random.Random(f"{plan.seed}/{index}").random() * plan.beat_s  # noqa: S311 - reproducible, not secret
        self._grid = Grid(start_ns + to_ns(phase_s), to_ns(plan.beat_s))
        self._due_ns = 0
        self._beats = 0
        self._last_number = 0
        self._plan = plan
        self._entrance = plan.entrances[index % len(plan.entrances)]
        self._stay: Stay | None = None
        self._stays = random.Random(f"{plan.seed}/{index}/stay")  # noqa: S311 - as above
        self.leaves_ns: int | None = None
        """When this person means to go; None: stays for ever."""
        self._sessions = 0
        self._open()

    def _open(self) -> None:
        """A browser without cookies: nobody on the platform knows where this person was before."""
        self._session = self._plan.session(self.name, self._entrance, self._stop)
        self._client = self._session.client
        self._sessions += 1

    @property
    def gone(self) -> bool:
        """Whether this person went for good."""
        return self.state is PersonState.AWAY and self.leaves_ns is not None and self._stay is None

    def stay(self, stay: Stay, from_ns: int) -> None:
        """From now on this person goes home after a while, and comes back; counted from `from_ns` at first."""
        self._stay = stay
        self._draw_leaving(stay, from_ns)

    def leave_at(self, leaves_ns: int) -> None:
        """This person goes home then, for good."""
        self.leaves_ns = leaves_ns

    def _draw_leaving(self, stay: Stay, from_ns: int) -> None:
        self.leaves_ns = from_ns + to_ns(self._stays.uniform(stay.at_least_s, stay.at_most_s))

    def arrive(self) -> None:
        """Wait for one's turn, log in and start the session; as often as it takes."""
        if not wait_for_turn(self.arrival_ns, self._stop):
            return
        self.state = PersonState.STARTING
        due_ns = self.arrival_ns

        def log_in() -> bool:
            nonlocal due_ns
            failure = self._perform(Capability.LOG_IN, self._session.log_in, due_ns=due_ns)
            due_ns = 0
            return failure is None

        def start() -> bool:
            return self._perform(Capability.START_SESSION, self._session.start) is None

        if patiently(log_in, self._stop) and patiently(start, self._stop):
            self.state = PersonState.WORKING
            if self._stay is not None:
                self._draw_leaving(self._stay, time.monotonic_ns())
        self._due_ns = self._grid.first_at_or_after(time.monotonic_ns())

    def leave(self) -> None:
        """Go home at the end of the run."""
        self._client.leave()

    def end_session(self) -> bool:
        """Have the hub stop the session after the run is over; whether it was asked successfully."""
        if self.state is PersonState.AWAY:
            return True
        try:
            with deadline(_END_SESSION_S):
                self._client.stop_server()
        except FAILURES:
            return False  # whoever needs the room finds out by themselves
        finally:
            self._client.close()
        return True

    @property
    def node(self) -> str:
        """Which node answered last."""
        return self._client.node

    def seconds_to_next_beat(self) -> float:
        """How long to think."""
        return max(0.0, to_s(self._due_ns - time.monotonic_ns()))

    def beat(self) -> None:
        """Run a cell, save if it is time to, recover if one of them failed; or go home, or come back."""
        if self.state is PersonState.AWAY:
            self.arrive()
            return
        due_ns = self._due_ns
        if self.state is not PersonState.WORKING or not wait_for_turn(due_ns, self._stop):
            return
        self._beats += 1
        failure = self._perform(Capability.WORK, self._session.work, due_ns=due_ns, expected=self._session.known + 1)
        if failure is None and self._beats % self._save_every == 0:
            failure = self._save(due_ns)
        if failure is not None:
            self._recover()
        elif self.leaves_ns is not None and due_ns >= self.leaves_ns:
            self._go_home(due_ns, self.leaves_ns)  # after good work: whoever goes has seen how a failure ended
        self._due_ns = self._grid.after(due_ns, time.monotonic_ns())

    def give_up(self) -> None:
        """The harness made a mistake with this person; the snapshot shows it."""
        self.state = PersonState.GAVE_UP

    def _go_home(self, due_ns: int, leaves_ns: int) -> None:
        """End the session, log out and go, whatever the platform makes of it."""
        self._client.leave()
        send_ns = time.monotonic_ns()
        detail = ""
        try:
            with deadline(_END_SESSION_S):
                self._client.stop_server()
                self._client.log_out()
        except FAILURES as error:
            detail = describe(error)
        self.state = PersonState.AWAY
        self._client.close()
        now_ns = time.monotonic_ns()
        self._record_operation(
            LEAVE, None, times_ns=(due_ns, send_ns, now_ns), counters=(-1, -1), ok=True, detail=detail
        )
        if self._stay is not None:
            self.arrival_ns = max(now_ns, leaves_ns + to_ns(self._stay.away_s))
            self._open()

    def _save(self, due_ns: int) -> Exception | None:
        # A number is used once, answered or not: an unanswered save may be on disk, and nobody could tell it from a
        # second one of the same number.
        self._last_number += 1
        number = self._last_number
        return self._perform(Capability.SAVE, lambda: self._session.save(number), due_ns=due_ns, expected=number)

    def _recover(self) -> None:
        self.state = PersonState.RECOVERING
        if climb(self._attempt, self._stop):
            self.state = PersonState.WORKING

    def _attempt(self, rung: Rung) -> Finding:
        return self._session.attempt(rung, self._perform)

    def _perform(
        self,
        capability: Capability,
        action: Action,
        *,
        rung: Rung | None = None,
        due_ns: int = 0,
        expected: int = -1,
    ) -> Exception | None:
        """Carry out one operation within its deadline, write its row, return what went wrong."""
        limit_s = DEADLINE_S[capability]
        failure: Exception | None = None
        found = -1
        send_ns = time.monotonic_ns()
        try:
            with deadline(limit_s):
                found = action()
        except FAILURES as error:
            failure = error
        except gevent.GreenletExit:
            now_ns = time.monotonic_ns()
            # the observation ends before the answer: that it was still awaited belongs in the record too
            self._record_operation(
                capability.value,
                rung,
                times_ns=(due_ns, send_ns, now_ns),
                counters=(expected, -1),
                ok=False,
                detail="unanswered at the end",
            )
            raise
        end_ns = time.monotonic_ns()
        _, detail = classify(send_ns, end_ns, describe(failure) if failure else "", limit_s)
        if failure is not None:
            self._client.close()  # a broken connection must not fail the next attempt too
        times_ns = (due_ns, send_ns, end_ns)
        counters = (expected, found)
        self._record_operation(
            capability.value, rung, times_ns=times_ns, counters=counters, ok=not detail, detail=detail
        )
        return failure

    def _record_operation(
        self,
        capability: str,
        rung: Rung | None,
        *,
        times_ns: tuple[int, int, int],
        counters: tuple[int, int],
        ok: bool,
        detail: str,
    ) -> None:
        """Write the row of one operation: `times_ns` are due (0: when it was sent), send and end; `counters` are
        expected and found."""
        due_ns, send_ns, end_ns = times_ns
        expected, found = counters
        self._record(
            Operation(
                user=self.name,
                session=f"{self.name}-{self._sessions}",
                capability=capability,
                due_ns=due_ns or send_ns,
                send_ns=send_ns,
                end_ns=end_ns,
                ok=int(ok),
                node=self._client.node,
                kernel=self._client.kernel_id,
                rung=rung.value if rung else "",
                expected=expected,
                found=found,
                detail=detail,
            )
        )


class People:
    """Everybody; Locust takes them one by one."""

    def __init__(self, plan: Plan, start_ns: int, record: Callable[[Operation], None], stop: Event) -> None:
        self._plan = plan
        self._start_ns = start_ns
        self._record = record
        self._stop = stop
        self._taken = 0
        self.everybody: list[Person] = []
        self.invite(plan.users, start_ns, plan.ramp_s)

    def invite(self, users: int, from_ns: int, within_s: float) -> None:
        """So many more are to come, on a grid from `from_ns` on."""
        for place in range(users):
            arrival_ns = from_ns + to_ns(within_s * place / users)
            self.everybody.append(
                Person(
                    len(self.everybody),
                    self._plan,
                    self._record,
                    self._stop,
                    start_ns=self._start_ns,
                    arrival_ns=arrival_ns,
                )
            )

    def stay(self, stay: Stay) -> None:
        """From now on everybody goes home after a while, and comes back."""
        now_ns = time.monotonic_ns()
        for person in self.everybody:
            person.stay(stay, now_ns)

    def follow(self, day: Sequence[DayPoint]) -> int:
        """From now on people come and go by the curve; returns how many more will come. Who goes is drawn by lot, all
        of it now, so that no answer of the platform moves anybody."""
        now_ns = time.monotonic_ns()
        lot = random.Random(f"{self._plan.seed}/day")  # noqa: S311 - reproducible, not secret
        there, before = [*self.everybody], len(self.everybody)
        for at_s, move in moves(len(there), day):
            at_ns = now_ns + to_ns(at_s)
            if move > 0:
                self.invite(1, at_ns, 0.0)
                self.everybody[-1].state = PersonState.AWAY
                there.append(self.everybody[-1])
            else:
                there.pop(lot.randrange(len(there))).leave_at(at_ns)
        return len(self.everybody) - before

    def next_person(self) -> Person:
        """The next one who has not been taken yet."""
        person = self.everybody[self._taken]
        self._taken += 1
        return person

    def by_node(self) -> dict[str, int]:
        """How many work on which node."""
        return dict(Counter(person.node for person in self.everybody if person.state is PersonState.WORKING))

    def by_state(self) -> dict[str, int]:
        """How many are at what."""
        counted = Counter(person.state for person in self.everybody)
        return {state.value: counted[state] for state in PersonState}
