"""What can't be what a run recorded is refused with file and row; it never becomes a number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.analysis import RunRecord, analyse
from harness.core.clock import FakeClock, to_ns
from harness.core.history import Event, EventKind, HistoryWriter, read_history
from harness.core.words import Store
from harness.errors import RecordError
from harness.run.artifacts import RunFolder
from tests.unit.analysis_runs import NUMBERS, TOKENS, experiment, looks, ns, topology, twelve_users, views

Frames = dict[str, pd.DataFrame]
Damage = Callable[[Frames], Any]
WATCHED = looks((-14, "u00", "workbench-0", 1), first=-20)
OPENED = {"schema": 1, "run_id": "abc123", "topology": "active-passive", "experiment": "node-kill"}


def watched_users() -> RunRecord:
    """A run that has rows of every kind."""
    return twelve_users(users=2, balancer=views({"workbench-0": [(-5, "UP")]}), servers=WATCHED)


def whole(
    tmp_path: Path, damage: Damage = lambda _: None, run: RunRecord | None = None, *, absent: Sequence[str] = ()
) -> RunFolder:
    """A folder as a run leaves it; `damage` may change the rows before they are written, so that digests match."""
    run = run or watched_users()
    names = ("operations", "probes", "database_writes", "hub_writes", "saved", "balancer", "servers")
    frames: Frames = {name: getattr(run, name).copy() for name in names}
    # people write rows as they end; probes and numbers are made in order
    frames["operations"] = (
        frames["operations"].sort_values("end_ns", ignore_index=True).assign(seq=range(len(frames["operations"])))
    )
    damage(frames)
    folder = RunFolder.create(tmp_path, topology(), experiment(users=2), datetime.now(UTC), "abc123")
    with HistoryWriter(folder.history, FakeClock(ns(43))) as history:
        for event in run.history.events:
            if event.kind is not EventKind.CLOSED:
                data = OPENED if event.kind is EventKind.OPENED else event.data
                history.append(event.kind, data, t_ns=event.t_ns)
        for name, frame in frames.items():
            if name in absent:
                continue
            path = folder.path / f"{name}.parquet"
            frame.to_parquet(path, index=False)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            history.append(EventKind.ROWS, {"name": name, "rows": len(frame), "sha256": digest}, t_ns=ns(42))
    folder.write_run({"run_id": "abc123"})
    return folder


def refusal(folder: RunFolder) -> str:
    with pytest.raises(RecordError) as caught:
        folder.load()
    return str(caught.value).replace(f"{folder.path}/", "")


def change(name: str, row: int, **values: Any) -> Damage:
    def damage(frames: Frames) -> None:
        for column, value in values.items():
            frames[name].loc[row, column] = value

    return damage


@pytest.mark.long
def test_what_is_whole_is_analysed_as_it_was_recorded(tmp_path: Path) -> None:
    run = watched_users()
    loaded, expected = analyse(whole(tmp_path, run=run).load()), analyse(run)
    assert loaded.to_json_dict() | {"run": {}} == expected.to_json_dict() | {"run": {}}
    assert (loaded.sessions, loaded.outages, loaded.writes) == (expected.sessions, expected.outages, expected.writes)


@pytest.mark.long
def test_the_table_of_sessions_has_a_row_for_each_that_was_started(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    folder.analyse()
    started = pd.read_parquet(folder.path / "operations.parquet", columns=["user", "session"])
    started = started[started["session"] != ""].drop_duplicates()
    table = pd.read_csv(folder.path / "sessions.csv")
    assert len(table) == 2
    assert sorted(zip(table["user"], table["session"], strict=True)) == sorted(
        started.itertuples(index=False, name=None)
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change("operations", 7, end_ns=ns(-19)),
            r"operations.parquet: row 7: it ended \d+\.\d{3} s before it was sent",
        ),
        (change("probes", 3, send_ns=ns(-21)), "probes.parquet: row 3: it was sent 1.000 s before the run began"),
        (change("probes", 5, end_ns=ns(50)), "probes.parquet: row 5: it ended 7.000 s after the run had ended"),
        (change("database_writes", 4, send_ns=NUMBERS[3].send_ns), "database_writes.parquet: row 4: writer sent it"),
        (
            change("hub_writes", 4, send_ns=TOKENS[3].send_ns),
            "hub_writes.parquet: row 4: writer-0 sent it before their",
        ),
        (change("balancer", 2, send_ns=ns(-5)), r"balancer.parquet: row 2: lb sent it before their last one"),
        (change("servers", 8, send_ns=ns(-15)), r"servers.parquet: row 8: somebody sent it before their last one"),
        (
            change("operations", 9, seq=11),
            "operations.parquet: row 9: it is number 11: rows are missing or out of order",
        ),
        (change("saved", 1, seq=0), "saved.parquet: row 1: it is number 0"),
    ],
)
def test_rows_that_can_not_be_true_are_named(tmp_path: Path, damage: Damage, message: str) -> None:
    assert re.match(message, refusal(whole(tmp_path, damage)))


def test_rows_out_of_order_are_refused_although_analysis_would_sort_them(tmp_path: Path) -> None:
    def shuffle(frames: Frames) -> None:
        frames["operations"] = frames["operations"].sample(frac=1, random_state=1)

    assert "rows are missing or out of order" in refusal(whole(tmp_path, shuffle))


def test_a_clock_that_jumps_back_shows_in_what_one_person_did(tmp_path: Path) -> None:
    def jump(frames: Frames) -> None:
        rows = frames["operations"]
        rows.loc[40:, ["due_ns", "send_ns", "end_ns"]] -= to_ns(5.0)

    found = refusal(whole(tmp_path, jump))
    assert "operations.parquet: row 4" in found
    assert "sent it before their last one had ended" in found
    assert "hint: the clock jumped, or rows of another run are among them" in found


def test_a_person_of_two_runs_does_two_things_at_once(tmp_path: Path) -> None:
    def mix(frames: Frames) -> None:
        both = pd.concat([frames["operations"]] * 2).sort_values("end_ns", kind="stable", ignore_index=True)
        frames["operations"] = both.assign(seq=range(len(both)))

    assert "operations.parquet: row 1: u0" in refusal(whole(tmp_path, mix))


@pytest.mark.long
def test_of_a_run_that_looked_at_no_node_the_rest_is_known(tmp_path: Path) -> None:
    """Results of before anybody looked whose servers run where, and had a hub write."""
    expected = analyse(twelve_users(users=2)).sessions
    found = analyse(whole(tmp_path, absent=["servers", "hub_writes"]).load())
    assert found.sessions == expected
    assert found.writes.of(Store.HUB) is None
    assert analyse(whole(tmp_path / "with").load()).writes.of(Store.HUB) is not None
    for name in ("balancer", "saved"):
        assert f"{name}.parquet: these rows are missing" in refusal(whole(tmp_path / name, absent=[name]))


def test_rows_of_an_older_version_are_refused(tmp_path: Path) -> None:
    def older(frames: Frames) -> None:
        frames["probes"] = frames["probes"].drop(columns="via")

    found = refusal(whole(tmp_path, older))
    assert found.startswith("probes.parquet: columns ['seq', 'capability'")
    assert "hint: written by another version" in found


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    def fractions(frames: Frames) -> None:
        frames["operations"]["send_ns"] = frames["operations"]["send_ns"].astype("float64")

    assert refusal(whole(tmp_path, fractions)).startswith("operations.parquet: column send_ns is of type float64")


def test_a_row_file_that_was_cut_is_refused_with_and_without_its_digest(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    path = folder.path / "operations.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert refusal(folder) == "operations.parquet: is not the file that the history of this run knows"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    events = [e for e in read_history(folder.history).events if e.kind is not EventKind.CLOSED]
    folder.history.unlink()
    with HistoryWriter(folder.history, FakeClock(ns(43))) as history:
        for event in events:
            mine = event.data.get("name") == "operations" and event.kind is EventKind.ROWS
            history.append(event.kind, {**event.data, "sha256": digest} if mine else event.data, t_ns=event.t_ns)
    assert refusal(folder).startswith("operations.parquet: can't be read: ")


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", '{"run_id": "ffffff"}', "run.json: run_id 'ffffff', but history.jsonl:1 says 'abc123'"),
        ("run.json", '{"run_id": ', "run.json: is not JSON"),
        ("run.json", "[]", "run.json: expected an object, found list"),
        (
            "spec.resolved.yaml",
            "{topology: {name: old}}",
            "spec.resolved.yaml: is not what a run of this version writes",
        ),
        ("spec.resolved.yaml", None, "spec.resolved.yaml: is missing"),
    ],
)
def test_files_of_another_run_or_version_are_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    folder = whole(tmp_path)
    if text is None:
        (folder.path / name).unlink()
    else:
        (folder.path / name).write_text(text)
    assert refusal(folder).startswith(message)


@pytest.mark.parametrize(("key", "word"), [("topology", "active-passive"), ("experiment", "node-kill")])
def test_the_spec_of_another_run_is_refused(tmp_path: Path, key: str, word: str) -> None:
    folder = whole(tmp_path)
    spec = folder.path / "spec.resolved.yaml"
    spec.write_text(spec.read_text().replace(f"name: {word}", "name: another", 1))
    assert refusal(folder).startswith(f"spec.resolved.yaml: {key} 'another', but history.jsonl:1 says '{word}'")


def write_history(path: Path, *events: Event) -> Path:
    with HistoryWriter(path, FakeClock(10**13)) as history:
        history.append(EventKind.OPENED, {"schema": 1}, t_ns=10**12)
        for event in events:
            history.append(event.kind, event.data, t_ns=event.t_ns)
    return path


def test_a_history_whose_clock_goes_back_is_named_with_its_line(tmp_path: Path) -> None:
    ramp = Event(1, 10**12 + to_ns(20), EventKind.PHASE, {"name": "ramp"})
    back = Event(2, 10**12 + to_ns(18), EventKind.PHASE, {"name": "faults"})
    with pytest.raises(RecordError, match=r"h:3: stamped 2\.000 s before the event before it"):
        read_history(write_history(tmp_path / "h", ramp, back))


def test_the_comparison_of_the_clocks_may_go_back(tmp_path: Path) -> None:
    clock = Event(1, 5 * 10**11, EventKind.CLOCK, {"offset_ns": -5 * 10**11, "round_trip_ns": 1})
    assert len(read_history(write_history(tmp_path / "h", clock)).events) == 3
