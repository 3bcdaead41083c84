"""Packet faults on real containers. The observers are the containers themselves: bash, and what their kernel counts."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import docker
import pytest

from harness.core.names import AGENT_ROLE
from harness.runtime.docker import DockerDeployment
from tests.conftest import eventually, first_of
from tests.integration.rig import IDLE, break_it, mend_it, pid_of, step

#: Nothing is lost between containers of one bridge that are not under a fault.
DATAGRAMS = 20
#: A listener that counts lines of one connection, and a client that sends one every 20 ms and never opens a second.
COUNT_LINES = (
    "use IO::Socket::INET; $| = 1; my $s = IO::Socket::INET->new(LocalPort => 7000, Listen => 1, ReuseAddr => 1);"
    'my $c = $s->accept; while (<$c>) { print "line\\n" }'
)
SEND_LINES = "until exec 3<>/dev/tcp/{address}/7000; do sleep 0.1; done; while echo x >&3; do sleep 0.02; done"


@pytest.fixture
def machines(deployment: DockerDeployment) -> DockerDeployment:
    """The target `idle` and two that could be its peers."""
    others = [replace(IDLE, name=name, host_number=number, mounts=()) for name, number in (("peer", 10), ("other", 11))]
    deployment.start(others, lambda spec, seconds: None)
    return deployment


def address(deployment: DockerDeployment, name: str) -> str:
    return f"{deployment.subnet_prefix}.{ {'idle': 9, 'peer': 10, 'other': 11, 'listener': 12}[name] }"


def connect(deployment: DockerDeployment, sender: str, receiver: str) -> str:
    """What a program sees that connects to a port where nobody listens: only who is reached can refuse."""
    ask = f"exec 3<>/dev/tcp/{address(deployment, receiver)}/9"
    output = deployment.execute(sender, ["bash", "-c", ask], timeout_s=1).output
    if "Connection refused" in output:
        return "refused"
    assert not output, "beside a refusal there is only silence"
    return "silence"


def received(deployment: DockerDeployment, name: str) -> int:
    """Datagrams that ever arrived at ports where nobody listens, as this container's own kernel counts them."""
    lines = deployment.execute(name, ["grep", "^Udp:", "/proc/net/snmp"]).output.splitlines()
    names, values = (line.split() for line in lines)
    return int(values[names.index("NoPorts")])


def arrive(deployment: DockerDeployment, sender: str, receiver: str, count: int = DATAGRAMS) -> int:
    """How many of so many datagrams arrive; sending must never fail: what is lost is lost unnoticed."""
    before = received(deployment, receiver)
    send = f"for i in {{1..{count}}}; do echo > /dev/udp/{address(deployment, receiver)}/9 || exit 1; done"
    result = deployment.execute(sender, ["bash", "-c", send])
    assert result.exit_code == 0, result.output
    return received(deployment, receiver) - before


def both_ways(deployment: DockerDeployment) -> tuple[int, int]:
    return arrive(deployment, "idle", "peer"), arrive(deployment, "peer", "idle")


def rules(deployment: DockerDeployment, engine: docker.DockerClient, pids: tuple[int, ...]) -> str:
    """The packet filters in the network namespace of the first of these processes that may be looked at."""
    agent = engine.containers.get(deployment.container_name(AGENT_ROLE))
    for pid in pids:
        look = f"nsenter --net=/proc/{pid}/ns/net nft list ruleset 2> /dev/null"
        done = agent.exec_run(["sh", "-c", look])
        if done.exit_code == 0 and isinstance(done.output, bytes):
            return re.sub(r"packets \d+ bytes \d+", "", done.output.decode())
    raise AssertionError(f"none of {pids} could be looked at")


def tables_of_host(deployment: DockerDeployment, engine: docker.DockerClient) -> list[str]:
    """Only the tables: other runs on this engine may come and go."""
    return re.findall(r"^table .*", rules(deployment, engine, (1, 2)), re.MULTILINE)


def resolves(deployment: DockerDeployment, name: str) -> bool:
    return deployment.execute(name, ["getent", "hosts", deployment.container_name("idle")], timeout_s=2).exit_code == 0


