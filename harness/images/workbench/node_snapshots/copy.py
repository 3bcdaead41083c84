"""Copies what has changed to the disk of the warm standby: each file whole or not at all.

The database comes first, as in a snapshot. Nothing says which files of a home belong together, so those that are
written at once may come in different copies.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from node_snapshots.errors import Arguments, SnapshotError, complain
from node_snapshots.places import Places
from node_snapshots.take import copy_database

__all__ = ["PROMOTED", "STANDBY", "copy"]

#: Where the node has the standby's disk: `hub` and `homes` below it.
STANDBY = Path("/standby")
#: In the standby's `hub`: it is a node now, and what it has is not to be replaced.
PROMOTED = ".promoted"
#: rsync: some files could not be read, or went while they were copied. On a machine in use some always do.
_RSYNC_SOME_DIFFER = (0, 23, 24)


def copy(places: Places, standby: Path = STANDBY) -> None:
    """One copy. Raises `SnapshotError`; what the standby had before is then still whole."""
    hub, homes = standby / "hub", standby / "homes"
    with (hub / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SnapshotError("another copy is being made") from None
        if (hub / PROMOTED).exists():
            raise SnapshotError(f"{hub}: expected a standby, found one that was promoted: nothing is copied to it")
        coming = hub / ".coming.sqlite"
        coming.unlink(missing_ok=True)
        copy_database(places.database, coming)
        coming.chmod(0o600)  # there are tokens in it
        coming.replace(hub / places.database.name)
        _copy_homes(places.homes, homes)


def _copy_homes(homes: Path, target: Path) -> None:
    # a name of its own for what is not whole yet, and in none of the homes
    coming = target / ".coming"
    coming.mkdir(mode=0o700, exist_ok=True)
    command = [
        *("rsync", "--archive", "--sparse", "--hard-links", "--numeric-ids", "--delete", f"--temp-dir={coming}"),
        # the readiness probe's own, and what an interrupted restore left; homes have no dot in front
        "--exclude=/.*",
        *(f"{homes}/", f"{target}/"),
    ]
    done = subprocess.run(
        command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode not in _RSYNC_SOME_DIFFER:
        said = done.stderr.splitlines()
        raise SnapshotError(f"{target}: expected the homes, found exit code {done.returncode} of rsync: {said[-3:]}")


def main() -> int:
    """Entry point of copy-to-standby."""
    Arguments(prog="copy-to-standby", description="Copy what has changed to the standby's disk.").parse_args()
    try:
        places = Places.from_environment(os.environ)
        for folder in (STANDBY / "hub", STANDBY / "homes"):
            if not os.path.ismount(folder):
                raise SnapshotError(f"{folder}: expected the standby's disk, found no mount point")
        copy(places)
    except SnapshotError as error:
        return complain("copy-to-standby", error)
    except OSError as error:
        return complain("copy-to-standby", SnapshotError(f"not finished: {error}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
