"""The measures by which runs are compared: one registry, with the tolerance of each and the reason for it.

They are read from `measures.json`, so that many runs are compared in a second, and runs of earlier versions as far as
they have the keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.analysis.differences import Reading
from harness.core.words import Capability, Recovery, SessionOutcome

__all__ = ["COMPARABLES", "Comparable", "Kind", "Tolerance", "readings_of"]

#: `measures.json` as plain JSON types.
Content = Mapping[str, Any]


class Kind(StrEnum):
    """How runs are taken together."""

    MEAN = "mean"
    SHARE = "share"
    """Of the runs: readings are 0 or 1."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How large a difference is that nobody minds: the larger of the two."""

    absolute: float
    """In the measure's unit."""
    ratio: float = 0.0
    """Of the baseline's mean."""
    why: str

    def of(self, baseline_mean: float) -> float:
        """In the measure's unit."""
        return max(self.absolute, self.ratio * abs(baseline_mean))


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """One measure."""

    key: str
    title: str
    unit: str
    """`s`, `count` for so many in a run, `share` for a ratio of runs."""
    read: Callable[[Content], Reading | None]
    """The value of one run; None where it was not measured."""
    tolerance: Tolerance
    kind: Kind = Kind.MEAN
    more_is_worse: bool = True
    gated: bool = True
    """Whether it decides about the exit code. What does not is shown, and is as noisy as the machine."""
    never: str = ""
    """The name of a promise or objective that one run refutes: then no statistics are needed."""


def readings_of(content: Content) -> dict[str, Reading]:
    """Every measure that a run has a value of, by its key.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` where the content is not that of a `measures.json`.
    """
    found = ((one.key, one.read(content)) for one in COMPARABLES)
    return {key: reading for key, reading in found if reading is not None}


# -- outages -------------------------------------------------------------------------------------------------------

#: Where a probe's period is not known (results of earlier versions): that of all capabilities but session starts.
_PERIOD_S = 0.25


def _watched(content: Content) -> bool:
    return content["facts"]["window"] is not None


def _gap_s(capability: Content) -> float:
    """Between two probes of a place: an outage shorter than this may not have been seen."""
    return float(capability.get("period_s") or _PERIOD_S) * int(capability.get("places") or 1)


def _longest(capabilities: Sequence[Content], outages: Sequence[Content]) -> Reading | None:
    """An edge is somewhere in its bracket, alike everywhere: a standard deviation of its width / sqrt(12). An outage
    has two, and its bounds are as far apart as both together."""
    if not any(one["samples"] for one in capabilities):
        return None
    if not outages:
        return Reading(value=0.0, error=min(_gap_s(one) for one in capabilities if one["samples"]) / math.sqrt(12))
    longest = max(outages, key=_least_s)
    upper_s = longest["seconds_upper"]
    width_s = 0.0 if upper_s is None else float(upper_s) - float(longest["seconds_lower"])
    return Reading(
        value=_least_s(longest),
        at_least=any(one["end_s"] is None for one in outages),
        error=width_s / math.sqrt(24),
    )


def _least_s(outage: Content) -> float:
    return float(outage["seconds_lower"] if outage["end_s"] is None else outage["seconds"])


def _outage_of(name: str | None) -> Callable[[Content], Reading | None]:
    """The longest of one capability, or of any."""

    def read(content: Content) -> Reading | None:
        wanted = [one for one in content["capabilities"] if name in (None, one["capability"])]
        return _longest(wanted, [one for one in content["outages"] if name in (None, one["capability"])])

    return read


def _away_of(name: str) -> Callable[[Content], Reading | None]:
    """All outages of a capability together."""

    def read(content: Content) -> Reading | None:
        longest = _outage_of(name)(content)
        own = [one for one in content["outages"] if one["capability"] == name]
        return longest and replace(longest, value=math.fsum(map(_least_s, own)))

    return read


def _latency_of(name: str) -> Callable[[Content], Reading | None]:
    def read(content: Content) -> Reading | None:
        found = [one["latency_p50_s"] for one in content["capabilities"] if one["capability"] == name]
        return Reading(value=float(found[0]), error=0.001) if found and found[0] is not None else None

    return read


# -- people, writes, growth ----------------------------------------------------------------------------------------


