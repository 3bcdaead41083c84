"""Wall clocks of real services, as the services themselves tell the time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import docker
import pytest

from harness.components.jupyterhub import LOG_IN_PATH
from harness.components.registry import plan
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.words import Role
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually, first_of
from tests.integration.rig import break_it, deployed, mend_it, step

TOPOLOGY = load_topology(ROOT / "topologies/active-passive.yaml")
HOUR_S = 3600
#: What a look through the engine takes on a busy machine, and the whole seconds of some clocks.
TOLERANCE_S = 5


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """Everything but the people, all with clocks that can be set."""
    with deployed(runtime, engine, TOPOLOGY.name, with_clocks) as deployment:
        yield deployment


def with_clocks(context: NodeContext) -> list[ContainerSpec]:
    specs = plan(TOPOLOGY, context, clock_roles=tuple(Role))
    return [spec for spec in specs if spec.name != "client"]


def say(platform: DockerDeployment, name: str, *argv: str) -> str:
    """What a command in a container prints; the command itself sees the host's clock."""
    done = platform.execute(name, ["env", "-u", "LD_PRELOAD", *argv])
    assert done.exit_code == 0, done.output
    return done.output.strip()


def off_s(shown_s: float) -> float:
    return shown_s - time.time()


def of_database(platform: DockerDeployment) -> float:
    query = "select extract(epoch from clock_timestamp())"
    return off_s(float(say(platform, "database", "su", "postgres", "-c", f'psql -X -q -t -A -d hub -c "{query}"')))


def date_of(answer: str) -> float:
    """By the header of an answer of HTTP."""
    date = next(line.split(":", 1)[1] for line in answer.splitlines() if line.lower().startswith("date:"))
    return off_s(parsedate_to_datetime(date.strip()).timestamp())


def of_hub(platform: DockerDeployment) -> float:
    """The hub of the node that serves dates the log-in page."""
    return date_of(log_in_page(platform))


def log_in_page(platform: DockerDeployment) -> str:
    """With the headers of the answer."""
    address = f"127.0.0.1{LOG_IN_PATH}"  # curl takes http where nothing is said
    return say(platform, "load-balancer", "curl", "-sS", "--dump-header", "-", "--max-time", "5", address)


def of_proxy(platform: DockerDeployment, node: str) -> float:
    """The node's proxy, a program of Node.js, dates the refusal of who has no token."""
    argv = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8001; printf 'GET /api/routes HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"]
    return date_of(say(platform, node, *argv))


def of_balancer(platform: DockerDeployment) -> float:
    """HAProxy stamps each request in its log."""
    of_hub(platform)
    stamps: list[str] = re.findall(r" \[(\S+)\] platform ", platform.log("load-balancer"))
    return off_s(datetime.strptime(stamps[-1], "%d/%b/%Y:%H:%M:%S.%f").replace(tzinfo=UTC).timestamp())


def of_storage(platform: DockerDeployment) -> float:
    """Ganesha stamps each line of its log; it writes one when a client breaks a connection off."""
    reset = "use Socket; use IO::Socket::INET; my $s = IO::Socket::INET->new('127.0.0.1:2049') or die; "
    argv = ["perl", "-e", reset + "setsockopt($s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)); close $s"]
    before = platform.log("storage").count(" ganesha.nfsd-")
    say(platform, "storage", *argv)
    eventually(lambda: platform.log("storage").count(" ganesha.nfsd-") > before, "the server writes into its log")
    stamps: list[str] = re.findall(r"^(\S+ \S+) : epoch ", platform.log("storage"), re.MULTILINE)
    return off_s(datetime.strptime(stamps[-1], "%d/%m/%Y %H:%M:%S").replace(tzinfo=UTC).timestamp())


def active(platform: DockerDeployment) -> str:
    def node() -> str:
        return log_in_page(platform).lower().partition("x-workbench-node: ")[2].partition("\r")[0]

    eventually(lambda: bool(node()), "a node serves")
    return node()


def near(observed_s: float, expected_s: float) -> bool:
    return abs(observed_s - expected_s) <= TOLERANCE_S


@pytest.mark.parametrize("offset_s", first_of(HOUR_S, -HOUR_S))
def test_the_database_tells_the_wrong_time_until_undone(platform: DockerDeployment, offset_s: int) -> None:
    assert near(of_database(platform), 0)
    injected = break_it(platform, "clock_skew", "database", options={"offset_s": offset_s})
    assert near(of_database(platform), offset_s)
    mend_it(platform)
    assert near(of_database(platform), 0)
    print(f"clock_skew: {(injected['after_ns'] - injected['before_ns']) / 1e6:.2f} ms")


def test_hub_and_proxy_of_a_node_tell_the_wrong_time_until_undone(platform: DockerDeployment) -> None:
    node = active(platform)
    assert near(of_hub(platform), 0)
    break_it(platform, "clock_skew", node, options={"offset_s": -HOUR_S})
    assert near(of_hub(platform), -HOUR_S)
    eventually(lambda: near(of_proxy(platform, node), -HOUR_S), "Node.js keeps a date for up to a second", 5)
    assert near(of_database(platform), 0), "of this node alone"
    stamp = ["sh", "-c", "echo 1 > /homes/stamp && stat -c %Y /homes/stamp"]
    assert near(off_s(float(say(platform, node, *stamp))), 0), "files are stamped by the storage's kernel"
    mend_it(platform)
    assert near(of_hub(platform), 0)
    eventually(lambda: near(of_proxy(platform, node), 0), "Node.js keeps a date for up to a second", 5)


def test_the_balancer_tells_the_wrong_time_until_undone(platform: DockerDeployment) -> None:
    break_it(platform, "clock_skew", "load-balancer", options={"offset_s": HOUR_S})
    assert near(of_balancer(platform), HOUR_S)
    assert near(of_hub(platform), 0)
    mend_it(platform)
    assert near(of_balancer(platform), 0)


def test_the_storage_tells_the_wrong_time_until_undone(platform: DockerDeployment) -> None:
    break_it(platform, "clock_skew", "storage", options={"offset_s": HOUR_S})
    assert near(of_storage(platform), HOUR_S)
    mend_it(platform)
    assert near(of_storage(platform), 0)


def test_a_machine_that_is_started_anew_has_the_right_time(platform: DockerDeployment) -> None:
    break_it(platform, "clock_skew", "database", options={"offset_s": HOUR_S})
    break_it(platform, "restart", "database", index=1)
    eventually(lambda: platform.execute("database", ["/usr/local/bin/ready"]).exit_code == 0, "it serves again")
    assert near(of_database(platform), 0)
    step(platform, "undo", index=1)
    mend_it(platform)
    assert near(of_database(platform), 0)


def test_a_machine_without_the_library_is_refused(deployment: DockerDeployment) -> None:
    with pytest.raises(PeerError, match="the clock of sleep can't be set, because the library for it is not loaded"):
        step(deployment, "prepare", fault="clock_skew", targets=["idle"], options={"offset_s": HOUR_S})
