"""Copies to a warm standby: what they leave alone. What rsync does is shown in tests/integration/test_disaster.py."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import sql

Copy = Callable[[], None]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The standby's, as the node has it."""
    for name in ("hub", "homes"):
        (tmp_path / "standby" / name).mkdir(parents=True)
    return tmp_path / "standby"


@pytest.fixture
def copy(image: SimpleNamespace, node: Any, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """With a program in place of rsync that says what it was asked."""
    tools = disk.parent / "bin"
    tools.mkdir()
    (tools / "rsync").write_text(f'#!/bin/sh\necho "$@" >> {disk.parent}/said\nexit "$(cat {disk.parent}/code)"\n')
    (tools / "rsync").chmod(0o755)
    (disk.parent / "code").write_text("0")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return lambda: image.copy.copy(node, disk)


def test_the_database_is_of_one_moment_and_takes_its_place_whole(copy: Copy, node: Any, disk: Path) -> None:
    copy()
    sql(node.database, "insert into users values ('bob')")
    copy()
    there = disk / "hub/jupyterhub.sqlite"
    assert sql(there, "select name from users") == [("ann",), ("bob",)]
    assert there.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (disk / "hub").iterdir()) == [".lock", "jupyterhub.sqlite"]
    asked = (disk.parent / "said").read_text().splitlines()[-1]
    assert asked.endswith(f"--exclude=/.* {node.homes}/ {disk}/homes/")
    assert "--delete" in asked
    assert f"--temp-dir={disk}/homes/.coming" in asked


def test_nothing_is_copied_to_a_standby_that_was_promoted(
    image: SimpleNamespace, copy: Copy, node: Any, disk: Path
) -> None:
    """The old node may still be alive, and has what nobody wants any more."""
    copy()
    (disk / "hub/.promoted").touch()
    sql(node.database, "insert into users values ('bob')")
    with pytest.raises(image.errors.SnapshotError, match="expected a standby, found one that was promoted"):
        copy()
    assert sql(disk / "hub/jupyterhub.sqlite", "select name from users") == [("ann",)]


def test_a_database_that_is_not_sound_does_not_replace_the_last_copy(
    image: SimpleNamespace, copy: Copy, node: Any, disk: Path
) -> None:
    copy()
    node.database.write_bytes(b"not a database at all")
    with pytest.raises(image.errors.SnapshotError, match="expected the hub's database, found"):
        copy()
    assert sql(disk / "hub/jupyterhub.sqlite", "select name from users") == [("ann",)]


@pytest.mark.parametrize(("code", "fails"), [("24", False), ("23", False), ("12", True)])
def test_files_that_went_meanwhile_are_no_failure(
    image: SimpleNamespace, copy: Copy, disk: Path, code: str, fails: bool
) -> None:
    (disk.parent / "code").write_text(code)
    if not fails:
        copy()
        return
    with pytest.raises(image.errors.SnapshotError, match="expected the homes, found exit code 12 of rsync"):
        copy()


def test_one_copy_at_a_time(image: SimpleNamespace, copy: Copy, disk: Path) -> None:
    with (disk / "hub/.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(image.errors.SnapshotError, match="another copy is being made"):
            copy()


def test_a_folder_is_no_disk_of_a_standby(image: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    environment = {"HUB_DB_URL": "sqlite:////srv/hub/h.sqlite", "HOMES_SERVER": "local", "NODE_NAME": "n"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["copy-to-standby"])
    assert image.copy.main() == 1
    assert "/standby/hub: expected the standby's disk, found no mount point" in capsys.readouterr().err
