"""What a snapshot says about itself, and by which it is verified."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node_snapshots.errors import SnapshotError

__all__ = ["DATABASE", "FORMAT", "HOMES", "MANIFEST", "Fingerprint", "Manifest"]

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "hub.sqlite"
HOMES = "homes.tar"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Size and SHA-256 of a file."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, handle: BinaryIO) -> Fingerprint:
        """Of what there is to read from here on."""
        digest, size = hashlib.sha256(), 0
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        return cls(size, digest.hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The file `manifest.json` of a snapshot."""

    taken_at_utc: str
    """When it was begun, by the node's clock: what came later may be missing."""
    node: str
    jupyterhub: str
    """Version of the software that can read it."""
    schema_revision: str
    """Of the hub's database (Alembic's)."""
    files: Mapping[str, Fingerprint]
    warnings: tuple[str, ...] = ()
    """What could not be archived as it was: files that changed or went meanwhile, or that the node must not read."""

    def text(self) -> str:
        """As it is written."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n"

    @classmethod
    def read(cls, snapshot: Path) -> Manifest:
        """Raises `SnapshotError` where there is none, or another thing than was written."""
        path = snapshot / MANIFEST
        try:
            found = json.loads(path.read_bytes())
            if (known := found["format"]) != FORMAT:
                raise SnapshotError(f"{path}: expected format {FORMAT}, found {known!r}")
            return cls(
                taken_at_utc=str(found["taken_at_utc"]),
                node=str(found["node"]),
                jupyterhub=str(found["jupyterhub"]),
                schema_revision=str(found["schema_revision"]),
                files={
                    str(name): Fingerprint(int(file["bytes"]), str(file["sha256"]))
                    for name, file in found["files"].items()
                },
                warnings=tuple(str(line) for line in found["warnings"]),
            )
        except FileNotFoundError:
            raise SnapshotError(f"{snapshot} is incomplete: expected {MANIFEST}, found none") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{path} is damaged: expected a manifest, found {error!r}") from error

    def check_version(self, installed: str, snapshot: Path) -> None:
        """Raises `SnapshotError` unless this very version is installed: the database's schema is its."""
        if self.jupyterhub != installed:
            raise SnapshotError(
                f"{snapshot} is JupyterHub {self.jupyterhub}'s (schema {self.schema_revision}), expected {installed}, "
                "which is installed here"
            )

    def check_holds(self, expected: Iterable[str], snapshot: Path) -> None:
        """Raises `SnapshotError` unless it has these files: another kind of platform has others."""
        if missing := sorted(set(expected) - set(self.files)):
            raise SnapshotError(
                f"{snapshot / MANIFEST}: expected {' and '.join(missing)}, found {', '.join(sorted(self.files))}"
            )

    def check_file(self, name: str, handle: BinaryIO, snapshot: Path) -> None:
        """Raises `SnapshotError` unless it holds what was written."""
        expected, found = self.files[name], Fingerprint.of(handle)
        if found != expected:
            raise SnapshotError(
                f"{snapshot / name} is damaged: expected {expected.bytes} bytes with SHA-256 {expected.sha256}, "
                f"found {found.bytes} with {found.sha256}"
            )
