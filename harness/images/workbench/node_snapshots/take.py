"""Takes a snapshot: beside its place first, on the disk, and then in its place, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from node_supervisor.log import log

from node_snapshots.errors import Arguments, SnapshotError, complain
from node_snapshots.manifest import DATABASE, HOMES, MANIFEST, Fingerprint, Manifest
from node_snapshots.places import Places, moment, name_of, sync, whole

__all__ = ["KEPT", "archive_homes", "copy_database", "take"]

#: How many snapshots are kept: damage that is noticed late must not have replaced all that was good.
KEPT = 3
#: GNU tar: files changed, shrank or went while they were read. On a machine in use some always do.
_TAR_SOME_DIFFER = 1
_MOST_WARNINGS = 50


def take(places: Places, jupyterhub: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Path:
    """Writes a snapshot and removes all but the last `KEPT`. Returns where it is.

    The database comes first: a person who comes in between has a home that no database knows, which the next log-in
    mends, and not the other way round. Raises `SnapshotError` or `OSError`; whatever is left then does not look whole.
    """
    with (places.backup / f".{places.node}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotError(f"another snapshot of {places.node} is being taken") from None
        making = places.unfinished
        if making.exists():
            log("snapshot", f"one that was interrupted is removed: {making}")
            shutil.rmtree(making)
        making.mkdir(mode=0o700)
        at = clock()
        revision = places.servers.dump(making) if places.servers else copy_database(places.database, making / DATABASE)
        warnings = archive_homes(places.homes, making / HOMES)
        files = {name: _written(making / name) for name in places.files}
        manifest = Manifest(
            taken_at_utc=at.astimezone(UTC).isoformat(),
            node=places.node,
            jupyterhub=jupyterhub,
            schema_revision=revision,
            files=files,
            warnings=tuple(warnings[:_MOST_WARNINGS]),
        )
        (making / MANIFEST).write_text(manifest.text(), encoding="utf-8")
        sync(making / MANIFEST)
        sync(making)
        taken = places.backup / _name(places.backup, at)
        making.rename(taken)
        sync(places.backup)
        _remove_old(places)
    return taken


def copy_database(source: Path, target: Path) -> str:
    """A copy of one moment, also while the hub writes. Returns the revision of its schema.

    Raises `SnapshotError` if there is no database of a hub, or if what is there is not sound.
    """
    if not source.exists():
        raise SnapshotError(f"{source}: expected the hub's database, found no file")
    try:
        # rw, never rwc: a journal that a dead hub left is played back, but nothing is made
        with (
            closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
            (verdict,) = here.execute("pragma integrity_check(1)").fetchone()
            if verdict != "ok":
                raise SnapshotError(f"{source} is damaged: expected ok from its integrity check, found {verdict}")
            row = here.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error as error:
        raise SnapshotError(f"{source}: expected the hub's database, found: {error}") from error
    if row is None:
        raise SnapshotError(f"{source}: expected the revision of its schema, found none")
    return str(row[0])


def archive_homes(homes: Path, target: Path) -> list[str]:
    """Archives every home. Returns what could not be archived as it was, in tar's words; raises `SnapshotError`.

    Each file is as it was while it was read: programs that write several files at once may find them of two moments.
    A file that its owner made unreadable, which here even the node can't read, must not cost everybody the snapshot.
    """
    command = [
        *("tar", "--create", "--format=posix", "--sparse", "--numeric-owner", "--ignore-failed-read"),
        # the readiness probes' own, what an interrupted restore left, and the file system's own
        *("--anchored", "--exclude=./.*", "--exclude=./lost+found"),
        *(f"--file={target}", f"--directory={homes}", "."),
    ]
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, errors="replace", check=False
    )
    said = done.stderr.splitlines()
    if done.returncode not in (0, _TAR_SOME_DIFFER):
        raise SnapshotError(f"{homes}: expected an archive, found exit code {done.returncode} of tar: {said[-3:]}")
    return said


def _written(path: Path) -> Fingerprint:
    sync(path)
    with path.open("rb") as handle:
        return Fingerprint.of(handle)


def _name(backup: Path, at: datetime) -> str:
    """After the moment; after the newest that is there where the clock was set back, so that the order stays right."""
    name = name_of(at)
    newest = whole(backup)[-1:]
    if newest and name <= newest[0].name:
        log("snapshot", f"the clock says {name}, but {newest[0].name} is there: named one second later than that")
        return name_of(moment(newest[0]) + timedelta(seconds=1))
    return name


def _remove_old(places: Places) -> None:
    for old in whole(places.backup)[:-KEPT]:
        old.rename(places.unfinished)  # first: a removal that is interrupted leaves nothing that looks whole
        shutil.rmtree(places.unfinished)


def main() -> int:
    """Entry point of take-snapshot."""
    Arguments(prog="take-snapshot", description="Write a snapshot of hub and homes to the backup disk.").parse_args()
    started = time.monotonic()
    try:
        places = Places.from_environment(os.environ)
        places.need_backup_disk()
        taken = take(places, version("jupyterhub"))
        manifest = Manifest.read(taken)
    except SnapshotError as error:
        return complain("take-snapshot", error)
    except OSError as error:
        return complain("take-snapshot", SnapshotError(f"not finished: {error}"))
    for line in manifest.warnings:
        log("snapshot", line)
    size = sum(file.bytes for file in manifest.files.values())
    log("snapshot", f"{taken.name}: {size} bytes in {time.monotonic() - started:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
