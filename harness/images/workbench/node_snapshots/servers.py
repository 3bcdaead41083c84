"""The hubs' databases where a server has them: dumped one by one, and restored into empty ones.

Each dump is of one moment, whoever writes meanwhile (PostgreSQL's documentation of pg_dump); two are of two moments.
libpq finds the server by its own variables (PGHOST, PGUSER, PGPASSWORD and so on).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node_snapshots.errors import SnapshotError

__all__ = ["Servers"]

#: The plain binaries: Debian's are Perl wrappers.
_TOOLS = Path("/usr/lib/postgresql/15/bin")
_REVISION = "select version_num from alembic_version"
_A_HUBS = "select to_regclass('public.alembic_version') is not null"


@dataclass(frozen=True, slots=True)
class Servers:
    """The databases, by their names on the server; the first is there on every platform."""

    names: tuple[str, ...]
    restored_as: str = ""
    """Behind the names of those that are restored: somebody gives them their names when all are there."""
    tools: Path = _TOOLS

    @property
    def files(self) -> tuple[str, ...]:
        """What they are called in a snapshot."""
        return tuple(f"{name}.dump" for name in self.names)

    def dump(self, folder: Path) -> str:
        """Into a file each. Returns the revision of the schema; raises `SnapshotError` where no hub made one yet."""
        revision = self._ask(self.names[0], _REVISION)
        for name, file in zip(self.names, self.files, strict=True):
            self._run(["pg_dump", "--format=custom", "--no-owner", f"--file={folder / file}", name])
        return revision

    def there(self) -> list[str]:
        """Those of the databases to be restored that are a hub's already."""
        return [name for name in self._targets if self._ask(name, _A_HUBS) != "f"]

    @property
    def _targets(self) -> tuple[str, ...]:
        return tuple(f"{name}{self.restored_as}" for name in self.names)

    def check(self, dumps: Mapping[str, BinaryIO]) -> None:
        """Raises `SnapshotError` where one can't be read by these tools, as that of a newer version."""
        for file in self.files:
            self._run(["pg_restore", "--list"], dumps[file])

    def restore(self, dumps: Mapping[str, BinaryIO]) -> None:
        """Each whole or not at all, the first one last: a platform that has it has all of them."""
        how = ["--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction"]
        for name, file in reversed(list(zip(self._targets, self.files, strict=True))):
            self._run(["pg_restore", *how, f"--dbname={name}"], dumps[file])

    def _ask(self, database: str, query: str) -> str:
        argv = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", f"--command={query}", database]
        if not (said := self._run(argv)):
            raise SnapshotError(f"database {database}: expected an answer to {query!r}, found none")
        return said

    def _run(self, argv: Sequence[str], source: BinaryIO | None = None) -> str:
        if source is not None:
            os.lseek(source.fileno(), 0, os.SEEK_SET)  # where the program reads on that gets the descriptor
        command = [str(self.tools / argv[0]), *argv[1:]]
        done = subprocess.run(
            command, stdin=source or subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            said = done.stderr.splitlines()
            raise SnapshotError(f"{argv[-1]}: expected success of {argv[0]}, found {done.returncode}: {said[-3:]}")
        return done.stdout.strip()