@pytest.mark.parametrize(
    ("direction", "arriving"),
    [("both", (0, 0)), ("to_peer", (0, DATAGRAMS)), ("from_peer", (DATAGRAMS, 0))],
)
def test_a_partition_loses_what_it_should_and_nothing_else(
    machines: DockerDeployment, engine: docker.DockerClient, direction: str, arriving: tuple[int, int]
) -> None:
    target = (pid_of(engine, machines, "idle"),)
    before, host_before = rules(machines, engine, target), tables_of_host(machines, engine)
    assert both_ways(machines) == (DATAGRAMS, DATAGRAMS)
    break_it(machines, "partition", peers=["peer"], options={"direction": direction})
    assert both_ways(machines) == arriving
    assert connect(machines, "idle", "peer") == connect(machines, "peer", "idle") == "silence"
    assert connect(machines, "idle", "other") == connect(machines, "other", "peer") == "refused"
    assert rules(machines, engine, target).startswith(before), "Docker's own rules are as they were"
    assert tables_of_host(machines, engine) == host_before, "the host has no part in it"
    assert resolves(machines, "idle")
    mend_it(machines)
    assert both_ways(machines) == (DATAGRAMS, DATAGRAMS)
    assert connect(machines, "idle", "peer") == "refused"
    assert rules(machines, engine, target) == before
    assert tables_of_host(machines, engine) == host_before


@pytest.mark.parametrize(
    ("direction", "told"),
    first_of(
        ("both", ("refused", "refused")), ("to_peer", ("refused", "silence")), ("from_peer", ("silence", "refused"))
    ),
)
def test_a_partition_that_rejects_tells_the_sender_at_once(
    machines: DockerDeployment, direction: str, told: tuple[str, str]
) -> None:
    # the ports are open, so that nobody but the filter refuses
    listen = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 9, Listen => 9); sleep 600"
    for name in ("idle", "peer"):
        machines.execute(name, ["bash", "-c", f"perl -e '{listen}' > /dev/null 2>&1 &"])
    for name in ("idle", "peer"):
        eventually(partial(opens, machines, "other", name), f"{name} listens")
    break_it(machines, "partition", peers=["peer"], options={"direction": direction, "how": "reject"})
    assert (connect(machines, "idle", "peer"), connect(machines, "peer", "idle")) == told
    assert opens(machines, "other", "idle")
    mend_it(machines)
    assert opens(machines, "idle", "peer")
    assert opens(machines, "peer", "idle")


def opens(deployment: DockerDeployment, sender: str, receiver: str) -> bool:
    ask = f"exec 3<>/dev/tcp/{address(deployment, receiver)}/9"
    return deployment.execute(sender, ["bash", "-c", ask], timeout_s=1).exit_code == 0


@pytest.mark.parametrize("direction", first_of("both", "to_peer", "from_peer"))
def test_a_partition_holds_up_a_connection_that_is_open(machines: DockerDeployment, direction: str) -> None:
    listener = replace(IDLE, name="listener", host_number=12, mounts=(), command=("perl", "-e", COUNT_LINES))
    machines.start([listener], lambda spec, seconds: None)
    send = SEND_LINES.format(address=address(machines, "listener"))
    machines.execute("idle", ["bash", "-c", f"({send}) > /dev/null 2>&1 &"])

    def lines() -> int:
        return machines.log("listener").count("line")

    eventually(lambda: lines() > 0, "the connection is open")
    break_it(machines, "partition", peers=["listener"], options={"direction": direction})
    # acknowledgements alone may be cut: then what fits into one window still comes
    stalled = silence_of(lines)
    mend_it(machines)
    eventually(lambda: lines() > stalled, "the same connection goes on")


def silence_of(count: Callable[[], int]) -> int:
    """Wait until it did not grow for half a second (25 lines of a connection that is open)."""
    last, deadline = -1, time.monotonic() + 30
    while (now := count()) != last:
        assert time.monotonic() < deadline, f"it goes on, with {now} lines now"
        last = now
        time.sleep(0.5)  # this is what is looked at: whether it is silent for so long
    return last


