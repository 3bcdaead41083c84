"""What came of looking for drift, and of a rebuild from nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.drift import Drift

__all__ = ["Rebuild"]


@dataclass(frozen=True, kw_only=True)
class Rebuild:
    """A rebuild, or only a look for drift."""

    topology: str
    run_id: str
    """Of the platform that is up now."""
    url: str = ""
    """Where to log in; empty where nothing was rebuilt."""
    was: str = ""
    """The run that was up before, and is gone; empty where none was."""
    before: Sequence[Drift] | None = None
    """What was found on the platform that was up; None where none was."""
    after: Sequence[Drift] | None = None
    """What was found on the new one; None where nothing was rebuilt."""
    images: Sequence[str] = ()
    """Those that were removed and built from nothing."""
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each phase, in their order."""

    @property
    def drift(self) -> bool:
        """Whether anything differed from what is declared, before or after."""
        return bool(self.before or self.after)

    @property
    def exit_code(self) -> int:
        """1 where anything differed: somebody has to take it over into the files, or it is gone."""
        return 1 if self.drift else 0

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {
            "schema": 1,
            "topology": self.topology,
            "run_id": self.run_id,
            "url": self.url or None,
            "was": self.was or None,
            "drift": None if self.before is None else [one.to_json_dict() for one in self.before],
            "drift_after": None if self.after is None else [one.to_json_dict() for one in self.after],
            "images_rebuilt": list(self.images),
            "phases_s": {name: round(seconds, 3) for name, seconds in self.phases_s.items()},
            "total_s": round(sum(self.phases_s.values()), 3),
        }
