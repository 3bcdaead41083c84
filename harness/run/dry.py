"""`--dry-run`: every container and every command of every fault, on paper; no call that changes anything is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.components.registry import members, other_side
from harness.core.change import Disaster
from harness.core.clock import to_ns
from harness.core.experiment import Experiment, Fault, Growth
from harness.core.names import link_name
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.faults.base import Aim, State
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.run.changes.steps import disaster_steps
from harness.run.paper import paper_plan
from harness.run.plan import needed_images, platform_for, time_line
from harness.run.scaling_lines import attendance_lines, scale_lines
from harness.run.suite import SuiteEntry
from harness.run.upgrading import check_upgrade, upgrade_lines
from harness.spec.targets import parse_target

__all__ = ["plan_lines"]

_INDENT = " " * 14


def plan_lines(
    topology: Topology, experiments: Sequence[Experiment], not_applicable: Sequence[SuiteEntry]
) -> Iterator[str]:
    """The plan as lines for a person."""
    yield f"{topology.name}: these containers would be started on a network of their own"
    needed = [name for experiment in experiments for name in needed_images(topology, experiment)]
    yield f"  images: {', '.join(dict.fromkeys([*needed_images(topology), *needed]))}"
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
    changes = [*_changes(topology, experiment)]
    topology = platform_for(topology, experiment)
    load = experiment.load
    yield f"{experiment.name}: {load.users} people, steady for {experiment.steady_state_s:g} s, then"
    yield from (f"  {line}" for line in attendance_lines(topology, load))
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
    yield from changes
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


def _changes(topology: Topology, experiment: Experiment) -> Iterator[str]:
    """Raises `UsageError` for an upgrade that can't be had."""
    if experiment.upgrade:
        check_upgrade(topology, experiment)
        yield f"  {experiment.upgrade.at_s:8.1f} s  an upgrade, on a platform that nobody has used"
        yield from (f"{_INDENT}{line.strip()}" for line in upgrade_lines(topology, experiment))
    yield from (f"  {line}" for line in scale_lines(topology, experiment, _INDENT[2:]))
    if experiment.disaster is not None:
        yield from _disaster(topology, experiment.disaster)


def _disaster(topology: Topology, disaster: Disaster) -> Iterator[str]:
    lost, back = disaster_steps(topology)
    for at_s, steps in ((disaster.at_s, lost), (disaster.at_s + disaster.begin_after_s, back)):
        for number, step in enumerate(steps):
            when = f"{at_s:8.1f} s" if number == 0 else f"{'then':>10}"
            yield f"  {when}  {step.what.value} {', '.join(step.nodes)}"


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
