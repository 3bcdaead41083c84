"""Server-side events on the run's clock, and what noticed a fault."""

from __future__ import annotations

import random
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.analysis import RunRecord, analyse
from harness.analysis.log_lines import ContainerLog
from harness.core.clock import NS_PER_S
from harness.core.history import EventKind
from harness.report.server_events import missing_line, noticed_lines
from harness.report.terminal import render
from tests.unit.analysis_runs import ns, record, views
from tests.unit.fake_runs import Result
from tests.unit.server_logs import OFFSET_NS, WALL, WALL_S, Heard, events_of, heard, heard_in, log, run_with

DOWN = "Server workbench/workbench-0 is DOWN, reason: Layer4 timeout, check duration: 501ms."
UP = "Server workbench/workbench-0 is UP, reason: Layer7 check passed, code: 200."
HAPROXY = ((-30.0, "[NOTICE]   (11) : Loading success."),)


def balancer(*lines: tuple[float, str], name: str = "load-balancer") -> dict[str, ContainerLog]:
    return {name: log(name, *HAPROXY, *lines)}


def supervisor(t: float, text: str) -> tuple[float, str]:
    return t, f"[22:46:05 {(ns(t)) / 1e9:.3f} {text}"


def first(found: Heard) -> tuple[float, float, float]:
    event = found.server_events[0]
    return round(event.at_lower_s, 4), round(event.at_s, 4), round(event.at_upper_s, 4)


# -- the clock -----------------------------------------------------------------------------------------------------


def test_an_engine_stamp_is_put_on_the_runs_clock_and_may_be_late() -> None:
    assert events_of(heard(balancer((6.5, DOWN)))) == [
        (1.5, "load-balancer", "node_down", "workbench/workbench-0 is DOWN: Layer4 timeout")
    ]
    assert first(heard(balancer((6.5, DOWN)))) == (1.4, 1.5, 1.5)


def promoted(at: str, t: float) -> dict[str, ContainerLog]:
    line = f"2026-11-25 22:46:{at} INFO: promoted self to leader by acquiring session lock"
    return {"database-1": log("database-1", (t, line))}


def test_a_stamp_of_its_own_counts_where_it_is_more_exact() -> None:
    assert first(heard(promoted("06,500", 7.4))) == (1.499, 1.5, 1.501)


@pytest.mark.parametrize("own", ["03,500", "08,500", "59,500"])
def test_a_machine_whose_clock_was_set_is_not_believed(own: str) -> None:
    assert first(heard(promoted(own, 6.5))) == (1.4, 1.5, 1.5)


def test_whole_seconds_count_for_nothing_beside_the_engines_stamp() -> None:
    line = "Wed Nov 25 22:46:06 2026: (pair) Entering MASTER STATE"
    assert first(heard({"storage-1": log("storage-1", (6.7, line))})) == (1.6, 1.7, 1.7)


def test_the_supervisor_needs_no_mapping_and_a_wall_clock_that_jumps_does_not_move_it() -> None:
    logs = {"workbench-0": log("workbench-0", supervisor(6.5, "hub] ended with -9"))}
    for wall in ((), (WALL,), (WALL, (41.5, EventKind.WALL, {"offset_ns": OFFSET_NS + 7 * NS_PER_S}))):
        assert first(heard(logs, wall=wall)) == (1.499, 1.5, 1.501)


def test_a_wall_clock_that_was_set_in_the_run_makes_bounds_as_wide_as_the_step() -> None:
    stepped = (WALL, (41.5, EventKind.WALL, {"offset_ns": OFFSET_NS + 2 * NS_PER_S}))
    lower, _, upper = first(heard(balancer((8.5, DOWN)), wall=stepped))
    assert (lower, upper) == (1.4, 3.5)


def earlier_version(logs: dict[str, ContainerLog], **run: Any) -> RunRecord:
    """A run of an earlier version: no stamps, no note; it was opened at -20 s."""
    started = {"started_utc": "2026-11-25T22:45:39.950000+00:00", "clock_offset_ns": 0}
    return replace(run_with(logs, wall=()), run=started | run)


