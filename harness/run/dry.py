"""`--dry-run`: every container and every command of every fault, on paper; no call that changes anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.components import jupyterhub
from harness.components.registry import members, other_side
from harness.core.change import ChangeStep
from harness.core.clock import to_ns
from harness.core.experiment import Experiment, Fault, Growth, Load
from harness.core.names import link_name
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Aim, State
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.run.changes.steps import scale_steps
from harness.run.paper import paper_plan
from harness.run.plan import needed_images, platform_for, time_line
from harness.run.suite import SuiteEntry
from harness.spec.targets import parse_target

__all__ = ["plan_lines"]

_INDENT = " " * 14


def plan_lines(
    topology: Topology, experiments: Sequence[Experiment], not_applicable: Sequence[SuiteEntry]
) -> Iterator[str]:
    """The plan as lines for a person."""
    yield f"{topology.name}: these containers would be started on a network of their own"
    yield f"  images: {', '.join(needed_images(topology))}"
    yield "  agent            host's PID namespace, no network; carries out the faults and cleans up"
    for spec in paper_plan(topology):
        yield f"  {spec.name:16} {_container(spec)}"
    for experiment in experiments:
        yield ""
        yield from _experiment(topology, experiment)
    for entry in not_applicable:
        yield ""
        yield f"{entry.experiment}: {entry.why_not}"
    yield ""
    yield "nothing was started, nothing was changed"


def _container(spec: ContainerSpec) -> str:
    parts = [f"image {spec.image}, address SUBNET.{spec.host_number}"]
    parts += [f"volume {mount.volume} at {mount.path}" for mount in spec.mounts]
    if spec.capabilities:
        parts.append(f"capabilities {' '.join(spec.capabilities)}")
    if spec.depends_on:
        parts.append(f"after {', '.join(spec.depends_on)}")
    if spec.ready:
        parts.append(f"ready when {spec.ready.proves}")
    return "; ".join(parts)


def _experiment(topology: Topology, experiment: Experiment) -> Iterator[str]:
    yield from _own_links(topology, experiment)
    topology = topology.with_links(experiment.links)
    load = experiment.load
    yield f"{experiment.name}: {load.users} people, steady for {experiment.steady_state_s:g} s, then"
    yield from _attendance(topology, load)
    now_s = 0.0
    host = RehearsalHost(lambda: to_ns(now_s))
    host.machines.links = {link_name(link.from_, link.to) for link in topology.links}
    states: dict[int, list[State]] = {}
    growth = experiment.growth
    for act in time_line(experiment):
        now_s = act.at_s
        if growth is not None and growth.at_s < now_s:
            yield from _growth(growth)
            growth = None
        fault = experiment.faults[act.index]
        kind = FAULTS[fault.fault]
        before = len(host.paper.commands)
        if not act.undo:
            yield f"  {act.at_s:8.1f} s  inject {_described(fault)}"
            states[act.index] = _prepare(topology, fault, act.index, host)
            for state in states[act.index]:
                kind.inject(host, state)
        else:
            yield f"  {act.at_s:8.1f} s  undo {_described(fault)}"
            for state in reversed(states[act.index]):
                kind.undo(host, state)
                kind.cleanup(host, state)
        for command in host.paper.commands[before:]:
            yield from (f"{_INDENT}{line}" for line in command.splitlines())
    if growth is not None:
        yield from _growth(growth)
    yield from _scaling(topology, experiment)
    yield f"  then {experiment.settle_s:g} s of watching people come back"
    if experiment.abort_when:
        abort = experiment.abort_when
        yield (
            f"  given up, with everything undone at once, if fewer than {abort.working_below_percent:g}% of the people "
            f"can work for {abort.for_s:g} s"
        )


def _own_links(topology: Topology, experiment: Experiment) -> Iterator[str]:
    for link in experiment.links:
        if topology.link(link.from_, link.to) is None:
            yield f"{experiment.name}: on a platform of its own, with a Toxiproxy from {link.from_} to {link.to}"


def _attendance(topology: Topology, load: Load) -> Iterator[str]:
    """How people come and go."""
    if load.stay is not None:
        stay = load.stay
        yield (
            f"  people stay for {stay.at_least_s:g} to {stay.at_most_s:g} s, and come back {stay.away_s:g} s after "
            "they meant to go"
        )
    for point in load.day:
        yield f"  {point.at_s:8.1f} s  {point.users} people are there, by a day's curve"
    if (policy := topology.workbench.autoscale) and load.day:
        how = f"drained for up to {policy.drain_s:g} s first" if policy.drain else "without draining"
        yield (
            f"  {policy.nodes_at_least} to {policy.nodes_at_most} nodes, one for each {policy.sessions_per_node} "
            f"sessions; for {policy.cool_down_s:g} s after a change none; a node goes {how}"
        )


def _scaling(topology: Topology, experiment: Experiment) -> Iterator[str]:
    """On paper the first node is the active one, where one is."""
    platform = platform_for(topology, experiment)
    places = (*members(platform, Role.WORKBENCH), *jupyterhub.spare_names(platform))
    there = list(members(platform, Role.WORKBENCH))
    for scale in experiment.scale:
        yield f"  {scale.at_s:8.1f} s  scale {scale.role} to {scale.to}"
        free = [name for name in places if name not in there]
        active = there[0] if platform.workbench.mode == "active-passive" else ""
        for step in scale_steps(platform, scale, there, free, active=active):
            yield f"{_INDENT}{step.what.value.replace('_', ' ')} {', '.join(step.nodes)}"
            if step.what is ChangeStep.START:
                there += step.nodes
            if step.what is ChangeStep.RETIRE:
                there = [name for name in there if name not in step.nodes]


def _growth(growth: Growth) -> Iterator[str]:
    yield (
        f"  {growth.at_s:8.1f} s  {growth.users_each} more people every {growth.every_s:g} s, up to "
        f"{growth.users_at_most} in all, as long as {growth.working_at_least_percent:g}% of everybody can work at the "
        "end of a step"
    )


def _described(fault: Fault) -> str:
    peer = f" from {fault.peer}" if fault.peer else ""
    options = ", ".join(f"{key} {value}" for key, value in fault.options.items())
    return f"{fault.fault} on {fault.target}{peer}" + (f" ({options})" if options else "")


def _prepare(topology: Topology, fault: Fault, index: int, host: RehearsalHost) -> list[State]:
    """On paper, words such as `active` mean the first members: who it really is is decided at injection."""
    kind = FAULTS[fault.fault]
    aims = [
        Aim(
            target=name,
            tag=f"chaos-RUN-{index}",
            peers=tuple(peer for peer in _peers_on_paper(topology, fault) if peer != name),
            options=kind.Options(**fault.options),
        )
        for name in _on_paper(topology, fault.target)
    ]
    return [kind.prepare(host, aim) for aim in aims]


def _peers_on_paper(topology: Topology, fault: Fault) -> tuple[str, ...]:
    if not fault.peer:
        return ()
    parsed = parse_target(fault.peer)
    return other_side(topology, parsed.role, parsed.selector) or _on_paper(topology, fault.peer)


def _on_paper(topology: Topology, target: str) -> tuple[str, ...]:
    parsed = parse_target(target)
    names = members(topology, parsed.role)
    if parsed.selector.isdigit():
        return (names[int(parsed.selector)],)
    return names[: parsed.count(len(names))]