def _user_time(key: str, error_s: float) -> Callable[[Content], Reading | None]:
    def read(content: Content) -> Reading | None:
        value = content["user_uptime"].get(key)
        still_down = any(one["end_ns"] is None for row in content["sessions"] for one in row["disturbances"])
        return None if value is None else Reading(value=float(value), at_least=still_down, error=error_s)

    return read


def _sessions(outcome: SessionOutcome) -> Callable[[Content], Reading | None]:
    def read(content: Content) -> Reading | None:
        if not content["sessions"] or not _watched(content):
            return None
        return _count(sum(one["outcome"] == outcome.value for one in content["sessions"]))

    return read


def _count(number: int) -> Reading:
    return Reading(value=float(number), error=0.5)


def _logged_in_again(content: Content) -> Reading | None:
    return _count(content["logged_in_again"]) if content["sessions"] and _watched(content) else None


def _two_servers(content: Content) -> Reading | None:
    people = content.get("duplicated_homes", {}).get("people")
    return None if people is None else _count(people)


def _by_design(content: Content) -> Reading | None:
    if not _watched(content):
        return None
    return _yes(Recovery(content["worst_recovery"]).severity <= Recovery.BY_DESIGN.severity)


def _works(content: Content) -> Reading | None:
    """Known also where the wait for the steady state was in vain, if that is the platform's fault."""
    return _yes(content.get("without_fault") is None)


def _loses(content: Content) -> Reading | None:
    lost = content["writes"]["lost"]
    return None if lost is None else _yes(lost > 0)


def _yes(value: bool) -> Reading:
    return Reading(value=float(value))


def _lost(content: Content) -> Reading | None:
    lost = content["writes"]["lost"]
    return None if lost is None else _count(lost)


def _write_gap(content: Content) -> Reading | None:
    gaps = [one.get("longest_gap_s") for one in content["writes"]["stores"] if one["store"] == "database"]
    return Reading(value=float(gaps[0]), error=0.3) if gaps and gaps[0] is not None else None


def _recovery(key: str, error_s: float) -> Callable[[Content], Reading | None]:
    """After a disaster; None where there was none, and of a recovery that did not end."""

    def read(content: Content) -> Reading | None:
        value = (content.get("recovery") or {}).get(key)
        return None if value is None else Reading(value=float(value), error=error_s)

    return read


def _carried(content: Content) -> Reading | None:
    """At least so many where the limit was not found. As coarse as the groups that came."""
    carried = content.get("users_carried")
    if carried is None:
        return None
    steps = content["facts"]["growth"]["steps"]
    group = max((one["users_after"] - one["users_before"] for one in steps), default=1)
    limit = content["users_carried_is_limit"]
    return Reading(value=float(carried), at_least=not limit, error=group / math.sqrt(12))


# -- the registry --------------------------------------------------------------------------------------------------

_OUTAGE = Tolerance(
    absolute=1.0,
    ratio=0.25,
    why="Bounds are 0.6 s apart with two places, and five trials on one platform spread by 20%.",
)
_START = replace(_OUTAGE, absolute=5.0, why="A start is probed once in 5 s.")
_PEOPLE = Tolerance(
    absolute=1.0,
    ratio=0.25,
    why="How many people are on the node that is hit is a matter of chance: 5 to 8 of 12 on two or three nodes.",
)
_TEN_POINTS = Tolerance(
    absolute=0.1, why="Without it intervals of shares are too narrow where runs are few: see above."
)
_LATENCY = Tolerance(absolute=0.02, ratio=0.5, why="Latencies are as good as the machine, and as what else it does.")


def _outages() -> Iterator[Comparable]:
    yield Comparable(key="longest_outage_s", title="longest outage", unit="s", read=_outage_of(None), tolerance=_OUTAGE)
    for name in Capability:
        yield Comparable(
            key=f"outage_s.{name}",
            title=f"outage of {name}",
            unit="s",
            read=_outage_of(name),
            tolerance=_START if name is Capability.START_SESSION else _OUTAGE,
        )


