"""What was promised against what was measured: one experiment on one topology as a cell of a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from harness.analysis.measures import Measures
from harness.analysis.outages import Outage
from harness.core.topology import Promise
from harness.core.verdict import Outcome, Verdict

__all__ = ["Cell", "Standing", "exit_code", "in_brief", "longest_outage", "standing"]


class Standing(StrEnum):
    """How a topology stands to its promise for one experiment. Capitals: something is not as its file says."""

    AS_PROMISED = "as promised"
    """PASS, as was to be expected."""
    KNOWN_BROKEN = "known broken"
    """The promise was broken, and the file says that it would be."""
    BROKEN = "BROKEN"
    """FAIL, and nobody knew."""
    MENDED = "MENDED"
    """The promise was kept although the file says that it does not hold."""
    NO_PROOF = "no proof"
    """INCONCLUSIVE, or not run."""
    ERROR = "error"
    """The harness broke."""
    NOT_APPLICABLE = "not applicable"
    """The topology has nothing for the experiment."""


def standing(verdict: Verdict, known_broken: str) -> Standing:
    """How the verdict on a run stands to what the topology's file says of it.

    A known-broken promise is mended if all its checks were kept, even if the run failed by an objective: what the
    file says of the promise is wrong then.
    """
    if verdict.outcome is Outcome.ERROR:
        return Standing.ERROR
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return Standing.NO_PROOF
    if known_broken:
        broken = any(check.source == "promise" and not check.kept for check in verdict.checks)
        return Standing.KNOWN_BROKEN if broken else Standing.MENDED
    return Standing.AS_PROMISED if verdict.outcome is Outcome.PASS else Standing.BROKEN


def longest_outage(measures: Measures) -> Outage | None:
    """The longest outage of any capability; one that did not end is longer than any that did."""
    found = [one.longest for one in measures.capabilities if one.longest is not None]
    return max(found, key=lambda outage: (not outage.ended, outage.seconds), default=None)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One experiment on one topology."""

    topology: str
    experiment: str
    promise: Promise | None
    """None where the topology promises nothing for the experiment: then its objectives alone decide."""
    known_broken: str = ""
    """Why the promise does not hold, where that is known."""
    measures: Measures | None = None
    """None where it was not run."""
    why_not: str = ""
    """Why there are no measures."""
    applicable: bool = True
    folder: str = ""
    """The run's folder, below the folder of all results."""

    @property
    def standing(self) -> Standing:
        """What was promised against what was measured."""
        if not self.applicable:
            return Standing.NOT_APPLICABLE
        return standing(self.measures.verdict, self.known_broken) if self.measures else Standing.NO_PROOF

    @property
    def proves(self) -> bool:
        """Whether what was measured may be held against the promise."""
        return self.measures is not None and self.measures.verdict.outcome in (Outcome.PASS, Outcome.FAIL)

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types. What a run without proof has measured is in its own folder only."""
        return {
            "topology": self.topology,
            "experiment": self.experiment,
            "standing": self.standing.value,
            "outcome": self.measures.verdict.outcome.value if self.measures else None,
            "reasons": list(self.measures.verdict.reasons) if self.measures else [],
            "why_not": self.why_not or None,
            "known_broken": self.known_broken or None,
            "promised": asdict(self.promise) if self.promise else None,
            "measured": in_brief(self.measures) if self.measures and self.proves else None,
            "folder": self.folder or None,
        }


def exit_code(cells: Iterable[Cell]) -> int:
    """1 if anything is not as its file says (BROKEN, MENDED), else 70 for an error, else 2 for what proves nothing,
    else 0. A matrix without any cell that applies proves nothing either."""
    found = {cell.standing for cell in cells} - {Standing.NOT_APPLICABLE}
    if found & {Standing.BROKEN, Standing.MENDED}:
        return Outcome.FAIL.exit_code
    if Standing.ERROR in found:
        return Outcome.ERROR.exit_code
    return Outcome.INCONCLUSIVE.exit_code if Standing.NO_PROOF in found or not found else Outcome.PASS.exit_code


def in_brief(measures: Measures) -> dict[str, Any]:
    """What a run measured, in the few numbers that runs are compared by, as plain JSON types."""
    longest = longest_outage(measures)
    return {
        "recovers": measures.worst_recovery.value,
        "longest_outage": longest
        and {
            "capability": longest.capability,
            "seconds": longest.seconds,
            "seconds_lower": longest.seconds_lower,
            "seconds_upper": longest.seconds_upper,
            "recovery": longest.recovery.value,
        },
        "sessions": {
            count.outcome.value: count.targeted + count.others
            for count in measures.session_counts
            if count.targeted + count.others
        },
        "logged_in_again": measures.logged_in_again,
        "writes_lost": measures.writes.lost,
    }
