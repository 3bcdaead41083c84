"""The ledgers of the databases on real containers: the load client and the hub write, PostgreSQL dies or a row is
removed, and what was acknowledged is read back."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from harness.analysis.writes import acknowledged_numbers, acknowledged_tokens
from harness.components.registry import database_readback, hub_readbacks, plan
from harness.core.clock import MonotonicClock
from harness.core.history import EventKind, HistoryWriter
from harness.core.products import Workbench
from harness.core.rows import DatabaseWrite, HubWrite, SavedValue, split_checked
from harness.core.topology import Topology
from harness.run.artifacts import RunFolder
from harness.run.recorder import collect_rows, read_back
from harness.run.row_files import read_rows
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.rig import Specs, break_it, deployed, mend_it, new_context

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


#: One node with its homes, and its hub's database in a file of its own or on a server.
ONE_NODE = replace(TOPOLOGY, load_balancer=None, storage=None, workbench=Workbench(mode="single", nodes=1))
ON_A_SERVER, IN_A_FILE = ONE_NODE, replace(ONE_NODE, database=None)
AS_POSTGRES = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]


def machines(topology: Topology, *names: str) -> Specs:
    """Some machines of a topology."""
    return lambda context: [spec for spec in plan(topology, context) if spec.name in names]


@pytest.fixture
def deployment(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """The database and the load client of a topology of the catalogue."""
    with deployed(runtime, engine, TOPOLOGY.name, machines(TOPOLOGY, "database", "client")) as deployment:
        yield deployment


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


def remove_from_a_server(deployment: DockerDeployment) -> None:
    for database, statement in (
        ("hub", "delete from api_tokens where note = 'x2-writer-0/3'"),
        ("harness", "delete from harness_writes where writer = 'x2-writer' and value = 7"),
    ):
        argv = [*AS_POSTGRES, "psql", "-h", "/run/postgresql", "-U", "postgres", "-d", database, "-c", statement]
        answer = deployment.execute("database", argv)
        assert answer.output.strip() == "DELETE 1", answer.output


def remove_from_a_file(deployment: DockerDeployment) -> None:
    program = (
        "import sqlite3; database = sqlite3.connect('/srv/hub/jupyterhub.sqlite', timeout=20); "
        "gone = database.execute(\"delete from api_tokens where note = 'x2-writer-0/3'\").rowcount; "
        "database.commit(); print(gone)"
    )
    answer = deployment.execute("workbench-0", ["python3", "-c", program])
    assert answer.output.strip() == "1", answer.output


@pytest.mark.parametrize(
    ("topology", "names", "remove", "numbers_lost"),
    [
        (ON_A_SERVER, ("database", "workbench-0", "client"), remove_from_a_server, [("x2-writer", 7)]),
        pytest.param(IN_A_FILE, ("workbench-0", "client"), remove_from_a_file, [], marks=pytest.mark.catalogue),
    ],
    ids=["on a server", "in a file"],
)
def test_what_was_removed_from_a_database_is_found_lost(
    runtime: DockerRuntime,
    engine: docker.DockerClient,
    tmp_path: Path,
    *,
    topology: Topology,
    names: Sequence[str],
    remove: Callable[[DockerDeployment], None],
    numbers_lost: list[tuple[str, int]],
) -> None:
    clock, context = MonotonicClock(), new_context()
    with deployed(runtime, engine, topology.name, machines(topology, *names), context) as deployment:
        client = deployment.peer("client")
        at_the_node = f"workbench-0=http://{deployment.subnet_prefix}.11:8000"
        password = context.secrets["USER_PASSWORD"]
        client.call("start", timeout_s=30, **(LOAD | {"entrances": at_the_node, "password": password}))
        ((node, argv),) = hub_readbacks(topology).items()
        place = "database" if topology.database else node
        eventually(lambda: deployment.execute(place, argv).output.count("x2-writer-0,") >= 5, "the hub writes")
        stopped = client.call("stop", timeout_s=90)
        remove(deployment)
        with HistoryWriter(tmp_path / "history.jsonl", clock) as history:
            history.append(EventKind.OPENED, {"schema": 1})
            folder = RunFolder(tmp_path)
            collect_rows(deployment, "client", stopped, folder, history)
            read_back(deployment, topology, folder, history, clock=clock, prefix="x2-")
    row_types = {"database_writes": DatabaseWrite, "hub_writes": HubWrite, "saved": SavedValue}
    numbers, tokens, saved = (read_rows(tmp_path / f"{name}.parquet", kind) for name, kind in row_types.items())
    found = acknowledged_tokens(tokens, saved, shared=False)
    lost = found[~found["present"]]
    print(f"{len(found)} of {len(tokens)} acknowledged, {len(lost)} lost")
    assert len(found) >= 5
    assert list(zip(lost["user"], lost["value"], strict=True)) == [("x2-writer-0", 3)]
    assert set(saved.loc[saved["store"] == "hub", "place"]) == {"workbench-0"}
    found = acknowledged_numbers(numbers, saved)
    lost = found[~found["present"]]
    assert list(zip(lost["user"], lost["value"], strict=True)) == numbers_lost
