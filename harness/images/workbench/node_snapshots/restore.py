"""Restores a snapshot on a machine where nothing runs: verified first, unpacked beside its place, and then moved there.

Whatever is refused is refused before anything was changed, and an older snapshot is never taken in place of a newer one
unless it is named: how much is lost is not for a program to decide.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from node_snapshots.errors import USAGE, Arguments, SnapshotError, complain
from node_snapshots.manifest import DATABASE, HOMES, Manifest
from node_snapshots.places import Places, whole

__all__ = ["choose", "restore"]

#: SQLite's own beside a database. One that belongs to another database would be played back into the restored one.
_JOURNALS = ("-journal", "-wal", "-shm")


def choose(backup: Path, name: str = "") -> tuple[Path, str]:
    """The snapshot of that name, or the newest, and what to do should it be refused: raises `SnapshotError`."""
    there = whole(backup)
    if not there:
        raise SnapshotError(f"{backup}: expected a snapshot, found none that was finished", code=USAGE)
    names = [path.name for path in there]
    if name and name not in names:
        raise SnapshotError(f"{name}: expected one of {', '.join(names)}", code=USAGE)
    index = names.index(name) if name else -1
    older = names[:index]
    if not older:
        return there[index], "there is no older snapshot"
    return there[index], f"the next older snapshot is {older[-1]}: restore-snapshot {older[-1]}"


def restore(places: Places, installed: str, *, name: str = "", force: bool = False) -> tuple[Path, Manifest]:
    """Restores a snapshot (the newest, unless one is named), made by the version of JupyterHub that is `installed`.

    Homes and a database that are there already are replaced with `force` only. Returns the snapshot and what it says.
    Raises `SnapshotError`, after which nothing was changed but, where a server refuses a dump in the end, what the
    message says; or `OSError`, if a disk failed.
    """
    snapshot, older = choose(places.backup, name)
    _refuse_a_running_node(places)
    if not force:
        _refuse_to_overwrite(places)
    homes_beside, database_beside = places.homes / ".restoring", places.database.with_name(".restoring.sqlite")
    with ExitStack() as stack:
        try:
            manifest = Manifest.read(snapshot)
            manifest.check_version(installed, snapshot)
            manifest.check_holds(places.files, snapshot)
            # opened once: what was verified is what is restored, even if it is removed meanwhile
            opened = {each: stack.enter_context(_opened(snapshot, each)) for each in places.files}
            for each, file in opened.items():
                manifest.check_file(each, file, snapshot)
            if places.servers:
                places.servers.check(opened)
        except SnapshotError as error:
            raise SnapshotError(f"{error}; nothing was changed", hint=older, code=USAGE) from error
        _clear(homes_beside, database_beside)
        stack.callback(_clear, homes_beside, database_beside)
        if not places.servers:
            _copy(opened[DATABASE], database_beside)
        _unpack(opened[HOMES], homes_beside)
        _replace_homes(places.homes, homes_beside)
        # the database last: a machine that has one has its homes
        if places.servers:
            places.servers.restore(opened)
        else:
            for suffix in _JOURNALS:
                places.database.with_name(places.database.name + suffix).unlink(missing_ok=True)
            database_beside.replace(places.database)
        os.sync()
    return snapshot, manifest


def _refuse_a_running_node(places: Places) -> None:
    try:
        pid = int((places.state / "supervisor.pid").read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return
    if b"node_supervisor" in command:
        raise SnapshotError(
            f"{places.node}: expected a machine where nothing runs, found the node's supervisor, process {pid}; "
            "nothing was changed",
            hint="restore on the standby, or stop the node first",
        )


def _refuse_to_overwrite(places: Places) -> None:
    found = [path.name for path in _homes_in(places.homes)]
    if places.servers:
        found += [f"database {name}" for name in places.servers.there()]
    elif places.database.exists():
        found.append(str(places.database))
    if found:
        raise SnapshotError(
            f"{places.homes}: expected no homes and no hub's database, found {', '.join(sorted(found)[:5])}"
            f"{' and more' if len(found) > 5 else ''}; nothing was changed",
            hint="--force replaces all of it by what is in the snapshot",
        )


def _homes_in(homes: Path) -> list[Path]:
    """What has a dot in front is a probe's, or the restore's own."""
    return [path for path in homes.iterdir() if path.name[0] != "." and path.name != "lost+found"]


def _opened(snapshot: Path, name: str) -> BinaryIO:
    try:
        return (snapshot / name).open("rb")
    except FileNotFoundError:
        raise SnapshotError(f"{snapshot} is incomplete: expected {name}, found none") from None


def _copy(source: BinaryIO, target: Path) -> None:
    """For the user to whom the folder belongs, and nobody else: there are tokens in it."""
    source.seek(0)
    owner = target.parent.stat()
    with open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as handle:
        shutil.copyfileobj(source, handle)
        os.fchown(handle.fileno(), owner.st_uid, owner.st_gid)


def _unpack(archive: BinaryIO, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.lseek(archive.fileno(), 0, os.SEEK_SET)  # where the program reads on that gets the descriptor
    command = ["tar", "--extract", "--file=-", f"--directory={folder}", "--numeric-owner", "--preserve-permissions"]
    done = subprocess.run(
        command, stdin=archive, env={**os.environ, "LC_ALL": "C"}, stderr=subprocess.PIPE, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").splitlines()
        raise SnapshotError(
            f"{folder}: expected the homes, found exit code {done.returncode} of tar: {said[-3:]}; nothing was changed"
        )


def _replace_homes(homes: Path, restored: Path) -> None:
    _clear(*_homes_in(homes))
    for home in sorted(restored.iterdir()):
        home.rename(homes / home.name)


def _clear(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def main() -> int:
    """Entry point of restore-snapshot."""
    parser = Arguments(prog="restore-snapshot", description="Restore a snapshot on this machine, where nothing runs.")
    parser.add_argument("snapshot", nargs="?", default="", help="its name; without it the newest")
    parser.add_argument("--force", action="store_true", help="replace the homes and the database that are here")
    asked = parser.parse_args()
    try:
        places = Places.from_environment(os.environ)
        places.need_backup_disk()
        for path in sorted(places.backup.glob(".*.unfinished")):
            print(f"restore-snapshot: {path.name} was not finished and is left out")
        snapshot, manifest = restore(places, version("jupyterhub"), name=asked.snapshot, force=asked.force)
    except SnapshotError as error:
        return complain("restore-snapshot", error)
    except OSError as error:
        return complain("restore-snapshot", SnapshotError(f"not restored: {error}"))
    for line in manifest.warnings:
        print(f"restore-snapshot: when it was taken: {line}")
    print(
        f"restore-snapshot: {snapshot.name} restored: what {manifest.node} had at {manifest.taken_at_utc}, "
        f"JupyterHub {manifest.jupyterhub}, schema {manifest.schema_revision}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
