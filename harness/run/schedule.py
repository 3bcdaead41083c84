"""What will be injected when and on whom, with a hash; and the schedules of repeated trials, drawn from one seed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.components.registry import members, other_side
from harness.core.experiment import Experiment, Fault, Objectives
from harness.core.topology import Topology
from harness.run.needs import Needs, needs_of
from harness.run.targets import known_beforehand, lot_of
from harness.spec.targets import parse_target

__all__ = [
    "CONTROL",
    "Plan",
    "PlannedRun",
    "control_of",
    "fingerprint",
    "make_plan",
    "once",
    "phase_range_s",
    "schedule",
]

#: The name of the control run's experiment, and so of the folder of its results.
CONTROL = "control"
#: No trial waits longer than this for its first fault beyond what the experiment says.
PHASE_AT_MOST_S = 10.0
#: The control run watches for at least so long, and until four sessions were due to be started by the probes: with
#: fewer than three it would prove nothing (`analysis.judge.START_SESSIONS_AT_LEAST`).
CONTROL_AT_LEAST_S, CONTROL_START_PROBES = 20.0, 4


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One run of a set, decided before anything is started."""

    number: int
    """From 1; 0 is the control run."""
    seed: int
    """Of the users' phases and of the targets that are drawn."""
    offset_s: float
    """Every fault of the experiment comes so much later."""
    experiment: Experiment
    """As it will be run."""
    schedule: Mapping[str, Any]
    sha256: str
    """Of the schedule."""
    needs: Needs
    """Of its platform; a control run is on the kind that its trials begin on."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A control run and trials of one experiment."""

    seed: int
    control: PlannedRun
    trials: Sequence[PlannedRun]

    @property
    def sha256(self) -> str:
        """Of the schedules of all its runs, in their order."""
        return fingerprint({"runs": [run.sha256 for run in (self.control, *self.trials)]})


def make_plan(topology: Topology, experiment: Experiment, trials: int, seed: int) -> Plan:
    """The same seed gives the same plan; the first trials of a longer plan are those of a shorter one.

    Drawn are the moment of the first fault or change within `phase_range_s`, the targets that the experiment leaves to
    the lot, and the users' phases. What the experiment says of distances, holds and everything else stays.
    """
    runs = []
    for number in range(1, trials + 1):
        own_seed = _seed_of(seed, number)
        draw = random.Random(f"{own_seed}/phase").random()  # noqa: S311 - reproducible, not secret
        offset_s = round(draw * phase_range_s(experiment), 3) if experiment.faults or experiment.changes else 0.0
        runs.append(_planned(topology, _later(experiment, offset_s), number, own_seed, offset_s))
    control = _planned(topology, control_of(experiment), 0, _seed_of(seed, 0), 0.0)
    control = replace(control, needs=replace(needs_of(topology, experiment), later=(), fresh=False))
    return Plan(seed=seed, control=control, trials=tuple(runs))


def once(topology: Topology, experiment: Experiment, seed: int) -> PlannedRun:
    """One run with the exact times of the experiment."""
    return _planned(topology, experiment, 1, seed, 0.0)


def phase_range_s(experiment: Experiment) -> float:
    """By how much faults may come later: the longest period of the load (people's beat, starts of sessions), so that
    they meet each phase of it alike; 10 s at most."""
    return min(PHASE_AT_MOST_S, max(experiment.load.beat_s, experiment.load.start_probe_every_s))


def control_of(experiment: Experiment) -> Experiment:
    """The same load without any fault or change, long enough to be judged. Nothing may be lost in it."""
    watched_s = max(CONTROL_AT_LEAST_S, CONTROL_START_PROBES * experiment.load.start_probe_every_s)
    return replace(
        experiment,
        name=CONTROL,
        description=f"The load of {experiment.name}, and no {'change' if experiment.changes else 'fault'}.",
        faults=(),
        growth=None,
        upgrade=None,
        scale=(),
        abort_when=None,
        settle_s=watched_s,
        objectives=Objectives(writes_lost_at_most=0, sessions_lost_at_most=0),
    )


def schedule(topology: Topology, experiment: Experiment, seed: int) -> dict[str, Any]:
    """What will be injected when and on whom, and who will be there, as plain JSON types.

    Targets are containers where they are known before the run, and the words of the experiment (`workbench[active]`)
    where they are found out at the moment of injection.
    """
    growth = experiment.growth
    return {
        "faults": [_fault(topology, fault, index, seed) for index, fault in enumerate(experiment.faults)],
        "growth": asdict(growth) if growth else None,
        "load": asdict(experiment.load),
        "users_seed": seed,
        # a key of its own only where there are some: schedules without any keep the hashes that they had
        **({"changes": [asdict(change) for change in experiment.changes]} if experiment.changes else {}),
    }


def fingerprint(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON: keys sorted, no blanks, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _planned(topology: Topology, experiment: Experiment, number: int, seed: int, offset_s: float) -> PlannedRun:
    needs = needs_of(topology, experiment)
    content = schedule(needs.topology, experiment, seed)
    return PlannedRun(
        number=number,
        seed=seed,
        offset_s=offset_s,
        experiment=experiment,
        schedule=content,
        sha256=fingerprint(content),
        needs=needs,
    )


def _seed_of(seed: int, number: int) -> int:
    """32 bits, as seeds that nobody named have."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")


def _later(experiment: Experiment, offset_s: float) -> Experiment:
    """Everything on the time line moves together, so that distances stay."""
    growth, upgrade = experiment.growth, experiment.upgrade
    return replace(
        experiment,
        upgrade=upgrade and replace(upgrade, at_s=round(upgrade.at_s + offset_s, 3)),
        scale=tuple(replace(scale, at_s=round(scale.at_s + offset_s, 3)) for scale in experiment.scale),
        faults=tuple(replace(fault, at_s=round(fault.at_s + offset_s, 3)) for fault in experiment.faults),
        growth=growth and replace(growth, at_s=round(growth.at_s + offset_s, 3)),
    )


def _fault(topology: Topology, fault: Fault, index: int, seed: int) -> dict[str, Any]:
    return {
        "fault": fault.fault,
        "at_s": fault.at_s,
        "hold_s": fault.hold_s,
        "target": fault.target,
        "targets": _containers(topology, fault.target, index, seed),
        "peer": fault.peer,
        "peers": _peers(topology, fault.peer, index, seed) if fault.peer else [],
        "options": dict(fault.options),
    }


def _containers(topology: Topology, target: str, index: int, seed: int) -> list[str] | None:
    known = known_beforehand(topology, target, lot_of(seed, index, target))
    if known is None:
        names = members(topology, parse_target(target).role)
        known = names if len(names) == 1 else None  # of one member every word means that
    return None if known is None else list(known)


def _peers(topology: Topology, peer: str, index: int, seed: int) -> list[str] | None:
    parsed = parse_target(peer)
    whole = other_side(topology, parsed.role, parsed.selector)
    return list(whole) if whole else _containers(topology, peer, index, seed)
