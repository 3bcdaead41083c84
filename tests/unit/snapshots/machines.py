"""A node and its standby on temporary folders: what happens to them, and what they have."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness

__all__ = ["IMAGE", "MOMENT", "VERSION", "S", "content", "machine", "refused", "sql", "taken"]

IMAGE = Path(harness.__file__).parent / "images" / "workbench"
VERSION = "6.1.1"
MOMENT = datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC)
S = 1_000_000_000


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
