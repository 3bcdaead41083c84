"""Planned changes in an experiment's file, and whether a topology can have them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.change import Scale, Upgrade
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Role
from harness.spec.document import Document, as_list, get
from harness.spec.schema import found

__all__ = ["check_changes", "why_no_change"]

#: The run's subnet keeps so many addresses for nodes (`harness.components.base`).
_NODES_AT_MOST = 9


def check_changes(document: Document) -> None:
    """What a change says must not contradict itself, and it stands alone; wrong types were said to be so."""
    upgrade, scales = get(document.data, "upgrade"), as_list(get(document.data, "scale"))
    first, last = get(upgrade, "from"), get(upgrade, "to")
    if isinstance(first, str) and first == last:
        document.add(
            ("upgrade", "to"), f"upgrade.to is {found(last)} like upgrade.from, expected another one: nothing changes"
        )
    for key, there in (("upgrade", upgrade is not None), ("scale", bool(scales))):
        others = [other for other in ("faults", "growth", "upgrade", "scale") if get(document.data, other)]
        if there and (beside := [other for other in others if other not in (key, "growth" if key == "scale" else "")]):
            document.add(
                (key,),
                f"{key} together with {' and '.join(beside)}, expected one of them: nobody could tell which of both "
                "did what to people",
            )


def why_no_change(topology: Topology, experiment: Experiment) -> str:
    """Why a planned change of the experiment can't be had on this topology; empty if all can."""
    problems = (problem for change in experiment.changes for problem in _problems(topology, change))
    return next(problems, "")


def _problems(topology: Topology, change: Upgrade | Scale) -> Iterator[str]:
    workbench = topology.workbench
    if isinstance(change, Scale):
        if topology.load_balancer is None:
            yield f"scale: {topology.name} has no {Role.LOAD_BALANCER}, so nobody would be sent to a node that joins"
        if workbench.mode not in {"active-active", "active-passive"}:
            yield f"scale: with workbench.mode {workbench.mode} the number of nodes is fixed"
        return
    if change.strategy != "blue_green":
        return
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
