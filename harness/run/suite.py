"""Which experiments a word of the command line means, and the verdict on several together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis import Measures
from harness.core.verdict import Outcome
from harness.run.artifacts import RunFolder

__all__ = ["STANDARD_SUITE", "SuiteEntry", "chosen_experiments", "overall"]

#: The four failures that everybody asks about, in the order in which they are run.
STANDARD_SUITE = ("node-kill", "lb-loss", "db-failover", "partition")
#: The word for all of them.
SUITE = "suite"
ALL = "all"


@dataclass(frozen=True)
class SuiteEntry:
    """One experiment of a suite: what came of it, or why it was not run."""

    experiment: str
    folder: RunFolder | None = None
    measures: Measures | None = None
    why_not: str = ""
    """`not applicable: ...` or `not run: ...`."""
    applicable: bool = True

    @property
    def interrupted(self) -> bool:
        """Somebody wished to stop."""
        return self.measures is not None and self.measures.facts.interrupted is not None

    @property
    def outcome(self) -> Outcome | None:
        """None where it does not apply; what was not run proves nothing."""
        if self.measures is not None:
            return self.measures.verdict.outcome
        return Outcome.INCONCLUSIVE if self.applicable else None


def chosen_experiments(words: str, known: Callable[[], Sequence[str]]) -> list[str]:
    """`suite`, `all`, one name or path, or several with commas between, as a list without duplicates."""
    if words == ALL:
        return list(known())
    if words == SUITE:
        return list(STANDARD_SUITE)
    return list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))


def overall(entries: Sequence[SuiteEntry]) -> Outcome:
    """The verdict on the whole: an error of the harness first, then a broken promise, then what proves nothing."""
    outcomes = {entry.outcome for entry in entries} - {None}
    for outcome in (Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS if outcomes else Outcome.INCONCLUSIVE
