"""Topology and experiment files -> the frozen model, with every mistake named at once.

Each line of a `SpecError` reads `FILE:LINE: what was found, what was expected[, did you mean X?]`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from harness.core.model import Experiment, Role, Target, Topology
from harness.errors import SpecError, UsageError
from harness.spec.document import Document, read
from harness.spec.schema import did_you_mean, found, listed
from harness.spec.validate import validate

__all__ = ["check_pair", "check_promises", "load_experiment", "load_topology", "parse_target"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,3}")
#: The roles of which one member is the active one; the others have a single member or none that stands by.
_ROLES_WITH_ACTIVE = (Role.WORKBENCH,)
#: An active-passive pair needs somebody to stand by.
_LEAST_NODES = {"active-passive": 2}


def load_topology(path: Path) -> Topology:
    """The topology in the file, named as the file. Raises `SpecError` with every mistake in it."""
    document = read(path)
    topology = validate(Topology, document, own_keys=("name",))
    _check_nodes(document)
    document.raise_problems()
    assert topology is not None, "no problem was noted, so there is a topology"
    return dataclasses.replace(topology, name=path.stem)


def load_experiment(path: Path, fault_kinds: Collection[str]) -> Experiment:
    """The experiment in the file, named as the file, its faults among `fault_kinds`.

    Raises `SpecError` with every mistake in it.
    """
    document = read(path)
    experiment = validate(Experiment, document, own_keys=("name",))
    _check_faults(document, fault_kinds)
    document.raise_problems()
    assert experiment is not None, "no problem was noted, so there is an experiment"
    return dataclasses.replace(experiment, name=path.stem)


def check_pair(topology: Topology, experiment: Experiment, topology_path: Path, experiment_path: Path) -> None:
    """Whether the experiment can be done to the topology: each target must match something.

    Raises `SpecError` with the lines of the experiment's file.
    """
    document = _for_lines(experiment_path)
    for index, fault in enumerate(experiment.faults):
        target, mistake = _read_target(fault.target)
        if target is not None:
            mistake = _mismatch(target, topology, topology_path)
        if mistake:
            document.add(("faults", index, "target"), f"faults[{index}].target is {fault.target!r}, {mistake}")
    document.raise_problems()


def check_promises(topology: Topology, path: Path, experiments: Collection[str]) -> None:
    """Whether each promise is about one of `experiments`. Raises `SpecError` with the lines of the topology's file."""
    document = _for_lines(path)
    known = sorted(experiments)
    for name in topology.promises:
        if name not in experiments:
            text = f"promise for the unknown experiment {name}, expected {listed(known) if known else 'none'}"
            document.add(("promises", name), text + did_you_mean(name, known))
    document.raise_problems()


def parse_target(text: str) -> Target:
    """`role[selector]` as a `Target`. Raises `UsageError` saying what is wrong with it."""
    target, mistake = _read_target(text)
    if target is None:
        raise UsageError(f"target {text!r}, {mistake}")
    return target


def _read_target(text: str) -> tuple[Target | None, str]:
    """The target, or None and what was expected instead."""
    match = Target.PATTERN.fullmatch(text)
    if match is None:
        return None, "expected role[selector], such as workbench[active] or workbench[0]"
    role, selector = match["role"], match["selector"]
    if role not in list(Role):
        return None, f"expected a role of {', '.join(Role)}{did_you_mean(role, Role)}"
    if not _NUMBER.fullmatch(selector) and selector not in Target.SELECTORS:
        choices = ", ".join(Target.SELECTORS)
        return None, f"expected a number or {choices} in the brackets{did_you_mean(selector, Target.SELECTORS)}"
    return Target(Role(role), selector), ""


def _mismatch(target: Target, topology: Topology, topology_path: Path) -> str:
    """Why the target matches nothing in the topology; empty if it does."""
    roles = topology.roles()
    if target.role not in roles:
        return f"expected a role that {topology_path} has: {', '.join(roles)}"
    members = topology.workbench.nodes if target.role is Role.WORKBENCH else 1
    has_active = target.role in _ROLES_WITH_ACTIVE
    if has_active if target.selector in Target.SELECTORS else int(target.selector) < members:
        return ""
    valid = [f"{target.role}[{index}]" for index in range(members)] + [f"{target.role}[active]"] * has_active
    return f"expected {listed(valid)}, as {topology_path} has {members} of {target.role}"


def _for_lines(path: Path) -> Document:
    """The file again, for its lines; one that is not YAML (a Python experiment) has all its mistakes on line 1."""
    try:
        document = read(path)
    except SpecError:
        return Document(str(path))
    document.problems.clear()  # they were reported when it was loaded
    return document


def _check_nodes(document: Document) -> None:
    """The mode and the number of nodes must not contradict each other. Reads plain data, so that it also speaks up
    where something else in the file is wrong."""
    workbench = _get(document.data, "workbench")
    nodes, mode = _get(workbench, "nodes"), _get(workbench, "mode", "active-passive")
    least = _LEAST_NODES.get(mode, 1) if isinstance(mode, str) else 1
    if type(nodes) is int and 1 <= nodes < least:
        document.add(
            ("workbench", "nodes"), f"workbench.nodes is {nodes}, expected at least {least} for the mode {mode}"
        )


def _check_faults(document: Document, kinds: Collection[str]) -> None:
    """Kinds and targets, from the plain data for the same reason."""
    faults = _get(document.data, "faults")
    for index, fault in enumerate(faults if isinstance(faults, list) else ()):
        kind, target = _get(fault, "fault"), _get(fault, "target")
        if isinstance(kind, str) and kind not in kinds:
            expected = f"expected {listed(sorted(kinds))}" if kinds else "but there are no faults"
            document.add(
                ("faults", index, "fault"),
                f"faults[{index}].fault is {found(kind)}, {expected}{did_you_mean(kind, sorted(kinds))}",
            )
        mistake = _read_target(target)[1] if isinstance(target, str) else ""
        if mistake:
            document.add(("faults", index, "target"), f"faults[{index}].target is {found(target)}, {mistake}")


def _get(data: Any, key: str, default: Any = None) -> Any:
    return data.get(key, default) if isinstance(data, dict) else default
