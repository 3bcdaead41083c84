"""Duplicated homes: two servers of one person at once, from looks written by hand and on the fake runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis import Measures, analyse
from harness.analysis.homes import WatchedServers
from harness.analysis.record import servers_of
from harness.core.clock import FakeClock
from harness.core.history import EventKind, read_history
from harness.core.rows import Operation, ServersSeen
from harness.errors import RecordError
from harness.faults.registry import RULES
from harness.report import words
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_experiment, load_topology
from tests.unit.analysis_runs import fault_events, history, looks, ns, op, record
from tests.unit.fake_runs import Recorder

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
A, B = "workbench-0", "workbench-1"
#: u1 begins on node A, and has a server on B from 10 s on; the one on A ends at 31 s.
TWICE = ((-8, "u1", A, 1), (10, "u1", B, 1), (31, "u1", A, 0))


def person(user: str = "u1", starts: int = 2) -> list[Operation]:
    """Works all the time, and asked for so many servers."""
    asked = [op(t, capability="start_session", user=user) for t in range(-9, -9 + starts)]
    return [*asked, *(op(t, user=user) for t in range(-5, 40))]


def homes(
    servers: Sequence[ServersSeen], operations: Sequence[Operation] = person(), **changes: Any
) -> tuple[bool | None, float | None]:
    (row,) = analyse(record(operations, servers=servers, **changes)).sessions
    return row.duplicated_home, row.duplicated_s


def without(rows: Sequence[ServersSeen], since: float, until: float) -> list[ServersSeen]:
    """Nobody looked in between."""
    return [row for row in rows if not since < (row.send_ns - ns(0)) / 1e9 < until]


def test_two_servers_in_one_look_ran_at_once() -> None:
    assert homes(looks(*TWICE)) == (True, 21)
    assert homes(looks(*TWICE), person(starts=1)) == (True, 21), "what was seen counts, whoever asked for it"


def test_two_on_one_node_are_two_as_well() -> None:
    assert homes(looks((-8, "u1", A, 1), (10, "u1", A, 2), (12, "u1", A, 1))) == (True, 2)


def test_who_moves_from_one_look_to_the_next_is_not_at_two_places() -> None:
    assert homes(looks((-8, "u1", A, 1), (10, "u1", A, 0), (10, "u1", B, 1))) == (False, 0)
    assert homes(looks((-8, "u1", B, 1), (10, "u1", A, 1), (10, "u1", B, 0))) == (False, 0)
    assert homes(looks((-8, "u1", A, 1), (10, "u1", A, 0), (15, "u1", B, 1))) == (False, 0)


def test_several_times_are_added_up_and_what_did_not_end_counts_to_the_last_look() -> None:
    again = (*TWICE, (35, "u1", A, 1))
    assert homes(looks(*again)) == (True, 21 + 5)


def test_without_anybody_who_looked_nothing_is_known_of_a_second_server() -> None:
    assert homes([]) == (None, None)
    assert homes([], person(starts=1)) == (False, 0), "of one that was asked for there are no two"


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ((20, 23), None),  # 3 s
        ((20, 22), False),  # one look that came late or failed
        ((-30, -6), None),  # they came before anybody looked
        ((36, 50), None),
        ((38, 50), False),
        ((-30, -15), False),
    ],
)
def test_a_gap_between_looks_leaves_a_second_server_unknown(gap: tuple[float, float], expected: bool | None) -> None:
    assert homes(without(looks((-8, "u1", A, 1)), *gap))[0] is expected


def test_a_gap_before_a_person_came_says_nothing_about_them() -> None:
    late = [op(20, capability="start_session"), op(21, capability="start_session"), *(op(t) for t in range(22, 40))]
    assert homes(without(looks(), 0, 10), late) == (False, 0)


def test_what_was_seen_stays_seen_and_no_second_of_a_gap_counts() -> None:
    assert homes(without(looks(*TWICE), 15, 25)) == (True, 11)


def test_from_where_growth_begins_nothing_counts() -> None:
    begin = (20.0, EventKind.GREW, {"step": "begin", "users": 1, "working": 1})
    grown = history(fault_events(5, 30), extra=[begin])
    late = ((-8, "u1", A, 1), (25, "u1", B, 1))
    assert homes(looks(*late), events=grown) == (False, 0)
    assert homes(looks(*TWICE), events=grown) == (True, 9)


def test_all_people_together() -> None:
    operations = [row for user in ("u1", "u2", "u3", "u4") for row in person(user, starts=1 if user == "u4" else 2)]
    shown = (*TWICE, (10, "u2", A, 1), (10, "u2", B, 1), (13, "u2", B, 0), (0, "a-probe", A, 2))
    found = analyse(record(operations, servers=looks(*shown))).duplicated_homes
    assert (found.people, found.people_unknown, found.longest_s) == (2, 0, 21)
    assert (found.looks, found.longest_gap_s) == (62, 1)
    found = analyse(record(operations, servers=without(looks(*shown), 32, 36))).duplicated_homes
    assert (found.people, found.people_unknown, found.longest_s, found.longest_gap_s) == (2, 1, 21, 4)
    found = analyse(record(operations)).duplicated_homes
    assert (found.people, found.people_unknown, found.longest_s) == (None, 3, None)
    assert (found.looks, found.longest_gap_s) == (0, None)


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        (looks(*TWICE), "1 person, the longest 21 s"),
        (looks(), "nobody"),
        (without(looks(), 0, 9), "nobody; not known of 1"),
        ([], "not measured"),
    ],
)
def test_reports_say_it_in_one_line(servers: Sequence[ServersSeen], sentence: str) -> None:
    measures = analyse(record(person(), servers=servers))
    assert words.two_servers(measures) == sentence


@settings(max_examples=50)
@given(st.dictionaries(st.tuples(st.integers(-10, 39), st.sampled_from([A, B])), st.integers(0, 3), max_size=20))
def test_the_seconds_are_those_in_which_looks_show_two(shown: dict[tuple[int, str], int]) -> None:
    rows = looks(*((t, "u1", node, servers) for (t, node), servers in shown.items()))
    now = {A: 0, B: 0}
    expected = 0
    for t in range(-21, 40):  # the look at 40 s is the last one
        now |= {node: servers for (at, node), servers in shown.items() if at == t}
        expected += sum(now.values()) >= 2
    watched = WatchedServers(servers_of(record(servers=rows)), None)
    duplicated, seconds = watched.duplicated("u1", ns(-10), ns(40), starts=2)
    assert seconds == pytest.approx(expected)
    assert duplicated is (expected > 0)


# -- on the fake runtime -----------------------------------------------------------------------------------------------


def run(tmp_path: Path, topology: str, experiment: str) -> tuple[RunFolder, Measures]:
    clock, on = FakeClock(), load_topology(ROOT / f"topologies/{topology}.yaml")
    return run_experiment(
        runtime=FakeRuntime(clock, on), topology=on, results=tmp_path, watcher=Recorder(), seed=7, clock=clock,
        experiment=load_experiment(ROOT / f"experiments/{experiment}.yaml", RULES),
    )  # fmt: skip


def test_a_node_that_is_cut_off_keeps_the_servers_of_those_who_came_back_elsewhere(tmp_path: Path) -> None:
    _, measures = run(tmp_path, "active-passive", "node-partition")
    assert {row.duplicated_home for row in measures.sessions} == {True}
    # the standby serves after 3 s and people have sessions there 2 s later; after 40 s the node is back, and is fenced
    assert [row.duplicated_s for row in measures.sessions] == pytest.approx([35] * 12, abs=1)
    assert words.two_servers(measures) == "12 people, the longest 35 s"
    assert any("two servers at once" in line for line in words.unprotected(measures))


def test_without_a_lease_nobody_ends_the_old_servers(tmp_path: Path) -> None:
    _, measures = run(tmp_path, "active-active", "node-partition")
    assert [row.duplicated_s for row in measures.sessions] == pytest.approx([35 + 20] * 12, abs=1)


@pytest.mark.parametrize("topology", ["active-passive", "active-active"])
def test_a_dead_node_has_no_servers(tmp_path: Path, topology: str) -> None:
    folder, measures = run(tmp_path, topology, "node-kill")
    assert {(row.duplicated_home, row.duplicated_s) for row in measures.sessions} == {(False, 0)}
    assert words.two_servers(measures) == "nobody"
    seen = folder.load().servers
    assert set(seen["node"]) == {"", A, B}
    assert measures.duplicated_homes.longest_gap_s == 1


def test_rows_of_the_watch_that_the_history_knows_must_be_there(tmp_path: Path) -> None:
    folder, _ = run(tmp_path, "active-passive", "node-kill")
    (event,) = [e for e in read_history(folder.history).of(EventKind.ROWS) if e.data["name"] == "servers"]
    assert event.data["rows"] == len(folder.load().servers)
    (folder.path / "servers.parquet").unlink()
    with pytest.raises(RecordError, match=r"servers\.parquet: these rows are missing"):
        folder.analyse()


def test_the_order_of_rows_does_not_matter() -> None:
    whole = record(person(), servers=looks(*TWICE))
    shuffled = replace(whole, servers=whole.servers.sample(frac=1, random_state=3))
    assert analyse(shuffled) == analyse(whole)
