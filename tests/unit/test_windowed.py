"""Windowed user-uptime against vectors worked out by hand, the paper's own cases, and brute force."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import analyse
from harness.analysis.availability import UserUptime
from harness.analysis.facts import Window
from harness.analysis.windowed import DownTimes, WorstWindow, windowed
from harness.core.rows import Operation
from tests.unit.analysis_runs import history, ns, op, record


def curve(down: Sequence[tuple[int, float, float]], *, users: int = 1, until: float = 40.0) -> tuple[WorstWindow, ...]:
    """`down`: user, from, to, by user and time."""
    user = np.array([row[0] for row in down], dtype=np.int64)
    start, end = (np.array([ns(row[at]) for row in down], dtype=np.int64) for at in (1, 2))
    return windowed(
        DownTimes(users=users, user=user, start_ns=start, end_ns=end), Window(start_ns=ns(0), end_ns=ns(until))
    )


def ratios(worst: Sequence[WorstWindow]) -> dict[float, float]:
    return {one.window_s: one.ratio for one in worst}


def test_one_outage_worked_out_by_hand() -> None:
    worst = curve([(0, 10, 14)])
    # 4 s of 1, 2, 4, 8, 16, 32 and 40 s: a window up to 4 s fits into the outage
    assert ratios(worst) == {1: 0, 2: 0, 4: 0, 8: 1 / 2, 16: 3 / 4, 32: 7 / 8, 40: 9 / 10}
    assert [one.start_ns for one in worst] == [ns(10), ns(10), ns(10), ns(6), ns(0), ns(0), ns(0)]


def test_users_who_are_down_at_other_times_meet_in_long_windows_only() -> None:
    worst = ratios(curve([(0, 4, 6), (1, 20, 22)], users=4))
    assert worst == {1: 3 / 4, 2: 3 / 4, 4: 7 / 8, 8: 15 / 16, 16: 31 / 32, 32: 31 / 32, 40: 39 / 40}


def test_users_who_are_down_together_count_together() -> None:
    worst = curve([(0, 4, 8), (1, 6, 10)], users=2)
    assert ratios(worst)[2] == 0
    assert worst[1].start_ns == ns(6)
    assert ratios(worst)[4] == pytest.approx(1 - 6 / 8)


def test_an_outage_at_the_edges_of_the_observation_is_inside_it() -> None:
    assert ratios(curve([(0, 0, 1)]))[1] == 0
    assert ratios(curve([(0, 38, 40)]))[2] == 0
    assert curve([(0, 38, 40)])[2].start_ns == ns(36)


def test_an_observation_shorter_than_any_window_has_its_own_length_only() -> None:
    assert ratios(curve([(0, 0.2, 0.3)], until=0.5)) == {0.5: pytest.approx(0.8)}
    assert ratios(curve([], until=1.0)) == {1.0: 1.0}
    assert ratios(curve([], until=2.0)) == {1.0: 1.0, 2.0: 1.0}


def test_where_nobody_was_down_no_window_is_the_worst() -> None:
    assert {(one.ratio, one.start_ns) for one in curve([])} == {(1.0, None)}


def test_the_last_point_need_not_be_a_multiple_of_those_before() -> None:
    # 2 s of 3 are lost, but no two seconds in a row hold more than one of them
    assert ratios(curve([(0, 0, 1), (0, 2, 3)], until=3)) == {1: 0, 2: 1 / 2, 3: pytest.approx(1 / 3)}


def brute(down: Sequence[tuple[int, int, int]], width: int, users: int, until: int) -> float:
    away = [sum(start <= t < end for _, start, end in down) for t in range(until)]
    return 1 - max(sum(away[s : s + width]) for s in range(until - width + 1)) / (users * width)


@st.composite
def downs(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Disjoint intervals in whole seconds of each of three users, in 40 s."""
    found = []
    for user in range(3):
        edges = sorted(draw(st.sets(st.integers(0, 40), max_size=6)))
        found += [(user, start, end) for start, end in zip(edges[::2], edges[1::2], strict=False)]
    return found


@settings(max_examples=60)
@given(downs(), st.integers(3, 5))
def test_no_other_start_is_worse(down: list[tuple[int, int, int]], users: int) -> None:
    worst = curve(down, users=users)
    for one in worst:
        assert one.ratio == pytest.approx(brute(down, round(one.window_s), users, 40))
        assert 0 <= one.ratio <= 1
    for shorter, longer in pairwise(worst[:-1]):
        assert shorter.ratio <= longer.ratio + 1e-12, "the longer is a multiple of the shorter"


