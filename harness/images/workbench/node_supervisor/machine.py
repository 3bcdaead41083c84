"""The decisions of a node, without its deeds: an observation goes in, phase and actions come out."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = [
    "Action",
    "Decision",
    "Lease",
    "LeaseRow",
    "Observation",
    "Phase",
    "decide",
    "may_take",
    "still_ours",
]

NS = 1_000_000_000


class Lease(enum.Enum):
    """What is known about the lease; the value is said to whoever asks why a node is not active."""

    UNREACHABLE = "no connection to the database"
    IDLE = "the lease is not asked for"
    ELSEWHERE = "another node holds the lease"
    BARRED = "the lease may only be taken by the node that held it first"
    HELD = "this node holds the lease"
    CONTACT_LOST = "this node held the lease when the database was last heard"
    TAKEN_AWAY = "another node has taken the lease"


class Phase(enum.Enum):
    """What the node is."""

    STANDBY = "standby"
    STARTING = "starting"  # the lease is held, the hub has not answered yet
    ACTIVE = "active"


class Action(enum.Enum):
    """What the supervisor must do now."""

    START_HUB = "start the hub"
    FENCE = "end hub and sessions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The world at one moment; times on the monotonic clock."""

    now_ns: int
    lease: Lease
    homes_ready: bool
    proxy_alive: bool
    hub_alive: bool
    #: The last answer of the hub in this tenure, None before the first.
    hub_answered_ns: int | None = None
    #: The node was frozen and has not found the lease held since. A database out of reach is no proof:
    #: the first look after a freeze finds a connection that the database has closed because of it.
    stalled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The next phase, what to do, and what to say."""

    phase: Phase
    actions: tuple[Action, ...]
    #: Whether the lease should be asked for.
    wanted: bool
    #: Whether the load balancer may send users here.
    serving: bool
    #: Whether the node can do its part, be it as standby.
    ready: bool
    reason: str


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The last tenure on record in the hub's database."""

    holder: str
    epoch: int


def may_take(first_holder_only: bool, last: LeaseRow | None, node: str) -> bool:
    """Whether the policy lets this node ask for a free lease."""
    return not first_holder_only or last is None or last.holder == node


def still_ours(last: LeaseRow | None, node: str, epoch: int) -> bool:
    """Whether nobody had the lease between this node's tenure `epoch` and now.

    A record older than the tenure was lost in a failover of the database: nobody came between.
    """
    return last is None or (last.holder == node and last.epoch == epoch) or last.epoch < epoch


def decide(phase: Phase, seen: Observation, hub_grace_s: float) -> Decision:
    """The whole behaviour of a node, one step of it."""
    if seen.lease is Lease.TAKEN_AWAY:
        # Whatever the phase: users may by now have new servers on the other node, with the same homes.
        return _standby(seen, (Action.FENCE,))
    if phase is Phase.STANDBY and seen.lease is not Lease.HELD:
        return _standby(seen, ())
    return _holding(phase, seen, hub_grace_s)


def _standby(seen: Observation, actions: tuple[Action, ...]) -> Decision:
    missing = []
    if not seen.homes_ready:
        missing.append("homes are not mounted")
    if not seen.proxy_alive:
        missing.append("the proxy does not run")
    wanted = not missing
    if seen.lease is Lease.UNREACHABLE or not missing:
        missing.append(seen.lease.value)
    return Decision(
        phase=Phase.STANDBY,
        actions=actions,
        wanted=wanted,
        serving=False,
        ready=wanted and not actions and seen.lease in (Lease.ELSEWHERE, Lease.BARRED),
        reason="; ".join(missing),
    )


def _holding(phase: Phase, seen: Observation, hub_grace_s: float) -> Decision:
    # A dead hub is restarted under the lease: to give it up would end every session for nothing.
    actions = () if seen.hub_alive else (Action.START_HUB,)
    answered = seen.hub_answered_ns
    if phase is Phase.STANDBY:
        answered = None  # from an earlier tenure
    if answered is None:
        return Decision(
            phase=Phase.STARTING,
            actions=actions,
            wanted=True,
            serving=False,
            ready=False,
            reason="the hub is starting",
        )
    silent_s = max(0, seen.now_ns - answered) / NS
    reason = seen.lease.value
    serving = True
    if seen.stalled:
        serving, reason = False, "the node was frozen and has not found the lease held since"
    elif silent_s > hub_grace_s:
        serving, reason = False, f"the hub has not answered for {silent_s:.1f} s"
    return Decision(phase=Phase.ACTIVE, actions=actions, wanted=True, serving=serving, ready=serving, reason=reason)
