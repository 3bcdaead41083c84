"""People who come and go: when they do, what they do then, and that a session which its owner ended did not fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import Measures, analyse
from harness.core.attendance import DayPoint, Stay, moves
from harness.core.clock import NS_PER_S, to_ns
from harness.core.entrances import Entrance
from harness.core.rows import Operation
from harness.core.words import LEAVE, SessionOutcome
from harness.load import people as people_module
from harness.load.failures import Refused
from harness.load.ladder import Finding
from harness.load.people import People, Person, PersonState, Plan
from tests.unit.analysis_runs import history, op, record

points = st.lists(st.tuples(st.floats(1, 50), st.integers(0, 30)), max_size=6)


# -- a day's curve -------------------------------------------------------------------------------------------------


@given(users=st.integers(1, 30), steps=points)
def test_a_curve_moves_one_person_at_a_time_to_where_each_point_says(
    users: int, steps: list[tuple[float, int]]
) -> None:
    at_s, day = 0.0, []
    for seconds, number in steps:
        at_s += seconds
        day.append(DayPoint(at_s=at_s, users=number))
    made = list(moves(users, day))
    assert [t for t, _ in made] == sorted(t for t, _ in made)
    for point in day:
        assert users + sum(move for t, move in made if t <= point.at_s * (1 + 1e-9)) == point.users


def test_between_two_points_the_number_changes_evenly() -> None:
    day = [DayPoint(at_s=10, users=2), DayPoint(at_s=30, users=6), DayPoint(at_s=40, users=4)]
    assert list(moves(2, day)) == [(15, 1), (20, 1), (25, 1), (30, 1), (35, -1), (40, -1)]


def _plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "prefix": "", "entrances": (Entrance("http://127.0.0.1:9"),), "serving_nodes": 1, "password": "x", "users": 2,
        "beat_s": 0.01, "save_every": 2, "ramp_s": 0.0, "start_probe_every_s": 5.0, "seed": 1,
    }  # fmt: skip
    return Plan(**(values | changes))


def test_who_goes_is_drawn_from_the_seed_before_anybody_has_come() -> None:
    day = [DayPoint(at_s=10, users=8), DayPoint(at_s=20, users=3)]

    def leaving(seed: int) -> list[int]:
        people = People(_plan(seed=seed), 0, lambda _: None, threading.Event())
        assert people.follow(day) == 6
        assert people.by_state() == {"starting": 2, "working": 0, "recovering": 0, "away": 6, "gave_up": 0}
        return [index for index, person in enumerate(people.everybody) if person.leaves_ns is not None]

    assert len(leaving(1)) == 5
    assert leaving(1) == leaving(1)
    assert len({tuple(leaving(seed)) for seed in range(5)}) > 1


# -- a person ------------------------------------------------------------------------------------------------------


class _Browser:
    """Does everything at once, and remembers what it was asked to."""

    refuses = False

    def __init__(self) -> None:
        self.node, self.kernel_id = "workbench-0", "k"
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        def ask(*_: object) -> int:
            self.asked.append(name)
            if name == "stop_server" and self.refuses:
                raise Refused(503, "DELETE", "/hub/api")
            return 0

        return ask


class _Session:
    def __init__(self, client: _Browser, _: object) -> None:
        self.client = client
        self.known, self.fails = 0, 0
        self.log_in = self.start = lambda: -1

    def work(self) -> int:
        if self.fails:
            self.fails -= 1
            raise Refused(503, "GET", "/user")
        self.known += 1
        return self.known

    def attempt(self, *_: object) -> Finding:
        return Finding.WORKS

    def save(self, number: int) -> int:
        return number


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> tuple[Person, list[Operation], list[_Browser]]:
    browsers: list[_Browser] = []

    def browser(*_: object, **__: object) -> _Browser:
        browsers.append(_Browser())
        return browsers[-1]

    monkeypatch.setattr(people_module, "JupyterHubClient", browser)
    monkeypatch.setattr(people_module, "Session", _Session)
    rows: list[Operation] = []
    (person,) = People(_plan(users=1), time.monotonic_ns(), rows.append, threading.Event()).everybody
    person.arrive()
    return person, rows, browsers


def _beat_until(person: Person, state: PersonState) -> None:
    deadline = time.monotonic() + 10
    while person.state is not state:
        person.beat()
        assert time.monotonic() < deadline


def test_who_goes_ends_the_session_and_comes_back_as_somebody_new(
    somebody: tuple[Person, list[Operation], list[_Browser]],
) -> None:
    person, rows, browsers = somebody
    person.stay(Stay(at_least_s=1, at_most_s=1, away_s=0), time.monotonic_ns() - to_ns(0.95))
    _beat_until(person, PersonState.AWAY)
    assert browsers[0].asked == ["leave", "stop_server", "log_out", "close"]
    assert (rows[-1].capability, rows[-1].ok, rows[-1].session, rows[-1].detail) == (LEAVE, 1, "user-000-1", "")
    worked, saved = rows[-2].expected, max(row.found for row in rows if row.capability == "save")
    assert worked > 1
    assert not person.gone
    person.beat()
    assert person.state is PersonState.WORKING
    assert len(browsers) == 2, "without a cookie of the first visit"
    person.beat()
    person.beat()
    later = [row for row in rows if row.session == "user-000-2"]
    assert [(row.capability, row.found) for row in later[:3]] == [("log_in", -1), ("start_session", -1), ("work", 1)]
    assert [row.found for row in later if row.capability == "save"][:1] in ([], [saved + 1]), "numbers go on"


def test_nobody_goes_before_work_is_good_again(
    somebody: tuple[Person, list[Operation], list[_Browser]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a failure that was over would have no end."""
    person, rows, _ = somebody
    monkeypatch.setattr(person._session, "fails", 1)
    person.leave_at(time.monotonic_ns())
    _beat_until(person, PersonState.AWAY)
    assert [(row.capability, row.ok) for row in rows if row.capability in {"work", LEAVE}] == [
        ("work", 0),
        ("work", 1),
        (LEAVE, 1),
    ]


