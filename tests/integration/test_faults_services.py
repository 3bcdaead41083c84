"""Faults of the real services: the database, the NFS server, and the processes that have names worth knowing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import docker
import pytest

from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually, first_of
from tests.integration.rig import break_it, deployed, mend_it, pid_of, step, without_people

TOPOLOGY = load_topology(ROOT / "topologies/active-passive.yaml")


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """Everything but the people."""
    with deployed(runtime, engine, TOPOLOGY.name, without_people(TOPOLOGY)) as deployment:
        yield deployment


def ready(platform: DockerDeployment, name: str) -> bool:
    return platform.execute(name, ["/usr/local/bin/ready"]).exit_code == 0


def active(platform: DockerDeployment) -> str:
    """The node that serves now, as the load balancer's own answers say."""
    eventually(lambda: "x-workbench-node" in log_in_page(platform), "the log-in page comes through the balancer")
    return log_in_page(platform).split("x-workbench-node: ")[1].split()[0]


def log_in_page(platform: DockerDeployment) -> str:
    argv = ["curl", "-sS", "--dump-header", "-", "--max-time", "2", "http://127.0.0.1/hub/login"]
    return platform.execute("load-balancer", argv).output.lower()


def sql(platform: DockerDeployment, query: str, *, timeout_s: float = 30.0) -> str:
    argv = ["su", "postgres", "-c", f'psql -X -q -t -A -d hub -c "{query}" 2>&1']
    return platform.execute("database", argv, timeout_s=timeout_s).output.strip()


#: As docs/faults.md lists them.
NAMES = [
    ("workbench", "jupyterhub"),
    ("workbench", "configurable-http-proxy"),
    ("workbench", "node_supervisor"),
    ("workbench", "session_forker"),
    ("workbench", "nfsfuse"),
    ("database", "postgres"),
    ("load-balancer", "haproxy"),
    ("storage", "ganesha.nfsd"),
    ("storage", "rpcbind"),
]


def test_useful_processes_are_found_by_their_names(platform: DockerDeployment) -> None:
    missing = []
    for container, process in NAMES:
        target = active(platform) if container == "workbench" else container
        try:
            step(platform, "prepare", fault="freeze", targets=[target], options={"process": process})
        except PeerError as error:
            missing.append(error.message)
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("process", first_of("jupyterhub", "configurable-http-proxy", "session_forker"))
def test_a_crash_on_a_node_is_mended_by_its_supervisor(
    platform: DockerDeployment, engine: docker.DockerClient, process: str
) -> None:
    node = active(platform)
    machine = pid_of(engine, platform, node)
    break_it(platform, "crash", node, options={"process": process})
    mend_it(platform)
    assert pid_of(engine, platform, node) == machine, "its supervisor has started it, not the undo"
    took_s = eventually(lambda: "200 ok" in log_in_page(platform), "people can log in again")
    print(f"{process}: the log-in page is back {took_s:.1f} s after the undo")
    assert active(platform) == node


@pytest.mark.parametrize(
    ("container", "options"),
    first_of(
        ("workbench", {"process": "node_supervisor"}),
        ("workbench", {"process": "nfsfuse"}),
        ("database", {"process": "postgres"}),
        ("load-balancer", {"process": "haproxy"}),
        ("load-balancer", {"process": "haproxy", "workers": True}),
        ("storage", {"process": "ganesha.nfsd"}),
    ),
    ids=str,
)
def test_a_crash_that_nobody_mends_is_undone_by_starting_the_machine_anew(
    platform: DockerDeployment, engine: docker.DockerClient, container: str, options: dict[str, object]
) -> None:
    name = active(platform) if container == "workbench" else container
    machine = pid_of(engine, platform, name)
    break_it(platform, "crash", name, options=options)
    mend_it(platform)
    assert pid_of(engine, platform, name) not in (0, machine)
    argv = ["/usr/local/bin/ready", "/hub/login"] if container == "load-balancer" else ["/usr/local/bin/ready"]
    eventually(lambda: platform.execute(name, argv).exit_code == 0, f"{name} serves again")


