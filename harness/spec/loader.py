"""Topology and experiment files -> the frozen model, with every mistake named at once.

Each line of a `SpecError` reads `FILE:LINE: what was found, what was expected[, did you mean X?]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from harness.core.experiment import Experiment, Fault, Load
from harness.core.rules import FaultRules, Peer
from harness.core.topology import Link, Patroni, Topology
from harness.core.words import Role
from harness.errors import SpecError
from harness.spec.document import Document, Loc, read
from harness.spec.schema import did_you_mean, found, listed
from harness.spec.targets import misfit, parse_target, read_target
from harness.spec.validate import validate, validate_part

__all__ = ["check_pair", "check_promises", "load_experiment", "load_topology", "why_not_applicable"]

#: An active-passive pair needs somebody to stand by.
_LEAST_NODES = {"active-passive": 2}


def load_topology(path: Path) -> Topology:
    """The topology in the file, named as the file. Raises `SpecError` with every mistake in it."""
    document = read(path)
    topology = validate(Topology, document, own_keys=("name",))
    _check_nodes(document)
    _check_patroni(document)
    _check_links(document)
    document.raise_problems()
    assert topology is not None, "no problem was noted, so there is a topology"
    return dataclasses.replace(topology, name=path.stem)


def load_experiment(path: Path, rules: Mapping[str, FaultRules]) -> Experiment:
    """The experiment in the file, named as the file, its faults as `rules` (by kind) allow.

    The options of each fault are complete in what is returned: defaults are written out. Raises `SpecError` with every
    mistake in the file.
    """
    document = read(path)
    experiment = validate(Experiment, document, own_keys=("name",))
    options = _check_faults(document, rules)
    _check_growth(document)
    document.raise_problems()
    assert experiment is not None, "no problem was noted, so there is an experiment"
    faults = tuple(dataclasses.replace(fault, options=options[index]) for index, fault in enumerate(experiment.faults))
    return dataclasses.replace(experiment, name=path.stem, faults=faults)


def check_pair(
    topology: Topology,
    experiment: Experiment,
    topology_path: Path,
    experiment_path: Path,
    rules: Mapping[str, FaultRules],
) -> None:
    """Whether the experiment can be done to the topology: each target must match something, and each fault must find
    what it needs.

    Raises `SpecError` with the lines of the experiment's file.
    """
    document = _for_lines(experiment_path)
    for index, fault in enumerate(experiment.faults):
        for key, text in (("target", fault.target), ("peer", fault.peer)):
            if text and (mistake := misfit(parse_target(text), topology, topology_path)):
                document.add(("faults", index, key), f"faults[{index}].{key} is {text!r}, {mistake}")
        if refusal := rules[fault.fault].refusal(topology, fault):
            document.add(("faults", index, "fault"), f"faults[{index}] can't be done to {topology_path}: {refusal}")
    if not document.problems:
        _check_blast_radius(document, topology, experiment, topology_path)
    document.raise_problems()


def why_not_applicable(topology: Topology, experiment: Experiment, rules: Mapping[str, FaultRules]) -> str:
    """Why the topology has nothing for this experiment (a role it lacks, say); empty if it can be done."""
    for fault in experiment.faults:
        for text in (fault.target, fault.peer):
            if text and (role := parse_target(text).role) not in topology.roles():
                return f"{topology.name} has no {role}"
        if refusal := rules[fault.fault].refusal(topology, fault):
            return f"{fault.fault}: {refusal}"
    return ""


def check_promises(topology: Topology, path: Path, experiments: Collection[str]) -> None:
    """Whether each promise is about one of `experiments`. Raises `SpecError` with the lines of the topology's file."""
    document = _for_lines(path)
    known = sorted(experiments)
    for name in topology.promises:
        if name not in experiments:
            text = f"promise for the unknown experiment {name}, expected {listed(known) if known else 'none'}"
            document.add(("promises", name), text + did_you_mean(name, known))
    document.raise_problems()


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


def _check_patroni(document: Document) -> None:
    """What the cluster's knobs say must not contradict each other; a knob of the wrong type was said to be so."""
    database = _get(document.data, "database")
    if _get(database, "product") != "patroni":
        return
    knobs: dict[str, Any] = {
        field.name: value
        for field in dataclasses.fields(Patroni)
        if type(value := _get(database, field.name, field.default)) is type(field.default)
    }
    if knobs.get("synchronous") and knobs.get("nodes") == 1:
        document.add(
            ("database", "nodes"),
            "database.nodes is 1 with database.synchronous true, expected at least 2: one server has no replica to "
            "wait for; raise nodes, or say synchronous: false",
        )
    if knobs.get("synchronous_strict") and knobs.get("synchronous") is False:
        document.add(
            ("database", "synchronous_strict"),
            "database.synchronous_strict is true with database.synchronous false, expected both true: there is no "
            "replica that writes could wait for; say synchronous: true, or leave synchronous_strict out",
        )
    ttl_s, loop_s, retry_s = (knobs.get(key) for key in ("ttl_s", "loop_wait_s", "retry_timeout_s"))
    if ttl_s and loop_s and retry_s and ttl_s < (least := loop_s + 2 * retry_s):
        document.add(
            ("database", "ttl_s") if "ttl_s" in database else ("database",),
            f"database.ttl_s is {ttl_s} with loop_wait_s {loop_s} and retry_timeout_s {retry_s}, expected at least "
            f"loop_wait_s + 2 x retry_timeout_s = {least}: a primary must have stepped down before its lease ends",
        )


