"""Which experiments a word of the command line means, and the verdict on several together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.verdict import Outcome, together

if TYPE_CHECKING:
    from harness.analysis import Measures
    from harness.run.artifacts import RunFolder

__all__ = ["ALL", "STANDARD_SUITE", "SUITE", "SuiteEntry", "chosen_experiments", "overall", "write_suite"]

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
    def summary(self) -> str:
        """One line."""
        if self.measures is None:
            return f"{self.experiment}: {self.why_not}"
        verdict = self.measures.verdict
        return f"{self.experiment}: {verdict.outcome.value}: {verdict.reasons[0]}"

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


def write_suite(results: Path, topology: str, entries: Sequence[SuiteEntry]) -> Path:
    """Keep what came of the suite beside its runs; returns the file, named after its first run."""
    first = next((entry.folder.path.name for entry in entries if entry.folder), "none")
    path = results / topology / "suites" / f"{first}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "topology": topology,
        "outcome": overall(entries).value,
        "experiments": [
            {
                "experiment": entry.experiment,
                "outcome": entry.outcome.value if entry.outcome else None,
                "why_not": entry.why_not or None,
                "folder": str(entry.folder.path.resolve().relative_to(results.resolve())) if entry.folder else None,
            }
            for entry in entries
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def overall(entries: Sequence[SuiteEntry]) -> Outcome:
    """The verdict on the whole: an error of the harness first, then a broken promise, then what proves nothing."""
    return together(entry.outcome for entry in entries if entry.outcome is not None)
