"""What a matrix will run, decided before anything is started, and whether it is what an earlier one was to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.run.choice import Chosen
from harness.run.paper import paper_plan
from harness.run.schedule import PlannedRun, fingerprint, make_plan, once
from harness.run.stage import CLIENT

__all__ = ["MatrixPlan", "Slot", "differences", "make_matrix_plan"]


@dataclass(frozen=True)
class Slot:
    """The place of one run in a matrix."""

    topology: str
    experiment: str
    """Of a control run: the first experiment whose load it is."""
    number: int
    """From 1; 0 is a control run."""

    def __str__(self) -> str:
        what = f"trial {self.number}" if self.number else "control run"
        return f"{self.topology}, {self.experiment}, {what}"


@dataclass(frozen=True)
class MatrixPlan:
    """All runs of a matrix."""

    rows: Sequence[Chosen]
    trials: int | None
    users: int | None
    seed: int
    runs: Mapping[str, Sequence[tuple[Slot, PlannedRun]]]
    """By topology, in the order in which they are run."""
    controls: Mapping[Slot, tuple[str, ...]]
    """Each control run with the experiments whose load it is."""

    def control_of(self, slot: Slot) -> Slot | None:
        """The control run that stands for a trial."""
        found = (
            one for one, names in self.controls.items() if one.topology == slot.topology and slot.experiment in names
        )
        return next(found, None)

    def numbers(self) -> range:
        """Of the trials of each cell."""
        return range(1, (self.trials or 1) + 1)

    def containers(self) -> dict[str, int]:
        """Of each topology's platform, without client and agent."""
        return {row.topology.name: sum(spec.name != CLIENT for spec in paper_plan(row.topology)) for row in self.rows}

    def to_json_dict(self) -> dict[str, Any]:
        """What must be the same for a matrix to be gone on with, as plain JSON types."""
        experiments = {experiment.name: experiment for row in self.rows for experiment in row.experiments}
        names = self.rows[0].names if self.rows else ()
        return {
            "topologies": {row.topology.name: _sha256(row.topology) for row in self.rows},
            # one that applies to none of the topologies is not read any further
            "experiments": {name: _sha256(experiments[name]) if name in experiments else None for name in names},
            "trials": self.trials,
            "users": self.users,
        }


def make_matrix_plan(rows: Sequence[Chosen], *, trials: int | None, users: int | None, seed: int) -> MatrixPlan:
    """With `trials`, each cell has so many, with seeds and times drawn as by `harness run --trials`; the same seed
    gives trial i of every cell the same ones.

    A control run costs some 45 s and looks for a platform or an instrument that is never quiet, which the fault has no
    part in. So there is one for each load on each platform, not for each cell: with the load of the catalogue one a
    topology.
    """
    runs: dict[str, list[tuple[Slot, PlannedRun]]] = {}
    controls: dict[Slot, tuple[str, ...]] = {}
    for row in rows:
        of_load: list[tuple[Any, Slot]] = []
        mine = runs.setdefault(row.topology.name, [])
        for experiment in row.experiments:
            if trials is None:
                mine.append((Slot(row.topology.name, experiment.name, 1), once(row.topology, experiment, seed)))
                continue
            plan = make_plan(row.topology, experiment, trials, seed)
            load = (experiment.load, experiment.steady_state_s, plan.control.needs)
            control = next((slot for other, slot in of_load if other == load), None)
            if control is None:
                control = Slot(row.topology.name, experiment.name, 0)
                of_load.append((load, control))
                mine.append((control, plan.control))
            controls[control] = (*controls.get(control, ()), experiment.name)
            mine += [(Slot(row.topology.name, experiment.name, planned.number), planned) for planned in plan.trials]
    return MatrixPlan(rows=rows, trials=trials, users=users, seed=seed, runs=runs, controls=controls)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Why a matrix can't be gone on with: every key of its file that is not as it would be written now, with both."""
    for key in sorted(before.keys() | now.keys()):
        then, today = before.get(key), now.get(key)
        if then == today:
            continue
        if key in ("topologies", "experiments") and isinstance(then, Mapping) and isinstance(today, Mapping):
            yield from _files(key, then, today)
        elif isinstance(then, Mapping) and isinstance(today, Mapping):
            yield from (f"{key}.{line}" for line in differences(then, today))
        else:
            yield f"{key} is {_said(today)}, and was {_said(then)} when the matrix began"


def _files(key: str, then: Mapping[str, str], today: Mapping[str, str]) -> Iterator[str]:
    if list(then) != list(today):
        yield f"{key} are {', '.join(today)}, and were {', '.join(then)} when the matrix began"
    for name in today:
        if name in then and then[name] != today[name]:
            yield f"{key}/{name}: the file says something else than when the matrix began"


def _said(value: object) -> str:
    return "not given" if value is None else str(value)


def _sha256(spec: Topology | Experiment) -> str:
    """Of all that a file says, with defaults; comments and order don't count."""
    return fingerprint(asdict(spec))
