"""The active/passive platform on real containers, without people: what each component promises to the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from harness.components.haproxy_config import STATISTICS_PORT
from harness.components.jupyterhub import ACTIVE_PROBE
from harness.core.specs import ContainerSpec, NodeContext
from harness.load.balancer_watch import read_statistics
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually
from tests.integration.browsers import Browser
from tests.integration.rig import break_it, deployed, mend_it, new_context, without_people

TOPOLOGY = load_topology(ROOT / "topologies/active-passive.yaml")
NODES = ("workbench-0", "workbench-1")


@pytest.fixture(scope="module")
def context() -> NodeContext:
    """Completed by the deployment."""
    return new_context()


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient, context: NodeContext) -> Iterator[DockerDeployment]:
    with deployed(runtime, engine, TOPOLOGY.name, prepared, context) as deployment:
        yield deployment


def prepared(context: NodeContext) -> list[ContainerSpec]:
    """The first node has the program that checks its homes, and the other one starts sessions in the other way."""
    folder = Path(__file__).parent / "posix_checks"
    program = {f"/srv/{folder.name}/{path.name}": path.read_text() for path in folder.glob("*.py")}
    specs = {spec.name: spec for spec in without_people(TOPOLOGY)(context)}
    first, second = (specs[name] for name in NODES)
    specs[first.name] = replace(first, files={**first.files, **program})
    specs[second.name] = replace(second, environment={**second.environment, "SESSION_START": "cold"})
    return list(specs.values())


def active(platform: DockerDeployment) -> list[str]:
    return [name for name in NODES if platform.execute(name, ACTIVE_PROBE).exit_code == 0]


def test_exactly_one_node_is_active_and_the_log_in_page_comes_through_the_balancer(platform: DockerDeployment) -> None:
    assert len(active(platform)) == 1
    page = platform.execute("load-balancer", ["curl", "-fsS", "--dump-header", "-", "http://127.0.0.1/hub/login"])
    assert page.exit_code == 0, page.output
    assert f"x-workbench-node: {active(platform)[0]}" in page.output.lower()
    assert "password" in page.output


def test_the_balancer_tells_what_it_believes_and_nothing_else(platform: DockerDeployment) -> None:
    def ask(path: str, *options: str) -> str:
        address = f"http://127.0.0.1:{STATISTICS_PORT}{path}"
        return platform.execute("load-balancer", ["curl", "-sS", *options, address]).output

    def believes() -> dict[str, str]:
        return {server: status for _, server, status, _ in read_statistics(ask("/statistics;csv"))}

    # a server counts as up until its first checks have failed
    eventually(
        lambda: believes() == {name: "UP" if name in active(platform) else "DOWN" for name in NODES},
        "the balancer believes what the nodes say",
    )
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert [ask("/statistics", *code), ask("/", *code)] == ["403", "403"]
    assert ask("/statistics;csv", "-X", "POST", "-d", "s=workbench-0&action=drain&b=workbench", *code) == "403"
    assert "/statistics" not in platform.log("load-balancer")


def test_the_homes_are_a_file_system_that_programs_can_rely_on(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    argv = ["env", "PYTHONPATH=/srv", "/usr/bin/python3", "-m", "posix_checks", "/homes/posix"]
    done = platform.execute(NODES[0], argv, timeout_s=180)
    assert done.exit_code == 0, done.output
    assert "28 of 28 checks passed" in done.output


def test_what_one_node_saves_the_other_reads_and_the_server_has_on_disk(platform: DockerDeployment) -> None:
    write = "mkdir -p /homes/ann && echo 41 > /homes/ann/saves.log && sync /homes/ann/saves.log"
    assert platform.execute("workbench-0", ["sh", "-c", write]).exit_code == 0
    assert platform.execute("workbench-1", ["cat", "/homes/ann/saves.log"]).output.strip() == "41"
    assert platform.execute("storage", ["cat", "/export/ann/saves.log"]).output.strip() == "41"


def test_an_acknowledged_transaction_survives_the_death_of_the_database(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    sql = "create table if not exists t (v int); insert into t values (7)"
    assert platform.execute("database", ["su", "postgres", "-c", f"psql -q -d hub -c '{sql}'"]).exit_code == 0
    holder = active(platform)
    kill_and_start(platform, "database")
    eventually(
        lambda: platform.execute("database", ["/usr/local/bin/ready"]).exit_code == 0, "the database serves again"
    )
    rows = platform.execute("database", ["su", "postgres", "-c", "psql -q -t -A -d hub -c 'select v from t'"])
    assert rows.output.strip() == "7"
    eventually(lambda: active(platform) == holder, "the holder keeps its place over a restart of the database")


def kill_and_start(platform: DockerDeployment, name: str, between: Callable[[], None] = lambda: None) -> None:
    """Through the agent, as a run does it."""
    platform.agent.call("fault", step="prepare", index=0, fault="kill", targets=[name])
    platform.agent.call("fault", step="inject", index=0)
    assert platform.agent.call("fault", step="confirm", index=0, timeout_s=20)["ok"]
    between()
    platform.agent.call("fault", step="undo", index=0)
    assert platform.agent.call("fault", step="confirm_recovery", index=0, timeout_s=20)["ok"]


def test_the_standby_takes_over_and_the_dead_node_comes_back_as_standby(
    platform: DockerDeployment, engine: docker.DockerClient
) -> None:
    (holder,) = active(platform)
    (heir,) = set(NODES) - {holder}

    def taken_over() -> None:
        took_s = eventually(
            lambda: platform.execute(heir, ACTIVE_PROBE).exit_code == 0, f"{heir} takes over", limit_s=20
        )
        print(f"took over after {took_s:.2f} s")

    kill_and_start(platform, holder, between=taken_over)
    eventually(lambda: platform.execute(holder, ["/usr/local/bin/ready"]).exit_code == 0, f"{holder} stands by")
    assert active(platform) == [heir]


def test_a_node_that_hung_is_fenced_when_it_wakes_up(platform: DockerDeployment) -> None:
    (holder,) = active(platform)
    (heir,) = set(NODES) - {holder}
    break_it(platform, "pause", holder)
    try:
        eventually(lambda: platform.execute(heir, ACTIVE_PROBE).exit_code == 0, f"{heir} takes over from a hung node")
    finally:
        mend_it(platform)
    # it never says again that it is active, and what its former self left is ended
    eventually(
        lambda: platform.execute(holder, ["pgrep", "-x", "jupyterhub"]).exit_code == 1, f"{holder} ends its hub", 10
    )
    assert active(platform) == [heir]


def test_a_holder_that_only_lost_its_way_to_the_database_makes_room(platform: DockerDeployment) -> None:
    (holder,) = active(platform)
    (heir,) = set(NODES) - {holder}
    break_it(platform, "partition", holder, peers=["database"], options={"direction": "both", "how": "drop"})
    try:
        eventually(lambda: platform.execute(heir, ACTIVE_PROBE).exit_code == 0, f"{heir} takes over", limit_s=20)
        # without asking its peer it would keep its sessions, and its place at the balancer, for hub_grace_s (15 s)
        eventually(lambda: active(platform) == [heir], f"{holder} makes room", limit_s=5)
    finally:
        mend_it(platform)
    eventually(lambda: platform.execute(holder, ["/usr/local/bin/ready"]).exit_code == 0, f"{holder} stands by")
    assert active(platform) == [heir]


def servers_seen(platform: DockerDeployment) -> Counter[tuple[str, str]]:
    """By node and person, what the first look of a watch shows."""
    platform.agent.call("watch_servers", nodes=list(NODES))
    stated = platform.agent.call("end_servers_watch")
    assert stated["failed"] == 0, stated["why"]
    rows = platform.read_file("agent", stated["servers"]["path"]).decode().splitlines()[1:-1]
    changes = [fields for fields in (row.split(",") for row in rows) if fields[3]]
    return Counter({(node, user): int(servers) for _, _, _, node, user, servers in changes})


def servers_listed(platform: DockerDeployment) -> list[int]:
    """How many servers each node itself lists; brackets, so that what looks for them does not find itself."""
    words = ["pgrep", "-cf", r"^(\S*python\S* )?\S*[j]upyterhub-singleuser"]
    return [int(platform.execute(node, words).output) for node in NODES]


def test_a_person_who_came_back_elsewhere_has_two_servers_until_the_old_node_is_fenced(
    platform: DockerDeployment, context: NodeContext
) -> None:
    """Whose servers run is seen also on a node that nobody reaches, and on one that is frozen."""
    (holder,) = active(platform)
    (heir,) = set(NODES) - {holder}
    ann = Browser(platform, "load-balancer", "ann")
    ann.start_session(context.secrets["USER_PASSWORD"])
    assert servers_seen(platform) == {(holder, "ann"): 1}
    break_it(platform, "isolate", holder)
    try:
        eventually(lambda: platform.execute(heir, ACTIVE_PROBE).exit_code == 0, f"{heir} takes over", limit_s=20)
        assert servers_seen(platform) == {(holder, "ann"): 1}, "behind the cut it lives on"
        eventually(lambda: ann.ask()[0][1] == heir, f"the balancer knows {heir}")
        ann.go_in()  # the hub that took over knows her log-in
        assert servers_seen(platform) == {(holder, "ann"): 1, (heir, "ann"): 1}
        assert servers_listed(platform) == [1, 1]
    finally:
        mend_it(platform)
    eventually(lambda: servers_seen(platform) == {(heir, "ann"): 1}, f"{holder} is fenced")
    assert servers_listed(platform) == [int(node == heir) for node in NODES]
    break_it(platform, "pause", heir)
    try:
        platform.agent.call("watch_servers", nodes=[heir])
        assert platform.agent.call("end_servers_watch")["servers"]["rows"] == 2, "frozen, and there"
    finally:
        mend_it(platform)
