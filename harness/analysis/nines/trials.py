"""What one run says about one event of its kind. A run is a trial, whatever the number of its probes and people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from harness.analysis.intervals import seconds, union
from harness.analysis.measures import Measures
from harness.analysis.recoveries import worst
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Capability, Recovery, SessionOutcome

__all__ = ["COUNTED", "Evidence", "LeftOut", "Trial", "difference", "trial_of", "why_left_out"]

#: The platform counts as down while any of these is away, unless somebody says otherwise.
COUNTED: Final = (Capability.WORK, Capability.LOG_IN)

#: What does not change the platform or what is done to it: texts, and what is judged afterwards.
_TOPOLOGY_TEXTS: Final = ("description", "stands_for", "promises", "known_broken", "links")
_EXPERIMENT_TEXTS: Final = ("description", "source", "objectives", "links")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One event, as it was observed."""

    run: str
    """Which run: `<experiment>/<folder>`."""
    experiment: str
    recovery: Recovery
    """The worst over the capabilities that count and, where `work` is one of them, over all people."""
    outage_s: float
    """Length of the union of the outages of the capabilities that count: what is down at once counts once."""
    user_outage_s: float
    """Mean down time of a user (user-uptime, Hauer et al., NSDI 2020)."""
    waiting_ratio: float
    """Share of the sessions that worked again only after the repair, or not at all."""
    others_outage_s: float
    """Disturbance of all other sessions, divided by the number of all sessions."""
    restarted_ratio: float
    """Share of the sessions that lost what was in memory."""
    lost_ratio: float
    """Share of the sessions that did not work again."""

    @property
    def by_design(self) -> bool:
        """Nothing that counts was away, or it came back before the repair began."""
        return self.recovery in (Recovery.UNAFFECTED, Recovery.BY_DESIGN)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A trial with what was recorded about what was built and done."""

    trial: Trial
    topology: Topology
    experiment: Experiment


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A run that is no evidence."""

    run: str
    experiment: str
    why: str


def why_left_out(measures: Measures) -> str:
    """Why a run is no trial of its experiment; empty if it is one."""
    verdict, facts = measures.verdict, measures.facts
    if verdict.outcome in (Outcome.ERROR, Outcome.INCONCLUSIVE):
        # the reason for the outcome of a run without faults may be that nothing was promised for it
        control = "" if facts.faults else "control run, "
        return f"{control}{verdict.outcome.value}: {verdict.reasons[0]}"
    if not facts.faults:
        return "control run: nothing was injected"
    if facts.first_inject_ns is None:
        return "the platform did not work before anything was injected"
    if facts.window is None or measures.user_uptime.outage_s is None or not measures.sessions:
        return "nobody's work was observed"
    return ""


def trial_of(measures: Measures, run: str, capabilities: Collection[str] = COUNTED) -> Trial:
    """What a run says that is evidence (`why_left_out` is empty)."""
    assert measures.user_uptime.outage_s is not None, "runs without users are left out"
    counted = [one for one in measures.capabilities if one.capability in capabilities]
    recoveries = [one.recovery for one in counted]
    if Capability.WORK in capabilities:
        recoveries.append(measures.people_recovery)
    sessions = measures.sessions
    waiting = [row for row in sessions if row.recovery in (Recovery.BY_REPAIR, Recovery.NOT_RECOVERED)]
    others_s = sum(row.disturbed_total_s for row in sessions) - sum(row.disturbed_total_s for row in waiting)
    return Trial(
        run=run,
        experiment=measures.experiment,
        recovery=worst(recoveries),
        outage_s=seconds(union((outage.start_ns, outage.end_ns) for one in counted for outage in one.outages)),
        user_outage_s=measures.user_uptime.outage_s,
        waiting_ratio=len(waiting) / len(sessions),
        others_outage_s=max(0.0, others_s) / len(sessions),
        restarted_ratio=_share(measures, SessionOutcome.RESTARTED),
        lost_ratio=_share(measures, SessionOutcome.LOST),
    )


def difference(runs: Sequence[Evidence]) -> str:
    """The first key in which runs differ that would be counted together, with both values and runs; empty if none.

    The platform must be the same in all runs, and an experiment the same in all runs of it. Texts, promises and
    objectives may differ, and the links that an experiment brings along.
    """
    first_of: dict[str, Evidence] = {}
    for one in runs:
        for name, place, keys in (("", "topology", _platform), (one.experiment.name, "experiment", _done)):
            first = first_of.setdefault(name, one)
            mine, theirs = keys(one), keys(first)
            for key in sorted(mine.keys() | theirs.keys()):
                here, there = mine.get(key, "not there"), theirs.get(key, "not there")
                if here != there:
                    return (
                        f"{place}.{key} is {here} in {one.trial.run} and {there} in {first.trial.run}, expected the "
                        "same in all runs that are counted together"
                    )
    return ""


def _share(measures: Measures, outcome: SessionOutcome) -> float:
    return sum(row.outcome is outcome for row in measures.sessions) / len(measures.sessions)


def _platform(one: Evidence) -> dict[str, Any]:
    topology = {key: value for key, value in asdict(one.topology).items() if key not in _TOPOLOGY_TEXTS}
    own_links = sorted(f"{link.from_} to {link.to}" for link in one.topology.links if link not in one.experiment.links)
    return dict(_flat({**topology, "links": own_links}))


def _done(one: Evidence) -> dict[str, Any]:
    """Times count from the first fault: trials of a set put it off by a little each, and all else with it."""
    experiment = one.experiment
    first_s = min((fault.at_s for fault in experiment.faults), default=0.0)
    growth = experiment.growth
    experiment = replace(
        experiment,
        faults=tuple(replace(fault, at_s=round(fault.at_s - first_s, 3)) for fault in experiment.faults),
        growth=growth and replace(growth, at_s=round(growth.at_s - first_s, 3)),
    )
    return dict(_flat({key: value for key, value in asdict(experiment).items() if key not in _EXPERIMENT_TEXTS}))


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{at}[{index}]")
    else:
        yield at, value
