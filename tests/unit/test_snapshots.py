"""Snapshots of a node and their restoring, on temporary folders; and the supervisor's part in it."""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness

IMAGE = Path(harness.__file__).parent / "images" / "workbench"
VERSION = "6.1.1"
MOMENT = datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC)
S = 1_000_000_000


@pytest.fixture(scope="module")
def image() -> Iterator[SimpleNamespace]:
    """The image's modules; the image is no package of the harness, so its folder is on the path only here."""
    sys.path.insert(0, str(IMAGE))
    try:
        names = ("errors", "manifest", "places", "take", "restore")
        modules = {name: importlib.import_module(f"node_snapshots.{name}") for name in names}
        supervisor = {n: importlib.import_module(f"node_supervisor.{n}") for n in ("settings", "snapshots")}
        yield SimpleNamespace(**modules, **supervisor)
    finally:
        sys.path.remove(str(IMAGE))
        for name in [n for n in sys.modules if n.partition(".")[0] in {"node_supervisor", "node_snapshots"}]:
            del sys.modules[name]


def machine(image: SimpleNamespace, root: Path, name: str) -> Any:
    """An empty one, with the backup disk that all of them have."""
    for folder in ("hub", "homes", "run"):
        (root / name / folder).mkdir(parents=True)
    (root / "backup").mkdir(exist_ok=True)
    return image.places.Places(
        node=name,
        database=root / name / "hub/jupyterhub.sqlite",
        homes=root / name / "homes",
        backup=root / "backup",
        state=root / name / "run",
    )