def test_runs_of_earlier_versions_go_by_their_start_and_the_products_own_stamps() -> None:
    line = "2026-11-25 22:46:06,500 INFO: promoted self to leader by acquiring session lock"
    logs = {"database-1": log("database-1", (6.5, line), stamped=False)}
    lower, at, upper = first(heard_in(earlier_version(logs)))
    assert (lower, at, upper) == (1.45, 1.5005, 1.551)
    assert events_of(heard_in(earlier_version(logs, clock_offset_ns=1))) == [], "another machine has another wall clock"
    assert events_of(heard_in(earlier_version(logs, started_utc=""))) == []


def test_without_stamps_a_machine_whose_clock_was_set_tells_nothing_and_is_named() -> None:
    line = "2026-11-25 22:46:06,500 INFO: promoted self to leader by acquiring session lock"
    logs = {"database-1": log("database-1", (6.5, line), stamped=False)}
    found = heard(logs, targets=["database-1"], fault={"fault": "clock_skew"})
    assert events_of(found) == []
    assert "its clock was set by a fault" in missing(found)


# -- what is news --------------------------------------------------------------------------------------------------


def kinds(found: Heard) -> list[str]:
    return [event.kind.value for event in found.server_events]


def test_only_the_window_counts_and_what_was_before_it_is_known() -> None:
    assert kinds(heard(balancer((-3, DOWN), (7, UP), (41, DOWN)))) == ["node_up"]


def test_what_was_never_down_does_not_come_up_and_what_is_down_does_not_go_down_again() -> None:
    assert kinds(heard(balancer((6, UP), (9, DOWN), (12, DOWN), (15, UP), (18, UP)))) == ["node_down", "node_up"]


def test_a_program_that_was_started_anew_knows_nothing_of_before() -> None:
    moved = "Wed Nov 25 22:46:06 2026: (pair) Entering MASTER STATE"
    lines = [(1, moved), (7, moved.replace("MASTER", "BACKUP")), (9, moved)]
    again = [lines[0], (6.9, "Wed Nov 25 22:46:06 2026: Starting Keepalived v2.2.7 (01/16,2022)"), *lines[1:]]
    assert kinds(heard({"storage-0": log("storage-0", *lines)})) == [
        "address_moved",
        "address_lost",
        "address_moved",
    ]
    assert kinds(heard({"storage-0": log("storage-0", *again)})) == ["address_moved", "restarted", "address_moved"]


def test_one_demotion_is_said_in_several_ways_also_after_the_server_was_started_again() -> None:
    said = [
        (6.0, "2026-11-25 22:46:06,000 INFO: demoting self because DCS is not accessible and I was a leader"),
        (6.1, "2026-11-25 22:46:06,100 INFO: Demoting self (offline)"),
        (7.0, "2026-11-25 22:46:07.000 UTC [50] LOG:  starting PostgreSQL 15.20 (Debian)"),
        (7.5, "2026-11-25 22:46:07,500 INFO: demoted self because DCS is not accessible and I was a leader"),
    ]
    assert kinds(heard({"database-0": log("database-0", *said)})) == ["demoted", "restarted"]


def test_a_hub_that_is_started_again_changes_nothing_of_what_its_node_knows() -> None:
    said = [
        (6, "database] AdminShutdown: x"),
        (7, "hub] ended with 1"),
        (8, "hub] started, process 9"),
        (9, "database] answers again"),
    ]
    found = heard({"workbench-0": log("workbench-0", *(supervisor(*line) for line in said))})
    assert kinds(found) == ["database_down", "stopped", "restarted", "database_up"]


def test_a_server_that_comes_and_goes_within_a_second_is_told_each_time() -> None:
    assert kinds(heard(balancer((6, DOWN), (6.3, UP), (6.6, DOWN)))) == ["node_down", "node_up", "node_down"]


def test_what_is_said_ten_times_a_second_is_one_event() -> None:
    held = supervisor(1, "lease] this node holds the lease")
    gone = [
        supervisor(6 + n / 10, "lease] the database can't be asked, and 192.0.2.12 says that it is active")
        for n in range(9)
    ]
    ends = [supervisor(6 + n / 5, "hub] ended with -9") for n in range(5)]
    found = heard({"workbench-0": log("workbench-0", held, *gone, *ends)})
    assert sorted(kinds(found)) == ["lease_lost", "lease_taken", "stopped"]


