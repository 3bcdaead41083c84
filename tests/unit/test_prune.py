"""What goes and what stays when old results are pruned."""

from __future__ import annotations

import fcntl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.core.history import HistoryWriter
from harness.errors import UsageError
from harness.run.mark import mark
from harness.run.prune import prune
from harness.run.results import Results
from tests.unit.fake_runs import Result
from tests.unit.kept_runs import Kept


@pytest.fixture
def kept(tmp_path: Path, usual: Result) -> Kept:
    return Kept(tmp_path / "results", usual.folder)


def left(kept: Kept) -> set[str]:
    return {path.parent.name for path in kept.root.glob("*/*/*/history.jsonl")}


def names(*paths: Path) -> set[str]:
    return {path.name for path in paths}


def go(kept: Kept, keep: int = 2, keep_days: float | None = None, *, dry_run: bool = False) -> list[str]:
    now = datetime(2026, 1, 10, tzinfo=UTC)
    return list(prune(Results(kept.root), keep=keep, keep_days=keep_days, dry_run=dry_run, now=now))


def test_the_newest_of_each_experiment_on_each_topology_stay(kept: Kept) -> None:
    old = [kept.run(day=day) for day in (1, 2, 3)]
    other = [kept.run(day=1, topology="ha"), kept.run(day=1, experiment="lb-loss")]
    said = go(kept)
    assert left(kept) == names(*old[1:], *other)
    assert said[0].startswith(f"removed active-passive/node-kill/{old[0].name} (")
    assert said[-1].startswith("1 of 5 runs and 0 of 0 files about several are gone: ")


def test_a_dry_run_removes_nothing_and_lists_the_same(kept: Kept) -> None:
    for day in (1, 2, 3):
        kept.run(day=day)
    listed = go(kept, dry_run=True)
    assert len(left(kept)) == 3
    assert listed[0].replace("would remove", "removed") == go(kept)[0]


def test_what_is_young_stays(kept: Kept) -> None:
    runs = [kept.run(day=day) for day in (1, 6, 7, 8, 9)]
    go(kept, keep=1, keep_days=3.5)  # since the 6th at noon
    assert left(kept) == names(*runs[2:])


def test_the_baseline_and_all_that_it_names_stay(kept: Kept) -> None:
    runs = [kept.run(day=day) for day in range(1, 7)]
    file = kept.file("matrix/20260101T000000Z-a.json", {"cells": [{"folder": kept.name(runs[0])}]})
    for day in range(2, 5):
        kept.file(f"matrix/2026010{day}T000000Z-a.json", {"cells": []})
    mark(Results(kept.root), [file, runs[1]])
    go(kept, keep=1)
    assert left(kept) == names(runs[0], runs[1], runs[5])
    assert file.exists()


def test_runs_that_a_file_which_stays_names_stay(kept: Kept) -> None:
    runs = [kept.run(day=day) for day in range(1, 7)]
    files = []
    for day, named in ((1, runs[0]), (2, runs[1]), (3, runs[2])):
        path = f"active-passive/node-kill/trials/2026010{day}T000000Z-a.json"
        files.append(kept.file(path, {"trials": [{"folder": kept.name(named)}, {"folder": "gone/gone/gone"}]}))
    page = files[0].with_suffix(".html")
    page.write_text("its page")
    said = go(kept, keep=1)
    assert left(kept) == names(runs[2], runs[5])
    assert [path.exists() for path in (*files, page)] == [False, False, True, False]
    assert said[-1].startswith("4 of 6 runs and 2 of 3 files about several are gone")


def test_an_old_file_whose_runs_all_stay_stays(kept: Kept) -> None:
    run = kept.run(day=9)
    old = kept.file("active-passive/suites/20260101T000000Z-a.json", {"experiments": [{"folder": kept.name(run)}]})
    kept.file("active-passive/suites/20260102T000000Z-a.json", {"experiments": []})
    go(kept, keep=1)
    assert old.exists()


def test_a_run_that_is_going_on_stays(kept: Kept) -> None:
    runs = [kept.run(day=day) for day in (1, 2, 3)]
    (runs[0] / "history.jsonl").unlink()
    writer = HistoryWriter(runs[0] / "history.jsonl", FakeClock())
    go(kept, keep=1)
    assert left(kept) == names(runs[0], runs[2])
    writer.close()
    go(kept, keep=1)
    assert left(kept) == names(runs[2])


def test_a_matrix_that_is_gone_on_with_stays(kept: Kept) -> None:
    runs = [kept.run(day=day) for day in (1, 2, 3)]
    for day, run in enumerate(runs, 1):
        kept.file(f"matrix/2026010{day}T000000Z-a.json", {"cells": [{"folder": kept.name(run)}]})
    lock = kept.root / "matrix/.20260101T000000Z-a.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        go(kept, keep=1)
        assert left(kept) == names(runs[0], runs[2])
    go(kept, keep=1)
    assert left(kept) == names(runs[2])
    assert not lock.exists()


@pytest.mark.parametrize("name", ["baseline.json", "matrix/20260109T000000Z-a.json"])
def test_nothing_is_removed_where_nobody_knows_what_has_to_stay(kept: Kept, name: str) -> None:
    for day in (1, 2, 3):
        kept.run(day=day)
    kept.file(name, {})
    (kept.root / name).write_text("{")
    with pytest.raises(UsageError, match=name):
        go(kept, keep=1)
    assert len(left(kept)) == 3


def test_links_and_folders_that_lead_nowhere_go_too(kept: Kept) -> None:
    old = kept.run(day=1)
    kept.run(day=2)
    new = kept.root / "newest"
    (kept.root / "latest").symlink_to(old.relative_to(kept.root))
    new.symlink_to("active-passive")
    calibration = kept.root / "calibration" / "20260101T000000Z-a"
    calibration.mkdir(parents=True)
    (calibration / "history.jsonl").write_text("")
    go(kept, keep=1)
    assert not (kept.root / "latest").is_symlink()
    assert new.is_symlink()
    assert calibration.exists()