def test_a_node_whose_memory_is_eaten_up_loses_a_process_and_gets_over_it(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    node = active(platform)

    def processes() -> dict[str, str]:
        lines = platform.execute(node, ["ps", "-e", "-o", "pid=,comm="]).output.splitlines()
        return {line.split()[0]: line.split(None, 1)[1] for line in lines}

    before = processes()
    break_it(platform, "memory", node, options={"leave_mb": 8, "oom": True})

    def lost() -> set[str]:
        return {before[pid] for pid in before.keys() - processes().keys()} - {"ps", "timeout"}

    try:
        # what the kernel kills is counted at once and gone a moment later
        eventually(lambda: bool(lost()), "the node lost a process", limit_s=5)
        print(f"the kernel killed: {lost()}")
    finally:
        mend_it(platform)
    eventually(lambda: "200 ok" in log_in_page(platform), "people can log in again")


def test_a_balancer_whose_worker_hangs_accepts_connections_and_answers_none(platform: DockerDeployment) -> None:
    eventually(lambda: "200 ok" in log_in_page(platform), "people can log in")
    break_it(platform, "freeze", "load-balancer", options={"process": "haproxy", "workers": True})
    assert "timed out" in log_in_page(platform)
    mend_it(platform)
    eventually(lambda: "200 ok" in log_in_page(platform), "people can log in again")


def test_kill_connections_ends_every_client_and_nothing_else(platform: DockerDeployment) -> None:
    answers: list[str] = []
    sleeper = threading.Thread(target=lambda: answers.append(sql(platform, "select pg_sleep(60)", timeout_s=90)))
    sleeper.start()
    count = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and pid <> pg_backend_pid()"
    eventually(lambda: sql(platform, count) == "1", "the sleeper is connected")
    others = (
        "select string_agg(pid::text, ',' order by pid) from pg_stat_activity where backend_type <> 'client backend'"
    )
    clients = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    assert int(sql(platform, clients)) > 1, "the nodes are connected too"
    before, started = sql(platform, others), sql(platform, "select pg_postmaster_start_time()")
    injected = break_it(platform, "kill_connections", "database")
    sleeper.join(timeout=10)
    assert "terminating connection due to administrator command" in answers[0]
    assert sql(platform, "select pg_postmaster_start_time()") == started
    assert sql(platform, others) == before, "the server's own processes go on"
    mend_it(platform)
    eventually(lambda: int(sql(platform, clients)) > 0, "the nodes connect again by themselves")
    print(f"kill_connections: {(injected['after_ns'] - injected['before_ns']) / 1e6:.2f} ms")


def test_failover_takes_the_primary_away_until_undone(platform: DockerDeployment, engine: docker.DockerClient) -> None:
    break_it(platform, "failover", "database")
    assert pid_of(engine, platform, "database") == 0
    mend_it(platform)
    eventually(lambda: ready(platform, "database"), "the database takes writes again")


def serves(platform: DockerDeployment) -> bool:
    """The observer: Debian's own client asks the server for an empty answer."""
    argv = ["timeout", "2", "rpcinfo", "-n", "2049", "-t", "127.0.0.1", "nfs", "3"]
    return "ready and waiting" in platform.execute("storage", argv).output


def test_nfs_hang_lets_clients_wait_until_undone(platform: DockerDeployment) -> None:
    node = active(platform)
    assert serves(platform)
    break_it(platform, "nfs_hang", "storage")
    assert not serves(platform)
    done: list[int] = []
    write = ["sh", "-c", "echo 1 > /homes/hang && sync /homes/hang"]
    writer = threading.Thread(target=lambda: done.append(platform.execute(node, write, timeout_s=60).exit_code))
    writer.start()
    writer.join(timeout=2)
    assert writer.is_alive(), "a write in a home waits"
    mend_it(platform)
    writer.join(timeout=30)
    assert done == [0], "the write that waited succeeds"
    assert serves(platform)


def test_nfs_restart_brings_a_new_server_at_the_same_address(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    node, machine = active(platform), pid_of(engine, platform, "storage")
    injected = break_it(platform, "nfs_restart", "storage")
    assert pid_of(engine, platform, "storage") not in (0, machine)
    assert serves(platform)
    mend_it(platform)
    write = ["sh", "-c", "echo 2 > /homes/restart && sync /homes/restart"]
    assert platform.execute(node, write, timeout_s=60).exit_code == 0, "clients find it where it was"
    print(f"nfs_restart: {(injected['after_ns'] - injected['before_ns']) / 1e9:.2f} s")


def test_an_nfs_server_that_does_not_serve_is_not_broken_further(platform: DockerDeployment) -> None:
    break_it(platform, "nfs_hang", "storage", index=0)
    with pytest.raises(PeerError, match="the NFS server of storage doesn't serve even now: no answer"):
        step(platform, "prepare", index=1, fault="nfs_restart", targets=["storage"])
    mend_it(platform, index=0)