def test_whoever_gets_the_lease_reaches_the_database() -> None:
    lost = "lease] database: OperationalError: consuming input failed"
    lines = [(2, lost), (4, "lease] this node holds the lease"), (9, lost), (12, "lease] another node holds the lease")]
    found = heard({"workbench-0": log("workbench-0", *(supervisor(*line) for line in lines))})
    assert kinds(found) == ["database_down", "lease_taken", "database_down", "database_up"]


def test_statistics_count_where_a_balancers_log_tells_nothing() -> None:
    said = views({"workbench-0": [(-5, "UP"), (7, "UP 1/2"), (8, "DOWN"), (31, "UP")]}, balancer="load-balancer")
    found = heard({}, balancer=said)
    assert [(round(e.at_s, 3), e.kind.value, e.about) for e in found.server_events] == [
        (2.755, "node_down", "workbench-0"),
        (25.755, "node_up", "workbench-0"),
    ]
    assert first(found) == (2.5, 2.755, 3.01)
    both = heard(balancer((7.9, DOWN)), balancer=said)
    assert events_of(both) == [(2.9, "load-balancer", "node_down", "workbench/workbench-0 is DOWN: Layer4 timeout")]


def test_silence_of_a_balancer_and_a_server_not_yet_checked_are_no_belief() -> None:
    said = views({"workbench-0": [(-5, "DOWN")]}, balancer="lb", silent=(6, 9))
    said = [replace(row, status="UP 1/2", check="INI") if ns(9) <= row.send_ns < ns(10) else row for row in said]
    assert kinds(heard({}, balancer=said)) == []


def whole_platform() -> dict[str, ContainerLog]:
    nodes = [supervisor(6 + n, f"hub] {'ended with -9' if n % 2 else 'started, process 7'}") for n in range(4)]
    return {
        **balancer((6.5, DOWN), (6.6, "x Server y"), (9, UP), (12, DOWN), (12.5, UP)),
        "workbench-0": log(
            "workbench-0", *nodes, (7, "1795646767.000 nfsfuse: connection to storage:2049 lost, 0 calls")
        ),
        **promoted("07,000", 7),
    }


RUN = run_with(whole_platform())
EXPECTED = heard_in(RUN)


@pytest.mark.long
@given(st.randoms(use_true_random=False))
def test_the_order_of_lines_and_of_logs_does_not_matter(lot: random.Random) -> None:
    assert len(EXPECTED.server_events) == 10
    mixed = {
        name: replace(RUN.logs[name], lines=tuple(lot.sample(RUN.logs[name].lines, len(RUN.logs[name].lines))))
        for name in lot.sample(list(RUN.logs), len(RUN.logs))
    }
    again = heard_in(replace(RUN, logs=mixed))
    assert (again.server_events, again.detections) == (EXPECTED.server_events, EXPECTED.detections)


def test_events_come_by_time_within_their_bounds_and_into_the_json() -> None:
    found = heard(whole_platform())
    assert [e.at_s for e in found.server_events] == sorted(e.at_s for e in found.server_events)
    assert all(e.at_lower_s <= e.at_s <= e.at_upper_s for e in found.server_events)
    entry = analyse(run_with(whole_platform())).to_json_dict()["server_events"][0]
    assert set(entry) >= {"at_s", "source", "kind", "text"}
    assert entry["kind"] == "restarted"


def test_without_a_window_there_are_no_events() -> None:
    run = replace(record(events=run_with({}).history), logs=balancer((6.5, DOWN)))
    early = replace(run, history=replace(run.history, events=run.history.events[:1]))
    assert heard_in(early).server_events == ()


# -- what is missing -----------------------------------------------------------------------------------------------


def missing(found: Any) -> str:
    return missing_line(found)


def test_whoever_has_no_log_is_named_and_whoever_has_one_is_not() -> None:
    ready = [
        (-18.0, EventKind.READY, {"container": name, "role": "x"}) for name in ("database-0", "client", "workbench-0")
    ]
    found = heard({"workbench-0": log("workbench-0", (1, "x"))}, wall=(WALL, *ready))
    assert missing(found) == "not all that the servers said is known: database-0: no log of it was kept"


