"""Where things are on a machine, and in which order snapshots lie on the backup disk."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from node_snapshots.errors import USAGE, SnapshotError
from node_snapshots.manifest import DATABASE, HOMES
from node_snapshots.servers import Servers

__all__ = ["Places", "moment", "name_of", "sync", "whole"]

_SCHEME = "sqlite:///"
_FORMAT = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """What is saved and restored, and where to."""

    node: str
    """Whose machine this is."""
    database: Path
    """The hub's SQLite file."""
    homes: Path
    backup: Path
    """Mount point of the backup disk."""
    state: Path = Path("/run/node")
    """Where a running node says so."""
    servers: Servers | None = None
    """The databases where they are a server's; then `database` is none."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Places:
        """As the settings say of a machine that has databases to back up, or of a node. Raises `SnapshotError` where a
        node's data is not on its own disk."""
        if names := tuple(environment.get("DB_NAMES", "").split()):
            return cls(
                node=environment.get("NODE_NAME", "backup"),
                database=Path("/nonexistent"),
                homes=Path("/homes"),
                backup=Path("/backup"),
                servers=Servers(names, environment.get("DB_RESTORED_AS", "")),
            )
        url = environment.get("HUB_DB_URL", "")
        if not url.startswith(_SCHEME):
            scheme = url.partition(":")[0]
            raise SnapshotError(f"HUB_DB_URL: expected {_SCHEME}FILE, found {scheme!r}: not this node's", code=USAGE)
        if (server := environment.get("HOMES_SERVER", "")) != "local":
            raise SnapshotError(f"HOMES_SERVER: expected local, found {server!r}: the homes are not here", code=USAGE)
        if not (node := environment.get("NODE_NAME", "")):
            raise SnapshotError("NODE_NAME: expected a value, found nothing", code=USAGE)
        return cls(node=node, database=Path(url.removeprefix(_SCHEME)), homes=Path("/homes"), backup=Path("/backup"))

    def need_backup_disk(self) -> None:
        """Raises `SnapshotError` if it is not mounted: what was written there would die with this machine."""
        if not os.path.ismount(self.backup):
            raise SnapshotError(f"{self.backup}: expected the backup disk, found no mount point")

    @property
    def files(self) -> tuple[str, ...]:
        """What a snapshot has beside its manifest, the databases first."""
        return (*(self.servers.files if self.servers else (DATABASE,)), HOMES)

    @property
    def unfinished(self) -> Path:
        """Where this machine makes a snapshot before it takes its place; one at a time, so one name is enough."""
        return self.backup / f".{self.node}.unfinished"


def name_of(at: datetime) -> str:
    """The name of a snapshot that holds what was at this moment."""
    return at.astimezone(UTC).strftime(_FORMAT)


def moment(snapshot: Path) -> datetime:
    """What its name says."""
    return datetime.strptime(snapshot.name, _FORMAT).replace(tzinfo=UTC)


def whole(backup: Path) -> list[Path]:
    """Every snapshot that has taken its place, oldest first."""
    return sorted(path for path in backup.iterdir() if _NAME.fullmatch(path.name))


def sync(path: Path) -> None:
    """What was written to a file, or the names in a folder, are on the disk when it returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
