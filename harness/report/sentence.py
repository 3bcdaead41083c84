"""One sentence about a run, for somebody who reads nothing else: what was broken, and what happened to people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from harness.analysis.facts import FaultFacts
from harness.analysis.measures import Measures
from harness.analysis.outages import CapabilityMeasures
from harness.core.verdict import Outcome
from harness.core.words import Capability, Recovery, SessionOutcome, Store

__all__ = ["FAULT_PHRASES", "plain_sentence"]

#: Kind of fault -> what happened, with the machines in place of `{}`.
FAULT_PHRASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kill": "{} died",
        "stop": "{} was shut down",
        "restart": "{} was restarted",
        "pause": "{} hung",
        "crash": "a process on {} crashed",
        "freeze": "a process on {} hung",
        "cpu": "{} had hardly any processor time",
        "memory": "{} ran short of memory",
        "failover": "the database was made to fail over from {}",
        "kill_connections": "the database cut all connections ({})",
        "switchover": "the primary of the database was moved away from {}",
        "nfs_hang": "the file server on {} hung",
        "nfs_restart": "the file server on {} was restarted",
        "disk_full": "the disk of {} was full",
        "read_only": "the disk of {} became read-only",
        "io_stall": "the disk of {} stood still",
        "io_slow": "the disk of {} was slow",
        "stale": "files on {} went stale",
        "isolate": "{} was cut off from the network",
        "partition": "{} was cut off from some of the others",
        "loss": "{} lost packets",
        "dns": "{} could look up no names",
        "certificate_expiry": "the certificate of {} expired",
        "clock_skew": "the clock of {} went wrong",
        "latency": "traffic through {} was slow",
        "jitter": "traffic through {} was slow by fits and starts",
        "bandwidth": "traffic through {} had hardly any bandwidth",
        "reset": "connections through {} were broken off",
        "slow_close": "connections through {} were closed late",
        "upgrade": "another release came to {}",
        "reload": "another configuration came to {}",
        "scale": "the number of nodes changed ({})",
        "disaster": "{} went down for good with all disks",
    }
)
_CALLED: Final[Mapping[str, str]] = MappingProxyType(
    {
        Capability.LOG_IN: "log-in",
        Capability.START_SESSION: "starting a session",
        Capability.WORK: "work",
        Capability.SAVE: "saving",
        Capability.RECONNECT: "reconnecting",
    }
)


def plain_sentence(measures: Measures) -> str:
    """What happened. Of a run that proves nothing, why."""
    outcome = measures.verdict.outcome
    if outcome is Outcome.ERROR:
        return "The harness broke during this run, so it says nothing about the platform."
    if outcome is Outcome.INCONCLUSIVE:
        return f"This run proves nothing yet: {measures.verdict.reasons[0]}."
    if measures.without_fault is not None:
        whom = "Not everybody could work" if measures.without_fault.missing else "Not everything worked"
        return f"{whom} even before anything was broken: {measures.without_fault.observed}."
    happened = ", ".join([*_people(measures), *_files(measures), *_away(measures)])
    return f"{_broken(measures)}: {happened}; {_came_back(measures)}."


def _broken(measures: Measures) -> str:
    injected = [fault for fault in measures.facts.faults if fault.inject_before_ns is not None]
    if not injected:
        return "Nothing was broken, a control run"
    text = ", then ".join(FAULT_PHRASES.get(one.kind, f"{one.kind} on {{}}").format(_machines(one)) for one in injected)
    if measures.autoscale is not None:
        times = "once" if len(injected) == 1 else f"{len(injected)} times"
        text = f"a policy changed the number of nodes {times}"
    on_it = sum(row.on_target for row in measures.sessions)
    of_nodes = all(one.target.startswith("workbench") for one in injected)
    it = "it" if len(injected) == 1 and len(injected[0].targets) == 1 else "them"
    where = f" with {on_it} of {len(measures.sessions)} sessions on {it}" if on_it and of_nodes else ""
    return text[0].upper() + text[1:] + where


def _machines(fault: FaultFacts) -> str:
    names = fault.targets or (fault.target,)
    if len(names) > 3:
        return f"{len(names)} machines ({names[0]} to {names[-1]})"
    # the only one of its role has no number
    return _and([name if name[-1:].isdigit() or not fault.targets else f"the {name}" for name in names])


def _people(measures: Measures) -> Iterator[str]:
    counts = {one.outcome: one.targeted + one.others for one in measures.session_counts}
    lost, restarted = counts.get(SessionOutcome.LOST, 0), counts.get(SessionOutcome.RESTARTED, 0)
    if lost:
        yield f"{_number(lost)} could not work again"
    if restarted:
        yield f"{_number(restarted)} lost what was in memory"
    kept = [row for row in measures.sessions if row.outcome is SessionOutcome.KEPT]
    if kept:
        longest_s = max(row.disturbed_longest_s for row in kept)
        yield f"{_number(len(kept))} could not work for up to {longest_s:.1f} s and kept everything"
    if not lost and not restarted and not kept:
        yield "nobody at work was disturbed"
    if measures.logged_in_again:
        yield f"{_number(measures.logged_in_again)} had to log in again"


def _files(measures: Measures) -> Iterator[str]:
    for store in measures.writes.stores:
        if store.store is Store.HOME and store.lost is None:
            yield "saved files were not read back"
        elif store.store is Store.HOME and not store.lost:
            yield "nobody lost a saved file"
        elif store.lost:
            what = "acknowledged save" if store.store is Store.HOME else "acknowledged write"
            yield f"{store.lost} {what}{'s' * (store.lost > 1)} {store.store.where} {_were(store.lost)} lost"


def _away(measures: Measures) -> Iterator[str]:
    """Log-in, which everybody understands, and the longest outage of anything else."""
    away = [one for one in measures.capabilities if one.longest is not None]
    if not away:
        yield "no probe found anything away"
        return
    others = [one for one in away if one.capability != Capability.LOG_IN]
    yield from (_away_for(one) for one in away if one.capability == Capability.LOG_IN)
    if others:
        longest = max(others, key=_length)
        # of what was away at the same time, what everybody understands
        work = next((one for one in others if one.capability == Capability.WORK), longest)
        same = _length(work) >= (_length(longest)[0], 0.9 * _length(longest)[1])
        yield _away_for(work if same else longest)


def _length(one: CapabilityMeasures) -> tuple[bool, float]:
    assert one.longest is not None, "only of those that were away"
    return not one.longest.ended, one.longest.seconds


def _away_for(one: CapabilityMeasures) -> str:
    outage = one.longest
    assert outage is not None, "only of those that were away"
    where = f" at {outage.places_affected} of {outage.places} places" if outage.places_affected < outage.places else ""
    name = _CALLED.get(one.capability, one.capability)
    if not outage.ended:
        return f"{name} was away{where} from {outage.seconds:.1f} s before the end on"
    return f"{name} was away {outage.seconds:.1f} s{where}"


def _came_back(measures: Measures) -> str:
    how = measures.worst_recovery
    came_back = {
        Recovery.UNAFFECTED: "there was nothing to recover from",
        Recovery.BY_DESIGN: "recovered by itself",
        Recovery.BY_REPAIR: "came back only after the repair",
        Recovery.NOT_RECOVERED: "did not come back",
    }[how]
    people = measures.people_by_recovery[how]
    if all(one.recovery is not how for one in measures.capabilities) and how is not Recovery.UNAFFECTED:
        return f"for {people} of {len(measures.sessions)} people it {came_back}"
    return came_back


def _number(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
