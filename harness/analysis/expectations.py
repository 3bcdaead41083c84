"""What a test expected against what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.analysis.measures import Parts
from harness.core.conclusion import Conclusion, Expectation, Relation
from harness.core.verdict import Check
from harness.core.words import SessionOutcome

__all__ = ["MEASURES", "Measure", "Observed", "check_of", "conclusion_checks", "unmeasured"]


@dataclass(frozen=True)
class Observed:
    """A measure of one run: the number that is held against a limit, and how it reads with its bounds."""

    value: float | None
    """None: not measured. Of what did not end: infinite."""
    text: str
    open_ended: bool = False
    """It is at least so much, and how much is not known."""


@dataclass(frozen=True)
class Measure:
    """What a test can expect something of."""

    name: str
    """With `{}` for the capability or outcome, if there are several."""
    unit: str
    observe: Callable[[Parts, str], Observed]


def check_of(expectation: Expectation, parts: Parts) -> Check | None:
    """The expectation as a check; None where there is no measurement to hold it against."""
    measure = MEASURES[expectation.measure]
    observed = measure.observe(parts, expectation.of)
    if observed.value is None:
        return None
    kept = expectation.relation.holds(observed.value, expectation.limit)
    if observed.open_ended and kept is not (expectation.relation is Relation.AT_LEAST):
        return None  # what is not known might decide
    unit = f" {measure.unit}" if measure.unit else ""
    return Check(
        name=_name(expectation),
        source="test",
        expected=f"{expectation.relation.value} {expectation.limit:g}{unit}",
        observed=observed.text,
        kept=kept,
    )


def conclusion_checks(conclusion: Conclusion, parts: Parts) -> Iterator[Check]:
    """Every expectation, and the test itself: what else it asserted is in no record."""
    checks = [check for one in conclusion.expectations if (check := check_of(one, parts)) is not None]
    yield from checks
    if conclusion.passed or all(check.kept for check in checks):
        yield Check(
            name=conclusion.test,
            source="test",
            expected="every assertion holds",
            observed="as expected" if conclusion.passed else conclusion.message,
            kept=conclusion.passed,
        )


def unmeasured(conclusion: Conclusion, parts: Parts) -> Iterator[str]:
    """A doubt for each expectation without a measurement."""
    for one in conclusion.expectations:
        if check_of(one, parts) is None:
            yield f"{_name(one)} was not measured, and the test expects {one.relation.value} {one.limit:g}"


def _name(expectation: Expectation) -> str:
    return MEASURES[expectation.measure].name.format(expectation.of)


def _outage(parts: Parts, capability: str) -> Observed:
    """The longest one, also one that a repair ended."""
    measured = next((one for one in parts.capabilities if one.capability == capability), None)
    if measured is None or not measured.samples:
        return Observed(None, "not measured")
    longest = max(measured.outages, key=lambda outage: (not outage.ended, outage.seconds), default=None)
    if longest is None:
        return Observed(0.0, "none")
    if longest.seconds_upper is None:
        return Observed(math.inf, f"at least {longest.seconds_lower:.2f} s, not ended")
    text = f"{longest.seconds:.2f} s ({longest.seconds_lower:.2f} to {longest.seconds_upper:.2f})"
    return Observed(longest.seconds, f"{text}, {longest.recovery.value}")


def _outage_of_people(parts: Parts, _of: str) -> Observed:
    if not parts.sessions:
        return Observed(None, "not measured")
    every = [(row.user, one) for row in parts.sessions for one in row.disturbances]
    user, longest = max(every, key=lambda met: (met[1].end_ns is None, met[1].seconds), default=("", None))
    if longest is None:
        return Observed(0.0, "none")
    if longest.end_ns is None:
        return Observed(math.inf, f"not ended after {longest.seconds:.2f} s ({user})")
    return Observed(longest.seconds, f"{longest.seconds:.2f} s ({user}), {longest.recovery.value}")


def _sessions(parts: Parts, outcome: str) -> Observed:
    if not parts.sessions:
        return Observed(None, "not measured")
    count = sum(row.outcome is SessionOutcome(outcome) for row in parts.sessions)
    return Observed(count, f"{count} of {len(parts.sessions)}")


def _logged_in_again(parts: Parts, _of: str) -> Observed:
    if not parts.sessions:
        return Observed(None, "not measured")
    return Observed(parts.logged_in_again, f"{parts.logged_in_again} of {len(parts.sessions)}")


def _writes_lost(parts: Parts, _of: str) -> Observed:
    lost = parts.writes.lost
    return Observed(lost, "not measured" if lost is None else parts.writes.lost_of)


def _availability(parts: Parts, capability: str) -> Observed:
    measured = next((one for one in parts.capabilities if one.capability == capability), None)
    ratio = None if measured is None else measured.availability
    # rounded down, so that what is not whole does not read as 100%
    return Observed(ratio, "not measured" if ratio is None else f"{math.floor(ratio * 1e5 + 1e-6) / 1e5:.5f}")


def _users_carried(parts: Parts, _of: str) -> Observed:
    growth = parts.facts.growth
    if growth is None:
        return Observed(None, "nothing was grown")
    carried = growth.users_carried
    return Observed(carried, f"{carried}" if growth.broke else f"at least {carried}", open_ended=not growth.broke)


#: By the word that an expectation has for it.
MEASURES: Mapping[str, Measure] = {
    "outage": Measure("outage of {}", "s", _outage),
    "outage_of_people": Measure("outage of people", "s", _outage_of_people),
    "sessions": Measure("sessions {}", "", _sessions),
    "logged_in_again": Measure("sessions logged in again", "", _logged_in_again),
    "writes_lost": Measure("acknowledged writes lost", "", _writes_lost),
    "availability": Measure("availability of {}", "", _availability),
    "users_carried": Measure("users carried", "", _users_carried),
}
