"""Snapshots of a node: what is in them, and what is refused."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import IMAGE, VERSION, content, sql, taken


def test_a_snapshot_says_what_it_is(image: SimpleNamespace, node: Any) -> None:
    path = taken(image, node)
    assert path == node.backup / "20260301T020000Z"
    manifest = json.loads((path / "manifest.json").read_text())
    files = manifest.pop("files")
    assert manifest == {
        "format": 1,
        "taken_at_utc": "2026-03-01T02:00:00+00:00",
        "node": "workbench-0",
        "jupyterhub": VERSION,
        "schema_revision": "4621fec11365",
        "warnings": [],
    }
    for name in ("hub.sqlite", "homes.tar"):
        said = subprocess.run(["sha256sum", path / name], capture_output=True, text=True, check=True).stdout
        assert files[name] == {"bytes": (path / name).stat().st_size, "sha256": said.split()[0]}
    assert not node.unfinished.exists()


def test_a_transaction_that_is_not_committed_is_not_in_the_snapshot(image: SimpleNamespace, node: Any) -> None:
    with closing(sqlite3.connect(node.database)) as hub:
        hub.execute("insert into users values ('bob')")
        path = taken(image, node)
        hub.commit()
    assert sql(path / "hub.sqlite", "select name from users") == [("ann",)]
    assert sql(taken(image, node, 1) / "hub.sqlite", "select name from users") == [("ann",), ("bob",)]


def test_the_last_three_are_kept(image: SimpleNamespace, node: Any) -> None:
    paths = [taken(image, node, minute) for minute in range(5)]
    assert image.places.whole(node.backup) == paths[2:]


#: Dies as a machine does, in the middle: nothing is tidied up.
DIE = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from node_snapshots import take
from node_snapshots.places import Places
take._written = lambda path: os._exit(9)
database, homes, backup = map(Path, sys.argv[1:])
take.take(Places(node="workbench-0", database=database, homes=homes, backup=backup), "6.1.1")
"""


def test_one_that_was_interrupted_does_not_look_whole_and_is_removed(
    image: SimpleNamespace, node: Any, standby: Any
) -> None:
    good = taken(image, node)
    command = [sys.executable, "-c", DIE, node.database, node.homes, node.backup]
    assert subprocess.run(command, cwd=IMAGE, check=False).returncode == 9
    assert (node.unfinished / "homes.tar").exists()
    assert image.places.whole(node.backup) == [good]
    assert image.restore.restore(standby, VERSION)[0] == good
    next_one = taken(image, node, 2)
    assert image.places.whole(node.backup) == [good, next_one]
    assert not node.unfinished.exists()


def test_one_at_a_time(image: SimpleNamespace, node: Any) -> None:
    with (node.backup / ".workbench-0.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(image.errors.SnapshotError, match=r"another snapshot of workbench-0 is being taken"):
            taken(image, node)
    taken(image, node)


def test_a_clock_that_was_set_back_does_not_make_the_newest_the_oldest(image: SimpleNamespace, node: Any) -> None:
    paths = [taken(image, node, minute) for minute in (0, -60, 0, -60)]
    assert [path.name[-7:-1] for path in paths] == ["020000", "020001", "020002", "020003"]
    assert json.loads((paths[3] / "manifest.json").read_text())["taken_at_utc"] == "2026-03-01T01:00:00+00:00"
    assert image.places.whole(node.backup) == paths[1:]


def test_the_probe_of_the_homes_is_nobodys_home(image: SimpleNamespace, node: Any, standby: Any) -> None:
    (node.homes / ".homes-ready-workbench-0-7").write_text("token")
    (node.homes / "ann/.homes-ready-notes").write_text("mine")
    taken(image, node)
    image.restore.restore(standby, VERSION)
    assert sorted(content(standby.homes)) == ["ann/.homes-ready-notes", "ann/work.txt"]


def test_files_that_go_while_they_are_archived_are_named_and_cost_nobody_else(
    image: SimpleNamespace, node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "tar: ./ann/a.tmp: File removed before we read it"
    done = subprocess.CompletedProcess([], 1, "", said + "\n")

    def tar(command: list[str], **options: Any) -> Any:
        Path(next(word for word in command if word.startswith("--file=")).removeprefix("--file=")).touch()
        return done

    monkeypatch.setattr(image.take.subprocess, "run", tar)
    path = taken(image, node)
    assert json.loads((path / "manifest.json").read_text())["warnings"] == [said]
    done.returncode = 2
    with pytest.raises(image.errors.SnapshotError, match="expected an archive, found exit code 2 of tar"):
        taken(image, node, 1)
    assert image.places.whole(node.backup) == [path]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "expected the hub's database, found no file"),
        (lambda path: path.write_bytes(b"no database" * 1000), "expected the hub's database, found: file is not a "),
        (lambda path: sql(path, "drop table alembic_version"), "expected the hub's database, found: no such table"),
        (lambda path: sql(path, "delete from alembic_version"), "expected the revision of its schema, found none"),
    ],
)
def test_what_is_no_hubs_database_gets_no_snapshot(
    image: SimpleNamespace, node: Any, spoil: Callable[[Path], Any], message: str
) -> None:
    spoil(node.database)
    with pytest.raises(image.errors.SnapshotError, match=message):
        taken(image, node)
    assert image.places.whole(node.backup) == []


def test_a_damaged_database_gets_no_snapshot(image: SimpleNamespace, node: Any) -> None:
    sql(node.database, "create index i on users (name)")
    (page,) = sql(node.database, "select rootpage from sqlite_master where name = 'i'")[0]
    with node.database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(bytes(4))
    with pytest.raises(image.errors.SnapshotError, match="is damaged: expected ok from its integrity check, found"):
        taken(image, node)
