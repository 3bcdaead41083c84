"""What must hold of what a test measured: each expectation fails the test readably, and stands in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.analysis.expectations import check_of
from harness.core.conclusion import Expectation, Relation
from harness.core.words import Capability, SessionOutcome
from harness.errors import UsageError
from harness.spec.schema import did_you_mean, listed

if TYPE_CHECKING:
    from harness.pytest_plugin.scene import Scene

__all__ = ["Expect", "Numbers", "Ratio", "Seconds"]


class _Measure:
    """One measure, to be held against a limit."""

    def __init__(self, scene: Scene, measure: str, of: str = "") -> None:
        self._scene = scene
        self._measure = measure
        self._of = of

    def _must_be(self, relation: Relation, limit: float) -> None:
        __tracebackhide__ = True
        measures = self._scene.measured()
        expectation = Expectation(measure=self._measure, of=self._of, relation=relation, limit=limit)
        self._scene.expectations.append(expectation)
        check = check_of(expectation, measures)
        if check is None:
            return  # the run is INCONCLUSIVE by it, and the test with it
        if not check.kept:
            raise AssertionError(
                f"{check.name}: expected {check.expected}, observed {check.observed}\nreport: {self._scene.report}"
            )


class Seconds(_Measure):
    """A time. What did not end is longer than any limit."""

    def below_s(self, seconds: float) -> None:
        """It was shorter."""
        __tracebackhide__ = True
        self._must_be(Relation.BELOW, seconds)

    def at_most_s(self, seconds: float) -> None:
        """It was no longer."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_MOST, seconds)

    def at_least_s(self, seconds: float) -> None:
        """It was no shorter: for what must be noticed."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_LEAST, seconds)

    def none(self) -> None:
        """There was none."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_MOST, 0.0)


class Numbers(_Measure):
    """A number."""

    def at_most(self, number: int) -> None:
        """No more."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_MOST, number)

    def at_least(self, number: int) -> None:
        """No fewer."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_LEAST, number)

    def none(self) -> None:
        """None at all."""
        __tracebackhide__ = True
        self._must_be(Relation.AT_MOST, 0)


class Ratio(_Measure):
    """A share of a whole, from 0 to 1."""

    def at_least(self, ratio: float) -> None:
        """No less."""
        __tracebackhide__ = True
        if not 0 <= ratio <= 1:
            raise UsageError(f"at_least({ratio:g}), expected a share from 0 to 1, such as 0.999")
        self._must_be(Relation.AT_LEAST, ratio)


class Expect:
    """The measures. The first expectation ends the observation."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def outage(self, capability: str) -> Seconds:
        """The longest outage of a capability, whoever ended it."""
        return Seconds(self._scene, "outage", _one_of(Capability, "capability", capability))

    def outage_of_people(self) -> Seconds:
        """The longest disturbance of any person, whoever ended it."""
        return Seconds(self._scene, "outage_of_people")

    def sessions(self, outcome: str) -> Numbers:
        """How many sessions were undisturbed, kept, restarted or lost."""
        return Numbers(self._scene, "sessions", _one_of(SessionOutcome, "session outcome", outcome))

    def logged_in_again(self) -> Numbers:
        """How many people had to log in again."""
        return Numbers(self._scene, "logged_in_again")

    def writes_lost(self) -> Numbers:
        """How many acknowledged writes were missing afterwards."""
        return Numbers(self._scene, "writes_lost")

    def availability(self, capability: str) -> Ratio:
        """The share of the observation in which a capability was there."""
        return Ratio(self._scene, "availability", _one_of(Capability, "capability", capability))

    def users_carried(self) -> Numbers:
        """How many people the platform carried; after `load.overload`."""
        return Numbers(self._scene, "users_carried")


def _one_of(words: type[Capability] | type[SessionOutcome], what: str, word: str) -> str:
    every = [one.value for one in words]
    if word not in every:
        raise UsageError(f"there is no {what} {word!r}, expected {listed(every)}{did_you_mean(word, every)}")
    return word
