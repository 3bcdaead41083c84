"""The ledger of the database's writes on real containers: the load client writes, PostgreSQL dies under it, and what it
acknowledged is read back."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator

import docker
import pytest

from harness.components.registry import database_readback, plan
from harness.core.rows import DatabaseWrite, split_checked
from harness.core.specs import ContainerSpec, NodeContext
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import break_it, deployed, mend_it

TOPOLOGY = load_topology(ROOT / "topologies/active-passive.yaml")
#: There is no platform behind the balancer: people and probes fail, and the writer must not mind.
LOAD = {
    "entrances": "http://127.0.0.1:9",
    "serving_nodes": 1,
    "password": "x",
    "prefix": "x2-",
    "users": 1,
    "beat_s": 1.0,
    "save_every": 2,
    "ramp_s": 0.0,
    "start_probe_every_s": 5.0,
    "seed": 1,
}


@pytest.fixture
def deployment(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """The database and the load client of a topology of the catalogue."""
    with deployed(runtime, engine, TOPOLOGY.name, database_and_client) as deployment:
        yield deployment


def database_and_client(context: NodeContext) -> list[ContainerSpec]:
    return [spec for spec in plan(TOPOLOGY, context) if spec.name in ("database", "client")]


def found(deployment: DockerDeployment) -> Counter[tuple[str, int]]:
    """What the harness's own reading back finds, each with how often; nothing while the server is not up."""
    argv = database_readback(TOPOLOGY)
    assert argv is not None
    answer = deployment.execute("database", argv)
    if answer.exit_code != 0:
        return Counter()
    pairs = (line.split(",") for line in answer.output.splitlines())
    return Counter((writer, int(value)) for writer, value in pairs)


def some_more(deployment: DockerDeployment) -> None:
    """Wait until the server answers and has twenty numbers more."""
    eventually(lambda: deployment.execute("database", ["/usr/local/bin/ready"]).exit_code == 0, "the server answers")
    before = len(found(deployment))
    eventually(lambda: len(found(deployment)) >= before + 20, "it writes")


def test_every_acknowledged_write_is_there_after_postgresql_was_killed(deployment: DockerDeployment) -> None:
    assert found(deployment) == Counter(), "no table yet, which is no error"
    client = deployment.peer("client")
    client.call("start", timeout_s=30, **LOAD)
    some_more(deployment)
    injected = break_it(deployment, "kill", "database")
    mend_it(deployment)
    some_more(deployment)
    stopped = client.call("stop", timeout_s=90)

    stated = stopped["database_writes"]
    body, rows = split_checked(deployment.read_file("client", stated["path"]), DatabaseWrite, "database writes")
    assert rows == stated["rows"]
    writes = list(csv.DictReader(body.decode().splitlines()))
    values = [int(write["value"]) for write in writes]
    assert values == sorted(set(values)), "each number is used once"
    acknowledged = [write for write in writes if write["ok"] == "1"]
    there = found(deployment)
    lost = [write for write in acknowledged if ("x2-writer", int(write["value"])) not in there]
    print(f"{len(acknowledged)} of {len(writes)} acknowledged, {len(lost)} lost, {sum(there.values())} there")
    assert lost == []
    assert set(there.values()) == {1}
    assert {write["server"] for write in acknowledged} == {f"{deployment.subnet_prefix}.20"}

    before = [int(write["end_ns"]) for write in acknowledged if int(write["end_ns"]) <= injected["before_ns"]]
    after = [int(write["send_ns"]) for write in acknowledged if int(write["send_ns"]) > injected["after_ns"]]
    failed = [write for write in writes if write["ok"] == "0"]
    assert len(before) >= 20, "it wrote while the database lived"
    assert len(after) >= 20, "it came back by itself"
    assert failed, "the death of the server was seen"
    assert all(write["detail"] for write in failed)
    print(f"nothing was acknowledged for {(min(after) - max(before)) / 1e9:.2f} s")
    assert all(int(write["end_ns"]) - int(write["send_ns"]) < 6e9 for write in writes), "no write outlives its deadline"