# -- what the paper says -------------------------------------------------------------------------------------------


def uptime(operations: Sequence[Operation], until: float) -> UserUptime:
    return analyse(record(operations, events=history(drain=until), faults=0, writes=())).user_uptime


def beats(since: int, until: int, *, every: int, ok: int = 1, user: str = "u1") -> list[Operation]:
    return [op(t, t, ok=ok, user=user, session=f"{user}-1") for t in range(since, until, every)]


@pytest.mark.parametrize("retry_every", [60, 5, 300])
def test_a_quarter_of_an_hour_out_of_an_hour_is_75_percent_however_often_people_try(retry_every: int) -> None:
    # Hauer et al. simulate an hour with an outage of 15 minutes, in which clients try again: user-uptime says 75%,
    # the success ratio something else
    everybody: list[Operation] = []
    for user in ("a", "b", "c"):
        everybody += beats(0, 1800, every=60, user=user)
        everybody += beats(1800, 2700, every=retry_every, ok=0, user=user)
        everybody += beats(2700, 3600, every=60, user=user)
    measured = uptime(everybody, 3600)
    assert measured.ratio == pytest.approx(0.75)
    success_ratio = sum(row.ok for row in everybody) / len(everybody)
    assert (abs(success_ratio - 0.75) > 0.03) == (retry_every != 60)


def test_three_hours_down_and_three_hours_up_are_half_although_few_try_while_it_is_down() -> None:
    # the paper's case against the success ratio: while it is down there are few requests
    rows = beats(0, 3 * 3600, every=1200, ok=0) + beats(3 * 3600, 6 * 3600, every=60)
    assert uptime(rows, 6 * 3600).ratio == pytest.approx(0.5)
    assert sum(row.ok for row in rows) / len(rows) > 0.9


def test_a_user_with_many_requests_counts_as_much_as_one_with_few() -> None:
    busy = beats(0, 400, every=1, user="busy") + beats(400, 500, every=1, ok=0, user="busy")
    busy += beats(500, 1000, every=1, user="busy")
    measured = uptime(busy + beats(0, 1000, every=100, user="idle"), 1000)
    assert measured.ratio == pytest.approx(1 - 100 / 2000)


def test_one_long_outage_and_many_short_ones_of_the_same_sum_are_told_apart() -> None:
    one = ratios(curve([(0, 100, 164)], until=1024))
    many = ratios(curve([(0, 16 * i, 16 * i + 1) for i in range(64)], until=1024))
    assert one[1024] == many[1024] == pytest.approx(1 - 64 / 1024)
    assert one[1] == many[1] == 0
    assert one[64] == 0
    assert many[64] == pytest.approx(1 - 4 / 64)


# -- from rows to intervals ----------------------------------------------------------------------------------------


def test_the_whole_observation_is_the_user_uptime_and_users_and_union_stand_side_by_side() -> None:
    # half of two users are away for 3 s: 3 s of it anybody, 1.5 s of it each
    rows = beats(0, 10, every=1) + beats(10, 13, every=1, ok=0) + beats(13, 40, every=1)
    measured = uptime(rows + beats(0, 40, every=1, user="u2"), 40)
    assert (measured.union_s, measured.outage_s, measured.worst_s) == (3.0, 1.5, 3.0)
    assert measured.windowed[-1].ratio == measured.ratio
    assert measured.windowed[0].ratio == 0.5


@pytest.mark.long
@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 45), st.floats(0, 50), st.integers(0, 1)), max_size=30))
def test_the_curve_ends_at_the_user_uptime_whatever_the_rows(rows: list[tuple[str, float, float, int]]) -> None:
    measured = uptime([op(t, t + lasted, ok=ok, user=user, session=user) for user, t, lasted, ok in rows], 40)
    if measured.ratio is None:
        assert measured.windowed == ()
        return
    assert measured.union_s is not None
    assert measured.outage_s is not None
    assert measured.worst_s is not None
    assert measured.windowed[-1].ratio == pytest.approx(measured.ratio)
    assert measured.outage_s <= measured.worst_s + 1e-9 <= measured.union_s + 2e-9 <= 40 + 3e-9
