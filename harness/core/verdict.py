"""One verdict, four outcomes. A broken harness never reads as downtime, nor a missing measurement as uptime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NOTHING_TO_JUDGE_BY", "Check", "Outcome", "Verdict", "decide", "together"]

#: The one reason of a verdict on a run without doubts that nothing was said about.
NOTHING_TO_JUDGE_BY = "nothing to judge by: the topology promises nothing for this experiment and it has no objectives"


class Outcome(StrEnum):
    """What a run says about the platform."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"

    @property
    def exit_code(self) -> int:
        """0, 1, 2 as is usual for tests; 70 is EX_SOFTWARE of sysexits.h."""
        return {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 2, Outcome.ERROR: 70}[self]


@dataclass(frozen=True)
class Check:
    """One promise or objective against what was measured."""

    name: str
    source: str
    """`promise` (of the topology), `objective` (of the experiment) or `test` (a pytest test that did it)."""
    expected: str
    observed: str
    kept: bool


@dataclass(frozen=True)
class Verdict:
    """The outcome and the reasons for it."""

    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def only_lacks_checks(self) -> bool:
        """Whether there is no doubt about the run itself: it was measured, and nothing was said to hold it against."""
        return self.outcome is Outcome.INCONCLUSIVE and self.reasons == (NOTHING_TO_JUDGE_BY,)


def decide(*, errors: Sequence[str], doubts: Sequence[str], checks: Sequence[Check]) -> Verdict:
    """ERROR if the harness broke, else INCONCLUSIVE if the run proves nothing, else FAIL or PASS by the checks.

    A run without any check proves nothing either: it is INCONCLUSIVE.
    """
    if errors:
        return Verdict(Outcome.ERROR, tuple(errors), tuple(checks))
    if doubts:
        return Verdict(Outcome.INCONCLUSIVE, tuple(doubts), tuple(checks))
    if not checks:
        return Verdict(Outcome.INCONCLUSIVE, (NOTHING_TO_JUDGE_BY,), ())
    broken = [check for check in checks if not check.kept]
    if broken:
        reasons = [f"{c.source} {c.name}: expected {c.expected}, observed {c.observed}" for c in broken]
        return Verdict(Outcome.FAIL, tuple(reasons), tuple(checks))
    return Verdict(Outcome.PASS, (f"all {len(checks)} promises and objectives kept",), tuple(checks))


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """The verdict on several runs: an error of the harness first, then a broken promise, then what proves nothing. No
    run at all proves nothing either."""
    found = set(outcomes)
    for outcome in (Outcome.ERROR, Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in found:
            return outcome
    return Outcome.PASS if found else Outcome.INCONCLUSIVE
