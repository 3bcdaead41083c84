"""What the words of the command line mean: a topology, the experiments that are done to it, and those that can't be."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.experiment import Experiment
from harness.core.rules import FaultRules
from harness.core.topology import Topology
from harness.core.trials import EARLY_AT_LEAST
from harness.errors import UsageError
from harness.run.suite import ALL, SUITE, SuiteEntry, chosen_experiments
from harness.spec.catalog import Catalog
from harness.spec.loader import check_pair, check_promises, load_experiment, load_topology, why_not_applicable

__all__ = ["Chosen", "Repetition", "choose", "repetition"]

_WIDTH = re.compile(r"(\d{1,3}(?:\.\d+)?)%")


@dataclass(frozen=True)
class Chosen:
    """What is to be done."""

    topology: Topology
    experiments: Sequence[Experiment]
    not_applicable: Sequence[SuiteEntry]
    by_name: bool
    """Whether each experiment was asked for by its name; then each must apply."""
    names: Sequence[str] = ()
    """Of all experiments that were asked for, in that order."""


@dataclass(frozen=True)
class Repetition:
    """How often one experiment is to be done."""

    trials: int
    """At the most, where a width is wished."""
    until_width_ratio: float | None = None
    """Enough is done once the interval for the mean of the longest outage is no wider than this share of the mean."""


def repetition(trials: int | None, until_width: str | None, chosen: Chosen) -> Repetition | None:
    """What `--trials` and `--until-width` mean; None where each experiment is to be done once. Raises `UsageError`."""
    if trials is None:
        if until_width is not None:
            raise UsageError(
                f"--until-width {until_width} without --trials", hint="say how many at the most: --trials 50"
            )
        return None
    if trials < 1:
        raise UsageError(f"--trials {trials}: there must be one at least")
    if len(chosen.names) != 1 or not chosen.by_name:
        raise UsageError(
            f"--trials repeats one experiment, these are {len(chosen.names)}: {', '.join(chosen.names)}",
            hint=f"harness run {chosen.topology.name} {next(iter(chosen.names), 'node-kill')} --trials {trials}",
        )
    if until_width is None:
        return Repetition(trials)
    width = _WIDTH.fullmatch(until_width.strip())
    if width is None or not 0 < float(width[1]) <= 100:
        raise UsageError(f"--until-width {until_width}, expected a percentage above 0% and up to 100%, such as 20%")
    if trials < EARLY_AT_LEAST:
        raise UsageError(
            f"--until-width with --trials {trials}: the width is looked at from {EARLY_AT_LEAST} trials on",
            hint=f"--trials {EARLY_AT_LEAST} or more, or no --until-width",
        )
    return Repetition(trials, float(width[1]) / 100)


def choose(
    catalog: Catalog,
    topology: str,
    words: str,
    rules: Mapping[str, FaultRules],
    *,
    users: int | None = None,
    lenient: bool = False,
    read: Callable[[Path], Experiment] | None = None,
) -> Chosen:
    """Load and check everything that `words` (`suite`, `all`, names or paths with commas between) means.

    Of a suite, what the topology has nothing for is set aside; what was asked for by its name must apply, unless
    `lenient` says that it was asked for on several topologies. `users` replaces each experiment's number of people.
    `read` is what reads an experiment's file: whoever asks for many topologies reads each file once.

    Raises `UsageError`, of which `SpecError` is one.
    """
    topology_path = catalog.topology_path(topology)
    the_topology = load_topology(topology_path)
    chosen: list[Experiment] = []
    aside = lenient or words in (SUITE, ALL)
    set_aside: list[SuiteEntry] = []
    names: list[str] = []
    for name in chosen_experiments(words, catalog.experiments):
        path = catalog.experiment_path(name)
        experiment = load_experiment(path, rules) if read is None else read(path)
        names.append(experiment.name)
        reason = why_not_applicable(the_topology, experiment, rules) if aside else ""
        if reason:
            set_aside.append(SuiteEntry(experiment.name, why_not=f"not applicable: {reason}", applicable=False))
            continue
        check_pair(the_topology, experiment, topology_path, path, rules)
        chosen.append(experiment if users is None else _with_users(experiment, users))
    check_promises(the_topology, topology_path, [*catalog.experiments(), *(one.name for one in chosen)])
    return Chosen(the_topology, chosen, set_aside, by_name=not aside, names=names)


def _with_users(experiment: Experiment, users: int) -> Experiment:
    """The same with so many people. Raises `UsageError` if growth has no room for one step then."""
    growth = experiment.growth
    if growth is not None and growth.users_at_most < users + growth.users_each:
        raise UsageError(
            f"--users {users} with {experiment.name}, whose growth adds {growth.users_each} people up to "
            f"{growth.users_at_most}, expected at most {growth.users_at_most - growth.users_each}",
            hint="fewer users, or a copy of the experiment with a larger `growth: {users_at_most: ...}`",
        )
    return replace(experiment, load=replace(experiment.load, users=users))
