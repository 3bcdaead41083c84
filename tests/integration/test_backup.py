"""The backup of a platform with database and storage on real containers, and its restore on new machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import docker
import pytest

from harness.components import backup
from harness.core.products import Backup
from harness.core.specs import ContainerSpec
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import deployed, new_context, without_people

#: With `make test-all`, as the disaster of `ha` is.
pytestmark = pytest.mark.catalogue

TOPOLOGY = replace(load_topology(ROOT / "topologies/active-active.yaml"), backup=Backup(every_s=2))
BACKUP = backup.NAME


@dataclass
class Platform:
    deployment: DockerDeployment
    specs: dict[str, ContainerSpec]

    def run(self, name: str, script: str) -> str:
        """What a script says that must succeed."""
        done = self.deployment.execute(name, ["sh", "-c", script])
        assert done.exit_code == 0, done.output
        return done.output.strip()

    def sql(self, database: str, statement: str) -> str:
        as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        psql = ["psql", "-XqAt", "-h", "/run/postgresql", "-d", database, "-c", statement]
        done = self.deployment.execute("database", [*as_postgres, *psql])
        assert done.exit_code == 0, done.output
        return done.output.strip()

    def snapshots(self) -> list[str]:
        return self.run(BACKUP, "ls /backup").split()

    def next_snapshot(self) -> None:
        """The second one from now: it was begun after this was called."""
        seen = {*self.snapshots()}
        eventually(lambda: len({*self.snapshots()} - seen) >= 2, "two more snapshots", 30)

    def start(self, names: tuple[str, ...]) -> None:
        self.deployment.start([self.specs[name] for name in names], lambda *_: None)


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[Platform]:
    context = new_context()
    with deployed(runtime, engine, TOPOLOGY.name, without_people(TOPOLOGY), context) as deployment:
        whole = replace(context, subnet_prefix=deployment.subnet_prefix)
        specs = {spec.name: spec for spec in without_people(TOPOLOGY)(whole)}
        yield Platform(deployment, specs)
        print(deployment.log(BACKUP))


def test_what_servers_had_is_on_new_ones_after_a_restore(platform: Platform) -> None:
    for database, person in (("hub", "ann"), ("hub_1", "bob")):
        values = f"'{person}', false, '{person}'"
        platform.sql(database, f"insert into users (name, admin, cookie_id) values ({values})")
    home = "mkdir /export/ann && echo 41 > /export/ann/saves.log && chown -R 1000:1000 /export/ann"
    platform.run("storage", home)
    platform.next_snapshot()
    newest = platform.snapshots()[-1]

    # the disaster: every machine but the balancer, and every disk but the one elsewhere
    first, then = backup.lost_in_a_disaster(TOPOLOGY)
    assert platform.deployment.destroy([*first, *then], lambda _name: None) == ["database", "homes"]
    platform.start(first)
    assert platform.sql("hub", "select to_regclass('public.users')") == "", "a new server, with nothing in it"
    assert newest in platform.snapshots(), "new machines push out no snapshot before it was restored"

    # damage is refused and changes nothing; a snapshot that is spoilt is spoilt for good, so it is put back
    dump = f"/backup/{platform.snapshots()[-1]}/hub_1.dump"
    platform.run(BACKUP, f"cp {dump} /tmp/good && printf xx | dd of={dump} conv=notrunc bs=1 seek=600")
    refused = platform.deployment.execute(BACKUP, ["restore-snapshot"])
    assert refused.exit_code == 64
    assert f"{dump} is damaged: expected " in refused.output
    assert platform.run(BACKUP, "ls /homes") in ("", "lost+found")
    platform.run(BACKUP, f"cp /tmp/good {dump}")

    assert "restored: what backup had at " in platform.run(BACKUP, "restore-snapshot")
    platform.start(then)
    assert platform.sql("hub", "select name from users") == "ann"
    assert platform.sql("hub_1", "select name from users") == "bob"
    assert platform.run("storage", "cat /export/ann/saves.log") == "41"
    assert platform.run("workbench-1", "cat /homes/ann/saves.log && stat -c '%u:%g' /homes/ann") == "41\n1000:1000"
    # it is a platform again: it is backed up, and not to be overwritten
    platform.next_snapshot()
    again = platform.deployment.execute(BACKUP, ["restore-snapshot"])
    assert again.exit_code == 1
    assert "found ann, database hub, database hub_1" in again.output
