"""The image's modules, a node and its standby."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import IMAGE, machine, sql


@pytest.fixture(scope="module")
def image() -> Iterator[SimpleNamespace]:
    """The image's modules; the image is no package of the harness, so its folder is on the path only here."""
    sys.path.insert(0, str(IMAGE))
    try:
        names = ("errors", "manifest", "places", "servers", "take", "restore", "copy")
        modules = {name: importlib.import_module(f"node_snapshots.{name}") for name in names}
        supervisor = {n: importlib.import_module(f"node_supervisor.{n}") for n in ("settings", "snapshots")}
        yield SimpleNamespace(**modules, **supervisor)
    finally:
        sys.path.remove(str(IMAGE))
        for name in [n for n in sys.modules if n.partition(".")[0] in {"node_supervisor", "node_snapshots"}]:
            del sys.modules[name]


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
