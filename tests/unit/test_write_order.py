"""The order of what was found in homes, the first example of each kind of mistake, and how old what was lost was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import RunRecord, analyse
from harness.analysis.writes import StoreWrites
from harness.core.history import History
from harness.core.rows import Operation, SavedValue
from harness.core.words import Store
from tests.unit.analysis_runs import fault_events, history, in_database, number, op, record


def save(t: float, value: int, **changes: Any) -> Operation:
    values: dict[str, Any] = {"capability": "save", "expected": value, "found": value}
    return op(t, **(values | changes))


def homes(run: RunRecord, store: Store = Store.HOME) -> StoreWrites:
    found = analyse(run).writes.of(store)
    assert found is not None
    return found


def found_in_homes(*values: int, user: str = "u1", place: str = "storage") -> list[SavedValue]:
    return [SavedValue(user, value, Store.HOME.value, place) for value in values]


FIVE = [save(t, t) for t in (1, 2, 3, 4, 5)]

# -- order ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("there", "reordered", "first"),
    [
        ((1, 2, 3, 4, 5), 0, None),
        ((1, 2, 4, 3, 5), 1, "value 3 of u1 in homes, after value 4"),
        ((5, 1, 2, 3, 4), 4, "value 1 of u1 in homes, after value 5"),
        ((1, 2, 3, 3, 2, 4, 5), 0, None),  # of a value that is there twice the first counts
        ((1, 3, 5), 0, None),  # lost is not reordered
    ],
)
def test_what_stands_after_a_later_value_is_reordered(
    there: tuple[int, ...], reordered: int, first: str | None
) -> None:
    store = homes(record(FIVE, saved=found_in_homes(*there)))
    assert (store.reordered, store.first_reordered) == (reordered, first)


def test_what_nobody_was_told_may_come_late() -> None:
    operations = [save(1, 1), save(2, 2, ok=0, found=-1), save(3, 3)]
    assert homes(record(operations, saved=found_in_homes(1, 3, 2))).reordered == 0
    # but an acknowledged one may not come after it
    operations = [save(1, 1), save(2, 2), save(3, 3, ok=0, found=-1)]
    assert homes(record(operations, saved=found_in_homes(1, 3, 2))).reordered == 1


def test_each_home_at_each_place_has_an_order_of_its_own() -> None:
    operations = [*FIVE, save(1, 1, user="u2", session="s2"), save(2, 2, user="u2", session="s2")]
    mixed = [SavedValue(u, v, Store.HOME.value, p) for u, v, p in (
        ("u1", 4, "a"), ("u2", 1, "a"), ("u1", 1, "b"), ("u1", 5, "a"), ("u2", 2, "a"), ("u1", 2, "b"), ("u1", 3, "b"),
    )]  # fmt: skip
    assert homes(record(operations, saved=mixed)).reordered == 0


def test_a_table_has_no_order() -> None:
    run = record(writes=[number(v, v) for v in (1, 2, 3)], saved=in_database(3, 1, 2))
    store = homes(run, Store.DATABASE)
    assert (store.lost, store.reordered, store.first_reordered) == (0, None, None)


def test_the_first_duplicate_is_named() -> None:
    store = homes(record(FIVE, saved=found_in_homes(1, 2, 3, 2, 4, 5, 1)))
    assert (store.duplicated, store.first_duplicated) == (2, "value 2 of u1 in homes")
    store = homes(record(writes=[number(1, 1)], saved=in_database(1, 1)), Store.DATABASE)
    assert (store.duplicated, store.first_duplicated) == (1, "value 1 of writer in the database")


def test_what_was_not_read_back_is_neither_in_order_nor_out_of_it() -> None:
    store = homes(record(FIVE, events=history(fault_events(5, 30), readback=None)))
    assert (store.reordered, store.duplicated, store.recovery_point_s) == (None, None, None)
    assert (store.first_reordered, store.first_duplicated, store.first_lost) == (None, None, None)


@pytest.mark.long
@settings(max_examples=15)
@given(st.permutations(range(1, 9)), st.sets(st.integers(1, 8)))
def test_reordered_values_are_those_below_the_largest_before_them(order: list[int], acknowledged: set[int]) -> None:
    operations = [save(v, v, ok=int(v in acknowledged)) for v in range(1, 9)]
    late = [v for i, v in enumerate(order) if v in acknowledged and any(w > v for w in order[:i])]
    assert homes(record(operations, saved=found_in_homes(*order))).reordered == len(late)


# -- recovery point ------------------------------------------------------------------------------------------------


def lost(
    acknowledged: Sequence[float], missing: set[int], *, events: History | None = None, faults: int = 1
) -> float | None:
    """Numbers 1, 2, ... were acknowledged at these seconds; `missing` were not found. A fault was injected at 5 s."""
    writes = [number(v, t, t) for v, t in enumerate(acknowledged, start=1)]
    there = in_database(*(write.value for write in writes if write.value not in missing), 99)
    changes: dict[str, Any] = {} if events is None else {"events": events}
    return homes(record(writes=writes, saved=there, faults=faults, **changes), Store.DATABASE).recovery_point_s


def test_what_was_lost_with_a_crash_was_as_old_as_it_was_then() -> None:
    # acknowledged at 4.2, 4.6 and 4.9; the database died at 5.0 and answered again at 12
    assert lost([4.0, 4.2, 4.6, 4.9, 12, 13], {2, 3, 4}) == pytest.approx(0.8)


def test_what_was_lost_while_a_fault_was_in_force_is_as_old_as_the_loss_was_long() -> None:
    # a split brain from 5.0 on: 6 to 9 were acknowledged on the wrong side
    assert lost([4, 6, 7, 8, 9, 12], {2, 3, 4, 5}) == pytest.approx(3.0)


def test_of_several_losses_the_longest_counts() -> None:
    faults = history([*fault_events(5, 8), *fault_events(20, 30, index=1)])
    assert lost([4.9, 6, 18, 19, 25], {1, 3, 4}, events=faults, faults=2) == pytest.approx(2.0)  # 18 to 20, and 0.1


def test_a_found_write_before_the_next_injection_says_that_it_was_lost_before() -> None:
    assert lost([1, 2, 3], {2}) == pytest.approx(0.0)  # 3 was found, so 2 was gone before the fault at 5


def test_one_writer_does_not_end_the_loss_of_another() -> None:
    operations = [save(1, 1), save(2, 1, user="u2"), save(3, 2), save(3.5, 2, user="u2")]
    run = record(operations, saved=found_in_homes(1, 2, user="u2"))
    assert homes(run).recovery_point_s == pytest.approx(5 - 1.05)


def test_without_a_fault_the_age_is_that_between_the_lost_ones() -> None:
    assert lost([1, 2, 4, 8], {1, 2, 3}, events=history(), faults=0) == pytest.approx(3.0)


def test_nothing_lost_has_no_recovery_point_and_neither_has_the_unknown() -> None:
    assert lost([1, 2, 3], set()) is None
    measures = analyse(record(FIVE, saved=found_in_homes(1, 2, 3, 4, 5)))
    assert (measures.writes.lost, measures.writes.recovery_point_s) == (0, None)


def test_the_longest_of_all_stores_is_that_of_the_run() -> None:
    run = record(FIVE, writes=[number(1, 4.9, 4.9)], saved=[*found_in_homes(1, 2), *in_database(99)])
    measures = analyse(run)
    assert homes(run, Store.DATABASE).recovery_point_s == pytest.approx(0.1)
    # saves 3 to 5 were acknowledged until 5.05, after the injection
    assert measures.writes.recovery_point_s == homes(run).recovery_point_s == pytest.approx(2.0)
