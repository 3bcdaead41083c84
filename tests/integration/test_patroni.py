"""The database as a cluster, on real containers: who is primary, and what a client sees when that changes.

The observer is a client that writes through the HAProxy all the time, as the platform's nodes do, and notes which
writes were acknowledged and when.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import docker
import pytest

from harness.components import patroni, postgresql
from harness.core.products import LoadBalancer, Patroni, Storage, Workbench
from harness.core.topology import Topology
from harness.errors import PeerError
from harness.runtime.base import ExecResult
from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import eventually
from tests.integration.rig import break_it, deployed, mend_it, step

DATABASE = Patroni()
TOPOLOGY = Topology(
    name="cluster",
    description="the database alone",
    load_balancer=LoadBalancer(),
    workbench=Workbench(),
    database=DATABASE,
    storage=Storage(),
)
SERVERS = patroni.names(TOPOLOGY)
ETCD = ("etcd-0", "etcd-1", "etcd-2")

_WRITER = """
import json, os, pathlib, sys, time, psycopg
table, stop = sys.argv[1], pathlib.Path(sys.argv[2])
where = f"host=database-proxy dbname={os.environ['DB_NAMES'].split()[0]} user={os.environ['DB_USER']}"
limits = "connect_timeout=2 keepalives_idle=2 keepalives_interval=1 keepalives_count=3 tcp_user_timeout=3000"
connection, number, acknowledged, failures = None, 0, [], {}
while not stop.exists():
    number += 1
    try:
        if connection is None:
            connection = psycopg.connect(f"{where} password={os.environ['DB_PASSWORD']} {limits}", autocommit=True)
            connection.execute(f"create table if not exists {table} (number int primary key)")
        connection.execute(f"insert into {table} values (%s)", (number,))
        acknowledged.append((time.monotonic(), number))
    except psycopg.Error as error:
        failures[type(error).__name__] = failures.get(type(error).__name__, 0) + 1
        if connection is not None:
            connection.close()
        connection = None
    time.sleep(0.02)