def test_who_goes_for_good_is_gone_whatever_the_hub_says(
    somebody: tuple[Person, list[Operation], list[_Browser]],
) -> None:
    person, rows, browsers = somebody
    browsers[0].refuses = True
    person.leave_at(time.monotonic_ns())
    _beat_until(person, PersonState.AWAY)
    assert person.gone
    assert (rows[-1].capability, rows[-1].ok) == (LEAVE, 1)
    assert "503" in rows[-1].detail
    assert person.end_session(), "there is none"


# -- what is made of it --------------------------------------------------------------------------------------------


def _visit(number: int, first: int, last: int, *, leaves: bool = True, kernel: str = "") -> list[Operation]:
    """Good work once a second from `first` on, and the end of the session at `last`."""
    named: dict[str, Any] = {"session": f"u1-{number}", "kernel": kernel or f"k{number}"}
    rows = [op(t, expected=i + 1, found=i + 1, **named) for i, t in enumerate(range(first, last))]
    return [*rows, op(last, capability=LEAVE, **named)] if leaves else rows


def analysed(*rows: Operation) -> Measures:
    run = record(rows, events=history())
    load = replace(run.experiment.load, stay=Stay(at_least_s=1, at_most_s=20))
    return analyse(replace(run, experiment=replace(run.experiment, load=load)))


def test_a_session_that_its_owner_ended_is_undisturbed_and_no_doubt() -> None:
    measures = analysed(*_visit(1, -5, 10), *_visit(2, 15, 39, leaves=False))
    assert [row.outcome for row in measures.sessions] == [SessionOutcome.UNDISTURBED] * 2
    first, second = measures.sessions
    assert first.ended_ns is not None
    assert second.ended_ns is None
    assert not [reason for reason in measures.verdict.reasons if "observed" in reason or "users had" in reason]


def test_who_is_away_is_neither_up_nor_down() -> None:
    down = [op(20, 21, ok=0, session="u1-2", kernel="k2"), op(30, session="u1-2", kernel="k2", found=9)]
    uptime = analysed(*_visit(1, -5, 10), *_visit(2, 15, 20, leaves=False), *down).user_uptime
    there_s = 40 - (15 - 10.05)
    assert uptime.ratio == pytest.approx(1 - 10.05 / there_s)
    assert uptime.windowed == ()


def test_somebody_who_came_too_late_to_work_is_not_lost() -> None:
    late = op(35, 40.2, ok=0, capability="start_session", session="u1-2", detail="StartFailed")
    early = op(35, 36.2, ok=0, capability="start_session", session="u1-2", detail="StartFailed")
    sessions = analysed(*_visit(1, -5, 10), late).sessions
    assert [row.session for row in sessions] == ["u1-1"]
    sessions = analysed(*_visit(1, -5, 10), early).sessions
    assert [row.outcome for row in sessions] == [SessionOutcome.UNDISTURBED, SessionOutcome.LOST]


def test_the_time_line_counts_who_is_there() -> None:
    timeline = analysed(*_visit(1, -5, 10), *_visit(2, 15, 39, leaves=False)).timeline
    assert timeline is not None
    there = [sum(states) for states in zip(*timeline.states.values(), strict=True)]
    at = {(t_ns - timeline.start_ns) // NS_PER_S: number for t_ns, number in zip(timeline.times_ns, there, strict=True)}
    assert (at[5], at[12], at[20]) == (1, 0, 1)