def test_undated_logs_of_earlier_versions_are_named_but_a_balancer_has_its_statistics() -> None:
    said = views({"workbench-0": [(-5, "UP")]}, balancer="load-balancer")
    proxy = (1.0, DOWN.replace("workbench", "primary", 1))
    names = ("load-balancer", "workbench-0", "storage")
    logs = {name: log(name, proxy, stamped=False) for name in names} | {"workbench-1": log("workbench-1", (1, "x"))}
    found = heard(logs, balancer=said)
    assert [one.source for one in found.server_events_missing] == ["workbench-0"]
    assert "HAProxy in it wrote no times" in missing(found)
    without = heard(logs, wall=(), balancer=said)
    assert [one.source for one in without.server_events_missing] == [*sorted(names), "workbench-1"]


# -- detection -----------------------------------------------------------------------------------------------------


def noticed(found: Any) -> str:  # Heard has of Measures what the line is about
    (line,) = noticed_lines(found)
    return line


def test_a_fault_is_noticed_by_the_first_who_names_its_target_as_down() -> None:
    other = DOWN.replace("workbench-0", "workbench-1")
    found = heard(balancer((4.9, DOWN), (4.95, UP), (6.1, other), (7.15, DOWN), (8, UP)))
    assert noticed(found) == (
        "0 node-kill: noticed after 2.10 s (2.04 to 2.15) by load-balancer: workbench/workbench-0 is DOWN: "
        "Layer4 timeout"
    )


def of_node(name: str, text: str, t: float = 6) -> dict[str, ContainerLog]:
    return {name: log(name, supervisor(t, text))}


STORAGE_AWAY = (6.0, "1795646766.000 nfsfuse: connection to storage:2049 lost, 0 calls unanswered")


@pytest.mark.parametrize(
    ("logs", "target", "by"),
    [
        (of_node("workbench-1", "lease] this node holds the lease"), "workbench-0", "workbench-1"),
        (of_node("workbench-0", "hub] ended with -9"), "workbench-0", "workbench-0"),
        (of_node("workbench-0", "database] AdminShutdown: terminating connection"), "database-2", "workbench-0"),
        (promoted("06,000", 6), "database-0", "database-1"),
        ({"workbench-0": log("workbench-0", STORAGE_AWAY)}, "storage-1", "workbench-0"),
    ],
)
def test_a_take_over_or_a_death_that_somebody_finds_counts_too(
    logs: dict[str, ContainerLog], target: str, by: str
) -> None:
    assert f" by {by}: " in noticed(heard(logs, targets=[target]))


@pytest.mark.parametrize(
    ("logs", "target"),
    [
        (of_node("workbench-0", "supervisor] told to end by signal 15"), "workbench-0"),
        (of_node("workbench-1", "lease] this node holds the lease", t=30.5), "workbench-0"),
        (promoted("06,000", 6), "database-1"),
        (promoted("06,000", 6), "storage"),
        (balancer((30.5, DOWN)), "workbench-0"),
    ],
    ids=["it was told to end", "after the undoing", "the target itself", "another role", "found after the undoing"],
)
def test_nothing_else_counts(logs: dict[str, ContainerLog], target: str) -> None:
    line = "0 node-kill: no server said before the undoing that it noticed"
    assert noticed(heard(logs, targets=[target])) == line


# -- the whole pipeline --------------------------------------------------------------------------------------------


def test_a_run_notes_the_hosts_clocks_keeps_stamped_logs_and_has_events(usual: Result) -> None:
    events = usual.folder.load().history.of(EventKind.WALL)
    assert len({event.data["offset_ns"] for event in events}) == 1
    assert len(events) == 2
    text = (usual.folder.path / "containers/workbench-0/log").read_text()
    assert text.endswith("Z workbench-0 said nothing\n")
    assert usual.measures.server_events_missing == ()
    assert "node_down" in {event.kind.value for event in usual.measures.server_events}
    (detection,) = usual.measures.detections
    assert detection.source == "load-balancer"
    console = Console(file=StringIO(), width=200)
    render(usual.measures, console)
    assert noticed(usual.measures) in console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO


def test_the_seconds_of_the_test_logs_are_those_of_the_run() -> None:
    assert ns(0) + OFFSET_NS == WALL_S * NS_PER_S
