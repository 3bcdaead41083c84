"""What a run will do, known before anything is started: containers, faults on a time line, memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.components.registry import image, images, serving_nodes
from harness.core.change import CURRENT, VARIANT_MARK, Upgrade, is_foreign
from harness.core.experiment import Experiment
from harness.core.names import AGENT_ROLE
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import UsageError
from harness.faults.registry import FAULTS
from harness.load.deadlines import START_PROBE_DEADLINE_S
from harness.run.choice import Chosen
from harness.run.suite import SuiteEntry
from harness.spec.targets import parse_target

__all__ = [
    "Act",
    "check_memory",
    "clock_roles",
    "lasts_s",
    "needed_images",
    "platform_for",
    "release_image",
    "release_images",
    "that_fit",
    "time_line",
    "users_that_fit",
]

#: What one more session with its kernel costs, by how it was started; proportional set size, measured at 18 sessions a
#: node: 132 MB a fresh interpreter each, 60 MB forked from the warm parent.
SESSION_BYTES: Mapping[str, int] = {"cold": 132_000_000, "prewarmed": 60_000_000}
#: The warm parent, a node, also on one that stands by.
WARM_PARENT_BYTES: Mapping[str, int] = {"cold": 0, "prewarmed": 120_000_000}
#: Hub 110 MB + proxy 45 MB + supervisor, a node; PostgreSQL, Ganesha (22 MiB) and HAProxy together; the client.
NODE_BYTES = 200_000_000
SERVICES_BYTES = 300_000_000
CLIENT_BYTES = 300_000_000
#: Each database server beyond the first, with its Patroni (70 to 145 MiB) and a member of etcd (18 to 27 MiB).
DATABASE_SERVER_BYTES = 180_000_000
#: The page cache and everything else on the machine keep this share.
USABLE_RATIO = 0.85


@dataclass(frozen=True, order=True)
class Act:
    """Injection or undoing of one fault."""

    at_s: float
    """Seconds after the steady state was reached."""
    undo: bool
    """False: prepare, inject, confirm. True: undo, confirm recovery, clean up."""
    index: int
    """Of the fault in the experiment."""


def time_line(experiment: Experiment) -> list[Act]:
    """Every act in the order of time."""
    acts = [Act(fault.at_s, False, index) for index, fault in enumerate(experiment.faults)]
    acts += [Act(fault.at_s + fault.hold_s, True, index) for index, fault in enumerate(experiment.faults)]
    return sorted(acts)


def lasts_s(experiment: Experiment) -> float:
    """Seconds after the steady state until the last act, until the last planned change begins, until the last step of a
    growth that is carried, and until the end of a day's curve."""
    growth = experiment.growth
    ends = [act.at_s for act in (*time_line(experiment), *experiment.changes)] + [experiment.load.day_s]
    return max([0.0, *ends, *([growth.longest_s(experiment.load.users)] if growth else [])])


def clock_roles(experiment: Experiment) -> frozenset[Role]:
    """Whose wall clock the experiment sets: their containers must be started for that."""
    return frozenset(parse_target(f.target).role for f in experiment.faults if FAULTS[f.fault].preloads_clock)


def platform_for(topology: Topology, experiment: Experiment) -> Topology:
    """The platform that an experiment runs on: with the links that it needs, and places for the nodes it brings."""
    topology = topology.with_links(experiment.links)
    nodes = topology.workbench.nodes
    if experiment.upgrade and experiment.upgrade.strategy == "blue_green":
        return topology.with_spares(nodes)
    wanted = [scale.to for scale in experiment.scale]
    if topology.workbench.autoscale and experiment.load.day:
        wanted.append(topology.workbench.autoscale.nodes_at_most)
    return topology.with_spares(max((to - nodes for to in wanted), default=0))


def release_image(topology: Topology, role: Role, release: str) -> str:
    """The image of a release of the software of a role's members: one of this project's, or anybody's."""
    if is_foreign(release):
        return release
    own = image(topology, role)
    return own if release == CURRENT else f"{own}{VARIANT_MARK}{release}"


def release_images(topology: Topology, upgrade: Upgrade) -> tuple[str, ...]:
    """The image that the members of a component start with, and the one that they are to get; a reload brings none."""
    releases = (upgrade.from_,) if upgrade.strategy == "reload" else (upgrade.from_, upgrade.to)
    return tuple(release_image(topology, Role(upgrade.component), release) for release in releases)


def needed_images(topology: Topology, experiment: Experiment | None = None) -> list[str]:
    """Names of the images a run needs."""
    upgrade = experiment.upgrade if experiment else None
    releases = release_images(topology, upgrade) if upgrade else ()
    return list(dict.fromkeys([AGENT_ROLE, *images(topology), *releases]))


def users_that_fit(topology: Topology, experiment: Experiment, machine: Mapping[str, Any]) -> int:
    """How many users the engine's machine has memory for."""
    start = topology.workbench.session_start
    session = SESSION_BYTES[start]
    node = NODE_BYTES + WARM_PARENT_BYTES[start]
    # one that is kept alive at each place, and one for each start that can be in flight until its deadline
    probe_sessions = serving_nodes(topology) + 1 + int(START_PROBE_DEADLINE_S / experiment.load.start_probe_every_s)
    usable = machine["memory_bytes"] * USABLE_RATIO
    databases = max(0, topology.size(Role.DATABASE) - 1) * DATABASE_SERVER_BYTES
    platform = SERVICES_BYTES + databases + CLIENT_BYTES + topology.workbench.nodes * node + probe_sessions * session
    return max(0, int((usable - platform) // session))


def check_memory(topology: Topology, experiment: Experiment, machine: Mapping[str, Any]) -> None:
    """Refuse more users than the engine's machine carries. Raises `UsageError` with the largest number that fits."""
    start = topology.workbench.session_start
    session = SESSION_BYTES[start]
    fits = users_that_fit(topology, experiment, machine)
    load, growth = experiment.load, experiment.growth
    users = growth.users_at_most if growth else load.users_at_most
    if users > fits:
        hint = f"set `load: {{users: {fits}}}` in the experiment, or `--users {fits}`"
        if growth:
            hint = f"set `growth: {{users_at_most: {fits}}}` in the experiment"
            if fits < load.users + growth.users_each:
                hint += f", and fewer `load: {{users: {load.users}}}` or `growth: {{users_each: {growth.users_each}}}`"
        raise UsageError(
            f"{users} users do not fit into the engine's memory of "
            f"{machine['memory_bytes'] / 1e9:.1f} GB: at {session / 1e6:.0f} MB a session ({start}), "
            f"{topology.name} carries {fits} at the most",
            hint=hint,
        )


def that_fit(chosen: Chosen, machine: Mapping[str, Any]) -> Chosen:
    """Without the experiments of a suite whose growth is more than the engine's machine has memory for.

    What was asked for by its name stays, and is refused before anything starts.
    """
    fit: list[Experiment] = []
    set_aside = [*chosen.not_applicable]
    for experiment in chosen.experiments:
        try:
            if experiment.growth is not None and not chosen.by_name:
                check_memory(chosen.topology, experiment, machine)
        except UsageError as error:
            set_aside.append(SuiteEntry(experiment.name, why_not=f"not applicable: {error.message}", applicable=False))
        else:
            fit.append(experiment)
    return replace(chosen, experiments=fit, not_applicable=set_aside)
