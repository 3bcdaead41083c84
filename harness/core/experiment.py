"""The frozen model of what is done to a topology. `spec` reads YAML into these classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from harness.core.attendance import DayPoint, Stay
from harness.core.change import Disaster, Scale, Upgrade
from harness.core.constraints import Bounds, Count, Period, Positive, Seconds
from harness.core.topology import Link
from harness.core.words import Role

__all__ = ["AbortWhen", "Experiment", "Fault", "Growth", "Load", "Objectives", "Target"]

#: Keys that the model does not know are mistakes.
_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True)
class Target:
    """Which members of a role a fault hits, e.g. `workbench[active]` or `workbench[0]`; resolved at injection."""

    role: Role
    selector: str

    PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"(?P<role>[a-z_]+)\[(?P<selector>[^\[\]]+)\]")
    WORDS: ClassVar[Mapping[Role, tuple[str, ...]]] = {
        Role.LOAD_BALANCER: ("holder", "any"),
        Role.WORKBENCH: ("active", "busiest", "any"),
        Role.DATABASE: ("primary", "cluster", "any"),
        Role.STORAGE: ("active", "any"),
    }
    """The words that may stand in the brackets, each of which means one member; but `cluster` means all that a
    clustered database talks to among itself, and is a peer only. Beside them: a number, `*` for all members, and a
    share such as `50%`."""

    def __str__(self) -> str:
        return f"{self.role}[{self.selector}]"

    def count(self, members: int) -> int:
        """How many of so many members it means; of a share at least one."""
        if self.selector == "*":
            return members
        if self.selector.endswith("%"):
            return max(1, round(members * int(self.selector[:-1]) / 100))
        return 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One injected condition: when, what, on whom, for how long."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    fault: str
    """The kind; `harness list --faults` shows them."""
    target: str
    """`role[selector]`, see `Target`."""
    peer: str = ""
    """The other side, as a target, for faults between two sides (`harness list --faults` shows which)."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to choose for this kind of fault: docs/faults.md has the table."""
    at_s: Seconds
    """Seconds after the steady state was reached."""
    hold_s: Seconds
    """Seconds from its injection until it is undone; longer than any automatic recovery should take."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """The people: how many and how busy."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    users: Positive = 12
    beat_s: Period = 1.0
    """Each user runs a cell once a beat, on a time grid of their own."""
    save_every: Positive = 2
    """Each n-th beat also saves (appends to a file in the home, with fsync)."""
    ramp_s: Seconds = 6.0
    """Log-ins are spread over this time."""
    start_probe_every_s: Annotated[float, Bounds(1)] = 5.0
    """How often an instrument starts a session of its own. It bounds how exactly an outage of start_session is known,
    and it costs the platform: 0.4 s of processor a start where sessions are prewarmed, 2.4 s where they are cold."""
    stay: Stay | None = None
    """For how long people stay; without it, and without `day`, for ever."""
    day: tuple[DayPoint, ...] = ()
    """A day's curve of people, compressed in time: they come and go by it, and who goes is drawn from the seed. The
    number of nodes follows by the topology's `workbench.autoscale`."""

    @property
    def comes_and_goes(self) -> bool:
        """Whether not everybody is there all the time."""
        return bool(self.stay or self.day)

    @property
    def users_at_most(self) -> int:
        """How many people are there at the same time."""
        return max([self.users, *(point.users for point in self.day)])

    @property
    def day_s(self) -> float:
        """Length of the day's curve."""
        return self.day[-1].at_s if self.day else 0.0


@dataclass(frozen=True, kw_only=True)
class Growth:
    """More people come, group by group, until too few of everybody can work: how many does what is left carry?

    What a fault does to people is observed until growth begins; from there on they are overloaded on purpose. Growth
    ends when a step is not carried, when `users_at_most` have come, or when a fault is undone.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    at_s: Seconds
    """Seconds after the steady state was reached when the first group comes; after a fault, long enough for people to
    be back. If too few of them are, nobody comes: the platform carries none."""
    users_each: Positive
    """How many come at each step."""
    every_s: Annotated[float, Bounds(5)]
    """Length of a step; by its end they must all be at work. At least 5 s: they come within the first 2 s of it, and a
    start takes up to 3 s (cold, alone)."""
    users_at_most: Positive
    """Everybody together; here it stops, carried or not."""
    working_at_least_percent: Annotated[float, Bounds(1, 100)] = 95.0
    """A step is carried if at its end at least this share of everybody who has come so far can work."""

    @staticmethod
    def carried(working: int, users: int, at_least_percent: float = 95.0) -> bool:
        """Whether so many at work of so many who have come are enough."""
        return working * 100 >= at_least_percent * users

    def longest_s(self, users: int) -> float:
        """Seconds after the steady state when the last step ends, from `users` people on, if every step is carried."""
        steps = -(-(self.users_at_most - users) // self.users_each)
        return self.at_s + steps * self.every_s


@dataclass(frozen=True, kw_only=True)
class AbortWhen:
    """When an experiment goes too far: every fault is undone at once and the run fails."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    working_below_percent: Annotated[float, Bounds(1, 100)]
    """Fewer than this share of the people can work ..."""
    for_s: Period
    """... for this long without a break."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """What must hold whatever the topology promises."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    writes_lost_at_most: Count | None = None
    """Acknowledged writes that may be missing afterwards."""
    sessions_lost_at_most: Count | None = None
    """Sessions that may still not work at the end."""
    users_carried_at_least: Positive | None = None
    """People whom the platform must carry; only together with `growth`."""
    available_at_least_percent: Annotated[float, Bounds(0, 100)] | None = None
    """Share of the observed time in which each capability must be there, and of the people's time in which they can
    work (user-uptime)."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is done to a topology, and what must hold."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    description: str
    source: str
    """Where this failure was seen or is documented."""
    faults: tuple[Fault, ...]
    load: Load = Load()
    steady_state_s: Period = 5.0
    """All capabilities must be good for this long before the first fault."""
    settle_s: Seconds = 20.0
    """Observation after the last fault is undone; long enough for the slowest user to come back."""
    objectives: Objectives = Objectives()
    blast_radius: Positive = 1
    """At most this many containers may be targets of faults at the same time. More than one has to be said."""
    abort_when: AbortWhen | None = None
    """Not looked at any more once growth has begun."""
    growth: Growth | None = None
    upgrade: Upgrade | None = None
    """A planned change instead of faults."""
    scale: tuple[Scale, ...] = ()
    """Planned changes of the number of nodes, instead of faults, in the order of time."""
    disaster: Disaster | None = None
    """The loss of the whole platform with its disks, and the restore, instead of faults."""
    links: tuple[Link, ...] = ()
    """Links that the experiment needs: a topology that has not got them gets them for this experiment, which then runs
    on a platform of its own."""
    name: str = ""
    """The file's name without its ending; not a key of the file."""

    @property
    def changes(self) -> tuple[Upgrade | Scale | Disaster, ...]:
        """The planned changes, in the order of time; a disaster is carried out step by step as they are."""
        alone = (change for change in (self.upgrade, self.disaster) if change is not None)
        return (*alone, *self.scale)

    @property
    def changes_nodes(self) -> bool:
        """Whether the platform is another one afterwards."""
        return bool(self.changes or self.load.day)
