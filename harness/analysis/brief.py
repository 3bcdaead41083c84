"""What a run measured, in the few numbers that runs are compared by: it fits into the file of many runs, and can be
read back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis.intervals import seconds, union
from harness.analysis.measures import Measures
from harness.analysis.nines.trials import COUNTED
from harness.analysis.outages import Outage
from harness.core.words import Recovery, SessionOutcome

__all__ = ["Brief", "Longest", "brief_of", "longest_outage"]


@dataclass(frozen=True, kw_only=True)
class Longest:
    """The longest outage of any capability."""

    capability: str
    seconds: float
    seconds_lower: float
    seconds_upper: float | None
    """None where it did not end."""
    recovery: Recovery

    @property
    def ended(self) -> bool:
        """Within the observation."""
        return self.seconds_upper is not None


@dataclass(frozen=True, kw_only=True)
class Brief:
    """One run. None is what was not measured, or not written by the version that wrote the file."""

    recovers: Recovery
    """The worst over all capabilities and all people."""
    longest_outage: Longest | None
    """None where no capability was away."""
    sessions: Mapping[SessionOutcome, int]
    """How many came out how; outcomes that nobody had are left out."""
    logged_in_again: int
    writes_lost: int | None
    """Acknowledged ones, of all stores together."""
    platform_outage_s: float | None = None
    """Length of the union of the outages of `work` and `log_in`, as for `harness nines`; of what did not end,
    as much as was seen."""
    user_outage_s: float | None = None
    """Mean down time of a user: the user-weighted outage."""
    users_carried: int | None = None
    """None where nothing was grown."""
    users_carried_is_limit: bool | None = None
    works_without_fault: bool = True
    """False: people were refused before anything was broken, so nothing was injected."""
    window_s: float | None = None
    """Length of the observation."""
    recovery_time_s: float | None = None
    """After a disaster: until everybody worked again; None where there was none, or somebody never did."""
    recovery_point_s: float | None = None
    """After a disaster: the age of the oldest acknowledged write that is missing, 0 where none is."""

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        plain = asdict(self)
        plain["sessions"] = {outcome.value: count for outcome, count in self.sessions.items()}
        return plain

    @classmethod
    def from_json_dict(cls, content: Mapping[str, Any]) -> Brief:
        """What `to_json_dict` wrote, of this version or the one before. Raises `KeyError`, `TypeError` or `ValueError`
        for anything else."""
        longest = content["longest_outage"]
        return cls(
            **{
                **content,
                "recovers": Recovery(content["recovers"]),
                "longest_outage": longest and Longest(**{**longest, "recovery": Recovery(longest["recovery"])}),
                "sessions": {SessionOutcome(word): int(count) for word, count in content["sessions"].items()},
            }
        )


def longest_outage(measures: Measures) -> Outage | None:
    """The longest outage of any capability; one that did not end is longer than any that did."""
    found = [one.longest for one in measures.capabilities if one.longest is not None]
    return max(found, key=lambda outage: (not outage.ended, outage.seconds), default=None)


def brief_of(measures: Measures) -> Brief:
    """The few numbers of a run."""
    longest = longest_outage(measures)
    window = measures.facts.window
    return Brief(
        recovers=measures.worst_recovery,
        longest_outage=_longest(longest) if longest else None,
        sessions={
            count.outcome: count.targeted + count.others
            for count in measures.session_counts
            if count.targeted + count.others
        },
        logged_in_again=measures.logged_in_again,
        writes_lost=measures.writes.lost,
        platform_outage_s=_platform_outage_s(measures),
        user_outage_s=measures.user_uptime.outage_s,
        users_carried=measures.users_carried,
        users_carried_is_limit=measures.users_carried_is_limit,
        works_without_fault=measures.without_fault is None,
        window_s=window.seconds if window else None,
        recovery_time_s=measures.recovery.all_working_s if measures.recovery else None,
        recovery_point_s=measures.recovery.recovery_point_s if measures.recovery else None,
    )


def _longest(outage: Outage) -> Longest:
    return Longest(
        capability=outage.capability,
        seconds=outage.seconds,
        seconds_lower=outage.seconds_lower,
        seconds_upper=outage.seconds_upper,
        recovery=outage.recovery,
    )


def _platform_outage_s(measures: Measures) -> float | None:
    """None where nothing that counts was probed."""
    counted = [one for one in measures.capabilities if one.capability in COUNTED]
    if not any(one.samples for one in counted):
        return None
    return seconds(union((outage.start_ns, outage.end_ns) for one in counted for outage in one.outages))
