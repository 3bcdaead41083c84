"""The objectives of a disaster recovery plan, as a topology's promise states them, against what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.recovery import RecoveryMeasures
from harness.core.topology import Promise
from harness.core.verdict import Check

__all__ = ["recovery_checks"]


def recovery_checks(promise: Promise, recovery: RecoveryMeasures) -> Iterator[Check]:
    """One for each objective that is stated and was measured. Who never worked again breaks every RTO."""
    if promise.rto_s is not None:
        first, everybody = recovery.first_log_in_s, recovery.all_working_s
        log_in = "nobody logged in again" if first is None else f"first log-in after {first:.1f} s"
        work = f"{recovery.people_working} of {recovery.people} at work"
        yield Check(
            name="recovery time",
            source="promise",
            expected=f"everybody at work after at most {promise.rto_s:g} s (RTO)",
            observed=f"{log_in}, {work}" + ("" if everybody is None else f" after {everybody:.1f} s"),
            kept=everybody is not None and everybody <= promise.rto_s,
        )
    if promise.rpo_s is not None and recovery.recovery_point_s is not None:
        yield Check(
            name="recovery point",
            source="promise",
            expected=f"nothing lost that was older than {promise.rpo_s:g} s (RPO)",
            observed=_lost(recovery),
            kept=recovery.recovery_point_s <= promise.rpo_s,
        )


def _lost(recovery: RecoveryMeasures) -> str:
    lost = [one for one in recovery.stores if one.first_lost_age_s is not None]
    if not lost:
        return "nothing lost"
    oldest = max(lost, key=lambda one: one.first_lost_age_s or 0.0)
    return f"{recovery.recovery_point_s:.1f} s ({oldest.first_lost} {oldest.store.where})"
