"""Late, slow and broken traffic on real containers: each fault as a third party sees it, in perl, from outside."""

from __future__ import annotations

from dataclasses import replace

import docker
import pytest

from harness.components import hops, toxiproxy
from harness.core.names import LINK_ROLE
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe
from harness.core.topology import Link
from harness.core.words import Role
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import eventually
from tests.integration.rig import IDLE, break_it, mend_it, pid_of, step

LINK = Link(from_=Role.WORKBENCH, to=Role.DATABASE)
LINK_NAME = "link-workbench-database"
ECHO = 7
#: Sends everything back, one process a connection; says when a client has ended.
SERVER = """
use IO::Socket::INET; use Time::HiRes 'time'; $| = 1; $SIG{CHLD} = 'IGNORE';
$s = IO::Socket::INET->new(LocalPort => 7, Listen => 64, ReuseAddr => 1) or die;
while ($c = $s->accept) {
  next if fork; while (sysread($c, $b, 65536)) { syswrite($c, $b) } printf "ended %.3f\\n", time; exit
}
"""
#: ADDRESS PORT BYTES: sends so much, prints the milliseconds until it came back, or how it ended.
ASK = """
use IO::Socket::INET; use Time::HiRes 'time'; my ($host, $port, $bytes) = @ARGV;
$SIG{PIPE} = 'IGNORE'; alarm 20;
$t = time; $c = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or do { print "no connection: $!"; exit };
if (!fork) { print $c 'x' x $bytes; $c->flush; exit 0 }
while ($got < $bytes) {
  $n = sysread($c, $b, 65536); if (!$n) { print defined $n ? 'end' : "error: $!"; exit } $got += $n
}
printf '%d', 1000 * (time - $t);
"""
#: ADDRESS PORT: exchanges one byte, hangs up and prints when.
HANG_UP = """
use IO::Socket::INET; use Time::HiRes 'time'; my ($host, $port) = @ARGV;
$c = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port) or die; syswrite($c, 'x'); sysread($c, $b, 1);
close $c; printf '%.3f', time;
"""


def machine(name: str, role: str, host_number: int) -> ContainerSpec:
    return replace(IDLE, name=name, role=role, host_number=host_number, mounts=())


WORKBENCHES = [machine(f"workbench-{n}", Role.WORKBENCH, 11 + n) for n in range(2)]
DATABASE = replace(
    machine("database", Role.DATABASE, 20),
    command=("perl", "-e", SERVER),
    ready=ReadyProbe(argv=("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7"), proves="the echo service accepts"),
)
PLAIN = [*WORKBENCHES, DATABASE]


@pytest.fixture
def linked(runtime: DockerRuntime, deployment: DockerDeployment) -> DockerDeployment:
    """Two machines that reach a third through a Toxiproxy."""
    runtime.ensure_images([toxiproxy.IMAGE], lambda what, state: print(f"image {what}: {state}"))
    context = NodeContext(run_id=deployment.run_id, subnet_prefix=deployment.subnet_prefix, secrets={})
    deployment.start([*PLAIN, toxiproxy.container(LINK, context, PLAIN, (ECHO,))], lambda *_: None)
    return deployment


def ask(deployment: DockerDeployment, node: int, *, size: int = 1, direct: bool = False) -> str:
    """What a node sees of an exchange with the database: milliseconds, or how it ended."""
    host, port = (20, ECHO) if direct else (hops.link_host(LINK), hops.listen_port(node, 0, 0))
    argv = ["perl", "-e", ASK, f"{deployment.subnet_prefix}.{host}", str(port), str(size)]
    return deployment.execute(f"workbench-{node}", argv).output


def milliseconds(deployment: DockerDeployment, node: int, *, size: int = 1, direct: bool = False) -> int:
    return int(ask(deployment, node, size=size, direct=direct))


def held_back(injected: object) -> float:
    assert isinstance(injected, dict)
    took_ms: float = (injected["after_ns"] - injected["before_ns"]) / 1e6
    print(f"injected in {took_ms:.1f} ms")
    return took_ms


def test_latency_delays_one_node_and_not_its_neighbour(linked: DockerDeployment) -> None:
    assert milliseconds(linked, 0) < 100
    injected = break_it(linked, "latency", "workbench-0", peers=["database"], options={"latency_ms": 300})
    assert held_back(injected) < 1000
    assert 300 <= milliseconds(linked, 0) < 600
    assert milliseconds(linked, 1) < 150, "the other node has a listener of its own"
    assert milliseconds(linked, 0, direct=True) < 150, "only the link is slow"
    mend_it(linked)
    assert milliseconds(linked, 0) < 150


def test_latency_of_what_the_database_sends_to_all_nodes(linked: DockerDeployment) -> None:
    peers = ["workbench-0", "workbench-1"]
    break_it(linked, "latency", "database", peers=peers, options={"latency_ms": 300, "jitter_ms": 50})
    assert milliseconds(linked, 0) >= 250
    assert milliseconds(linked, 1) >= 250
    mend_it(linked)
    assert milliseconds(linked, 1) < 150


