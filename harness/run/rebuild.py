"""A platform that stays, held against what is declared of it; and rebuilt from nothing, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from harness.core.drift import Drift
from harness.core.rebuild import Rebuild
from harness.core.topology import Topology
from harness.errors import UsageError
from harness.run.stay import Place

__all__ = ["LOOK", "Platforms", "Standing", "check", "rebuild"]

#: The phases, as they are called in the table.
LOOK, DOWN, IMAGES, UP, LOOK_AGAIN = "look for drift", "down", "remove images", "up", "look again"


@dataclass(frozen=True)
class Standing:
    """A platform that `harness up` left."""

    run_id: str
    things: int
    """Containers, networks and volumes."""


class Platforms(Protocol):
    """The platforms of one topology on an engine."""

    def standing(self) -> Sequence[Standing]:
        """Those that are up to stay; a run that goes on is none."""
        ...

    def drift(self, run_id: str, *, disks: bool = True) -> list[Drift]:
        """What differs from what is declared. Changes nothing. Without `disks` only settings and configuration files
        are compared."""
        ...

    def take_down(self, run_id: str) -> None:
        """Remove everything of it."""
        ...

    def remove_images(self) -> list[str]:
        """Remove the images of the topology that nobody else uses; returns their names."""
        ...

    def bring_up(self, anew: Collection[str]) -> Place:
        """Start it from the files, and wait until it serves; images in `anew` are built from nothing."""
        ...


def check(platforms: Platforms, topology: Topology) -> Rebuild:
    """Only look. Raises `UsageError` where nothing is up."""
    standing = _only(platforms, topology)
    if standing is None:
        raise UsageError(
            f"nothing of {topology.name} is up, so there is nothing to look at",
            hint=f"`harness up {topology.name}` brings it up to stay",
        )
    clock = _Phases()
    with clock.phase(LOOK):
        found = platforms.drift(standing.run_id)
    return Rebuild(topology=topology.name, run_id=standing.run_id, before=found, phases_s=clock.seconds)


def rebuild(platforms: Platforms, topology: Topology, *, images: bool, say: Callable[[str], None]) -> Rebuild:
    """Look for drift, remove everything, bring it up again from the files, look again. Where nothing is up it is only
    brought up.

    With `images` those of the topology are removed too, and built without what the engine remembers. Raises
    `UsageError` where several platforms of the topology are up, with nothing changed.
    """
    standing = _only(platforms, topology)
    clock = _Phases()
    before: list[Drift] | None = None
    if standing is not None:
        with clock.phase(LOOK):
            before = platforms.drift(standing.run_id)
        say(
            f"{topology.name} is up as run {standing.run_id}: its {standing.things} containers, networks and volumes "
            "are removed now, with homes and databases"
        )
        with clock.phase(DOWN):
            platforms.take_down(standing.run_id)
    anew: list[str] = []
    if images:
        with clock.phase(IMAGES):
            anew = platforms.remove_images()
    with clock.phase(UP):
        place = platforms.bring_up(anew)
    with clock.phase(LOOK_AGAIN):
        # nobody has been on a machine that was just made: its disk is its image's
        after = platforms.drift(place.run_id, disks=False)
    say(f"{topology.name} is up as run {place.run_id}")
    say(f"log in at {place.url} as anybody with the password {place.password}")
    return Rebuild(
        topology=topology.name,
        run_id=place.run_id,
        url=place.url,
        was=standing.run_id if standing else "",
        before=before,
        after=after,
        images=anew,
        phases_s=clock.seconds,
    )


def _only(platforms: Platforms, topology: Topology) -> Standing | None:
    found = platforms.standing()
    if len(found) > 1:
        runs = ", ".join(one.run_id for one in found)
        raise UsageError(
            f"{len(found)} platforms of {topology.name} are up: {runs}; expected one at the most",
            hint=f"`harness down {found[-1].run_id}` takes one down",
        )
    return found[0] if found else None


class _Phases:
    """How long each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
