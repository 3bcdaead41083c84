"""How numbers and outcomes read in every report, so that terminal, page and CI say the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.analysis.growth import GrowthFacts
from harness.analysis.measures import Measures
from harness.analysis.outages import Outage
from harness.analysis.standing import Standing, standing
from harness.analysis.writes import WriteMeasures
from harness.core.history import GrowthEnd
from harness.core.verdict import Check, Outcome
from harness.core.words import Recovery, SessionOutcome, Store
from harness.report.sentence import plain_sentence

__all__ = [
    "NOT_MEASURED",
    "bounds",
    "calibrated",
    "carried",
    "flatten",
    "judged",
    "known_broken",
    "longest",
    "milliseconds",
    "outcome_word",
    "people_recovered",
    "percent",
    "places",
    "plain_sentence",
    "recovered",
    "seconds",
    "session_counts",
    "signed_ms",
    "title",
    "two_servers",
    "unprotected",
    "write_rows",
]

NOT_MEASURED = "not measured"


def title(measures: Measures) -> str:
    """Which run: topology and experiment."""
    return f"{measures.topology or 'unnamed topology'} · {measures.experiment or 'unnamed experiment'}"


def percent(ratio: float | None) -> str:
    """A ratio with three decimals, rounded down: 99.9999% must not read as 100%."""
    return NOT_MEASURED if ratio is None else f"{math.floor(ratio * 1e5 + 1e-6) / 1e3:.3f}%"


def seconds(value: float | None) -> str:
    """Seconds with two decimals."""
    return NOT_MEASURED if value is None else f"{value:.2f} s"


def milliseconds(value: float | None) -> str:
    """Seconds shown as milliseconds."""
    return NOT_MEASURED if value is None else f"{value * 1000:.1f} ms"


def signed_ms(value: float | None) -> str:
    """Seconds shown as milliseconds, with their sign."""
    return NOT_MEASURED if value is None else f"{value * 1000:+.1f} ms"


def calibrated(run: Mapping[str, Any]) -> str:
    """How exactly outages are measured on the machine of a run, as it knew when it ran, in one line."""
    if "calibration" not in run:
        return "calibration of outages: not recorded"
    found = run["calibration"]
    if not found.get("kinds"):
        why = f" ({found['why_not']})" if found.get("why_not") else ""
        return f"outages: not calibrated on this machine{why}; `harness calibrate` does it"
    by_series: dict[str, list[Mapping[str, Any]]] = {}
    for one in found["kinds"]:
        by_series.setdefault(one["series"].removeprefix("rig at "), []).append(one)
    parts = []
    for series, kinds in by_series.items():
        errors = ", ".join(f"{one['away']} {signed_ms(one['mean_error_s'])}" for one in kinds)
        inside, values = (sum(one[key] for one in kinds) for key in ("inside", "values"))
        parts.append(f"at {series} mean error {errors}, {inside} of {values} true values inside the bounds")
    return (
        f"outages: calibrated on this machine {found['age_s'] / 3600:.1f} h before, {found['outcome']}: "
        f"{'; '.join(parts)} ({found['path']})"
    )


def bounds(outage: Outage) -> str:
    """An outage's length with what its edges allow."""
    if outage.seconds_upper is None:
        return f"at least {outage.seconds_lower:.2f} s, not ended"
    return f"{outage.seconds:.2f} s ({outage.seconds_lower:.2f} to {outage.seconds_upper:.2f})"


def places(outage: Outage) -> str:
    """At how many of the places that were probed it was seen."""
    if outage.places <= 1:
        return "everywhere"
    return f"{outage.places_affected} of {outage.places} places"


def people_recovered(measures: Measures) -> str:
    """How many people came back how."""
    counts = measures.people_by_recovery.items()
    return ", ".join(f"{count} {recovered(recovery)}" for recovery, count in counts if count) or NOT_MEASURED


def two_servers(measures: Measures) -> str:
    """How many people had two servers at once, and the longest of it."""
    found = measures.duplicated_homes
    if found.people is None:
        return NOT_MEASURED
    who = {0: "nobody", 1: "1 person"}.get(found.people, f"{found.people} people")
    # looks are a second apart, so there is nothing to say about less
    longest_s = "" if found.longest_s is None else f", the longest {found.longest_s:.0f} s"
    unknown = f"; not known of {found.people_unknown}" if found.people_unknown else ""
    return f"{who}{longest_s}{unknown}"


def carried(measures: Measures) -> str:
    """How many people the platform carried, as one line; empty where nothing was grown."""
    growth = measures.facts.growth
    if growth is None:
        return ""
    how = "carried" if growth.broke else "carried at least"
    return f"{how} {growth.users_carried} people ({_growth_ended(growth)})"


def _growth_ended(growth: GrowthFacts) -> str:
    if growth.ended is GrowthEnd.NOT_BEGUN:
        return f"only {growth.working} of {growth.users} could work when more were to come"
    if growth.ended is GrowthEnd.NOT_CARRIED:
        last = growth.steps[-1]
        return f"at {last.users_after} only {last.working} of {last.users_after} could work"
    if growth.ended is GrowthEnd.AT_MOST:
        return "more did not come"
    return "growth ended when a fault was undone" if growth.ended else "growth was cut short"