def test_jitter_makes_delays_uneven(linked: DockerDeployment) -> None:
    break_it(linked, "jitter", "workbench-0", peers=["database"], options={"jitter_ms": 200})
    times = [milliseconds(linked, 0) for _ in range(12)]
    assert max(times) - min(times) > 100, times
    mend_it(linked)
    assert max(milliseconds(linked, 0) for _ in range(5)) < 150


def test_bandwidth_throttles_both_ways(linked: DockerDeployment) -> None:
    assert milliseconds(linked, 0, size=20_000) < 150
    break_it(linked, "bandwidth", "workbench-0", peers=["database"], options={"rate_kb_per_s": 40})
    assert milliseconds(linked, 0, size=20_000) >= 450, "20 kB at 40 kB/s"
    assert milliseconds(linked, 1, size=20_000) < 150
    mend_it(linked)
    assert milliseconds(linked, 0, size=20_000) < 150


def test_reset_breaks_connections_off(linked: DockerDeployment) -> None:
    break_it(linked, "reset", "workbench-0", peers=["database"])
    assert ask(linked, 0) == "error: Connection reset by peer"
    assert ask(linked, 1).isdigit()
    mend_it(linked)
    assert ask(linked, 0).isdigit()


def test_slow_close_keeps_the_peer_waiting(linked: DockerDeployment) -> None:
    def learned_after_s() -> float:
        seen = linked.log("database").count("ended")
        argv = ["perl", "-e", HANG_UP, f"{linked.subnet_prefix}.{hops.link_host(LINK)}", str(hops.listen_port(0, 0, 0))]
        hung_up = float(linked.execute("workbench-0", argv).output)
        eventually(lambda: linked.log("database").count("ended") > seen, "the server sees the end")
        return float(linked.log("database").splitlines()[-1].split()[1]) - hung_up

    assert learned_after_s() < 0.3
    break_it(linked, "slow_close", "workbench-0", peers=["database"], options={"delay_ms": 800})
    assert learned_after_s() >= 0.75
    mend_it(linked)
    assert learned_after_s() < 0.3


def test_a_link_that_was_started_again_has_no_toxics(linked: DockerDeployment, engine: docker.DockerClient) -> None:
    break_it(linked, "latency", "workbench-0", peers=["database"], options={"latency_ms": 300})
    before = pid_of(engine, linked, LINK_NAME)
    engine.api.restart(linked.container_name(LINK_NAME), timeout=5)
    assert pid_of(engine, linked, LINK_NAME) != before
    eventually(lambda: ask(linked, 0).isdigit(), "the link serves again")
    assert milliseconds(linked, 0) < 150
    step(linked, "undo")
    assert "has gone since" in step(linked, "confirm_recovery")["evidence"]


def test_an_undo_from_the_journal_takes_the_toxics_away(linked: DockerDeployment) -> None:
    break_it(linked, "bandwidth", "workbench-1", peers=["database"], options={"rate_kb_per_s": 40})
    assert linked.agent.call("undo_all")["undone"] == ["undone: bandwidth on workbench-1"]
    assert milliseconds(linked, 1, size=20_000) < 150


def test_a_database_that_is_away_is_no_proof_of_a_reset(linked: DockerDeployment, engine: docker.DockerClient) -> None:
    engine.api.kill(linked.container_name("database"))
    with pytest.raises(PeerError, match="the peer database is exited"):
        break_it(linked, "reset", "workbench-0", peers=["database"])


def test_without_a_link_the_kernel_throttles_what_goes_to_the_peer_only(deployment: DockerDeployment) -> None:
    other = replace(DATABASE, name="other", role="other", host_number=21)
    deployment.start([*PLAIN, other], lambda *_: None)

    def to(host_number: int) -> int:
        argv = ["perl", "-e", ASK, f"{deployment.subnet_prefix}.{host_number}", str(ECHO), "30000"]
        return int(deployment.execute("workbench-0", argv).output)

    assert to(20) < 150
    injected = break_it(deployment, "bandwidth", "workbench-0", peers=["database"], options={"rate_kb_per_s": 50})
    assert held_back(injected) < 1000
    assert to(20) >= 450, "30 kB at 50 kB/s, a burst of 1.6 kB less"
    assert to(21) < 150, "everybody else is reached as before"
    mend_it(deployment)
    assert to(20) < 150


def test_what_neither_a_link_nor_the_kernel_can_do_is_refused(deployment: DockerDeployment) -> None:
    deployment.start(PLAIN, lambda *_: None)
    with pytest.raises(PeerError, match="no link between workbench-0 and database, and slow_close is what only"):
        break_it(deployment, "slow_close", "workbench-0", peers=["database"], options={"delay_ms": 800})
    try:
        step(
            deployment,
            "prepare",
            fault="latency",
            targets=["workbench-0"],
            peers=["database"],
            options={"latency_ms": 300},
        )
    except PeerError as error:
        assert "this kernel can't do it either" in str(error)  # noqa: PT017 - which of the two depends on the kernel
    else:
        step(deployment, "inject")
        step(deployment, "confirm")
        assert milliseconds(deployment, 0, direct=True) >= 300
        mend_it(deployment)


def test_the_link_is_no_member_of_a_role() -> None:
    context = NodeContext(run_id="r", subnet_prefix="192.0.2", secrets={})
    assert toxiproxy.container(LINK, context, PLAIN, (ECHO,)).role == LINK_ROLE
