"""Who is there when: people who stay for a while, and a day's curve of people, compressed in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

from harness.core.constraints import Bounds, Count, Seconds

__all__ = ["DayPoint", "Stay", "moves"]

#: Keys that the model does not know are mistakes.
_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class Stay:
    """People end their sessions after a while, log out, and come back later as somebody whom no node knows.

    For how long somebody stays is drawn from the seed beforehand, whatever the platform does meanwhile. Nobody goes in
    the middle of a failure: who has to come back to work first, does.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    at_least_s: Annotated[float, Bounds(1)]
    """Nobody stays for a shorter time, counted from the steady state, later from when they begin to work."""
    at_most_s: Annotated[float, Bounds(1)]
    """Nobody means to stay longer. Every time between is as likely."""
    away_s: Seconds = 5.0
    """From when somebody meant to go until they log in again."""


@dataclass(frozen=True, kw_only=True)
class DayPoint:
    """A point of a day's curve: how many people are there. Between two points the number changes evenly."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    at_s: Annotated[float, Bounds(1)]
    """Seconds after the steady state was reached; the curve begins there, with `users`."""
    users: Count
    """How many people are there then."""


def moves(users: int, day: Sequence[DayPoint]) -> Iterator[tuple[float, int]]:
    """Seconds after the steady state, and 1 for each person who comes then and -1 for each who goes, in the order of
    time, from `users` people on."""
    for before, after in pairwise([(0.0, users), *((point.at_s, point.users) for point in day)]):
        (since_s, was), (until_s, will_be) = before, after
        number = abs(will_be - was)
        for place in range(number):
            yield since_s + (until_s - since_s) * (place + 1) / number, 1 if will_be > was else -1
