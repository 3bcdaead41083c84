"""Snapshots of a node on real containers, and their restoring on the cold standby."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import docker
import pytest

from harness.components.jupyterhub import ACTIVE_PROBE, STANDBY
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import break_it, deployed, without_people

CATALOGUE = load_topology(ROOT / "topologies/single-dr.yaml")
TOPOLOGY = replace(CATALOGUE, workbench=replace(CATALOGUE.workbench, snapshot_every_s=2))
NODE = "workbench-0"
HUB = "/srv/hub/jupyterhub.sqlite"


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    with deployed(runtime, engine, TOPOLOGY.name, without_people(TOPOLOGY)) as deployment:
        yield deployment
        for name in (NODE, STANDBY):
            print(deployment.log(name))


def run(platform: DockerDeployment, name: str, *argv: str) -> str:
    """What a command says that must succeed."""
    done = platform.execute(name, argv)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def in_database(platform: DockerDeployment, name: str, statement: str) -> str:
    program = (
        "import sqlite3, sys\n"
        "with sqlite3.connect(f'file:{sys.argv[1]}?mode=rw', uri=True) as hub:\n"
        "    print(hub.execute(sys.argv[2]).fetchall())\n"
    )
    return run(platform, name, "/usr/bin/python3", "-I", "-c", program, HUB, statement)


def snapshots(platform: DockerDeployment) -> list[str]:
    """Looked for in the standby: the backup disk is both machines'."""
    return run(platform, STANDBY, "ls", "/backup").split()


def next_snapshot(platform: DockerDeployment) -> str:
    """The second one from now: it was begun after this was called."""
    seen = {*snapshots(platform)}
    eventually(lambda: len({*snapshots(platform)} - seen) >= 2, "two more snapshots", 20)
    return snapshots(platform)[-1]


def on_standby(platform: DockerDeployment) -> str:
    """All that a restore would change."""
    return run(platform, STANDBY, "sh", "-c", "find /homes /srv/hub -printf '%P %s %T@\\n' | sort")


def test_nothing_runs_on_the_standby(platform: DockerDeployment) -> None:
    commands = run(platform, STANDBY, "sh", "-c", "cat /proc/[0-9]*/comm").split()
    assert set(commands) <= {"tini", "entrypoint", "sleep", "timeout", "sh", "cat"}
    refused = platform.execute(STANDBY, ["promote"])
    assert refused.exit_code == 1
    assert f"promote: {HUB}: expected the hub's database, found no file: restore a snapshot first" in refused.output
    assert on_standby(platform).count("\n") == 1, "two empty folders"


def test_a_snapshot_is_taken_at_regular_times_as_the_nodes_user_and_three_are_kept(platform: DockerDeployment) -> None:
    next_snapshot(platform)
    next_snapshot(platform)
    assert len(snapshots(platform)) in (3, 4)  # the oldest goes after the newest came
    owners = run(platform, NODE, "sh", "-c", "stat -c '%u %a' /backup /backup/2* | sort -u")
    assert owners.splitlines() == ["1000 700", "1000 755"]
    # by hand, as root: refused only while the supervisor's own is being taken
    eventually(lambda: platform.execute(NODE, ["take-snapshot"]).exit_code == 0, "a snapshot by hand")
    assert run(platform, NODE, "sh", "-c", "stat -c %u /backup/2* | sort -u") == "1000"


def test_what_the_node_had_is_on_the_standby_after_a_restore_and_the_node_can_be_started_there(
    platform: DockerDeployment,
) -> None:
    home = "mkdir /homes/ann && echo 41 > /homes/ann/saves.log && chown -R 1000:1000 /homes/ann"
    run(platform, NODE, "sh", "-c", home)
    in_database(platform, NODE, "insert into users (name, admin, cookie_id, state) values ('ann', 0, 'c', '{}')")
    name = next_snapshot(platform)

    # the disaster: the machine is gone, and stays away
    break_it(platform, "kill", NODE)
    newest = snapshots(platform)[-1]
    assert newest >= name

    # damage is refused and changes nothing; a snapshot that is spoilt is spoilt for good, so it is put back
    before = on_standby(platform)
    archive = f"/backup/{newest}/homes.tar"
    run(platform, STANDBY, "cp", archive, "/tmp/good")
    run(platform, STANDBY, "sh", "-c", f"printf xx | dd of={archive} conv=notrunc bs=1 seek=600")
    refused = platform.execute(STANDBY, ["restore-snapshot"])
    assert refused.exit_code == 64
    assert f"{archive} is damaged: expected " in refused.output
    assert f"hint: the next older snapshot is {snapshots(platform)[-2]}: restore-snapshot" in refused.output
    assert on_standby(platform) == before
    run(platform, STANDBY, "cp", "/tmp/good", archive)

    assert f"{newest} restored: what workbench-0 had at " in run(platform, STANDBY, "restore-snapshot")
    assert run(platform, STANDBY, "cat", "/homes/ann/saves.log") == "41"
    assert run(platform, STANDBY, "stat", "-c", "%u:%g %a", HUB, "/homes/ann").splitlines() == [
        "1000:1000 600",
        "1000:1000 755",
    ]
    assert in_database(platform, STANDBY, "select name from users where name = 'ann'") == "[('ann',)]"
    again = platform.execute(STANDBY, ["restore-snapshot"])
    assert again.exit_code == 1
    assert "expected no homes and no hub's database, found /srv/hub/jupyterhub.sqlite, ann" in again.output

    # it is more than files: the node runs on them, knows the person, and goes on taking snapshots
    run(platform, STANDBY, "promote")
    eventually(lambda: platform.execute(STANDBY, ACTIVE_PROBE).exit_code == 0, "the node serves on the standby", 40)
    run(platform, STANDBY, "/usr/local/bin/ready")
    assert in_database(platform, STANDBY, "select name from users where name = 'ann'") == "[('ann',)]"
    eventually(lambda: snapshots(platform)[-1] > newest, "the next snapshot, of the standby", 20)
    under_it = platform.execute(STANDBY, ["restore-snapshot", "--force"])
    assert under_it.exit_code == 1
    assert "expected a machine where nothing runs, found the node's supervisor" in under_it.output
