"""Which rate belongs to an experiment, and how many machines it holds for: the topology says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from harness.core.experiment import Experiment, Target
from harness.core.rates import ManualRepair, Rate, Rates
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["Exposed", "Matched", "Misfit", "Missing", "match", "one_machine"]

#: Words for the one member that does what its role is for while others stand by, whatever the role's size.
_THE_ONE: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.LOAD_BALANCER: ("holder",),
    Role.DATABASE: ("primary",),
    Role.STORAGE: ("active",),
    Role.WORKBENCH: (),
}


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A number that somebody has to say before anything can be said about a year."""

    name: str
    """The experiment; empty for the time that a repair takes."""
    per_machine: bool = True
    """Whether the experiment hits one machine, so that a rate per machine makes sense."""
    what: str = ""
    """What is done to what."""
    why: str = ""
    """More about why it is missing, where there is more to say."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """A rate that can't be used for its experiment as it is written."""

    name: str
    expected: str


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """An experiment with its rate."""

    experiment: str
    rate: Rate
    rate_name: str
    """The key of the rates file."""
    machines: int
    """Of how many machines the rate is; 1 for a rate of the platform."""
    role: Role | None
    """The role that is hit; None where it is no single machine."""
    repair: ManualRepair | None
    """None where nobody said how long it takes."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What was found for each experiment."""

    exposed: tuple[Exposed, ...] = ()
    not_counted: Mapping[str, str] = field(default_factory=dict)
    """Experiments that the rates file leaves out, with its reasons."""
    missing: tuple[Missing, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    without_trials: tuple[str, ...] = ()
    """Rates for which there is no trial."""


def match(rates: Rates, topology: Topology, experiments: Sequence[Experiment]) -> Matched:
    """The rate of each experiment: the one under its name, else that of its one fault on one machine.

    A rate by fault stands for one kind of failure of the world outside. Where several experiments have the same fault
    it belongs to none of them, because the same failures would count several times.
    """
    by_fault = {one.name: _by_fault(topology, one) for one in experiments if not _left_out(rates, one.name)}
    names = {one.name: _name(rates, one, by_fault) for one in experiments}
    sorted_out = [_one(rates, topology, one, names[one.name], by_fault) for one in experiments]
    found = [one for one in sorted_out if isinstance(one, Exposed)]
    missing = [one for one in sorted_out if isinstance(one, Missing)]
    if any(one.repair is None for one in found):
        missing.append(Missing(name="", what="how long it takes until somebody has repaired what stays down"))
    return Matched(
        exposed=tuple(found),
        not_counted={name: rates.rates[rate].not_counted for name, rate in names.items() if _left_out(rates, rate)},
        missing=tuple(missing),
        misfits=tuple(one for one in sorted_out if isinstance(one, Misfit)),
        without_trials=tuple(sorted(rates.rates.keys() - set(names.values()))),
    )


def _one(
    rates: Rates, topology: Topology, experiment: Experiment, name: str, by_fault: Mapping[str, str]
) -> Exposed | Missing | Misfit | None:
    """What became of one experiment; None where the rates leave it out."""
    hit = one_machine(topology, experiment)
    what = ", ".join(f"{fault.fault} on {fault.target}" for fault in experiment.faults)
    if not name:
        shared = by_fault[experiment.name]
        others = [other for other, theirs in by_fault.items() if theirs == shared and other != experiment.name]
        why = f"{shared!r} is also the fault of {', '.join(others)}" if shared in rates.rates and others else ""
        return Missing(name=experiment.name, per_machine=hit is not None, what=what, why=why)
    rate = rates.rates[name]
    if rate.not_counted:
        return None
    if rate.per == "machine" and hit is None:
        return Misfit(name=name, expected=f"per: platform, because {what} is more than one fault on one machine")
    role, machines = hit if hit is not None else (None, 1)
    return Exposed(
        experiment=experiment.name,
        rate=rate,
        rate_name=name,
        machines=machines if rate.per == "machine" else 1,
        role=role,
        repair=rate.manual_repair or rates.manual_repair,
    )


def _left_out(rates: Rates, name: str) -> bool:
    return name in rates.rates and bool(rates.rates[name].not_counted)


def one_machine(topology: Topology, experiment: Experiment) -> tuple[Role, int] | None:
    """The role of which an experiment hits one member, and how many members may be that one; None where it hits several
    at once or one after the other.

    A word for the member that does the work while others stand by means one machine, however many there are: the
    failure of one that stands by is another experiment. `any` and numbers mean all of the role.
    """
    if len(experiment.faults) != 1:
        return None
    match_ = Target.PATTERN.fullmatch(experiment.faults[0].target)
    if match_ is None:
        return None
    target = Target(Role(match_["role"]), match_["selector"])
    if target.selector == "*" or target.selector.endswith("%"):
        return None
    waiting = target.role is Role.WORKBENCH and topology.workbench.mode == "active-passive"
    only_one = target.selector in (("active", "busiest") if waiting else _THE_ONE[target.role])
    return target.role, 1 if only_one else topology.size(target.role)


def _by_fault(topology: Topology, experiment: Experiment) -> str:
    """`<fault> on <role>`; empty where it is more than one fault on one machine."""
    hit = one_machine(topology, experiment)
    return "" if hit is None else f"{experiment.faults[0].fault} on {hit[0]}"


def _name(rates: Rates, experiment: Experiment, by_fault: Mapping[str, str]) -> str:
    """The key of its rate; empty if there is none."""
    if experiment.name in rates.rates:
        return experiment.name
    own = by_fault[experiment.name]
    return own if own in rates.rates and list(by_fault.values()).count(own) == 1 else ""
