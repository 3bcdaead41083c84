"""Tables that terminal and page share: what stands in their rows, as texts."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.effects import Elapsed
from harness.analysis.measures import Measures
from harness.core.clock import to_s
from harness.report import words

__all__ = [
    "CHANGE_HEADERS",
    "EFFECTS_HEADERS",
    "RECOVERY_HEADERS",
    "TOTALS_HEADERS",
    "WINDOWS_HEADERS",
    "change_rows",
    "effect_rows",
    "first_examples",
    "recovery_line",
    "recovery_rows",
    "total_rows",
    "window_rows",
    "windows_line",
]

TOTALS_HEADERS = ("capability", "outages", "together", "longest", "mean over places")
EFFECTS_HEADERS = ("fault", "capability", "effect after", "back after", "after the undoing", "recovered")
CHANGE_HEADERS = ("at", "step", "took", "disturbed", "restarted", "lost", "longest", "away", "what was seen")
RECOVERY_HEADERS = ("acknowledged", "before", "newest there", "age", "first missing", "age", "lost")
WINDOWS_HEADERS = ("in any", "user-uptime at least", "worst from")


def total_rows(measures: Measures) -> list[tuple[str, ...]]:
    """Each capability that was away: number, sum and longest of its outages; union and mean over places."""
    rows: list[tuple[str, ...]] = []
    for one in measures.capabilities:
        if one.totals is None or not one.totals.number:
            continue
        together = _bounded(one.totals.total_s, one.totals.total_lower_s, one.totals.total_upper_s)
        longest, mean = words.seconds(one.totals.longest_s), words.seconds(one.totals.place_weighted_s)
        rows.append((one.capability, str(one.totals.number), together, longest, mean))
    return rows


def effect_rows(measures: Measures) -> list[tuple[str, ...]]:
    """What each fault did when; a fault without any outage has one row that says so."""
    kinds = {fault.index: f"{fault.index} {fault.kind}" for fault in measures.facts.faults}
    rows: list[tuple[str, ...]] = []
    last: int | None = None
    for one in measures.effects:
        fault, last = "" if one.fault == last else kinds[one.fault], one.fault
        if one.effect is None:
            rows.append((fault, "no outage seen", "", "", "", words.recovered(one.recovery)))
            continue
        times = (one.effect, one.recovery_time, one.recovery_time_after_undo)
        rows.append((fault, one.capability or "any", *map(_elapsed, times), words.recovered(one.recovery)))
    return rows


def change_rows(measures: Measures) -> list[tuple[str, ...]]:
    """Each step of each planned change, and what people met that began in it."""
    rows = []
    for one in measures.change_steps:
        step = one.step
        away = ", ".join(f"{name} {words.seconds(seconds)}" for name, seconds in one.away_s)
        people = (str(number) if number else "" for number in (one.disturbed, one.restarted, one.lost))
        rows.append(
            (
                f"{measures.seconds_from_origin(step.began_ns):+.1f} s",
                ("back: " if step.back else "") + step.label,
                words.seconds(to_s(step.ended_ns - step.began_ns)),
                *people,
                words.seconds(one.longest_s) if one.disturbed else "",
                away,
                step.evidence if step.ok else f"FAILED: {step.evidence}",
            )
        )
    return rows


def recovery_line(measures: Measures) -> str:
    """Recovery time and recovery point after a disaster; empty where there was none."""
    found = measures.recovery
    if found is None:
        return ""
    everybody = f"{found.people_working} of {found.people} at work"
    if found.all_working_s is not None:
        everybody = f"everybody at work after {words.seconds(found.all_working_s)}"
    first = "nobody" if found.first_log_in_s is None else f"after {words.seconds(found.first_log_in_s)}"
    return f"recovery time: first log-in {first}, {everybody}; recovery point: {words.seconds(found.recovery_point_s)}"


def recovery_rows(measures: Measures) -> list[tuple[str, ...]]:
    """Of each store what is there and what is missing after a disaster; ages when it began."""
    return [
        (
            one.store.where,
            str(one.acknowledged),
            one.newest_kept or "none",
            words.seconds(one.newest_kept_age_s) if one.newest_kept else "",
            one.first_lost or "none",
            words.seconds(one.first_lost_age_s) if one.first_lost else "",
            str(one.lost),
        )
        for one in (measures.recovery.stores if measures.recovery else ())
    ]


def window_rows(measures: Measures) -> list[tuple[str, ...]]:
    """Windowed user-uptime, shortest window first; the times count from the first injection."""
    return [
        (
            words.seconds(one.window_s),
            words.percent(one.ratio),
            "" if one.start_ns is None else f"{measures.seconds_from_origin(one.start_ns):+.2f} s",
        )
        for one in measures.user_uptime.windowed
    ]


def windows_line(measures: Measures) -> str:
    """The same in one line; empty where nobody was down."""
    curve = [one for one in measures.user_uptime.windowed if one.start_ns is not None]
    each = ", ".join(f"{one.window_s:.3g} s {words.percent(one.ratio)}" for one in curve)
    return f"user-uptime at least, in any {each}" if each else ""


def first_examples(measures: Measures) -> Iterator[tuple[str, str]]:
    """What happened to acknowledged writes, and the first example of each kind and store."""
    for store in measures.writes.stores:
        for what, example in (
            ("lost", store.first_lost),
            ("there twice", store.first_duplicated),
            ("in the wrong order", store.first_reordered),
        ):
            if example:
                yield what, example


def _elapsed(one: Elapsed | None) -> str:
    return "" if one is None else _bounded(one.seconds, one.seconds_lower, one.seconds_upper)


def _bounded(seconds: float | None, lower: float, upper: float | None) -> str:
    if seconds is None or upper is None:
        return f"at least {lower:.2f} s, not ended"
    return f"{seconds:.2f} s ({lower:.2f} to {upper:.2f})"
