"""After a disaster: how long until people worked again, and what of their acknowledged writes is there.

Words as in NIST SP 800-34 Rev. 1 (2010), "Contingency Planning Guide for Federal Information Systems", section 3.2: the
recovery point is the moment before the disruption to which data can be recovered, the recovery time how long recovery
takes. RPO and RTO (ISO 22301 has them too) are the objectives for both, which the topology's promise states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from harness.analysis.change_facts import ChangeFacts
from harness.analysis.facts import Facts
from harness.core.change import ChangeEnd, ChangeStep
from harness.core.clock import to_s
from harness.core.words import Capability, Store

__all__ = ["KeptWrites", "RecoveryMeasures", "measure_recovery"]


@dataclass(frozen=True, kw_only=True)
class KeptWrites:
    """One store: what was acknowledged before the disaster, and is there, or missing."""

    store: Store
    acknowledged: int
    lost: int
    newest_kept: str | None
    """The last one that is there; None where none is."""
    newest_kept_age_s: float | None
    """Its age when the disaster began."""
    first_lost: str | None
    """The first one that is missing; None where none is."""
    first_lost_age_s: float | None
    """Its age when the disaster began; 0 for one that was acknowledged while the machines went."""


@dataclass(frozen=True, kw_only=True)
class RecoveryMeasures:
    """One disaster. Seconds count from when it began."""

    restored: bool
    """Whether the restore came to its end; if not, nothing says what became of people's writes."""
    first_log_in_s: float | None
    """Until somebody who came after everything was lost had logged in; None: nobody."""
    all_working_s: float | None
    """Until everybody who had worked before had worked again; None: somebody never did."""
    people: int
    """Who had worked before."""
    people_working: int
    """Those of them who worked again."""
    recovery_point_s: float | None
    """The age of the oldest acknowledged write that is missing; 0 where none is, None where nobody looked."""
    stores: tuple[KeptWrites, ...]
    """Empty where nobody looked."""


def measure_recovery(
    facts: Facts, operations: pd.DataFrame, probes: pd.DataFrame, acknowledged: Mapping[Store, pd.DataFrame]
) -> RecoveryMeasures | None:
    """None where there was no disaster. `acknowledged` is of `analysis.writes`, of each store that there is."""
    disaster = next((change for change in facts.changes if change.kind == "disaster" and change.steps), None)
    if disaster is None or not (lost := _lost_ns(disaster)):
        return None
    began_ns, over_ns = lost
    good = operations[operations["ok"] == 1]
    log_ins_ns = [_first_log_in_ns(rows, over_ns) for rows in (operations, probes)]
    worked = good[good["capability"] == Capability.WORK.value].astype({"user": "str"})
    people = set(worked.loc[worked["end_ns"] <= began_ns, "user"])
    again = worked[(worked["send_ns"] >= over_ns) & worked["user"].isin(people)].groupby("user")["end_ns"].min()
    read_back = facts.readback_rows is not None
    stores = tuple(_kept(store, rows, began_ns, over_ns) for store, rows in acknowledged.items()) if read_back else ()
    ages_s = [one.first_lost_age_s for one in stores if one.first_lost_age_s is not None]
    return RecoveryMeasures(
        restored=disaster.ended is ChangeEnd.RESTORED,
        first_log_in_s=min((to_s(int(ns) - began_ns) for ns in log_ins_ns if pd.notna(ns)), default=None),
        all_working_s=to_s(int(again.max()) - began_ns) if people and len(again) == len(people) else None,
        people=len(people),
        people_working=len(again),
        recovery_point_s=max(ages_s, default=0.0) if read_back else None,
        stores=stores,
    )


def _first_log_in_ns(rows: pd.DataFrame, over_ns: int) -> float:
    """NaN where there was none."""
    good = (rows["capability"] == Capability.LOG_IN.value) & (rows["ok"] == 1) & (rows["send_ns"] >= over_ns)
    return float(rows.loc[good, "end_ns"].min())


def _lost_ns(disaster: ChangeFacts) -> tuple[int, int] | None:
    """When it began, and from when nothing was left; None where it did not come so far."""
    steps = [step for step in disaster.steps if step.step is ChangeStep.DESTROY and step.ok]
    return (steps[0].began_ns, steps[-1].ended_ns) if steps else None


def _kept(store: Store, acknowledged: pd.DataFrame, began_ns: int, over_ns: int) -> KeptWrites:
    """What nobody has after the disaster was lost in it if it was acknowledged before nothing was left."""
    before = acknowledged[acknowledged["end_ns"] <= over_ns]
    lost, kept = before[~before["present"].astype(bool)], before[before["present"].astype(bool)]
    newest, first = (kept.iloc[-1] if len(kept) else None), (lost.iloc[0] if len(lost) else None)
    return KeptWrites(
        store=store,
        acknowledged=len(before),
        lost=len(lost),
        newest_kept=None if newest is None else f"value {newest['value']} of {newest['user']}",
        newest_kept_age_s=None if newest is None else _age_s(newest["end_ns"], began_ns),
        first_lost=None if first is None else f"value {first['value']} of {first['user']}",
        first_lost_age_s=None if first is None else _age_s(first["end_ns"], began_ns),
    )


def _age_s(end_ns: int, began_ns: int) -> float:
    return max(0.0, to_s(began_ns - int(end_ns)))
