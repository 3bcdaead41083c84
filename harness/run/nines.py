"""From folders of runs and a rates file to the answer of `harness nines`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from harness.analysis import analyse
from harness.analysis.nines import (
    Diagram,
    Evidence,
    Hazard,
    LeftOut,
    Matched,
    Nines,
    Question,
    block_diagram,
    difference,
    match,
    not_claimed,
    project,
    trial_of,
    why_left_out,
)
from harness.core.rates import Rates
from harness.core.topology import Topology
from harness.errors import RecordError, SpecError, UsageError
from harness.run.artifacts import RunFolder
from harness.run.several import runs_below
from harness.spec.rates import DEFAULT_RATES, load_rates, merged, shipped_rates

__all__ = ["answer", "read_evidence"]


def answer(
    paths: Sequence[Path],
    question: Question,
    *,
    rates_file: Path | None,
    experiments: Collection[str],
    faults: Collection[str],
    on_run: Callable[[str], None] = lambda _name: None,
) -> Nines:
    """What the runs at `paths` say about a year. `experiments` and `faults` are names that a rates file may have beside
    the experiments of the runs.

    Raises `UsageError` where there are no runs, or runs that must not be counted together, and `SpecError` with every
    mistake in the rates file.
    """
    folders = {folder.path: folder for path in paths for folder in runs_below(path)}
    found = [read_evidence(folder, question.capabilities, on_run) for folder in folders.values()]
    evidence = [one for one in found if isinstance(one, Evidence)]
    left_out = tuple(one for one in found if isinstance(one, LeftOut))
    _check_together(evidence)
    known = {*experiments, *(one.experiment for one in left_out), *(one.experiment.name for one in evidence)}
    rates = shipped_rates(faults)
    if rates_file is not None:
        rates = merged(rates, load_rates(rates_file, experiments=known, faults=faults))
    if not evidence:
        return Nines(topology="", question=question, trials=(), left_out=left_out, missing=())
    return _answer(evidence, left_out, rates, question, rates_file)


def read_evidence(
    folder: RunFolder, capabilities: Collection[str], on_run: Callable[[str], None] = lambda _name: None
) -> Evidence | LeftOut:
    """A run, measured anew from what it recorded; why it is left out where it is no evidence, or not whole."""
    name = f"{folder.path.parent.name}/{folder.path.name}"
    on_run(name)
    try:
        record = folder.load()
    except (RecordError, SpecError, OSError) as error:
        why = str(error).splitlines()[0].replace(f"{folder.path}/", "")
        return LeftOut(run=name, experiment=folder.path.parent.name, why=f"not whole: {why}")
    measures = analyse(record)
    if why := why_left_out(measures):
        return LeftOut(run=name, experiment=record.experiment.name, why=why)
    trial = trial_of(measures, name, capabilities)
    return Evidence(trial=trial, topology=record.topology, experiment=record.experiment)


def _check_together(evidence: Sequence[Evidence]) -> None:
    """One topology, and the same knobs. Raises `UsageError`."""
    names = [one.topology.name for one in evidence]
    counts = {name: names.count(name) for name in sorted(set(names))}
    if len(counts) > 1:
        listed = ", ".join(f"{name} ({count} runs)" for name, count in counts.items())
        raise UsageError(
            f"runs of {len(counts)} topologies: {listed}, expected one at a time",
            hint=f"name the folder of one of them, such as results/{next(iter(counts))}",
        )
    if differs := difference(evidence):
        raise UsageError(differs, hint="name only the runs that belong together")


def _answer(
    evidence: Sequence[Evidence],
    left_out: tuple[LeftOut, ...],
    rates: Rates,
    question: Question,
    rates_file: Path | None,
) -> Nines:
    topology = evidence[0].topology
    experiments = list({one.experiment.name: one.experiment for one in evidence}.values())
    matched = match(rates, topology, experiments)
    for misfit in matched.misfits:
        raise UsageError(f"{rates_file or DEFAULT_RATES}: rates.{misfit.name}, expected {misfit.expected}")
    hazards = () if matched.missing else _hazards(matched, evidence)
    counted = {hazard.experiment for hazard in hazards}
    people = [one.load.users for one in experiments if one.name in counted]
    return Nines(
        topology=topology.name,
        question=question,
        trials=tuple(one.trial for one in evidence),
        left_out=left_out,
        missing=matched.missing,
        hazards=hazards,
        projection=project(hazards, question) if hazards else None,
        diagram=_diagram(topology, rates) if hazards else None,
        not_claimed=tuple(not_claimed(hazards, matched.not_counted, matched.without_trials, people)),
    )


def _hazards(matched: Matched, evidence: Sequence[Evidence]) -> tuple[Hazard, ...]:
    return tuple(
        Hazard(
            experiment=one.experiment,
            rate=one.rate,
            rate_name=one.rate_name,
            machines=one.machines,
            role=one.role,
            repair=one.repair,
            trials=tuple(run.trial for run in evidence if run.trial.experiment == one.experiment),
        )
        for one in matched.exposed
        if one.repair is not None  # else it is missing, and nothing is projected
    )


def _diagram(topology: Topology, rates: Rates) -> Diagram | None:
    """None where each experiment has a repair time of its own: a diagram needs one of any machine."""
    if rates.machine is None or rates.manual_repair is None:
        return None
    return block_diagram(topology, rates.machine.mean_per_year, rates.manual_repair.mean_s)
