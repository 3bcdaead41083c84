"""Restoring a snapshot: what comes back, and what is refused and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import IMAGE, VERSION, content, refused, sql, taken


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
    assert code == 64
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


@pytest.mark.long
@pytest.mark.parametrize("program", ["take", "restore"])
def test_words_that_are_not_known_are_usage(image: SimpleNamespace, program: str) -> None:
    command = [sys.executable, "-m", f"node_snapshots.{program}", "--now"]
    done = subprocess.run(command, cwd=IMAGE, capture_output=True, text=True, check=False)
    assert done.returncode == 64
    assert f"{program}-snapshot: unrecognized arguments: --now" in done.stderr
