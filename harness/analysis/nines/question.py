"""What is asked about a year, and the inputs that are not rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from harness.analysis.nines.trials import COUNTED

__all__ = ["TARGETS_PERCENT", "Question"]

#: What is always said something about.
TARGETS_PERCENT: Final = (90.0, 99.0, 99.9, 99.95, 99.99, 99.999)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, and the inputs that are not rates."""

    target_percent: float = 99.9
    by: Literal["total", "users"] = "total"
    """Which downtime the target is about: of the platform, or of a user on average."""
    capabilities: tuple[str, ...] = COUNTED
    """The platform is down while any of these is away."""
    users: int = 2000
    """How many people the platform has."""
    cost_per_hour: float = 50.0
    """Dollars that an hour of one person costs."""
    draws: int = 100_000
    seed: int = 1