def recovered(recovery: Recovery) -> str:
    """How the platform came back, in words."""
    return {
        Recovery.UNAFFECTED: "unaffected",
        Recovery.BY_DESIGN: "by design",
        Recovery.BY_REPAIR: "by repair",
        Recovery.NOT_RECOVERED: "did not recover",
    }[recovery]


def judged(check: Check, outcome: Outcome) -> str:
    """A promise or objective. A run that is no proof neither keeps nor breaks it, whatever was observed."""
    if outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR):
        return "not judged"
    return "kept" if check.kept else "BROKEN"


def known_broken(measures: Measures) -> str:
    """What the topology's file says of a promise that does not hold, beside what became of it; empty where it says
    nothing."""
    why = " ".join(measures.known_broken.split())
    if not why:
        return ""
    return {
        Standing.KNOWN_BROKEN: f"known broken: {why}",
        Standing.MENDED: f"expected to break, but the promise was kept: take it out of known_broken? It says: {why}",
    }.get(standing(measures.verdict, why), f"expected to break, but this run proves nothing: {why}")


def unprotected(measures: Measures) -> list[str]:
    """What this run showed that the topology does not protect from, whether it was promised or not.

    Empty where the run proves nothing.
    """
    if measures.verdict.outcome not in (Outcome.PASS, Outcome.FAIL):
        return []
    if measures.without_fault is not None:
        return [f"no fault was needed: {measures.without_fault.observed}"]
    return list(_losses(measures))


def _losses(measures: Measures) -> Iterator[str]:
    for recovery, what in (
        (Recovery.BY_REPAIR, "away until it was repaired"),
        (Recovery.NOT_RECOVERED, "not back at the end"),
    ):
        away = [one.capability for one in measures.capabilities if one.recovery is recovery]
        if away:
            yield f"{', '.join(away)} {what}"
    total = len(measures.sessions)
    if repaired := measures.people_by_recovery[Recovery.BY_REPAIR]:
        yield f"{repaired} of {total} people could not work until it was repaired"
    for outcome, what in (
        (SessionOutcome.RESTARTED, "lost what was in memory"),
        (SessionOutcome.LOST, "could not work again"),
    ):
        count = sum(one.targeted + one.others for one in measures.session_counts if one.outcome is outcome)
        if count:
            yield f"{count} of {total} sessions {what}"
    if measures.logged_in_again:
        yield f"{measures.logged_in_again} of {total} people had to log in again"
    if measures.duplicated_homes.people:
        yield f"two servers at once, on one home: {two_servers(measures)}"
    for store in measures.writes.stores:
        if store.lost:
            yield f"{store.lost} acknowledged writes lost {store.store.where}"


def _where(outage: Outage) -> str:
    return outage.capability if outage.places <= 1 else f"{outage.capability}, {places(outage)}"


def longest(measures: Measures) -> str:
    """The longest outage of any capability."""
    found = [one.longest for one in measures.capabilities if one.longest is not None]
    worst = max(found, key=lambda outage: (not outage.ended, outage.seconds), default=None)
    return "none" if worst is None else f"{_where(worst)} {bounds(worst)}"


def session_counts(measures: Measures) -> str:
    """How many sessions came out how."""
    return ", ".join(
        f"{one.targeted + one.others} {one.outcome.value}"
        for one in measures.session_counts
        if one.targeted + one.others
    )


def write_rows(writes: WriteMeasures) -> Iterator[tuple[str, list[str]]]:
    """What a table of the acknowledged writes says: the name of each row, and a text for each store."""

    def counted(number: int | None) -> str:
        return "not read back" if number is None else str(number)

    stores = writes.stores
    yield "acknowledged", [str(one.acknowledged) for one in stores]
    yield "lost", [counted(one.lost) for one in stores]
    if any(one.lost_elsewhere for one in stores):
        yield "of them on another node", [counted(one.lost_elsewhere) for one in stores]
    yield "duplicated", [counted(one.duplicated) for one in stores]
    yield "there without acknowledgement", [counted(one.unacknowledged_present) for one in stores]
    # a table of the database has no order
    yield "reordered", ["" if one.store is Store.DATABASE else counted(one.reordered) for one in stores]
    if writes.recovery_point_s is not None:
        points = [one.recovery_point_s for one in stores]
        yield "recovery point", ["" if point is None else seconds(point) for point in points]
    if any(one.store is not Store.HOME for one in stores):
        gaps = ["" if one.store is Store.HOME else seconds(one.longest_gap_s) for one in stores]
        yield "longest time without one", gaps


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as `a.b` and text, for a table of versions."""
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, " ".join(str(item) for item in value)
        else:
            yield name, str(value)


def outcome_word(measures: Measures) -> str:
    """The verdict; of a planned change what it means for whoever wants to make it."""
    outcome = measures.verdict.outcome
    if not any(change.kind != "disaster" for change in measures.facts.changes):
        return outcome.value
    go = {Outcome.PASS: "GO", Outcome.FAIL: "NO-GO", Outcome.INCONCLUSIVE: "CAN'T TELL"}
    return f"{go[outcome]} ({outcome.value})" if outcome in go else outcome.value