def _check_links(document: Document) -> None:
    """Each link must be between two roles that talk, and be there once."""
    possible = [f"{source} to {target}" for source, target in Link.POSSIBLE]
    first: dict[tuple[str, str], int] = {}
    for index, link in enumerate(_as_list(_get(document.data, "links"))):
        source, target = _get(link, "from"), _get(link, "to")
        if source not in list(Role) or target not in list(Role):
            continue  # said where the model was checked
        here, what = ("links", index), f"links[{index}] is from {source} to {target}"
        if source == target:
            document.add((*here, "to"), f"{what}, expected two different roles: {listed(possible)}")
        elif (Role(source), Role(target)) not in Link.POSSIBLE:
            near = ", did you mean the other way round?" if (target, source) in Link.POSSIBLE else ""
            document.add(here, f"{what}, which do not talk that way, expected {listed(possible)}{near}")
        elif (source, target) in first:
            document.add(here, f"{what}, expected it once: the first is links[{first[source, target]}]")
        first.setdefault((source, target), index)


def _check_faults(document: Document, rules: Mapping[str, FaultRules]) -> list[dict[str, Any]]:
    """Kinds, targets and options, from the plain data for the same reason; returns each fault's options, complete."""
    faults = _get(document.data, "faults")
    return [_check_fault(document, index, fault, rules) for index, fault in enumerate(_as_list(faults))]


def _check_fault(document: Document, index: int, fault: Any, rules: Mapping[str, FaultRules]) -> dict[str, Any]:
    kind, here = _get(fault, "fault"), ("faults", index)
    if isinstance(kind, str) and kind not in rules:
        expected = f"expected {listed(sorted(rules))}" if rules else "but there are no faults"
        near = did_you_mean(kind, sorted(rules))
        document.add((*here, "fault"), f"faults[{index}].fault is {found(kind)}, {expected}{near}")
    for key in ("target", "peer"):
        text = _get(fault, key)
        if isinstance(text, str) and (mistake := read_target(text)[1]):
            document.add((*here, key), f"faults[{index}].{key} is {found(text)}, {mistake}")
    if not isinstance(kind, str) or kind not in rules:
        return {}
    _check_sides(document, here, fault, rules[kind])
    options = _get(fault, "options", {})
    if not isinstance(options, dict):
        return {}  # said where the model was checked
    chosen = validate_part(rules[kind].options, document, (*here, "options"), options)
    return {} if chosen is None else dataclasses.asdict(chosen)


def _check_sides(document: Document, here: Loc, fault: Any, rules: FaultRules) -> None:
    """The target's role must be one that the fault can hit, and a peer must be there exactly where it makes sense."""
    kind, target, peer = _get(fault, "fault"), _get(fault, "target"), _get(fault, "peer")
    read = read_target(target)[0] if isinstance(target, str) else None
    if read is not None and rules.roles and read.role not in rules.roles:
        wanted = listed(sorted(rules.roles))
        document.add((*here, "target"), f"{kind} on {found(target)}, expected a target of {wanted}")
    if peer and rules.peer is Peer.NONE:
        document.add((*here, "peer"), f"{kind} with peer {found(peer)}, expected none: it has one side only")
    if not peer and rules.peer is Peer.REQUIRED:
        document.add(here, f"{kind} without peer, expected the other side, such as peer: database[primary]")


def _check_growth(document: Document) -> None:
    """How many come must not contradict how many there are, nor what is demanded; wrong types were said to be so."""
    growth = _get(document.data, "growth")
    wanted = _get(_get(document.data, "objectives"), "users_carried_at_least")
    at_most, each = _get(growth, "users_at_most"), _get(growth, "users_each")
    users = _get(_get(document.data, "load"), "users", Load.users)
    if wanted is not None and growth is None:
        document.add(
            ("objectives", "users_carried_at_least"),
            f"objectives.users_carried_at_least is {found(wanted)} without growth, expected both: only growth shows "
            "how many are carried; say growth, or leave the objective out",
        )
    if all(type(number) is int for number in (at_most, each, users)) and at_most < users + each:
        document.add(
            ("growth", "users_at_most"),
            f"growth.users_at_most is {at_most} with load.users {users} and growth.users_each {each}, expected at "
            f"least {users + each}: it means everybody together, and there must be room for one step",
        )
    if type(wanted) is int and type(at_most) is int and wanted > at_most:
        document.add(
            ("objectives", "users_carried_at_least"),
            f"objectives.users_carried_at_least is {wanted} with growth.users_at_most {at_most}, expected at most "
            f"{at_most}: more never come",
        )


def _check_blast_radius(document: Document, topology: Topology, experiment: Experiment, topology_path: Path) -> None:
    """More targets at one time than the experiment admits, as far as the files tell."""
    for index, fault in enumerate(experiment.faults):
        hit = sum(_hit(topology, other) for other in experiment.faults if other.at_s <= fault.at_s < _end_s(other))
        if hit > experiment.blast_radius:
            document.add(
                ("faults", index, "target"),
                f"with faults[{index}] up to {hit} containers of {topology_path} are hit at the same time, expected at "
                f"most {experiment.blast_radius}: say blast_radius: {hit} if that is meant",
            )


def _hit(topology: Topology, fault: Fault) -> int:
    target = parse_target(fault.target)
    return target.count(topology.size(target.role))


def _end_s(fault: Fault) -> float:
    # a fault that is undone at once is in force for a moment all the same
    return fault.at_s + max(fault.hold_s, 0.001)


def _as_list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []


def _get(data: Any, key: str, default: Any = None) -> Any:
    return data.get(key, default) if isinstance(data, dict) else default
