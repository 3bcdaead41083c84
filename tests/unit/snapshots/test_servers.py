"""Snapshots of databases that a server has: in which order, and what is refused before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import VERSION, machine, taken

#: In place of PostgreSQL's programs: databases are files in the folder beside them. What they do to real servers is
#: shown in tests/integration/test_disaster.py.
PROGRAMS = {
    "psql": """
case "$*" in
  *to_regclass*) [ -s "$databases/$last" ] && echo t || echo f ;;
  *alembic_version*) [ -s "$databases/$last" ] && echo r7 || { echo "no relation alembic_version" >&2; exit 1; } ;;
esac""",
    "pg_dump": """
for word; do case "$word" in --file=*) cp "$databases/$last" "${word#--file=}" ;; esac; done""",
    "pg_restore": """
cat > "$databases/.coming"
grep -q newer "$databases/.coming" && { echo "unsupported version (1.99) in file header" >&2; exit 1; }
for word; do case "$word" in --dbname=*) cp "$databases/.coming" "$databases/${word#--dbname=}" ;; esac; done
:""",
}


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    """A server's, each as a file; empty ones have no table."""
    folder = tmp_path / "databases"
    folder.mkdir()
    for name in ("hub", "hub_1"):
        (folder / name).write_text(f"people of {name}")
    return folder


@pytest.fixture
def site(image: SimpleNamespace, tmp_path: Path, databases: Path) -> Any:
    """A machine that backs up a platform with two hubs."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in PROGRAMS.items():
        head = f"#!/bin/sh\ndatabases={databases}\nfor last; do :; done\n"
        done = f'echo "{name} $last" >> {tmp_path}/said\n'
        (tools / name).write_text(f"{head}{done}{text}\n")
        (tools / name).chmod(0o755)
    servers = image.servers.Servers(("hub", "hub_1"), tools=tools)
    own = machine(image, tmp_path, "backup")
    (own.homes / "ann").mkdir()
    (own.homes / "ann/saves.log").write_text("1\n2\n")
    return image.places.Places(
        node="backup", database=own.database, homes=own.homes, backup=own.backup, state=own.state, servers=servers
    )


def all_gone(site: Any, databases: Path) -> None:
    """New machines: the databases are there, with nothing in them."""
    for name in ("hub", "hub_1"):
        (databases / name).write_text("")
    (site.homes / "ann/saves.log").unlink()
    (site.homes / "ann").rmdir()
    # what a file system and a server of homes make for themselves
    (site.homes / "lost+found").mkdir()
    (site.homes / ".ready-0").mkdir()


def test_every_database_and_all_homes_come_back_the_first_database_last(
    image: SimpleNamespace, site: Any, databases: Path, tmp_path: Path
) -> None:
    newest = taken(image, site)
    assert sorted(path.name for path in newest.iterdir()) == ["homes.tar", "hub.dump", "hub_1.dump", "manifest.json"]
    all_gone(site, databases)
    snapshot, manifest = image.restore.restore(site, VERSION)
    assert (snapshot, manifest.schema_revision) == (newest, "r7")
    assert [(databases / name).read_text() for name in ("hub", "hub_1")] == ["people of hub", "people of hub_1"]
    assert (site.homes / "ann/saves.log").read_text() == "1\n2\n"
    restored = [line for line in (tmp_path / "said").read_text().splitlines() if "--dbname" in line]
    assert restored == ["pg_restore --dbname=hub_1", "pg_restore --dbname=hub"]


def test_nothing_is_taken_before_a_hub_has_made_its_database(
    image: SimpleNamespace, site: Any, databases: Path
) -> None:
    """So new machines never push good snapshots out before these were restored."""
    good = taken(image, site)
    (databases / "hub").write_text("")
    with pytest.raises(image.errors.SnapshotError, match="hub: expected success of psql, found 1"):
        taken(image, site, 1)
    assert image.places.whole(site.backup) == [good]


@pytest.mark.parametrize("left", ["hub", "hub_1"])
def test_a_database_with_something_in_it_is_not_overwritten(
    image: SimpleNamespace, site: Any, databases: Path, left: str
) -> None:
    taken(image, site)
    all_gone(site, databases)
    (databases / left).write_text("somebody has begun again")
    with pytest.raises(image.errors.SnapshotError, match=f"found database {left}; nothing was changed"):
        image.restore.restore(site, VERSION)
    assert not (site.homes / "ann").exists()
    image.restore.restore(site, VERSION, force=True)
    assert (databases / left).read_text() == f"people of {left}"


def test_a_dump_that_these_tools_can_not_read_changes_nothing(
    image: SimpleNamespace, site: Any, databases: Path
) -> None:
    (databases / "hub_1").write_text("of a newer server")
    taken(image, site)
    all_gone(site, databases)
    with pytest.raises(image.errors.SnapshotError, match=r"unsupported version.*; nothing was changed"):
        image.restore.restore(site, VERSION)
    assert not (site.homes / "ann").exists()
    assert (databases / "hub").read_text() == ""


def test_a_snapshot_of_another_kind_of_platform_is_refused(
    image: SimpleNamespace, node: Any, site: Any, databases: Path
) -> None:
    taken(image, node)
    all_gone(site, databases)
    with pytest.raises(
        image.errors.SnapshotError, match=r"expected hub.dump and hub_1.dump, found homes.tar, hub.sqlite"
    ):
        image.restore.restore(site, VERSION)


def test_another_version_of_jupyterhub_is_refused(image: SimpleNamespace, site: Any, databases: Path) -> None:
    taken(image, site)
    all_gone(site, databases)
    with pytest.raises(image.errors.SnapshotError, match=f"is JupyterHub {VERSION}'s .*, expected 5.5.0"):
        image.restore.restore(site, "5.5.0")
    assert not (site.homes / "ann").exists()


def test_databases_can_be_restored_beside_their_places(image: SimpleNamespace, site: Any, databases: Path) -> None:
    taken(image, site)
    (site.homes / "ann/saves.log").unlink()
    (site.homes / "ann").rmdir()
    for name in ("hub_coming", "hub_1_coming"):
        (databases / name).write_text("")
    elsewhere = replace(site, servers=replace(site.servers, restored_as="_coming"))
    image.restore.restore(elsewhere, VERSION)
    assert (databases / "hub_1_coming").read_text() == "people of hub_1"
    assert (databases / "hub_coming").read_text() == "people of hub"


def test_which_databases_there_are_is_said_by_the_environment(image: SimpleNamespace) -> None:
    places = image.places.Places.from_environment({"NODE_NAME": "backup", "DB_NAMES": "hub hub_1"})
    assert places.files == ("hub.dump", "hub_1.dump", "homes.tar")
    assert (str(places.homes), str(places.backup)) == ("/homes", "/backup")