def _of_people() -> Iterator[Comparable]:
    yield Comparable(
        key="user_outage_s",
        title="user-weighted outage",
        unit="s",
        read=_user_time("outage_s", 0.1),
        tolerance=replace(_OUTAGE, absolute=0.5, why="A mean over people, so finer than an outage."),
    )
    yield Comparable(
        key="recovered_by_design",
        title="recovered by design",
        unit="share",
        kind=Kind.SHARE,
        read=_by_design,
        more_is_worse=False,
        tolerance=_TEN_POINTS,
    )
    yield Comparable(
        key="works_without_fault",
        title="works without any fault",
        unit="share",
        kind=Kind.SHARE,
        read=_works,
        more_is_worse=False,
        never="works without any fault",
        tolerance=_TEN_POINTS,
    )
    yield Comparable(
        key="sessions_lost",
        title="sessions lost",
        unit="count",
        read=_sessions(SessionOutcome.LOST),
        never="sessions lost",
        tolerance=Tolerance(absolute=0.5, why="Half a session: none is to be lost."),
    )
    yield Comparable(
        key="sessions_restarted",
        title="sessions restarted",
        unit="count",
        read=_sessions(SessionOutcome.RESTARTED),
        tolerance=_PEOPLE,
    )
    yield Comparable(
        key="logged_in_again", title="logged in again", unit="count", read=_logged_in_again, tolerance=_PEOPLE
    )
    yield Comparable(
        key="runs_losing_writes",
        title="lost acknowledged writes",
        unit="share",
        kind=Kind.SHARE,
        read=_loses,
        never="acknowledged writes lost",
        tolerance=_TEN_POINTS,
    )
    yield Comparable(
        key="users_carried",
        title="users carried",
        unit="count",
        read=_carried,
        more_is_worse=False,
        tolerance=Tolerance(absolute=0.0, ratio=0.2, why="One group of 12 of some 60 who are carried on two cores."),
    )


def _of_disasters() -> Iterator[Comparable]:
    for key, title in (
        ("first_log_in_s", "recovery time, first log-in"),
        ("all_working_s", "recovery time, everybody"),
    ):
        yield Comparable(key=f"recovery_{key}", title=title, unit="s", read=_recovery(key, 0.4), tolerance=_OUTAGE)
    yield Comparable(
        key="recovery_point_s",
        title="recovery point",
        unit="s",
        read=_recovery("recovery_point_s", 0.5),
        tolerance=Tolerance(
            absolute=5.0, ratio=0.5, why="It depends on how long before the disaster the last copy was."
        ),
    )


def _shown() -> Iterator[Comparable]:
    """What says more where something is worse; also what depends on the machine more than on the platform."""
    for name in Capability:
        yield Comparable(
            key=f"away_s.{name}",
            title=f"all outages of {name}",
            unit="s",
            read=_away_of(name),
            gated=False,
            tolerance=_START if name is Capability.START_SESSION else _OUTAGE,
        )
    for key, title, error_s in (("worst_s", "worst user's outage", 0.4), ("union_s", "anybody down", 0.4)):
        yield Comparable(
            key=f"user_{key}",
            title=title,
            unit="s",
            read=_user_time(key, error_s),
            gated=False,
            tolerance=replace(_OUTAGE, absolute=2.0, why="An extreme over people, who work each second."),
        )
    yield Comparable(
        key="writes_lost",
        title="how many acknowledged writes",
        unit="count",
        read=_lost,
        gated=False,
        tolerance=Tolerance(absolute=0.5, why="Half a write. The share of runs is what decides."),
    )
    yield Comparable(
        key="database_gap_s",
        title="longest time without a database write",
        unit="s",
        read=_write_gap,
        gated=False,
        tolerance=replace(_OUTAGE, why="The writer comes again once a second while it fails."),
    )
    yield Comparable(
        key="two_servers",
        title="people with two servers at once",
        unit="count",
        read=_two_servers,
        gated=False,
        tolerance=_PEOPLE,
    )
    for name in Capability:
        yield Comparable(
            key=f"latency_s.{name}",
            title=f"median latency of {name}",
            unit="s",
            read=_latency_of(name),
            gated=False,
            tolerance=_LATENCY,
        )


def _every() -> Iterable[Comparable]:
    return (*_outages(), *_of_people(), *_of_disasters(), *_shown())


COMPARABLES: Sequence[Comparable] = tuple(_every())