print(json.dumps({"acknowledged": acknowledged, "failures": failures}))
"""


@dataclass
class Observed:
    """What the writer saw; filled when it has ended."""

    acknowledged: list[tuple[float, int]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def gap_s(self) -> float:
        """The longest time between two acknowledged writes."""
        times = [moment for moment, _ in self.acknowledged]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


@pytest.fixture(scope="module")
def cluster(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    containers = partial(patroni.containers, TOPOLOGY)
    with deployed(runtime, engine, TOPOLOGY.name, containers) as deployment:
        yield deployment


def primaries(cluster: DockerDeployment, among: tuple[str, ...] = SERVERS) -> list[str]:
    return [name for name in among if cluster.execute(name, patroni.PRIMARY_PROBE).exit_code == 0]


def query(cluster: DockerDeployment, at: str, sql: str) -> list[str]:
    """Rows that the primary answers, through the HAProxy, asked from the machine `at`."""
    client = f'PGPASSWORD=$DB_PASSWORD psql -X -A -t -h database-proxy -U $DB_USER -d ${{DB_NAMES%% *}} -c "{sql}"'
    answer = cluster.execute(at, ["bash", "-c", client])
    return answer.output.split() if answer.exit_code == 0 else []


def all_follow(cluster: DockerDeployment) -> bool:
    return all(cluster.execute(name, ["/usr/local/bin/ready", "synchronous"]).exit_code == 0 for name in SERVERS)


@contextmanager
def watched(cluster: DockerDeployment, table: str, at: str) -> Iterator[Observed]:
    """A client writes all the time, from the machine `at`; the block begins when it does and must end with it writing.

    Every acknowledged write must be there afterwards.
    """
    observed, stop = Observed(), f"/tmp/stop-{table}"
    command = ["/opt/patroni/bin/python", "-c", _WRITER, table, stop]

    def some_more() -> None:
        before = len(query(cluster, at, f"select number from {table}"))
        eventually(lambda: len(query(cluster, at, f"select number from {table}")) >= before + 20, "it writes")

    with ThreadPoolExecutor(max_workers=1) as pool:
        writer: Future[ExecResult] = pool.submit(cluster.execute, at, command, timeout_s=120)
        try:
            some_more()
            yield observed
            some_more()
        finally:
            cluster.execute(at, ["touch", stop])
    assert writer.result().exit_code == 0, writer.result().output
    found = json.loads(writer.result().output)
    observed.acknowledged = [(moment, number) for moment, number in found["acknowledged"]]
    observed.failures = found["failures"]
    there = {int(row) for row in query(cluster, at, f"select number from {table}")}
    lost = {number for _, number in observed.acknowledged} - there
    print(f"{table}: gap {observed.gap_s:.2f} s, failures {observed.failures}, {len(lost)} of {len(there)} lost")
    assert lost == set()


def test_there_is_one_primary_and_the_proxy_leads_to_it(cluster: DockerDeployment) -> None:
    (primary,) = primaries(cluster)
    (address,) = query(cluster, "database-0", "select host(inet_server_addr())")
    assert address == f"{cluster.subnet_prefix}.{20 + SERVERS.index(primary)}"
    (waits_for,) = query(cluster, "database-0", "show synchronous_standby_names")
    assert waits_for.strip('"') in SERVERS
    for name, value in postgresql.parameters(DATABASE).items():
        assert query(cluster, "database-0", f"show {name}") == [str(value)], name


def test_only_the_servers_themselves_may_demand_something_of_each_other(cluster: DockerDeployment) -> None:
    demand = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-d", '{"leader": "database-0"}']
    page = f"http://{cluster.subnet_prefix}.20:{patroni.API_PORT}/switchover"
    assert cluster.execute("database-proxy", [*demand, page]).output == "403"


def test_a_switchover_is_seen_by_a_client_and_loses_nothing(cluster: DockerDeployment) -> None:
    (before,) = primaries(cluster)
    at = next(name for name in SERVERS if name != before)
    with watched(cluster, "switchover", at) as observed:
        injected = break_it(cluster, "switchover", before)
        mend_it(cluster)
        (after,) = primaries(cluster)
        assert after != before
        # a second one of the same act: the target is not the primary any more
        step(cluster, "inject")
        assert primaries(cluster) == [after]
        step(cluster, "undo")
    assert injected["after_ns"] - injected["before_ns"] < 500_000_000
    assert 0.02 < observed.gap_s < 10
    assert observed.failures
    with pytest.raises(PeerError, match="is not the primary"):
        cluster.agent.call("fault", step="prepare", index=1, fault="switchover", targets=[before])


@pytest.mark.catalogue
def test_a_failover_loses_nothing_and_the_dead_server_comes_back_as_a_replica(cluster: DockerDeployment) -> None:
    eventually(lambda: all_follow(cluster), "all servers follow")
    (before,) = primaries(cluster)
    others = tuple(name for name in SERVERS if name != before)
    with watched(cluster, "failover", others[0]) as observed:
        break_it(cluster, "failover", before)
        eventually(lambda: len(primaries(cluster, others)) == 1, "another becomes primary", limit_s=40)
    mend_it(cluster)
    seconds = eventually(lambda: all_follow(cluster), "the dead server follows", limit_s=60)
    print(f"the dead server follows {seconds:.1f} s after its start")
    assert before not in primaries(cluster)
    # the lease of a dead primary must run out first; less is not possible, twice as much is not as promised
    assert 10 < observed.gap_s < 35


# the last one: for ttl_s after it replicas take the former primary for alive (see docs/architecture.md, "The database")
@pytest.mark.catalogue
def test_writes_go_on_without_etcd(cluster: DockerDeployment) -> None:
    (primary,) = primaries(cluster)
    with watched(cluster, "without_etcd", primary) as observed:
        for index, member in enumerate(ETCD[:2]):
            break_it(cluster, "kill", member, index=index)
        without = time.monotonic()
        # without failsafe mode the primary steps down after retry_timeout_s (measured: writes fail from 3.5 s on)
        eventually(
            lambda: time.monotonic() - without > 2 * DATABASE.retry_timeout_s + 2 * DATABASE.loop_wait_s, "time passes"
        )
        assert primaries(cluster) == [primary]
        for index in (1, 0):
            for name in ("undo", "confirm_recovery", "cleanup"):
                step(cluster, name, index=index)
        eventually(
            lambda: all(cluster.execute(member, ["/usr/local/bin/ready"]).exit_code == 0 for member in ETCD), "etcd"
        )
        eventually(lambda: all_follow(cluster), "all servers follow")
    assert observed.gap_s < 2
