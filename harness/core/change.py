"""The frozen model of a planned change, and the words of its steps. `spec` reads YAML into these classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds, Period, Seconds

__all__ = [
    "CURRENT",
    "STRATEGIES",
    "VARIANT_MARK",
    "Afterwards",
    "ChangeEnd",
    "ChangeStep",
    "Component",
    "Disaster",
    "Scale",
    "Strategy",
    "Upgrade",
    "is_foreign",
]

#: Keys that the model does not know are mistakes.
_STRICT: dict[str, object] = {"extra": "forbid"}
#: The release that every topology is made of.
CURRENT = "current"
#: Between the name of an image and the word for another release of it.
VARIANT_MARK = "@"


Component = Literal["workbench", "database", "load_balancer", "storage"]
Strategy = Literal["rolling", "blue_green", "all_at_once", "reload"]
Afterwards = Literal["restore", "keep"]

#: How each component can be upgraded.
STRATEGIES: Mapping[str, tuple[Strategy, ...]] = MappingProxyType(
    {
        "workbench": ("rolling", "blue_green", "all_at_once"),
        "database": ("rolling",),
        "load_balancer": ("rolling", "reload"),
        "storage": ("rolling",),
    }
)


def is_foreign(image: str) -> bool:
    """Whether a name means somebody else's image: `company/workbench:7`."""
    return any(mark in image for mark in "/:")


class ChangeStep(StrEnum):
    """What is done in the course of a change, to one node at a time."""

    DRAIN = "drain"  # the balancers send nobody new there
    WAIT = "wait"  # until nobody has a session there, or the time for that is over
    CLOSE = "close"  # the balancers send nobody there
    BACK_UP = "back_up"  # the hub's database is written to a file
    EXCHANGE = "exchange"  # the node is shut down and comes back as another release
    START = "start"  # a node that was not there comes
    GATE = "gate"  # is it healthy, and does it work for somebody who logs in, starts a session and runs a cell?
    OPEN = "open"  # the balancers send people there
    RESTORE = "restore"  # the hub's database is as it was backed up; after a disaster all that the plan has kept
    RETIRE = "retire"  # a node is shut down and goes
    SWITCH_OVER = "switch_over"  # the primary database hands over to a replica
    RELOAD = "reload"  # a balancer reads its configuration anew
    DESTROY = "destroy"  # machines are gone at once, with their disks
    PROMOTE = "promote"  # a standby takes the place of a machine that is gone


class ChangeEnd(StrEnum):
    """How a change ended."""

    DONE = "done"  # as it was meant
    WENT_BACK = "went_back"  # done, and then taken back because that was asked for
    TAKEN_BACK = "taken_back"  # a gate did not open, or too few people could work: everything is as it was
    STUCK = "stuck"  # it was to be taken back, and a gate did not open on the way
    RESTORED = "restored"  # after a disaster the platform works again on other machines


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """A component gets another release of its software while people work on the platform.

    It has the life of a fault: looked at first, carried out, proved by a gate at each container, and taken back where
    that does not hold.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {
        **_STRICT,
        # `from` is a word of Python's own
        "alias_generator": lambda name: name.rstrip("_"),
    }

    component: Component = "workbench"
    """What is upgraded. workbench: JupyterHub and its servers on every node, with the hubs' databases. database:
    PostgreSQL; of a cluster the replicas first, then the primary, which hands over before. load_balancer, storage: of a
    pair first the one that does not hold the address."""
    from_: str
    """The release that the platform starts with: current, another one of `harness/images` (previous), or an image that
    the engine has or can pull (`company/workbench:7`)."""
    to: str
    """The release that it is to get, likewise. With `reload`: a knob of the balancer and its value, `check_fall=5`."""
    strategy: Strategy = "rolling"
    """rolling: one after the other. Of a component `workbench` also blue_green: as many new nodes beside the old ones,
    then everybody is led to them at once, and the old ones stay for the way back until the end; and all_at_once: all
    nodes together. Of a component `load_balancer` also reload: each balancer reads a changed configuration, without a
    restart."""
    at_s: Seconds = 5.0
    """Seconds after the steady state was reached."""
    drain_s: Seconds = 20.0
    """How long people of a node may stay there after nobody new is sent to it. Whoever is still there then is cut
    off."""
    gate_s: Period = 60.0
    """Within this time a new node must be healthy and work for somebody who comes to it, or the change is taken
    back. Of another component: whoever comes to the platform must be able to work."""
    database: Afterwards = "restore"
    """What becomes of a hub's database when its node gets its old release back. restore: it is as before the upgrade,
    and what was written since is lost. keep: it stays as the new release left it; can the old one read it?"""
    then_back: bool = False
    """Whether the way back is taken after an upgrade that went well, to see whether it works."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """More nodes, or fewer, while people work on them. A node that joins needs a place: `workbench.spare_nodes`."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    role: Literal["workbench"] = "workbench"
    to: Annotated[int, Bounds(1, 9)]
    """How many there shall be. The last ones go, and the next ones in their places come."""
    at_s: Seconds
    """Seconds after the steady state was reached."""
    drain: bool = True
    """Whether a node that goes is drained first. Without it, it goes as an autoscaler takes servers that keep
    nothing."""
    drain_s: Seconds = 20.0
    """As in `upgrade`."""
    gate_s: Period = 60.0
    """As in `upgrade`; a node that does not get through goes again, unopened."""


@dataclass(frozen=True, kw_only=True)
class Disaster:
    """Every machine that serves people or keeps what they wrote is gone at once, with its disks; then what the plan has
    kept elsewhere is restored on other machines.

    It has the life of a fault: its undoing is the restore, which is proved by a gate.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    at_s: Seconds = 30.0
    """Seconds after the steady state was reached."""
    begin_after_s: Seconds = 5.0
    """How long after the disaster somebody begins to restore. It stands for noticing, deciding and getting at a
    machine, which no run can measure, and is a part of every recovery time: add what it takes in your house."""
    gate_s: Period = 120.0
    """Within this time after what was kept is there, a machine must be healthy and work for somebody who comes."""
