"""What the words of the command line mean: a topology, the experiments that are done to it, and those that can't be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.core.experiment import Experiment
from harness.core.rules import FaultRules
from harness.core.topology import Topology
from harness.run.suite import ALL, SUITE, SuiteEntry, chosen_experiments
from harness.spec.catalog import Catalog
from harness.spec.loader import check_pair, check_promises, load_experiment, load_topology, why_not_applicable

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True)
class Chosen:
    """What is to be done."""

    topology: Topology
    experiments: Sequence[Experiment]
    not_applicable: Sequence[SuiteEntry]
    names: Sequence[str] = ()
    """Of all experiments that were asked for, in that order."""


def choose(
    catalog: Catalog,
    topology: str,
    words: str,
    rules: Mapping[str, FaultRules],
    *,
    users: int | None = None,
    lenient: bool = False,
) -> Chosen:
    """Load and check everything that `words` (`suite`, `all`, names or paths with commas between) means.

    Of a suite, what the topology has nothing for is set aside; what was asked for by its name must apply, unless
    `lenient` says that it was asked for on several topologies. `users` replaces each experiment's number of people.

    Raises `UsageError`, of which `SpecError` is one.
    """
    topology_path = catalog.topology_path(topology)
    the_topology = load_topology(topology_path)
    chosen: list[Experiment] = []
    set_aside: list[SuiteEntry] = []
    names: list[str] = []
    for name in chosen_experiments(words, catalog.experiments):
        path = catalog.experiment_path(name)
        experiment = load_experiment(path, rules)
        names.append(experiment.name)
        reason = why_not_applicable(the_topology, experiment, rules) if lenient or words in (SUITE, ALL) else ""
        if reason:
            set_aside.append(SuiteEntry(experiment.name, why_not=f"not applicable: {reason}", applicable=False))
            continue
        check_pair(the_topology, experiment, topology_path, path, rules)
        if users is not None:
            experiment = replace(experiment, load=replace(experiment.load, users=users))
        chosen.append(experiment)
    check_promises(the_topology, topology_path, [*catalog.experiments(), *(one.name for one in chosen)])
    return Chosen(the_topology, chosen, set_aside, names)
