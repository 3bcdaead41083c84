"""Planned changes in an experiment's file, and whether a topology can have them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from harness.core.change import CURRENT, STRATEGIES, Disaster, Scale, Upgrade
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import SpecError
from harness.spec.document import Document, as_list, get
from harness.spec.reloading import with_knob
from harness.spec.schema import found, listed

__all__ = ["check_changes", "why_no_change"]

#: The run's subnet keeps so many addresses for nodes (`harness.components.base`).
_NODES_AT_MOST = 9
#: What stands alone beside a day's curve, or can't be judged by it.
_BESIDE_DAY = ("faults", "upgrade", "scale", "abort_when")


def check_changes(document: Document) -> None:
    """What a change says must not contradict itself, and it stands alone; wrong types were said to be so."""
    _check_attendance(document)
    upgrade, scales = get(document.data, "upgrade"), as_list(get(document.data, "scale"))
    first, last = get(upgrade, "from"), get(upgrade, "to")
    if isinstance(first, str) and first == last:
        document.add(
            ("upgrade", "to"), f"upgrade.to is {found(last)} like upgrade.from, expected another one: nothing changes"
        )
    _check_component(document)
    disaster = get(document.data, "disaster") is not None
    for key, there in (("upgrade", upgrade is not None), ("scale", bool(scales)), ("disaster", disaster)):
        others = [other for other in ("faults", "growth", "upgrade", "scale", "disaster") if get(document.data, other)]
        if there and (beside := [other for other in others if other not in (key, "growth" if key == "scale" else "")]):
            document.add(
                (key,),
                f"{key} together with {' and '.join(beside)}, expected one of them: nobody could tell which of both "
                "did what to people",
            )


def _check_component(document: Document) -> None:
    """What is said of a component must be something that it can do."""
    upgrade = get(document.data, "upgrade")
    component, strategy = get(upgrade, "component", Upgrade.component), get(upgrade, "strategy", Upgrade.strategy)
    can = STRATEGIES.get(component) if isinstance(component, str) else None
    if can is None:
        return  # said where the model was checked
    if isinstance(strategy, str) and strategy not in can:
        document.add(("upgrade", "strategy"), f"upgrade.strategy is {found(strategy)}, expected {_ways(component)}")
    for key in ("drain_s", "database"):
        if component != "workbench" and get(upgrade, key) is not None:
            document.add(
                ("upgrade", key), f"upgrade.{key} with component {component}, expected none: it is about nodes"
            )


def _ways(component: str) -> str:
    return f"{listed(STRATEGIES[component])} for component {component}"


def _check_attendance(document: Document) -> None:
    """How people come and go must not contradict itself, nor what is done beside it."""
    load = get(document.data, "load")
    stay, day = get(load, "stay"), as_list(get(load, "day"))
    least, most = get(stay, "at_least_s"), get(stay, "at_most_s")
    if _numbers(least, most) and least > most:
        document.add(
            ("load", "stay", "at_most_s"),
            f"load.stay.at_most_s is {found(most)} with at_least_s {found(least)}, expected at least that",
        )
    moments = [get(point, "at_s") for point in day]
    for index, (before, moment) in enumerate(pairwise(moments), start=1):
        if _numbers(before, moment) and moment <= before:
            document.add(
                ("load", "day", index, "at_s"),
                f"load.day[{index}].at_s is {found(moment)} after {found(before)}, expected the points in the order of "
                "time",
            )
    there = [f"load.{key}" for key, value in (("stay", stay), ("day", day)) if value]
    if len(there) > 1:
        document.add(("load", "stay"), "load.stay together with load.day, expected one: both say when people go")
    for key in ("growth", *(_BESIDE_DAY if day else ())):
        if there and get(document.data, key):
            document.add(
                (key,),
                f"{key} together with {there[-1]}, expected one of them: nobody could tell who is away because of what",
            )


def _numbers(*values: Any) -> bool:
    return all(type(value) in (int, float) for value in values)


def why_no_change(topology: Topology, experiment: Experiment) -> str:
    """Why a planned change of the experiment can't be had on this topology; empty if all can."""
    if experiment.load.day and topology.workbench.autoscale is None:
        return f"load.day: {topology.name} has no workbench.autoscale by which the number of nodes could follow"
    problems = (problem for change in experiment.changes for problem in _problems(topology, change))
    if problem := next(problems, ""):
        return problem
    nodes = topology.workbench.nodes
    for scale in experiment.scale:
        if scale.to == nodes:
            return f"scale to {scale.to}: {topology.name} has as many nodes by then, so nothing would change"
        nodes = scale.to
    return ""


def _problems(topology: Topology, change: Upgrade | Scale | Disaster) -> Iterator[str]:
    if isinstance(change, Disaster):
        yield from _no_plan(topology)
    elif isinstance(change, Scale):
        yield from _not_scaled(topology)
    else:
        yield from _component_problems(topology, change)
        if change.strategy == "blue_green":
            yield from _no_blue_green(topology)


def _not_scaled(topology: Topology) -> Iterator[str]:
    workbench = topology.workbench
    if topology.load_balancer is None:
        yield f"scale: {topology.name} has no {Role.LOAD_BALANCER}, so nobody would be sent to a node that joins"
    if workbench.mode not in {"active-active", "active-passive"}:
        yield f"scale: with workbench.mode {workbench.mode} the number of nodes is fixed"
    if topology.storage is None:
        yield f"scale: {topology.name} has no {Role.STORAGE}, so a node that goes takes its people's homes with it"


def _no_blue_green(topology: Topology) -> Iterator[str]:
    workbench = topology.workbench
    if topology.load_balancer is None:
        yield f"upgrade.strategy blue_green: {topology.name} has no {Role.LOAD_BALANCER} that could lead people over"
    if workbench.mode == "active-passive":
        yield (
            "upgrade.strategy blue_green with workbench.mode active-passive: both releases would use one database at "
            "the same time; rolling does what is meant, with the standby first"
        )
    if topology.storage is None:
        yield (
            f"upgrade.strategy blue_green: {topology.name} has no {Role.STORAGE}, so homes would stay on the disks of "
            "the old nodes; rolling keeps each node's disk"
        )
    if workbench.nodes * 2 > _NODES_AT_MOST:
        yield f"upgrade.strategy blue_green needs {workbench.nodes * 2} nodes, there is room for {_NODES_AT_MOST}"


def _component_problems(topology: Topology, change: Upgrade) -> Iterator[str]:
    if Role(change.component) not in topology.roles():
        yield f"upgrade.component is {change.component}: {topology.name} has none"
    elif change.strategy not in STRATEGIES[change.component]:
        yield f"upgrade.strategy is {change.strategy}, expected {_ways(change.component)}"
    elif change.strategy == "reload":
        if change.from_ != CURRENT:
            yield f"upgrade.from is {change.from_} with strategy reload, expected {CURRENT}: the program stays the same"
        try:
            with_knob(topology, change.to)
        except SpecError as error:
            yield error.message


def _no_plan(topology: Topology) -> Iterator[str]:
    if topology.workbench.standby == "none" and topology.backup is None:
        yield (
            f"disaster: {topology.name} keeps nothing elsewhere that one could go on with; workbench.standby does "
            "(one node), or backup (with database and storage)"
        )