def sql(database: Path, *statements: str) -> list[tuple[Any, ...]]:
    """What the last of them answers."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


@pytest.fixture
def node(image: SimpleNamespace, tmp_path: Path) -> Any:
    """A machine with a person in the database and a file in their home."""
    places = machine(image, tmp_path, "workbench-0")
    sql(
        places.database,
        "create table alembic_version (version_num text)",
        "insert into alembic_version values ('4621fec11365')",
        "create table users (name text)",
        "insert into users values ('ann')",
    )
    (places.homes / "ann").mkdir()
    (places.homes / "ann/work.txt").write_text("a week of it")
    return places


@pytest.fixture
def standby(image: SimpleNamespace, node: Any, tmp_path: Path) -> Any:
    return machine(image, tmp_path, "workbench-standby")


def taken(image: SimpleNamespace, node: Any, minute: int = 0) -> Path:
    path: Path = image.take.take(node, VERSION, lambda: MOMENT + timedelta(minutes=minute))
    return path


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(image: SimpleNamespace, standby: Any, **asked: Any) -> tuple[str, str, int]:
    """The message, the hint and the exit code; nothing may be changed."""
    before = content(standby.homes.parent)
    with pytest.raises(image.errors.SnapshotError) as caught:
        image.restore.restore(standby, asked.pop("installed", VERSION), **asked)
    assert content(standby.homes.parent) == before
    return str(caught.value), caught.value.hint, caught.value.code


# -- taking --------------------------------------------------------------------------------------------------------


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


# -- restoring -----------------------------------------------------------------------------------------------------


def test_the_newest_is_restored_with_its_people_and_homes(image: SimpleNamespace, node: Any, standby: Any) -> None:
    taken(image, node)
    sql(node.database, "insert into users values ('bob')")
    (node.homes / "ann/run.sh").write_text("true")
    (node.homes / "ann/run.sh").chmod(0o750)
    (node.homes / "ann/link").symlink_to("work.txt")
    newest = taken(image, node, 1)
    (node.homes / "ann/late.txt").write_text("after the last snapshot")

    snapshot, manifest = image.restore.restore(standby, VERSION)
    assert (snapshot, manifest.node) == (newest, "workbench-0")
    assert sql(standby.database, "select name from users") == [("ann",), ("bob",)]
    assert standby.database.stat().st_mode & 0o777 == 0o600
    assert sorted(content(standby.homes)) == ["ann/link", "ann/run.sh", "ann/work.txt"]
    assert (standby.homes / "ann/link").readlink() == Path("work.txt")
    original, restored = ((places.homes / "ann/run.sh").stat() for places in (node, standby))
    assert (restored.st_mode, restored.st_uid, restored.st_mtime_ns) == (
        original.st_mode, original.st_uid, original.st_mtime_ns,
    )  # fmt: skip
    assert [path.name for path in standby.database.parent.iterdir()] == ["jupyterhub.sqlite"]


def test_no_snapshot_at_all_is_said(image: SimpleNamespace, node: Any, standby: Any) -> None:
    standby.unfinished.mkdir()
    assert refused(image, standby)[0] == f"{node.backup}: expected a snapshot, found none that was finished"


@pytest.mark.parametrize("name", ["hub.sqlite", "homes.tar"])
def test_a_damaged_snapshot_is_refused_and_the_next_older_one_named(
    image: SimpleNamespace, node: Any, standby: Any, name: str
) -> None:
    older, newest = taken(image, node), taken(image, node, 1)
    was = json.loads((newest / "manifest.json").read_text())["files"][name]
    with (newest / name).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff")
    found = subprocess.run(["sha256sum", newest / name], capture_output=True, text=True, check=True).stdout.split()[0]
    message, hint, code = refused(image, standby)
    assert message == (
        f"{newest / name} is damaged: expected {was['bytes']} bytes with SHA-256 {was['sha256']}, "
        f"found {was['bytes']} with {found}; nothing was changed"
    )
    assert hint == f"the next older snapshot is {older.name}: restore-snapshot {older.name}"
    assert code == 1
    assert image.restore.restore(standby, VERSION, name=older.name)[0] == older


def test_the_oldest_has_no_older_one_to_name(image: SimpleNamespace, node: Any, standby: Any) -> None:
    oldest = taken(image, node)
    taken(image, node, 1)
    (oldest / "homes.tar").write_bytes(b"")
    assert refused(image, standby, name=oldest.name)[1] == "there is no older snapshot"


@pytest.mark.parametrize("name", ["hub.sqlite", "homes.tar", "manifest.json"])
def test_an_incomplete_snapshot_is_refused(image: SimpleNamespace, node: Any, standby: Any, name: str) -> None:
    newest = taken(image, node)
    (newest / name).unlink()
    assert refused(image, standby)[0] == f"{newest} is incomplete: expected {name}, found none; nothing was changed"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "files": {"hub.sqlite": 3}}'])
def test_a_damaged_manifest_is_refused(image: SimpleNamespace, node: Any, standby: Any, text: str) -> None:
    newest = taken(image, node)
    (newest / "manifest.json").write_text(text)
    assert refused(image, standby)[0].startswith(f"{newest}/manifest.json is damaged: expected a manifest, found ")


def test_a_manifest_of_another_form_is_refused(image: SimpleNamespace, node: Any, standby: Any) -> None:
    newest = taken(image, node)
    (newest / "manifest.json").write_text('{"format": 2}')
    assert refused(image, standby)[0] == f"{newest}/manifest.json: expected format 1, found 2; nothing was changed"


def test_a_snapshot_of_another_version_is_refused(image: SimpleNamespace, node: Any, standby: Any) -> None:
    newest = taken(image, node)
    assert refused(image, standby, installed="6.2.0")[0] == (
        f"{newest} is JupyterHub 6.1.1's (schema 4621fec11365), expected 6.2.0, which is installed here; "
        "nothing was changed"
    )


def test_a_name_that_is_not_there_is_usage(image: SimpleNamespace, node: Any, standby: Any) -> None:
    taken(image, node), taken(image, node, 1)
    message, _, code = refused(image, standby, name="20250101T000000Z")
    assert message == "20250101T000000Z: expected one of 20260301T020000Z, 20260301T020100Z"
    assert code == 64


def test_homes_that_are_there_are_replaced_only_if_that_is_asked(
    image: SimpleNamespace, node: Any, standby: Any
) -> None:
    taken(image, node)
    (standby.homes / "zoe").mkdir()
    (standby.homes / "zoe/own.txt").write_text("only here")
    message, hint, code = refused(image, standby)
    assert message == f"{standby.homes}: expected no homes and no hub's database, found zoe; nothing was changed"
    assert (hint, code) == ("--force replaces all of it by what is in the snapshot", 1)
    image.restore.restore(standby, VERSION, force=True)
    assert content(standby.homes) == content(node.homes)


def test_a_database_that_is_there_is_replaced_only_if_that_is_asked_and_with_its_journals(
    image: SimpleNamespace, node: Any, standby: Any
) -> None:
    taken(image, node)
    shutil.copy(node.database, standby.database)
    journal = standby.database.with_name("jupyterhub.sqlite-journal")
    journal.write_bytes(b"of the former database")
    assert f"found {standby.database}" in refused(image, standby)[0]
    image.restore.restore(standby, VERSION, force=True)
    assert not journal.exists()
    assert sql(standby.database, "select name from users") == [("ann",)]


def test_nothing_is_restored_under_a_running_node(image: SimpleNamespace, node: Any, standby: Any) -> None:
    taken(image, node)
    command = [sys.executable, "-c", "input(0)", "node_supervisor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.read(1) == b"0"  # from here on the kernel knows its command line
        (standby.state / "supervisor.pid").write_text(f"{running.pid}\n")
        message, _, code = refused(image, standby, force=True)
        running.communicate(b"\n")
    assert f"found the node's supervisor, process {running.pid}; nothing was changed" in message
    assert code == 1
    image.restore.restore(standby, VERSION)


def test_an_archive_that_can_not_be_unpacked_changes_nothing(image: SimpleNamespace, node: Any, standby: Any) -> None:
    (node.homes / "ann/big").write_bytes(os.urandom(1 << 16))
    newest = taken(image, node)
    (standby.homes / "zoe").mkdir()
    (standby.homes / "zoe/own.txt").write_text("only here")
    # cut before it was written down in the manifest: verified as it is, and yet no archive
    archive = newest / "homes.tar"
    os.truncate(archive, 1 << 14)
    manifest = json.loads((newest / "manifest.json").read_text())
    with archive.open("rb") as file:
        cut = image.manifest.Fingerprint.of(file)
    manifest["files"]["homes.tar"] = {"bytes": cut.bytes, "sha256": cut.sha256}
    (newest / "manifest.json").write_text(json.dumps(manifest))
    assert "of tar" in refused(image, standby, force=True)[0]


def test_where_a_machine_keeps_its_things_follows_from_the_nodes_own_settings(image: SimpleNamespace) -> None:
    environment = {"HUB_DB_URL": "sqlite:////srv/hub/h.sqlite", "HOMES_SERVER": "local", "NODE_NAME": "n"}
    places = image.places.Places.from_environment(environment)
    assert (str(places.database), str(places.homes), str(places.backup)) == ("/srv/hub/h.sqlite", "/homes", "/backup")
    for wrong in ({"HUB_DB_URL": "postgresql://u:secret@h/d"}, {"HOMES_SERVER": "storage:/export"}, {"NODE_NAME": ""}):
        with pytest.raises(image.errors.SnapshotError, match=f"^{next(iter(wrong))}: expected ") as caught:
            image.places.Places.from_environment(environment | wrong)
        assert caught.value.code == 64
        assert "secret" not in str(caught.value)


def test_a_folder_is_no_backup_disk(image: SimpleNamespace, node: Any) -> None:
    with pytest.raises(image.errors.SnapshotError, match="expected the backup disk, found no mount point"):
        node.need_backup_disk()


@pytest.mark.parametrize("program", ["take", "restore"])
def test_words_that_are_not_known_are_usage(image: SimpleNamespace, program: str) -> None:
    command = [sys.executable, "-m", f"node_snapshots.{program}", "--now"]
    done = subprocess.run(command, cwd=IMAGE, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert f"{program}-snapshot: unrecognized arguments: --now" in done.stderr


# -- the supervisor's part -----------------------------------------------------------------------------------------


def until_idle(snapshots: Any, now_ns: int) -> None:
    """Steps of the supervisor at one moment, until none runs."""
    deadline = time.monotonic() + 10
    while snapshots._process is not None:
        assert time.monotonic() < deadline
        snapshots.keep(now_ns, active=False)


def test_snapshots_are_taken_at_regular_times_once_the_node_is_active(image: SimpleNamespace, tmp_path: Path) -> None:
    log = tmp_path / "log"
    snapshots = image.snapshots.Snapshots(20, ["sh", "-c", f"echo taken >> {log}"])
    for at_s, active, count in [
        (0, False, 0),
        (1, True, 1),
        (20, True, 1),
        (21, True, 2),
        (40, True, 2),
        (41, True, 3),
    ]:
        snapshots.keep(at_s * S, active=active)
        until_idle(snapshots, at_s * S)
        assert (log.read_text() if log.exists() else "").count("taken") == count, at_s


def test_a_slow_snapshot_delays_nobody_and_has_none_beside_it(
    image: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshots = image.snapshots.Snapshots(20, ["sleep", "600"])
    snapshots.keep(0, active=True)
    process = snapshots._process
    try:
        snapshots.keep(25 * S, active=True)
        assert snapshots._process is process
        assert "skipped: the one before still runs, for 25.0 s now" in capsys.readouterr().out
    finally:
        process.kill()
        until_idle(snapshots, 26 * S)
    assert "failed with -9; the next one comes at its time" in capsys.readouterr().out
    snapshots.keep(45 * S, active=True)
    snapshots._process.kill()
    until_idle(snapshots, 46 * S)


def test_a_snapshot_that_can_not_be_started_ends_nothing(
    image: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    image.snapshots.Snapshots(20, ["/nowhere/take-snapshot"]).keep(0, active=True)
    assert "could not be started: [Errno 2]" in capsys.readouterr().out


def test_a_node_without_snapshots_takes_none(image: SimpleNamespace) -> None:
    settings = image.settings.Settings.from_environment(
        {"NODE_NAME": "n", "HUB_DB_URL": "sqlite:////x", "HUB_COOKIE_SECRET": "ab", "CONFIGPROXY_AUTH_TOKEN": "t"}
    )
    assert settings.snapshot_every_s == 0
    snapshots = image.snapshots.Snapshots(settings.snapshot_every_s, ["/nowhere/take-snapshot"])
    snapshots.keep(0, active=True)
    assert snapshots._process is None
