"""More nodes and fewer, on paper: who comes and goes, and by which steps nodes do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.components import jupyterhub
from harness.components.registry import members
from harness.core.change import ChangeStep
from harness.core.experiment import Experiment, Load
from harness.core.topology import Topology
from harness.core.words import Role
from harness.run.changes.steps import scale_steps
from harness.run.plan import platform_for

__all__ = ["attendance_lines", "scale_lines"]


def attendance_lines(topology: Topology, load: Load) -> Iterator[str]:
    """How people come and go, and how the number of nodes follows; nothing where everybody stays."""
    if load.stay is not None:
        stay = load.stay
        yield (
            f"people stay for {stay.at_least_s:g} to {stay.at_most_s:g} s, and come back {stay.away_s:g} s after they "
            "meant to go"
        )
    for point in load.day:
        yield f"{point.at_s:8.1f} s  {point.users} people are there, by a day's curve"
    if (policy := topology.workbench.autoscale) and load.day:
        how = f"drained for up to {policy.drain_s:g} s first" if policy.drain else "without draining"
        yield (
            f"{policy.nodes_at_least} to {policy.nodes_at_most} nodes, one for each {policy.sessions_per_node} "
            f"sessions; for {policy.cool_down_s:g} s after a change none; a node goes {how}"
        )


def scale_lines(topology: Topology, experiment: Experiment, indent: str) -> Iterator[str]:
    """Each planned change and its steps; on paper the first node is the active one, where one is."""
    platform = platform_for(topology, experiment)
    places = (*members(platform, Role.WORKBENCH), *jupyterhub.spare_names(platform))
    there = list(members(platform, Role.WORKBENCH))
    for scale in experiment.scale:
        how = "" if scale.drain else ", without draining whoever goes"
        yield f"{scale.at_s:8.1f} s  {scale.role} to {scale.to} nodes{how}"
        free = [name for name in places if name not in there]
        active = there[0] if platform.workbench.mode == "active-passive" else ""
        for step in scale_steps(platform, scale, there, free, active=active):
            yield f"{indent}{step.what.value.replace('_', ' ')} {', '.join(step.nodes)}"
            if step.what is ChangeStep.START:
                there += step.nodes
            if step.what is ChangeStep.RETIRE:
                there = [name for name in there if name not in step.nodes]
