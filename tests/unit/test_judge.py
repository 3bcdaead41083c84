"""Every reason for a verdict, one change to a sound run at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from harness.analysis import Measures, analyse
from harness.core.experiment import Objectives
from harness.core.history import EventKind, History
from harness.core.topology import Promise
from harness.core.verdict import Outcome
from harness.core.words import Recovery, SessionOutcome
from tests.unit.analysis_runs import (
    NUMBERS,
    OF_INSTRUMENTS,
    PROMISE,
    TOKENS,
    database_writes_frame,
    fault_events,
    grid_probes,
    history,
    hub_writes_frame,
    in_database,
    in_hub,
    ns,
    op,
    probes_frame,
    record,
    saved_frame,
    twelve_users,
)

Events = list[tuple[float, EventKind, dict[str, Any]]]


def sound(**changes: Any) -> Measures:
    """A small run that keeps its promise, with one thing changed."""
    run = twelve_users(users=2)
    promise = changes.pop("promise", PROMISE)
    topology = replace(run.topology, promises={"node-kill": promise} if promise else {})
    events = changes.pop("events", history(fault_events(5, 30), readback=len(changes.get("saved", run.saved))))
    objectives = changes.pop("objectives", Objectives())
    experiment = replace(run.experiment, objectives=objectives)
    return analyse(replace(run, topology=topology, history=events, experiment=experiment, **changes))


def events(faults: Events | None = None, **changes: Any) -> History:
    run = twelve_users(users=2)
    return history(fault_events(5, 30) if faults is None else faults, **({"readback": len(run.saved)} | changes))


def disturbed_early() -> pd.DataFrame:
    """The operations of the sound run, with one that fails before the fault."""
    rows = twelve_users(users=2).operations
    failed = (rows["user"] == "u00") & (rows["capability"] == "work") & (rows["send_ns"] == ns(1))
    return rows.assign(ok=rows["ok"].where(~failed, 0))


def test_a_kept_promise_passes() -> None:
    verdict = sound().verdict
    assert verdict.outcome is Outcome.PASS, verdict.reasons
    assert [check.name for check in verdict.checks] == [
        "recovers", "session outcome", "log-in kept", "outage of log_in", "outage of start_session", "outage of work",
        "outage of save", "outage of reconnect", "outage of people", "acknowledged writes lost",
    ]  # fmt: skip


def test_no_promise_and_no_objectives_prove_nothing() -> None:
    verdict = sound(promise=None).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "nothing to judge by" in verdict.reasons[0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("promise", "broken"),
    [
        (replace(PROMISE, recovers=Recovery.UNAFFECTED), ["recovers"]),
        (replace(PROMISE, session_outcome=SessionOutcome.KEPT), ["session outcome"]),
        (replace(PROMISE, outage_at_most_s=12), ["outage of people"]),  # people 12.55 s, start_session 4.00 s
        # the others 3.0 and 3.5 s
        (replace(PROMISE, outage_at_most_s=3.8), ["outage of start_session", "outage of people"]),
    ],
)
def test_a_broken_promise_fails(promise: Promise, broken: list[str]) -> None:
    verdict = sound(promise=promise).verdict
    assert verdict.outcome is Outcome.FAIL
    assert [check.name for check in verdict.checks if not check.kept] == broken
    assert broken[0] in verdict.reasons[0]


def test_recovery_by_repair_breaks_by_design_but_not_the_bound() -> None:
    # undone at 6: everything comes back after the repair began
    measures = sound(events=events(fault_events(5, 6)), promise=replace(PROMISE, outage_at_most_s=1))
    assert [check.name for check in measures.verdict.checks if not check.kept] == ["recovers"]
    by_repair = replace(PROMISE, recovers=Recovery.BY_REPAIR)
    assert sound(events=events(fault_events(5, 6)), promise=by_repair).verdict.outcome is Outcome.PASS


def test_an_outage_that_does_not_end_breaks_every_bound() -> None:
    probes = probes_frame(grid_probes({"work": (5.0, 99.0)}))
    verdict = sound(probes=probes, promise=replace(PROMISE, outage_at_most_s=9999)).verdict
    assert [check.name for check in verdict.checks if not check.kept] == ["recovers", "outage of work"]
    assert "not_recovered (work)" in verdict.reasons[0]


def observed(measures: Measures, name: str) -> str:
    return next(check.observed for check in measures.verdict.checks if check.name == name)


@pytest.mark.long
def test_people_who_were_repaired_break_by_design_whatever_the_probes_say() -> None:
    # u00 is back at 9.05, u01 at 17.55; every capability by 9
    measures = sound(events=events(fault_events(5, 12)))
    assert [one.recovery for one in measures.capabilities] == [Recovery.BY_DESIGN] * 5
    assert measures.people_recovery is Recovery.BY_REPAIR
    assert measures.people_by_recovery == {
        Recovery.UNAFFECTED: 0, Recovery.BY_DESIGN: 1, Recovery.BY_REPAIR: 1, Recovery.NOT_RECOVERED: 0
    }  # fmt: skip
    assert observed(measures, "recovers") == "by_repair (people: 1 of 2)"
    assert observed(measures, "outage of people") == "4.05 s (u00)"
    assert [check.name for check in measures.verdict.checks if not check.kept] == ["recovers"]
    assert (
        sound(events=events(fault_events(5, 12)), promise=replace(PROMISE, recovers=Recovery.BY_REPAIR)).verdict.outcome
        is Outcome.PASS
    )


def test_the_blame_names_capabilities_and_people() -> None:
    assert observed(sound(), "recovers") == ("by_design (log_in, reconnect, save, start_session, work; people: 2 of 2)")
    measures = sound(events=events(fault_events(5, 6)))
    assert observed(measures, "outage of people") == "none but ended by repair"


def test_a_person_who_is_not_back_breaks_recovery_and_every_bound() -> None:
    run = twelve_users(users=2, lose_user=True, promise=replace(PROMISE, outage_at_most_s=9999))
    measures = analyse(run)
    assert observed(measures, "recovers") == "not_recovered (people: 1 of 2)"
    assert observed(measures, "outage of people") == "not ended after 34.50 s (u01)"
    assert {"recovers", "outage of people"} <= {c.name for c in measures.verdict.checks if not c.kept}


def test_a_place_that_is_not_probed_any_more_is_a_doubt() -> None:
    rows = [replace(row, via=str(index % 2)) for index, row in enumerate(grid_probes({}))]
    assert sound(probes=probes_frame(rows)).verdict.outcome is Outcome.PASS
    silent = [row for row in rows if row.via == "0" or row.capability != "save" or row.send_ns < ns(30)]
    assert sound(probes=probes_frame(silent)).verdict.reasons == (
        "one of 2 places had no probe of save for 10.1 s, at most 2.0 s is sound",
    )


@pytest.mark.long
def test_lost_sessions_and_lost_writes() -> None:
    none = Objectives(writes_lost_at_most=0, sessions_lost_at_most=0)
    assert sound(promise=None, objectives=none).verdict.outcome is Outcome.PASS
    lost = analyse(twelve_users(users=2, lose_user=True, promise=None, objectives=none)).verdict
    assert [(c.source, c.name, c.observed) for c in lost.checks if not c.kept] == [
        ("objective", "sessions lost", "1 of 2")
    ]
    run = twelve_users(users=2)
    homes = len(run.saved) - OF_INSTRUMENTS
    verdict = sound(saved=run.saved.iloc[1:]).verdict
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons == (
        "promise acknowledged writes lost: expected at most 0, observed "
        f"1 of {homes} in homes, 0 of 180 in the database, 0 of 45 in the hub's database, "
        "the first: value 1 of u00 (session s00)",
    )
    verdict = sound(saved=run.saved.iloc[:-2]).verdict
    assert verdict.reasons == (
        "promise acknowledged writes lost: expected at most 0, observed "
        f"0 of {homes} in homes, 2 of 180 in the database, 0 of 45 in the hub's database, "
        "the first: value 179 of writer in the database",
    )


@pytest.mark.long
def test_the_bound_holds_for_the_sum_over_the_stores() -> None:
    run = twelve_users(users=2)
    one_each = run.saved.iloc[1:-1]
    assert sound(saved=one_each, promise=replace(PROMISE, writes_lost_at_most=2)).verdict.outcome is Outcome.PASS
    assert sound(saved=one_each, promise=replace(PROMISE, writes_lost_at_most=1)).verdict.outcome is Outcome.FAIL
    objective = Objectives(writes_lost_at_most=1)
    assert sound(saved=one_each, promise=None, objectives=objective).verdict.outcome is Outcome.FAIL


def test_having_to_log_in_again_breaks_log_in_kept() -> None:
    run = twelve_users(users=2)
    again = op(8, capability="log_in", rung="log_in", user="u00", session="s00")
    operations = record([again]).operations.assign(seq=99_999)
    both = pd.concat([run.operations, operations], ignore_index=True)
    assert [c.name for c in sound(operations=both).verdict.checks if not c.kept] == ["log-in kept"]
    assert sound(operations=both, promise=replace(PROMISE, log_in_kept=False)).verdict.outcome is Outcome.PASS


@pytest.mark.long
@pytest.mark.parametrize(
    ("changed", "doubt"),
    [
        ({"events": events(steady=False)}, "the steady state was not reached: log_in failed for 60 s"),
        ({"events": events(extra=[(35, EventKind.INTERRUPTED, {"by": "Ctrl-C"})])}, "interrupted by Ctrl-C"),
        ({"events": events([])}, "was not injected"),
        ({"events": events(fault_events(5, 30, inject={"ok": False, "message": "no process"}))}, "no process"),
        ({"events": events(fault_events(5, 30, confirm={"ok": False, "message": "still runs"}))}, "still runs"),
        ({"events": events(fault_events(5, 30, confirm={"evidence": {}}))}, "has no proof that it was in force"),
        ({"events": events(fault_events(5, 30, undo={"ok": False}))}, "was not undone"),
        ({"events": events(fault_events(5, 30, confirm_recovery={"ok": False}))}, "has no proof that it was undone"),
        ({"events": events(readback=None)}, "were not read back"),
        ({"database_writes": database_writes_frame()}, "too few database writes acknowledged before the fault: 0"),
        ({"database_writes": database_writes_frame(NUMBERS[-159:])}, "acknowledged before the fault: 19, needed 20"),
        ({"database_writes": database_writes_frame([replace(w, ok=0) for w in NUMBERS])}, "the fault: 0, needed 20"),
        ({"hub_writes": hub_writes_frame()}, "too few hub writes acknowledged before the fault: 0, needed 3"),
        ({"hub_writes": hub_writes_frame(TOKENS[-37:])}, "too few hub writes acknowledged before the fault: 2, needed"),
        ({"saved": saved_frame()}, "none of 180 acknowledged database writes was found"),
        ({"saved": saved_frame()}, "none of 45 acknowledged hub writes was found"),
        ({"probes": probes_frame([p for p in grid_probes({}) if p.capability != "save"])}, "too few probes of save: 0"),
        ({"probes": probes_frame(grid_probes({}, period=2.5))}, "too few probes of log_in: 16, needed 20"),
        ({"probes": probes_frame(grid_probes({"work": (1.0, 2.0)}))}, "1 outage(s) of work outside any fault"),
        ({"operations": disturbed_early()}, "1 disturbance(s) of people outside any fault, the longest 1.05 s"),
        ({"probes": probes_frame(grid_probes({}, until=20))}, "no probe of log_in was sent for 20.1 s"),
        ({"probes": probes_frame([replace(p, due_ns=p.due_ns - 10**9) for p in grid_probes({})])}, "were sent late"),
        ({"operations": record([op(1)]).operations}, "only 1 of 2 users had a session that worked"),
        ({"operations": record([op(1)]).operations}, "1 session(s) not observed for the last 10 s, the first s1"),
    ],
)  # fmt: skip
def test_doubts_make_a_run_inconclusive(changed: dict[str, Any], doubt: str) -> None:
    verdict = sound(**changed).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert any(doubt in reason for reason in verdict.reasons), verdict.reasons


def test_what_was_not_measured_is_a_doubt_and_no_broken_promise() -> None:
    assert analyse(record(events=history(steady=False))).verdict.checks == ()
    assert analyse(record(events=history(fault_events(5, 30), readback=None))).verdict.checks == ()


def test_errors_come_before_everything() -> None:
    broke = (20.0, EventKind.ERROR, {"type": "PeerError", "message": "the agent stopped answering"})
    verdict = sound(events=events(steady=False, extra=[broke])).verdict
    assert (verdict.outcome, verdict.reasons) == (Outcome.ERROR, ("PeerError: the agent stopped answering",))
    assert sound(events=events(readback=3)).verdict.outcome is Outcome.ERROR
    instruments = saved_frame([*in_database(*range(1, 181)), *in_hub(*range(1, 46))])
    assert sound(saved=instruments, events=events(readback=OF_INSTRUMENTS)).verdict.outcome is Outcome.FAIL


@pytest.mark.long
@pytest.mark.parametrize("kept", range(8), ids=lambda kept: f"{kept} events")
@pytest.mark.parametrize("somebody", [True, False])
def test_a_run_that_ended_anywhere_is_judged_and_never_passes(kept: int, somebody: bool) -> None:
    whole = events().events
    assert kept <= len(whole) - 4, "before the end of the fault's life cycle"
    run = record([op(1)] if somebody else (), events=History(whole[:kept]))
    measures = analyse(run)
    assert measures.verdict.outcome is Outcome.INCONCLUSIVE
    json.dumps(measures.to_json_dict(), allow_nan=False)


def test_a_control_run_passes_without_any_fault() -> None:
    run = record(
        [op(t) for t in range(-5, 40)], grid_probes({}), events=history(readback=OF_INSTRUMENTS), faults=0,
        promise=replace(PROMISE, recovers=Recovery.UNAFFECTED, session_outcome=SessionOutcome.UNDISTURBED),
    )  # fmt: skip
    assert analyse(run).verdict.outcome is Outcome.PASS
