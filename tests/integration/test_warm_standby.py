"""What the node has is on its warm standby within seconds, on real containers; and destroying and taking a place."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from harness.components.jupyterhub import ACTIVE_PROBE, STANDBY
from harness.core.names import resource_name
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import deployed, without_people

pytestmark = pytest.mark.catalogue

TOPOLOGY = load_topology(ROOT / "topologies/single-warm.yaml")
NODE = "workbench-0"


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    with deployed(runtime, engine, TOPOLOGY.name, without_people(TOPOLOGY)) as deployment:
        yield deployment
        print(deployment.log(STANDBY))


def run(platform: DockerDeployment, name: str, script: str) -> str:
    """What a script says that must succeed."""
    done = platform.execute(name, ["sh", "-c", script])
    assert done.exit_code == 0, done.output
    return done.output.strip()


def homes_of(platform: DockerDeployment, name: str) -> str:
    """A person's home as it is: kind, permissions, owner, size, links and time of everything."""
    return run(platform, name, "cd /homes && find ann -printf '%p %y %m %U %s %n %T@ %l\\n' | sort")


def test_the_standby_has_what_the_node_has_and_no_more(platform: DockerDeployment) -> None:
    make = "mkdir /homes/ann && cd /homes/ann && echo 41 > saves.log && chmod 640 saves.log && echo x > .hidden"
    run(platform, NODE, f"{make} && ln saves.log twin && ln -s saves.log link && chown -hR 1000:1000 .")
    there = "test -e /homes/ann/saves.log"
    eventually(lambda: platform.execute(STANDBY, ["sh", "-c", there]).exit_code == 0, "the home is on the standby", 20)
    eventually(lambda: homes_of(platform, STANDBY) == homes_of(platform, NODE), "all of it is", 20)
    assert run(platform, STANDBY, "cat /homes/ann/saves.log /homes/ann/link") == "41\n41"
    assert run(platform, STANDBY, "cat /homes/ann/.hidden") == "x", "people's own hidden files are theirs too"
    run(platform, NODE, "echo 42 >> /homes/ann/saves.log; rm /homes/ann/link")
    eventually(lambda: homes_of(platform, STANDBY) == homes_of(platform, NODE), "what changed is there too", 20)
    assert run(platform, STANDBY, "cat /homes/ann/twin") == "41\n42"
    assert run(platform, STANDBY, "stat -c '%u %a' /srv/hub/jupyterhub.sqlite") == "1000 600"


def test_after_the_disaster_the_standby_is_the_node_at_its_address(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    before = homes_of(platform, STANDBY)
    address = f"{platform.subnet_prefix}.11"
    logs: dict[str, str] = {}
    lost = platform.destroy([NODE], lambda name: logs.update({name: platform.log(name)}))
    assert lost == ["workbench-0-homes", "workbench-0-hub"]
    assert "active" in logs[NODE], "what it said until it died"
    volumes = {volume.name for volume in engine.volumes.list()}
    prefix = resource_name(platform.run_id)
    assert {name.removeprefix(f"{prefix}-") for name in volumes if name.startswith(f"{prefix}-")} == {
        "workbench-standby-homes",
        "workbench-standby-hub",
    }

    run(platform, STANDBY, "promote")
    eventually(lambda: platform.execute(STANDBY, ACTIVE_PROBE).exit_code == 0, "the node serves on the standby", 40)
    platform.take_place(STANDBY, NODE)
    networks = platform.inspect(STANDBY)["NetworkSettings"]["Networks"]
    assert [network["IPAddress"] for network in networks.values()] == [address]
    assert run(platform, STANDBY, f"getent hosts {NODE}").split()[0] == address
    run(platform, STANDBY, "/usr/local/bin/ready")
    assert homes_of(platform, STANDBY) == before, "nothing of it is lost"
