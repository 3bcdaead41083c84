"""What a pytest test expected of the experiment that it did, as it was recorded beside the run.

An expectation says which measure, how it is held against which limit, and not what came of that: analysis does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Conclusion", "Expectation", "Relation"]

_SCHEMA_VERSION = 1


class Relation(StrEnum):
    """How a measure is held against its limit."""

    BELOW = "below"
    AT_MOST = "at most"
    AT_LEAST = "at least"

    def holds(self, observed: float, limit: float) -> bool:
        """Whether what was observed is as it was expected."""
        if self is Relation.BELOW:
            return observed < limit
        return observed <= limit if self is Relation.AT_MOST else observed >= limit


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One measure against one limit."""

    measure: str
    """One of `harness.analysis.expectations.MEASURES`."""
    of: str = ""
    """Of which capability or session outcome, for measures that there are several of."""
    relation: Relation
    limit: float
    """In the measure's own unit: seconds, a number, or a ratio."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """How a test ended."""

    test: str
    """Its node id."""
    passed: bool
    message: str = ""
    """What did not hold, where it did not pass."""
    expectations: tuple[Expectation, ...] = ()

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {"schema": _SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json_dict(cls, content: Mapping[str, Any]) -> Conclusion:
        """What `to_json_dict` gave. Raises ValueError, KeyError or TypeError for anything else."""
        if content["schema"] != _SCHEMA_VERSION:
            raise ValueError(f"schema {content['schema']!r}, expected {_SCHEMA_VERSION}")
        expectations = [{**one, "relation": Relation(one["relation"])} for one in content["expectations"]]
        return cls(
            test=str(content["test"]),
            passed=bool(content["passed"]),
            message=str(content["message"]),
            expectations=tuple(Expectation(**one) for one in expectations),
        )
