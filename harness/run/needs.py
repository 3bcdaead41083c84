"""What an experiment needs of its platform and of the engine: one answer for everybody who brings platforms up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.components import jupyterhub
from harness.core.change import CURRENT, is_foreign
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import ImageError, UsageError
from harness.run.plan import check_memory, clock_roles, needed_images, platform_for, release_image
from harness.run.stage import Stage
from harness.run.upgrading import check_upgrade
from harness.runtime.base import Runtime

__all__ = ["Needs", "check_all", "needs_of"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The platform on which something can be done."""

    topology: Topology
    """As it is built: with the links and the places for nodes that the experiment brings."""
    clock_roles: frozenset[Role] = frozenset()
    """Whose wall clock must be settable."""
    release: str = jupyterhub.IMAGE
    """The image that its nodes start with."""
    later: tuple[str, ...] = ()
    """Images that nodes get in the course of it."""
    fresh: bool = False
    """Whether nobody may have used it before, and nobody can afterwards."""

    def stage(self, runtime: Runtime, run_id: str) -> Stage:
        """A fresh one."""
        return Stage(
            runtime,
            self.topology,
            run_id,
            clock_roles=self.clock_roles,
            images=(self.release, *self.later),
            release=self.release,
        )

    def served_by(self, stage: Stage) -> bool:
        """Whether a platform that was used before will do."""
        there = (stage.topology, stage.clock_roles, stage.release)
        return not self.fresh and there == (self.topology, self.clock_roles, self.release)


def needs_of(topology: Topology, experiment: Experiment) -> Needs:
    """Of one experiment on the topology of a file."""
    upgrade = experiment.upgrade
    return Needs(
        topology=platform_for(topology, experiment),
        clock_roles=clock_roles(experiment),
        release=release_image(upgrade.from_ if upgrade else CURRENT),
        later=(release_image(upgrade.to),) if upgrade else (),
        fresh=bool(experiment.changes),
    )


def check_all(
    runtime: Runtime,
    machine: Mapping[str, Any],
    pairs: Iterable[tuple[Topology, Experiment]],
    say: Callable[[str], None],
) -> None:
    """Whether the engine's machine has the memory, and the engine the images, that are not this project's own.

    One that the engine has not got is pulled. Raises `UsageError`; nothing is started.
    """
    foreign: dict[str, None] = {}
    for topology, experiment in pairs:
        check_memory(topology, experiment, machine)
        if experiment.upgrade is not None:
            check_upgrade(topology, experiment)
        foreign |= dict.fromkeys(name for name in needed_images(topology, experiment) if is_foreign(name))
    if foreign:
        try:
            runtime.ensure_images(list(foreign), lambda what, state: say(f"image {what}: {state}"))
        except ImageError as error:
            raise UsageError(error.message, detail=error.detail, hint=error.hint) from error
