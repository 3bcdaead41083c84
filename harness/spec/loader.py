"""Topology and experiment files -> the frozen model, with every mistake named at once.

Each line of a `SpecError` reads `FILE:LINE: what was found, what was expected[, did you mean X?]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.experiment import Experiment, Fault, Load
from harness.core.rules import FaultRules, Peer
from harness.core.topology import Topology
from harness.errors import SpecError
from harness.spec.changes import check_changes, why_no_change
from harness.spec.contradictions import check_contradictions
from harness.spec.document import Document, Loc, as_list, get, read
from harness.spec.schema import did_you_mean, found, listed
from harness.spec.targets import misfit, parse_target, read_target
from harness.spec.validate import validate, validate_part

__all__ = ["check_pair", "check_promises", "load_experiment", "load_topology", "read_fault", "why_not_applicable"]

#: Where in the file, and what.
Mistake = tuple[Loc, str]


def load_topology(path: Path) -> Topology:
    """The topology in the file, named as the file. Raises `SpecError` with every mistake in it."""
    document = read(path)
    topology = validate(Topology, document, own_keys=("name",))
    check_contradictions(document, topology)
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
    check_changes(document)
    document.raise_problems()
    assert experiment is not None, "no problem was noted, so there is an experiment"
    faults = tuple(dataclasses.replace(fault, options=options[index]) for index, fault in enumerate(experiment.faults))
    return dataclasses.replace(experiment, name=path.stem, faults=faults)


def read_fault(data: Mapping[str, Any], rules: Mapping[str, FaultRules], where: str) -> Fault:
    """A fault that no file has but a script says, with its options complete; `where` is shown in messages.

    Raises `SpecError` with every mistake.
    """
    document = Document(where, data={"faults": [dict(data)]})
    options = _check_fault(document, 0, document.data["faults"][0], rules)
    fault = validate_part(Fault, document, ("faults", 0), document.data["faults"][0])
    document.raise_problems()
    assert fault is not None, "no problem was noted, so there is a fault"
    return dataclasses.replace(fault, options=options)


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
    noted: list[Mistake] = []
    for index, link in enumerate(experiment.links):
        if mistake := topology.why_no_link(link):
            noted.append((("links", index), f"links[{index}] can't be put into {topology_path}: {mistake}"))
    if reason := why_no_change(topology, experiment):
        here: Loc = ("load", "day") if experiment.load.day else ("scale",)
        here = next(((key,) for key in ("upgrade", "disaster") if getattr(experiment, key)), here)
        noted.append((here, f"can't be done to {topology_path}: {reason}"))
    promise = topology.promises.get(experiment.name)
    if promise and experiment.disaster is None and (promise.rto_s, promise.rpo_s) != (None, None):
        noted.append(
            (
                ("faults",),
                f"{topology_path} promises rto_s or rpo_s for {experiment.name}, expected neither: they are of a "
                "disaster, and it has none",
            )
        )
    topology = topology.with_links(experiment.links)
    for index, fault in enumerate(experiment.faults):
        mistakes = {
            key: f"faults[{index}].{key} is {text!r}, {mistake}"
            for key, text in (("target", fault.target), ("peer", fault.peer))
            if text and (mistake := misfit(parse_target(text), topology, topology_path))
        }
        noted += [(("faults", index, key), mistake) for key, mistake in mistakes.items()]
        if not mistakes and (refusal := rules[fault.fault].refusal(topology, fault)):
            noted.append((("faults", index, "fault"), f"faults[{index}] can't be done to {topology_path}: {refusal}"))
    _raise(experiment_path, noted or list(_too_many_at_once(topology, experiment, topology_path)))


def why_not_applicable(topology: Topology, experiment: Experiment, rules: Mapping[str, FaultRules]) -> str:
    """Why the topology has nothing for this experiment (a role it lacks, say); empty if it can be done."""
    for link in experiment.links:
        if reason := topology.why_no_link(link):
            return f"no link from {link.from_} to {link.to}: {reason}"
    if reason := why_no_change(topology, experiment):
        return reason
    topology = topology.with_links(experiment.links)
    for fault in experiment.faults:
        for text in (fault.target, fault.peer):
            if text and (role := parse_target(text).role) not in topology.roles():
                return f"{topology.name} has no {role}"
        if refusal := rules[fault.fault].refusal(topology, fault):
            return f"{fault.fault}: {refusal}"
    return ""


def check_promises(topology: Topology, path: Path, experiments: Collection[str]) -> None:
    """Whether each promise is about one of `experiments`, and each known-broken one is a promise. Raises `SpecError`
    with the lines of the topology's file."""
    known = sorted(experiments)
    _raise(path, [*_unknown_promises(topology, known), *_mistaken_known_broken(topology, known)])