def test_a_partition_of_a_machine_that_was_restarted_meanwhile_is_gone_with_it(
    machines: DockerDeployment, engine: docker.DockerClient
) -> None:
    break_it(machines, "partition", peers=["peer"])
    engine.containers.get(machines.container_name("idle")).restart(timeout=0)
    mend_it(machines)
    assert connect(machines, "idle", "peer") == "refused"
    assert "chaos-" not in rules(machines, engine, (pid_of(engine, machines, "idle"),))


def test_a_partition_of_a_machine_that_is_down_or_paused_is_undone(
    machines: DockerDeployment, engine: docker.DockerClient
) -> None:
    container = engine.containers.get(machines.container_name("idle"))
    break_it(machines, "partition", peers=["peer"])
    container.pause()
    step(machines, "undo")
    step(machines, "confirm_recovery")
    container.unpause()
    assert connect(machines, "idle", "peer") == "refused"
    break_it(machines, "partition", peers=["peer"])
    container.kill()
    mend_it(machines)


def test_a_partition_from_itself_is_refused(machines: DockerDeployment) -> None:
    with pytest.raises(Exception, match="nobody to cut it off from"):
        machines.agent.call("fault", step="prepare", index=0, fault="partition", targets=["idle"], peers=["idle"])


@pytest.mark.parametrize("peers", first_of(["peer"], []))
def test_loss_loses_the_share_that_was_asked_for_each_way(machines: DockerDeployment, peers: list[str]) -> None:
    sent, low, high = 1000, 700 - 88, 700 + 88  # six standard deviations of a binomial count: once in 500 million
    break_it(machines, "loss", peers=peers, options={"percent": 30})
    assert low <= arrive(machines, "idle", "peer", sent) <= high
    assert low <= arrive(machines, "peer", "idle", sent) <= high
    elsewhere = arrive(machines, "idle", "other", sent), arrive(machines, "other", "peer", sent)
    assert elsewhere[1] == sent
    assert elsewhere[0] == sent if peers else low <= elsewhere[0] <= high
    mend_it(machines)
    assert both_ways(machines) == (DATAGRAMS, DATAGRAMS)


def test_the_whole_range_of_shares_is_proven(machines: DockerDeployment) -> None:
    for index, percent in enumerate((0.1, 100)):
        break_it(machines, "loss", options={"percent": percent}, index=index)
        assert (arrive(machines, "peer", "idle") == 0) == (percent == 100)
        assert resolves(machines, "idle"), "what goes through the loopback device is left alone"
        mend_it(machines, index=index)


@pytest.mark.parametrize("how", first_of("drop", "reject"))
def test_dns_takes_the_names_away_and_nothing_else(
    machines: DockerDeployment, engine: docker.DockerClient, how: str
) -> None:
    target = (pid_of(engine, machines, "idle"),)
    before = rules(machines, engine, target)
    assert resolves(machines, "idle")
    break_it(machines, "dns", options={"how": how})
    name = machines.container_name("peer")
    asked = machines.execute("idle", ["getent", "hosts", name], timeout_s=3)
    # with drop the resolver is still waiting for its first answer (5 s) when the time limit kills it
    assert asked.exit_code == (137 if how == "drop" else 2)
    assert resolves(machines, "peer"), "only the target has no names"
    assert connect(machines, "idle", "peer") == "refused", "addresses still work"
    mend_it(machines)
    assert resolves(machines, "idle")
    assert rules(machines, engine, target) == before


def test_packet_faults_take_effect_quickly(machines: DockerDeployment) -> None:
    took_ms = []
    for index in range(20):
        injected = break_it(machines, "partition", peers=["peer"], index=index)
        took_ms.append((injected["after_ns"] - injected["before_ns"]) / 1e6)
        mend_it(machines, index=index)
    print(f"inject: median {statistics.median(took_ms):.1f} ms, all {[round(ms, 1) for ms in sorted(took_ms)]}")
    assert statistics.median(took_ms) < 50  # 20 is the goal; a busy machine may take longer
