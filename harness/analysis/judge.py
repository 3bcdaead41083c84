"""From measures to a verdict: errors of the harness, doubts about the run, promises and objectives."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.change_facts import ChangeFacts
from harness.analysis.expectations import conclusion_checks, unmeasured
from harness.analysis.facts import Facts, FaultFacts
from harness.analysis.gate import WithoutFault
from harness.analysis.growth import GrowthFacts
from harness.analysis.measures import Parts
from harness.analysis.objectives import recovery_checks
from harness.analysis.outages import SAMPLES_AT_LEAST, CapabilityMeasures
from harness.analysis.record import RunRecord
from harness.analysis.recoveries import worst as worst_of
from harness.analysis.sessions import Disturbance
from harness.analysis.watched import availability_checks, is_watch, watch_doubts
from harness.core.change import ChangeEnd
from harness.core.experiment import AbortWhen
from harness.core.topology import Promise
from harness.core.verdict import Check, Verdict, decide
from harness.core.words import Capability, Recovery, SessionOutcome, Store

__all__ = ["LATENESS_AT_MOST_S", "SAMPLES_AT_LEAST", "WRITES_AT_LEAST", "judge"]

#: Starting a session costs the platform much, so its probes are few; three show it before, during and after a fault.
START_SESSIONS_AT_LEAST = 3
#: One second of the database's writer, three of a hub's. With fewer acknowledged before the fault they did not really
#: write.
WRITES_AT_LEAST = {Store.DATABASE: 20, Store.HUB: 3}
#: Probes sent later than this behind their grid, and later than one period of it, are on no grid any more. Below that a
#: late probe only widens the bounds by itself, because edges are taken from when probes were really sent.
LATENESS_AT_MOST_S = 0.1
#: A gap in the probes of more than this, and of more than ten periods, hides an outage.
GAP_AT_MOST_S, GAP_AT_MOST_PERIODS = 2.0, 10
#: A user who has done nothing for this long, and for ten beats, was not observed until the end.
SILENT_AT_MOST_S, SILENT_AT_MOST_BEATS = 10.0, 10


def judge(record: RunRecord, parts: Parts) -> Verdict:
    """The verdict on a run. Pure: the same record gives the same verdict."""
    return decide(
        errors=list(_errors(record, parts)),
        doubts=list(_doubts(record, parts)),
        checks=list(_checks(record, parts)),
    )


def _errors(record: RunRecord, parts: Parts) -> Iterator[str]:
    yield from parts.facts.errors
    rows = parts.facts.readback_rows
    if rows is not None and rows != len(record.saved):
        yield f"{rows} values were read back, {len(record.saved)} arrived"


# -- doubts --------------------------------------------------------------------------------------------------------


def _doubts(record: RunRecord, parts: Parts) -> Iterator[str]:
    facts = parts.facts
    if facts.interrupted is not None:
        yield f"interrupted by {facts.interrupted}"
    if parts.without_fault is not None:
        return  # what was not measured after that is no doubt: a promise is broken
    if not facts.steady:
        yield f"the steady state was not reached: {facts.steady_reason or 'no reason recorded'}"
    elif facts.window is None:
        yield "there was no observation between the steady state and the end of the run"
    for fault in facts.faults:
        if facts.aborted_ns is None or fault.inject_before_ns is not None:  # what an abort left out is no doubt
            yield from _fault_doubts(fault)
    if facts.window is None:
        return  # everything below would only repeat that nothing was measured
    yield from _growth_doubts(record, facts)
    watched = is_watch(record)
    for one in parts.capabilities:
        yield from _probe_doubts(one, watched=watched)
    yield from _session_doubts(record, parts, watched=watched)
    yield from watch_doubts(record, parts) if watched else _write_doubts(parts)
    if record.conclusion is not None:
        yield from unmeasured(record.conclusion, parts)


def _fault_doubts(fault: FaultFacts) -> Iterator[str]:
    problems = f": {'; '.join(fault.problems)}" if fault.problems else ""
    if fault.inject_before_ns is None:
        yield f"{fault.label} was not injected{problems}"
        return
    if not fault.confirmed:
        yield f"{fault.label} has no proof that it was in force{problems}"
    if fault.stays:
        return
    if fault.undo_after_ns is None:
        yield f"{fault.label} was not undone{problems}"
    elif not fault.recovery_confirmed:
        yield f"{fault.label} has no proof that it was undone{problems}"


def _growth_doubts(record: RunRecord, facts: Facts) -> Iterator[str]:
    growth, wanted = facts.growth, record.experiment.objectives.users_carried_at_least
    if record.experiment.growth is None:
        return
    if growth is None:
        if facts.aborted_ns is None:
            yield "nobody more came: the run ended before growth began"
    elif growth.ended is None:
        yield f"growth was cut short after {len(growth.steps)} step(s)"
    elif wanted is not None and growth.users_carried < wanted and not growth.broke:
        yield (
            f"{growth.users_carried} people were carried when a fault was undone: whether {wanted} are is not known, "
            "hold the fault longer"
        )


def _probe_doubts(one: CapabilityMeasures, *, watched: bool) -> Iterator[str]:
    needed = START_SESSIONS_AT_LEAST if one.capability == Capability.START_SESSION else SAMPLES_AT_LEAST
    if one.samples < needed:
        yield f"too few probes of {one.capability}: {one.samples}, needed {needed}"
        return
    if one.slow_above_s is None:
        yield f"no good probe of {one.capability} in the steady state: there is nothing to compare with"
    limit_s = max(GAP_AT_MOST_S, GAP_AT_MOST_PERIODS * (one.period_s or 0.0))
    if one.longest_gap_s is not None and one.longest_gap_s > limit_s:
        yield f"no probe of {one.capability} was sent for {one.longest_gap_s:.1f} s, at most {limit_s:.1f} s is sound"
    at_place_s = max(GAP_AT_MOST_S, GAP_AT_MOST_PERIODS * (one.period_s or 0.0) * one.places)
    if one.places > 1 and one.longest_gap_at_a_place_s is not None and one.longest_gap_at_a_place_s > at_place_s:
        yield (
            f"one of {one.places} places had no probe of {one.capability} for {one.longest_gap_at_a_place_s:.1f} s, "
            f"at most {at_place_s:.1f} s is sound"
        )
    late_limit_s = max(LATENESS_AT_MOST_S, one.period_s or 0.0)
    if one.lateness_p99_s is not None and one.lateness_p99_s > late_limit_s:
        late_ms, most_ms = one.lateness_p99_s * 1000, late_limit_s * 1000
        yield f"probes of {one.capability} were sent late: p99 {late_ms:.0f} ms, at most {most_ms:.0f} ms is sound"
    early = [outage for outage in one.outages if outage.during_fault is None]
    if early and not watched:  # a watch is there to see them
        longest_s = max(outage.seconds for outage in early)
        yield (
            f"the platform was not steady: {len(early)} outage(s) of {one.capability} outside any fault, "
            f"the longest {longest_s:.2f} s"
        )


def _session_doubts(record: RunRecord, parts: Parts, *, watched: bool) -> Iterator[str]:
    window = parts.facts.window
    worked = len({row.user for row in parts.sessions if row.first_work_ns is not None})
    users = record.experiment.load.users
    if worked < users:
        yield f"only {worked} of {users} users had a session that worked"
    limit_s = max(SILENT_AT_MOST_S, SILENT_AT_MOST_BEATS * record.experiment.load.beat_s)
    silent = [
        row.session
        for row in parts.sessions
        if window is not None
        and row.outcome is not SessionOutcome.LOST
        and row.ended_ns is None
        and window.end_ns - row.last_seen_ns > limit_s * 1e9
    ]
    early = [one for row in parts.sessions for one in row.disturbances if one.during_fault is None]
    if early and not watched:
        longest_s = max(one.seconds for one in early)
        yield (
            f"the platform was not steady: {len(early)} disturbance(s) of people outside any fault, "
            f"the longest {longest_s:.2f} s"
        )
    if silent:
        yield f"{len(silent)} session(s) not observed for the last {limit_s:.0f} s, the first {silent[0]}"


def _write_doubts(parts: Parts) -> Iterator[str]:
    writes = parts.writes
    if parts.recovery is not None and not parts.recovery.restored:
        return  # there was nothing that could be read, and that is no doubt
    if not writes.read_back:
        unchecked = " and ".join(f"{one.acknowledged} {one.store.where}" for one in writes.stores)
        yield f"the acknowledged writes were not read back: {unchecked} are unchecked"
    for store, needed in WRITES_AT_LEAST.items():
        one = writes.of(store)
        if one is None:
            continue
        if one.acknowledged_before_fault < needed:
            early = one.acknowledged_before_fault
            yield f"too few {store} writes acknowledged before the fault: {early}, needed {needed}"
        elif one.found == 0:
            yield (
                f"none of {one.acknowledged} acknowledged {store} writes was found: what was read back is some other "
                "database, or an empty one, and proves nothing"
            )


# -- promises and objectives ---------------------------------------------------------------------------------------


def _checks(record: RunRecord, parts: Parts) -> Iterator[Check]:
    """One for each promise and objective that there is a measurement for; what was not measured is a doubt instead."""
    if parts.without_fault is not None:
        yield _without_fault_check(parts.without_fault)
    if parts.facts.window is None:
        return
    promise = record.topology.promises.get(record.experiment.name)
    if promise is not None:
        yield from _promise_checks(promise, parts)
    if record.experiment.abort_when is not None:
        yield _abort_check(record.experiment.abort_when, parts)
    objectives = record.experiment.objectives
    if objectives.writes_lost_at_most is not None:
        yield from _writes_check("objective", objectives.writes_lost_at_most, parts)
    if objectives.sessions_lost_at_most is not None and parts.sessions:
        yield Check(
            name="sessions lost",
            source="objective",
            expected=f"at most {objectives.sessions_lost_at_most}",
            observed=f"{parts.sessions_lost} of {len(parts.sessions)}",
            kept=parts.sessions_lost <= objectives.sessions_lost_at_most,
        )
    if objectives.available_at_least_percent is not None:
        yield from availability_checks(objectives.available_at_least_percent, parts)
    if objectives.users_carried_at_least is not None and parts.facts.growth is not None:
        yield from _carried_check(objectives.users_carried_at_least, parts.facts.growth)
    yield from (_change_check(change) for change in parts.facts.changes if change.ended is not None)
    if record.conclusion is not None:
        yield from conclusion_checks(record.conclusion, parts)


def _change_check(change: ChangeFacts) -> Check:
    """A change that was taken back is no go, however well people fared."""
    assert change.ended is not None, "asked for changes that ended only"
    observed = change.ended.value.replace("_", " ") + (f": {change.reason}" if change.reason else "")
    kept = change.ended in (ChangeEnd.DONE, ChangeEnd.WENT_BACK, ChangeEnd.RESTORED)
    return Check(name=change.kind, source="objective", expected=f"done: {change.what}", observed=observed, kept=kept)


def _carried_check(at_least: int, growth: GrowthFacts) -> Iterator[Check]:
    kept = growth.users_carried >= at_least
    if kept or growth.broke:
        yield Check(
            name="users carried",
            source="objective",
            expected=f"at least {at_least}",
            observed=f"{growth.users_carried}" if growth.broke else f"at least {growth.users_carried}",
            kept=kept,
        )


def _without_fault_check(found: WithoutFault) -> Check:
    return Check(
        name="works without any fault",
        source="promise",
        expected="everybody works before anything is broken",
        observed=found.observed,
        kept=False,
    )


def _abort_check(abort_when: AbortWhen, parts: Parts) -> Check:
    recovered_s = parts.abort_to_recovery_s
    came_back = "not recovered" if recovered_s is None else f"recovered {recovered_s:.1f} s after the abort"
    percent, seconds = abort_when.working_below_percent, abort_when.for_s
    return Check(
        name="not aborted",
        source="objective",
        expected=f"never fewer than {percent:g}% of the people at work for {seconds:g} s",
        observed="as expected" if parts.facts.aborted_ns is None else f"{parts.facts.aborted_why}; {came_back}",
        kept=parts.facts.aborted_ns is None,
    )


def _promise_checks(promise: Promise, parts: Parts) -> Iterator[Check]:
    if parts.sessions or any(one.samples for one in parts.capabilities):
        yield _recovery_check(promise, parts)
    if parts.worst_session is not None:
        yield from _session_checks(promise, parts, parts.worst_session)
    for one in parts.capabilities:
        if one.samples:
            yield _outage_check(promise, one)
    if parts.sessions:
        yield _people_outage_check(promise, parts)
    if parts.recovery is not None:
        yield from recovery_checks(promise, parts.recovery)
    if parts.recovery is None or promise.rpo_s is None:
        yield from _writes_check("promise", promise.writes_lost_at_most, parts)


def _recovery_check(promise: Promise, parts: Parts) -> Check:
    # A promise speaks of what a fault does; what happens outside any fault is a doubt instead.
    during = [outage for outage in parts.outages if outage.during_fault is not None]
    people = [worst_of(one.recovery for one in _during(row.disturbances)) for row in parts.sessions]
    worst = worst_of([*(outage.recovery for outage in during), *people])
    capabilities = sorted({outage.capability for outage in during if outage.recovery is worst})
    blamed = [", ".join(capabilities)] if capabilities else []
    if worst is not Recovery.UNAFFECTED and worst in people:
        blamed.append(f"people: {people.count(worst)} of {len(people)}")
    return Check(
        name="recovers",
        source="promise",
        expected=_or_better(promise.recovers.value, best=promise.recovers.severity == 0),
        observed=f"{worst.value} ({'; '.join(blamed)})" if blamed else worst.value,
        kept=worst.severity <= promise.recovers.severity,
    )


def _session_checks(promise: Promise, parts: Parts, session: SessionOutcome) -> Iterator[Check]:
    count = sum(row.outcome is session for row in parts.sessions)
    yield Check(
        name="session outcome",
        source="promise",
        expected=_or_better(promise.session_outcome.value, best=promise.session_outcome.severity == 0),
        observed=f"{session.value} ({count} of {len(parts.sessions)})",
        kept=session.severity <= promise.session_outcome.severity,
    )
    if promise.log_in_kept:
        yield Check(
            name="log-in kept",
            source="promise",
            expected="nobody has to log in again",
            observed=f"{parts.logged_in_again} of {len(parts.sessions)} had to",
            kept=parts.logged_in_again == 0,
        )


def _outage_check(promise: Promise, one: CapabilityMeasures) -> Check:
    """The bound holds for outages that no repair ended; those that one ended are judged by `recovers`."""
    counted = [o for o in one.outages if o.during_fault is not None and o.recovery is not Recovery.BY_REPAIR]
    longest = max(counted, key=lambda outage: (not outage.ended, outage.seconds), default=None)
    repaired = len([o for o in one.outages if o.recovery is Recovery.BY_REPAIR])
    if longest is None:
        observed = "none but ended by repair" if repaired else "none"
    elif longest.seconds_upper is None:
        observed = f"not ended after {longest.seconds:.2f} s"
    else:
        observed = f"{longest.seconds:.2f} s ({longest.seconds_lower:.2f} to {longest.seconds_upper:.2f})"
    if longest is not None and longest.places > 1:
        observed += f", {longest.places_affected} of {longest.places} places"
    return Check(
        name=f"outage of {one.capability}",
        source="promise",
        expected=f"at most {promise.outage_at_most_s:g} s",
        observed=observed,
        kept=longest is None or (longest.ended and longest.seconds <= promise.outage_at_most_s),
    )


def _people_outage_check(promise: Promise, parts: Parts) -> Check:
    """As `_outage_check`, for the disturbances of people. What they met includes their own way back to work."""
    every = [(row.user, one) for row in parts.sessions for one in _during(row.disturbances)]
    counted = [(user, one) for user, one in every if one.recovery is not Recovery.BY_REPAIR]
    user, longest = max(counted, key=lambda met: (met[1].end_ns is None, met[1].seconds), default=("", None))
    if longest is None:
        observed = "none but ended by repair" if every else "none"
    elif longest.end_ns is None:
        observed = f"not ended after {longest.seconds:.2f} s ({user})"
    else:
        observed = f"{longest.seconds:.2f} s ({user})"
    return Check(
        name="outage of people",
        source="promise",
        expected=f"at most {promise.outage_at_most_s:g} s",
        observed=observed,
        kept=longest is None or (longest.end_ns is not None and longest.seconds <= promise.outage_at_most_s),
    )


def _during(disturbances: tuple[Disturbance, ...]) -> list[Disturbance]:
    return [one for one in disturbances if one.during_fault is not None]


def _writes_check(source: str, at_most: int, parts: Parts) -> Iterator[Check]:
    writes = parts.writes
    if writes.lost is None:
        return
    first = f", the first: {writes.first_lost}" if writes.first_lost else ""
    yield Check(
        name="acknowledged writes lost",
        source=source,
        expected=f"at most {at_most}",
        observed=f"{writes.lost_of}{first}",
        kept=writes.lost <= at_most,
    )


def _or_better(word: str, *, best: bool) -> str:
    return word if best else f"{word} or better"