def _unknown_promises(topology: Topology, known: Sequence[str]) -> Iterator[Mistake]:
    for name in topology.promises:
        if name not in known:
            text = f"promise for the unknown experiment {name}, expected {listed(known) if known else 'none'}"
            yield ("promises", name), text + did_you_mean(name, known)


def _mistaken_known_broken(topology: Topology, known: Sequence[str]) -> Iterator[Mistake]:
    """What is known to be broken is what people believe: it needs a promise, and a reason."""
    for name, why in topology.known_broken.items():
        here, what = ("known_broken", name), f"known_broken.{name}"
        if name not in known:
            yield here, f"{what} is about an unknown experiment, expected {listed(known)}" + did_you_mean(name, known)
        elif name not in topology.promises:
            text = f"{what} without promises.{name}, expected a promise in this file: it says what people believe; "
            yield here, text + f"add it, or leave {what} out{did_you_mean(name, sorted(topology.promises))}"
        if not why.strip():
            yield here, f"{what} is empty, expected why the promise does not hold"


def _raise(path: Path, mistakes: Sequence[Mistake]) -> None:
    """Raises `SpecError` with the mistakes and their lines, if there are any.

    The file is read again for the lines; one that is not YAML (a Python experiment) has all its mistakes on line 1.
    """
    if not mistakes:
        return
    try:
        document = read(path)
    except SpecError:
        document = Document(str(path))
    document.problems.clear()  # they were reported when it was loaded
    for loc, text in mistakes:
        document.add(loc, text)
    document.raise_problems()


def _check_faults(document: Document, rules: Mapping[str, FaultRules]) -> list[dict[str, Any]]:
    """Kinds, targets and options, from the plain data for the same reason; returns each fault's options, complete."""
    faults = get(document.data, "faults")
    return [_check_fault(document, index, fault, rules) for index, fault in enumerate(as_list(faults))]


def _check_fault(document: Document, index: int, fault: Any, rules: Mapping[str, FaultRules]) -> dict[str, Any]:
    kind, here = get(fault, "fault"), ("faults", index)
    if isinstance(kind, str) and kind not in rules:
        expected = f"expected {listed(sorted(rules))}" if rules else "but there are no faults"
        near = did_you_mean(kind, sorted(rules))
        document.add((*here, "fault"), f"faults[{index}].fault is {found(kind)}, {expected}{near}")
    for key in ("target", "peer"):
        text = get(fault, key)
        if isinstance(text, str) and (mistake := read_target(text)[1]):
            document.add((*here, key), f"faults[{index}].{key} is {found(text)}, {mistake}")
    if not isinstance(kind, str) or kind not in rules:
        return {}
    _check_sides(document, here, fault, rules[kind])
    if isinstance(target_ := get(fault, "target"), str) and target_.endswith("[cluster]"):
        document.add((*here, "target"), f"faults[{index}].target is {found(target_)}, expected it as a peer only")
    options = get(fault, "options", {})
    if not isinstance(options, dict):
        return {}  # said where the model was checked
    chosen = validate_part(rules[kind].options, document, (*here, "options"), options)
    return {} if chosen is None else dataclasses.asdict(chosen)


def _check_sides(document: Document, here: Loc, fault: Any, rules: FaultRules) -> None:
    """The target's role must be one that the fault can hit, and a peer must be there exactly where it makes sense."""
    kind, target, peer = get(fault, "fault"), get(fault, "target"), get(fault, "peer")
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
    growth = get(document.data, "growth")
    wanted = get(get(document.data, "objectives"), "users_carried_at_least")
    at_most, each = get(growth, "users_at_most"), get(growth, "users_each")
    users = get(get(document.data, "load"), "users", Load.users)
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


def _too_many_at_once(topology: Topology, experiment: Experiment, topology_path: Path) -> Iterator[Mistake]:
    """More targets at one time than the experiment admits, as far as the files tell."""
    for index, fault in enumerate(experiment.faults):
        hit = sum(_hit(topology, other) for other in experiment.faults if other.at_s <= fault.at_s < _end_s(other))
        if hit > experiment.blast_radius:
            text = f"with faults[{index}] up to {hit} containers of {topology_path} are hit at the same time, expected "
            text += f"at most {experiment.blast_radius}: say blast_radius: {hit} if that is meant"
            yield ("faults", index, "target"), text


def _hit(topology: Topology, fault: Fault) -> int:
    target = parse_target(fault.target)
    return target.count(topology.size(target.role))


def _end_s(fault: Fault) -> float:
    # a fault that is undone at once is in force for a moment all the same
    return fault.at_s + max(fault.hold_s, 0.001)
