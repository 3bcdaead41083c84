"""Lost writes, user-uptime and the timeline of session states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import RunRecord, analyse
from harness.analysis.availability import SessionState
from harness.analysis.writes import StoreWrites
from harness.core.history import EventKind
from harness.core.rows import DatabaseWrite, Operation, SavedValue
from harness.core.topology import Topology
from harness.core.words import Role, Store
from tests.unit.analysis_runs import (
    NUMBERS,
    fault_events,
    history,
    in_database,
    ns,
    number,
    op,
    operations_frame,
    probes_frame,
    record,
    twelve_users,
    without_storage,
)


def save(t: float, value: int, **changes: Any) -> Operation:
    values: dict[str, Any] = {"capability": "save", "expected": value, "found": value}
    return op(t, **(values | changes))


def test_writes_are_compared_by_user_and_value() -> None:
    operations = [save(1, 1), save(2, 2), save(3, 3), save(4, 4, ok=0, found=-1), save(1, 1, user="u2", session="s2")]
    saved = [SavedValue("u1", 1), SavedValue("u1", 3), SavedValue("u1", 3), SavedValue("u1", 4), SavedValue("u3", 1)]
    homes = store(record(operations, saved=saved), Store.HOME)
    assert (homes.acknowledged, homes.found, homes.lost) == (4, 2, 2)
    assert homes.first_lost == "value 1 of u2 (session s2)"
    assert (homes.duplicated, homes.unacknowledged_present) == (1, 2)  # u1's second 3; u1's 4 and u3's 1


def store(run: RunRecord, which: Store) -> StoreWrites:
    found = analyse(run).writes.of(which)
    assert found is not None
    return found


def at(place: str, value: int, user: str = "u1") -> SavedValue:
    return SavedValue(user, value, Store.HOME.value, place)


#: Saves 1 and 2 on node a; then its node is b, where value 3 is saved; the last try, on c, fails.
MOVED = [save(1, 1, node="a"), save(2, 2, node="a"), op(3, node="b"), save(4, 3, node="b"), op(5, node="c", ok=0)]


def test_without_storage_a_save_counts_where_its_person_looks() -> None:
    run = without_storage(record(MOVED, saved=[at("a", 1), at("a", 2), at("b", 3)]))
    measures = analyse(run)
    homes = store(run, Store.HOME)
    assert (homes.acknowledged, homes.found, homes.lost, homes.lost_elsewhere) == (3, 1, 2, 2)
    assert homes.lost_of == "2 of 3 in homes (2 of them on another node)"
    assert homes.first_lost == "value 1 of u1 (session s1)"
    assert (homes.duplicated, homes.unacknowledged_present) == (0, 0)
    (session,) = measures.sessions
    assert (session.saves_acknowledged, session.saves_found, session.saves_lost) == (3, 1, 2)
    check = next(one for one in measures.verdict.checks if one.name == "acknowledged writes lost")
    observed = (
        "2 of 3 in homes (2 of them on another node), 0 of 180 in the database, 0 of 45 in the hub's database, the"
    )
    assert check.observed.startswith(observed)
    assert not check.kept


def test_with_storage_it_does_not_matter_which_node_served() -> None:
    homes = store(record(MOVED, saved=[at("storage", value) for value in (1, 2, 3)]), Store.HOME)
    assert (homes.found, homes.lost, homes.lost_elsewhere) == (3, 0, 0)
    assert homes.lost_of == "0 of 3 in homes"


def test_what_is_nowhere_is_lost_but_on_no_other_node() -> None:
    homes = store(without_storage(record(MOVED, saved=[at("a", 1), at("b", 3)])), Store.HOME)
    assert (homes.lost, homes.lost_elsewhere) == (2, 1)
    everything = store(without_storage(record(MOVED, saved=in_database(1))), Store.HOME)
    assert (everything.lost, everything.lost_elsewhere) == (3, 0)


def test_each_person_looks_on_their_own_node() -> None:
    operations = [*MOVED, save(1, 1, node="a", user="u2", session="s2")]
    saved = [at("b", 1), at("b", 2), at("b", 3), at("a", 1, user="u2")]
    assert store(without_storage(record(operations, saved=saved)), Store.HOME).lost == 0
    swapped = [replace(value, place="a" if value.place == "b" else "b") for value in saved]
    homes = store(without_storage(record(operations, saved=swapped)), Store.HOME)
    assert (homes.lost, homes.lost_elsewhere) == (4, 4)


def test_duplicates_are_counted_at_each_place() -> None:
    saved = [at("a", 1), at("b", 1), at("b", 1), at("b", 2), at("b", 3), at("a", 9), at("b", 9)]
    homes = store(without_storage(record(MOVED, saved=saved)), Store.HOME)
    assert (homes.lost, homes.duplicated) == (0, 1)
    assert homes.unacknowledged_present == 1, "value 9, wherever it is"


def test_homes_that_were_not_read_back_are_on_no_node_that_is_known() -> None:
    unread = replace(record(MOVED, saved=[at("a", 1)]), history=history(fault_events(5, 30), readback=None))
    homes = store(without_storage(unread), Store.HOME)
    assert (homes.found, homes.lost, homes.lost_elsewhere) == (None, None, None)


def test_numbers_in_the_database_are_compared_by_value() -> None:
    writes = [number(1, 1), number(2, 2), number(3, 3, ok=0), number(4, 4, ok=0), number(5, 5)]
    database = store(record(writes=writes, saved=in_database(1, 1, 1, 3)), Store.DATABASE)
    assert (database.acknowledged, database.found, database.lost) == (3, 1, 2)
    assert database.first_lost == "value 2 of writer in the database"
    assert (database.duplicated, database.unacknowledged_present) == (2, 1)


def test_a_value_in_a_home_is_none_in_the_database() -> None:
    run = record([save(1, 1, user="writer")], writes=[number(1, 1)], saved=[*in_database(7), SavedValue("writer", 1)])
    assert (store(run, Store.HOME).lost, store(run, Store.DATABASE).lost) == (0, 1)


def test_the_sum_names_what_was_lost_first_wherever_it_was() -> None:
    operations, writes = [save(3, 1), save(9, 2)], [number(1, 2), number(2, 6)]
    both = analyse(record(operations, writes=writes, saved=[*in_database(1), SavedValue("u1", 2)])).writes
    lost = "1 of 2 in homes, 1 of 2 in the database, 0 of 0 in the hub's database"
    assert (both.acknowledged, both.lost, both.lost_of) == (4, 2, lost)
    assert both.first_lost == "value 1 of u1 (session s1)"
    other = analyse(record(operations, writes=writes, saved=[*in_database(2), SavedValue("u1", 1)])).writes
    assert other.first_lost == "value 1 of writer in the database"


@pytest.mark.long
@pytest.mark.parametrize(
    ("writes", "gap_s"),
    [
        ([], None),
        ([number(1, 1, ok=0)], 40.0),
        (NUMBERS, 0.25),
        ([write for write in NUMBERS if not ns(5) < write.send_ns < ns(12)], 7.0),
        ([write for write in NUMBERS if write.send_ns < ns(30)], 10.248),
        ([write for write in NUMBERS if write.send_ns > ns(4)], 4.252),
        ([number(1, -100), number(2, -1), number(3, 39, 41)], 40.0),
    ],
    ids=["nothing tried", "nothing acknowledged", "nothing happened", "away", "gone", "late", "outside the window"],
)
def test_the_longest_time_without_a_database_write_is_within_the_window(
    writes: list[DatabaseWrite], gap_s: float | None
) -> None:
    database = store(record(writes=writes), Store.DATABASE)
    assert database.longest_gap_s == (None if gap_s is None else pytest.approx(gap_s))


def test_a_gap_is_not_known_where_nothing_was_observed() -> None:
    assert store(record(events=history(steady=False)), Store.DATABASE).longest_gap_s is None


def test_writes_before_the_fault_are_those_of_the_steady_state() -> None:
    # from 5 s before the window, the gate's own time, to the injection at 5 s: 40 points, the last in flight
    assert store(record(), Store.DATABASE).acknowledged_before_fault == 40
    assert store(record(events=history()), Store.DATABASE).acknowledged_before_fault == len(NUMBERS)
    assert store(record(events=history(steady=False)), Store.DATABASE).acknowledged_before_fault == 0


@pytest.mark.long
@settings(max_examples=10)
@given(st.sets(st.integers(1, 60)), st.lists(st.integers(1, 60), max_size=80))
def test_the_books_of_the_database_balance(acknowledged: set[int], found: list[int]) -> None:
    writes = [number(value, value / 2, ok=int(value in acknowledged)) for value in range(1, 61)]
    run = record(writes=writes)
    saved = pd.DataFrame(
        [(0, "writer", value, "database", "database") for value in found],
        columns=["seq", "user", "value", "store", "place"],
    )
    database = store(replace(run, saved=saved), Store.DATABASE)
    assert database.found is not None
    assert database.lost == len(acknowledged - set(found))
    assert database.found + database.lost == database.acknowledged == len(acknowledged)
    assert database.unacknowledged_present == len(set(found) - acknowledged)
    assert database.duplicated == len(found) - len(set(found))


def test_without_a_database_there_are_homes_and_the_hubs_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Topology, "roles", lambda _: tuple(role for role in Role if role is not Role.DATABASE))
    run = record([save(1, 1)], saved=[SavedValue("u1", 1)], writes=())
    measures = analyse(run)
    assert [one.store for one in measures.writes.stores] == [Store.HOME, Store.HUB]
    assert measures.writes.lost_of == "0 of 1 in homes, 0 of 0 in the hub's database"
    assert not [reason for reason in measures.verdict.reasons if "database" in reason]


def test_without_a_readback_nothing_is_known_about_writes() -> None:
    writes = analyse(record([save(1, 1)], writes=[number(1, 1), number(2, 2)], events=history(readback=None))).writes
    assert (writes.acknowledged, writes.read_back, writes.lost) == (3, False, None)
    assert [(one.found, one.lost, one.duplicated) for one in writes.stores] == [(None, None, None)] * 3


def test_no_writes_lose_nothing() -> None:
    writes = analyse(record(writes=())).writes
    assert (writes.acknowledged, writes.lost, writes.first_lost) == (0, 0, None)


def test_user_uptime_worked_out_by_hand() -> None:
    # window 40 s; u1 down from 10 (send of the first failure) to 14.05 (completion of the next good one), u2 never
    operations = [op(9), op(10, 12, ok=0), op(12, 13, ok=0), op(14), op(15)]
    operations += [op(t, user="u2", session="s2") for t in range(1, 39)]
    uptime = analyse(record(operations)).user_uptime
    assert uptime.users == 2
    assert uptime.worst_s == pytest.approx(4.05)
    assert uptime.outage_s == pytest.approx(4.05 / 2)
    assert uptime.ratio == pytest.approx(1 - 4.05 / 80)


def test_a_rung_of_the_ladder_does_not_end_the_down_time() -> None:
    operations = [op(9), op(10, ok=0), op(11, 11.5, capability="log_in", rung="log_in"), op(20)]
    assert analyse(record(operations)).user_uptime.outage_s == pytest.approx(10.05)


def test_who_does_not_come_back_is_down_until_the_end_of_the_window() -> None:
    uptime = analyse(record([op(9), op(10, ok=0), op(30, ok=0)])).user_uptime
    assert uptime.outage_s == pytest.approx(30)


def test_nobody_there_is_not_uptime() -> None:
    assert analyse(record()).user_uptime.ratio is None
    assert analyse(record([op(1)], events=history(steady=False))).user_uptime.ratio is None


@pytest.mark.long
@settings(max_examples=8)
@given(users=st.integers(1, 5), begin=st.integers(1, 20), length=st.integers(1, 15))
def test_user_uptime_of_a_total_outage_is_the_time_based_one(users: int, begin: int, length: int) -> None:
    operations = []
    for user in range(users):
        who = {"user": f"u{user}", "session": f"s{user}"}
        # instant answers each second, so that the outage's edges are the users' own
        for t in range(40):
            operations.append(op(t, t, ok=int(not begin <= t < begin + length), **who))
    uptime = analyse(record(operations)).user_uptime
    assert uptime.ratio == pytest.approx(1 - length / 40)
    assert uptime.outage_s == pytest.approx(length)


@pytest.mark.long
@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 45), st.floats(0, 50), st.integers(0, 1)), max_size=40),
    st.integers(0, 99),
)
def test_user_uptime_is_a_ratio_whatever_the_rows_and_their_order(
    rows: list[tuple[str, float, float, int]], seed: int
) -> None:
    operations = [op(t, t + lasted, ok=ok, user=user, session=user) for user, t, lasted, ok in rows]
    run = record(operations)
    measures = analyse(run)
    assert measures.user_uptime.ratio is None or 0 <= measures.user_uptime.ratio <= 1
    shuffled = analyse(replace(run, operations=run.operations.sample(frac=1, random_state=seed)))
    assert shuffled == measures
    if measures.timeline:
        total = np.sum([measures.timeline.states[state] for state in SessionState], axis=0)
        assert (total == len(measures.sessions)).all()


def test_the_timeline_counts_sessions_by_state() -> None:
    back = op(9, 9.5, kernel="k2", expected=5, found=0)
    operations = [op(-5), op(1), op(6, ok=0), back, op(10, kernel="k2")]
    timeline = analyse(record([*operations, op(2, user="u2", session="s2")])).timeline
    assert timeline is not None
    assert (timeline.start_ns, timeline.step_ns, len(timeline.times_ns)) == (ns(0), 250_000_000, 161)

    def at(seconds: float) -> dict[str, int]:
        return {
            state.value: counts[int(seconds * 4)]
            for state, counts in timeline.states.items()
            if counts[int(seconds * 4)]
        }

    assert at(0) == {"working": 1, "starting": 1}
    assert at(3) == {"working": 2}
    assert at(6) == {"working": 1, "disturbed": 1}
    assert at(9.5) == {"working": 1, "restarted": 1}
    lost = analyse(record([op(1), op(6, ok=0)])).timeline
    assert lost is not None
    assert lost.states[SessionState.LOST][-1] == 1


def test_a_window_ends_with_what_broke_the_run() -> None:
    broke = (20.0, EventKind.ERROR, {"type": "PeerError", "message": "gone"})
    facts = analyse(record([op(1)], events=history(fault_events(5, 30), extra=[broke], drain=None))).facts
    assert facts.window is not None
    assert facts.window.seconds == pytest.approx(20)
    assert facts.errors == ("PeerError: gone",)


def test_an_empty_csv_and_missing_texts_are_read_as_they_were_written() -> None:
    # as a CSV reader returns them: NaN for empty texts, objects for the columns of an empty file
    frame = operations_frame([op(1), op(2)]).astype("object")
    frame[["rung", "detail"]] = None
    measures = analyse(replace(record(), operations=frame, probes=probes_frame().astype("object")))
    assert len(measures.sessions) == 1


@pytest.mark.long
def test_two_hundred_thousand_rows_lose_no_session() -> None:
    run, users = twelve_users(users=1), 2100
    rows = len(run.operations)
    operations = run.operations.iloc[np.tile(np.arange(rows), users)].reset_index(drop=True)
    numbers = pd.Series(np.repeat(np.arange(users), rows)).astype("str")
    operations = operations.assign(user="u" + numbers, session="s" + numbers, seq=np.arange(len(operations)))
    t_ns = ns(0) + np.arange(36_000) * 1_000_000
    probes = pd.DataFrame(dict.fromkeys(("capability", "node", "detail", "via"), "work"), index=range(len(t_ns)))
    probes = probes.assign(due_ns=t_ns, send_ns=t_ns, end_ns=t_ns + 500_000, ok=(np.arange(36_000) % 9_000 > 900) * 1)
    big = replace(run, operations=operations, probes=probes)
    assert len(operations) + len(probes) > 200_000
    assert len(analyse(big).sessions) == users
