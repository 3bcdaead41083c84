"""Pairs with a virtual address, on real containers: who holds it, and what people and nodes see when it moves.

The observer is on the node: it asks for the log-in page at the balancers' address, as people do, and appends to a file
in a home, which is mounted from the servers' address, all the time.
"""

from __future__ import annotations

import itertools
import json
import random
import secrets
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import docker
import pytest

from harness.components import ganesha, haproxy, member_probe
from harness.components.haproxy_config import MONITOR_PATH, MONITOR_PORT
from harness.core.products import Database, LoadBalancer, Storage, Workbench
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology
from harness.core.words import Role
from harness.run.targets import resolve
from harness.runtime.base import ExecResult
from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import eventually, first_of
from tests.integration.rig import break_it, deployed, mend_it, pid_of, without_people

TOPOLOGY = Topology(
    name="pairs",
    description="two balancers, one node, two servers for the homes",
    load_balancer=LoadBalancer(nodes=2, vip=True),
    workbench=Workbench(nodes=1),
    database=Database(),
    storage=Storage(nodes=2, vip=True),
)
BALANCERS, SERVERS = haproxy.names(TOPOLOGY), ganesha.names(TOPOLOGY)
NODE = "workbench-0"
WORDS = {Role.LOAD_BALANCER: "holder", Role.STORAGE: "active"}

#: Prints when pages were answered, and when which line was safely in the file.
_OBSERVER = """
import http.client, json, os, pathlib, sys, threading, time
host, path, stop = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
pages, lines = [], []

def ask():
    while not stop.exists():
        connection = http.client.HTTPConnection(host, timeout=0.5)
        try:
            connection.request("GET", "/hub/login")
            if connection.getresponse().status == 200:
                pages.append(time.monotonic())
        except (OSError, http.client.HTTPException):
            pass
        connection.close()
        time.sleep(0.03)

def write():
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in range(1_000_000):
        if stop.exists():
            break
        os.write(file, f"{number}\\n".encode())
        os.fsync(file)
        lines.append((time.monotonic(), number))
        time.sleep(0.03)

workers = [threading.Thread(target=work, daemon=True) for work in (ask, write)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print(json.dumps({"pages": pages, "lines": lines}))
"""


@dataclass
class Observed:
    """What the observer saw; filled when it has ended."""

    pages: list[float] = field(default_factory=list)
    lines: list[float] = field(default_factory=list)

    @property
    def without_page_s(self) -> float:
        return _longest(self.pages)

    @property
    def without_write_s(self) -> float:
        return _longest(self.lines)


def _longest(moments: list[float]) -> float:
    return max(later - earlier for earlier, later in itertools.pairwise(moments))


@pytest.fixture(scope="module")
def pairs(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """Everything but the people; member 0 of the balancers is published, as `harness up` does it."""
    with deployed(runtime, engine, TOPOLOGY.name, with_one_published) as deployment:
        yield deployment


def with_one_published(context: NodeContext) -> list[ContainerSpec]:
    return [
        replace(spec, publish=(haproxy.PORT,)) if spec.name == BALANCERS[0] else spec
        for spec in without_people(TOPOLOGY)(context)
    ]


def holders(pairs: DockerDeployment, role: Role) -> list[str]:
    """The members that the kernel has given the virtual address to; one that does not run is none."""
    probe = member_probe(TOPOLOGY, role, WORDS[role])
    assert probe is not None
    found = []
    for name in BALANCERS if role is Role.LOAD_BALANCER else SERVERS:
        if pairs.inspect(name)["State"]["Status"] == "running" and pairs.execute(name, probe).exit_code == 0:
            found.append(name)
    return found


def holder(pairs: DockerDeployment, role: Role) -> str:
    """The one and only, as soon as there is one; and both of the pair are well."""
    names = BALANCERS if role is Role.LOAD_BALANCER else SERVERS
    eventually(lambda: all(ready(pairs, name) for name in names), f"{role}: both are ready")
    eventually(lambda: len(holders(pairs, role)) == 1, f"{role}: one holds the address")
    return holders(pairs, role)[0]


def ready(pairs: DockerDeployment, name: str) -> bool:
    argv = ["/usr/local/bin/ready", *(["/hub/login"] if name in BALANCERS else [])]
    return pairs.execute(name, argv).exit_code == 0


def other(name: str) -> str:
    names = BALANCERS if name in BALANCERS else SERVERS
    return names[1 - names.index(name)]


@contextmanager
def watched(pairs: DockerDeployment) -> Iterator[Observed]:
    """The block begins when the observer is served and must end with it being served. What it was told is safe must be
    on the disk, once and in order."""
    observed, tag = Observed(), secrets.token_hex(3)
    path, stop = f"/homes/{tag}/lines", f"/tmp/stop-{tag}"
    assert pairs.execute(NODE, ["mkdir", f"/homes/{tag}"]).exit_code == 0
    command = ["python3", "-c", _OBSERVER, f"{pairs.subnet_prefix}.4", path, stop]

    def on_disk() -> list[str]:
        (name,) = [name for name in SERVERS if pairs.inspect(name)["State"]["Status"] == "running"][:1]
        return pairs.execute(name, ["cat", f"/export/{tag}/lines"]).output.split()

    def some_more() -> None:
        before = len(on_disk())
        eventually(lambda: len(on_disk()) >= before + 10, "lines are written")

    with ThreadPoolExecutor(max_workers=1) as pool:
        observer: Future[ExecResult] = pool.submit(pairs.execute, NODE, command, timeout_s=120)
        try:
            eventually(lambda: on_disk() != [], "the first line is written")
            some_more()
            yield observed
            some_more()
        finally:
            pairs.execute(NODE, ["touch", stop])
    assert observer.result().exit_code == 0, observer.result().output
    found = json.loads(observer.result().output)
    observed.pages, observed.lines = found["pages"], [moment for moment, _ in found["lines"]]
    assert on_disk() == [str(number) for _, number in found["lines"]]
    print(f"without a page for {observed.without_page_s:.2f} s, without a write for {observed.without_write_s:.2f} s")


def taken_over(pairs: DockerDeployment, role: Role, lost: str) -> bool:
    """The other one has the address; the lost one may take itself for the holder still."""
    return other(lost) in holders(pairs, role)


def moved(pairs: DockerDeployment, role: Role, lost: str) -> bool:
    """The other one has the address, and it alone."""
    return holders(pairs, role) == [other(lost)]


def lose(pairs: DockerDeployment, role: Role, kind: str) -> Observed:
    """The holder breaks, the other one takes the address and keeps it when the broken one is healed."""
    lost = holder(pairs, role)
    with watched(pairs) as observed:
        break_it(pairs, kind, lost)
        eventually(partial(taken_over, pairs, role, lost), "the other one takes the address", 5)
    mend_it(pairs)
    assert holder(pairs, role) == other(lost)
    return observed


def test_each_pair_has_one_holder_and_targets_find_it(pairs: DockerDeployment) -> None:
    for role, word in WORDS.items():
        target = f"{role.value}[{word}]"
        (found,) = resolve(pairs, TOPOLOGY, target, sessions={}, lot=random.Random(0))
        assert [found] == holders(pairs, role)


def test_the_published_balancer_serves_whether_it_holds_the_address_or_not(pairs: DockerDeployment) -> None:
    for _ in range(2):
        before = holder(pairs, Role.LOAD_BALANCER)
        # the engine gives another port to a machine that was started anew
        url = f"http://127.0.0.1:{pairs.published_port(BALANCERS[0], haproxy.PORT)}/hub/login"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.status == 200
        break_it(pairs, "restart", before)
        mend_it(pairs)
        assert holder(pairs, Role.LOAD_BALANCER) == other(before)


@pytest.mark.parametrize("kind", first_of("kill", "stop", "isolate"))
def test_the_other_balancer_takes_over_and_the_healed_one_comes_back_as_backup(
    pairs: DockerDeployment, kind: str
) -> None:
    assert lose(pairs, Role.LOAD_BALANCER, kind).without_page_s < 3


def test_a_balancer_that_hangs_loses_the_address_and_one_of_both_has_it_afterwards(pairs: DockerDeployment) -> None:
    lost = holder(pairs, Role.LOAD_BALANCER)
    with watched(pairs) as observed:
        break_it(pairs, "pause", lost)
        eventually(partial(moved, pairs, Role.LOAD_BALANCER, lost), "the other one takes the address", 5)
        mend_it(pairs)
        # awake, it takes itself for the holder, and the higher priority wins
        assert holder(pairs, Role.LOAD_BALANCER) == BALANCERS[0]
    assert observed.without_page_s < 3


@pytest.mark.parametrize("kind", first_of("crash", "freeze"))
def test_a_machine_whose_haproxy_is_dead_or_hangs_gives_the_address_away(
    pairs: DockerDeployment, engine: docker.DockerClient, kind: str
) -> None:
    lost = holder(pairs, Role.LOAD_BALANCER)
    before = pid_of(engine, pairs, lost)
    with watched(pairs) as observed:
        break_it(pairs, kind, lost, options={"process": "haproxy", "workers": kind == "freeze"})
        eventually(partial(moved, pairs, Role.LOAD_BALANCER, lost), "the other one has the address", 5)
        assert pid_of(engine, pairs, lost) == before, "the machine itself goes on"
    mend_it(pairs)
    assert holder(pairs, Role.LOAD_BALANCER) == other(lost)
    # a hung one: twice 0.3 s until that is certain, beside the second until it is asked
    assert observed.without_page_s < (3 if kind == "crash" else 4)


def ended(engine: docker.DockerClient, pairs: DockerDeployment, name: str) -> bool:
    return pid_of(engine, pairs, name) == 0


def test_without_keepalived_a_machine_ends_and_the_other_one_takes_over(
    pairs: DockerDeployment, engine: docker.DockerClient
) -> None:
    for role in WORDS:
        lost = holder(pairs, role)
        with watched(pairs):
            break_it(pairs, "crash", lost, options={"process": "keepalived"})
            eventually(partial(ended, engine, pairs, lost), "the machine has ended")
            eventually(partial(moved, pairs, role, lost), "the other one has the address")
        mend_it(pairs)
        assert holder(pairs, role) == other(lost)


def test_a_balancer_that_reaches_no_node_gives_the_address_to_the_one_that_does(pairs: DockerDeployment) -> None:
    lost = holder(pairs, Role.LOAD_BALANCER)
    with watched(pairs) as observed:
        break_it(pairs, "partition", lost, peers=[NODE], options={"direction": "both", "how": "drop"})
        eventually(partial(moved, pairs, Role.LOAD_BALANCER, lost), "the other one has the address", 10)
    mend_it(pairs)
    assert holder(pairs, Role.LOAD_BALANCER) == other(lost)
    assert observed.without_page_s < 8


def test_the_address_stays_where_neither_reaches_a_node(pairs: DockerDeployment) -> None:
    kept = holder(pairs, Role.LOAD_BALANCER)
    ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{MONITOR_PORT}{MONITOR_PATH}"]

    def says(status: str) -> bool:
        return all(pairs.execute(name, ask).output == status for name in BALANCERS)

    break_it(pairs, "partition", NODE, peers=BALANCERS, options={"direction": "both", "how": "drop"})
    eventually(lambda: says("503"), "neither reaches the node")
    until = time.monotonic() + 4  # keepalived asks every second
    while time.monotonic() < until:
        assert holders(pairs, Role.LOAD_BALANCER) == [kept]
    mend_it(pairs)
    eventually(lambda: says("200"), "both reach the node")
    assert holder(pairs, Role.LOAD_BALANCER) == kept


@pytest.mark.parametrize("kind", first_of("kill", "nfs_restart"))
def test_the_other_server_takes_over_and_nothing_is_lost(pairs: DockerDeployment, kind: str) -> None:
    assert lose(pairs, Role.STORAGE, kind).without_write_s < 5


def test_an_address_that_comes_back_meets_nothing_of_the_connections_that_were_cut(pairs: DockerDeployment) -> None:
    """A machine that is cut off can't end its connections so that clients learn it, and clients reuse their ports."""
    for _ in range(3):
        lost = holder(pairs, Role.STORAGE)
        with watched(pairs) as observed:
            break_it(pairs, "isolate", lost)
            eventually(partial(taken_over, pairs, Role.STORAGE, lost), "it moves", 5)
        mend_it(pairs)
        assert observed.without_write_s < 4, "5 s is how long a client's kernel waits for a server that is silent"


def test_a_server_that_hangs_loses_the_address_and_is_started_anew(pairs: DockerDeployment) -> None:
    lost = holder(pairs, Role.STORAGE)
    which = ["pgrep", "-x", "ganesha.nfsd"]
    before = pairs.execute(lost, which).output
    with watched(pairs) as observed:
        break_it(pairs, "nfs_hang", lost)
        eventually(partial(moved, pairs, Role.STORAGE, lost), "the other one has the address", 5)
    mend_it(pairs)
    assert holder(pairs, Role.STORAGE) == other(lost)
    assert pairs.execute(lost, which).output not in ("", before)
    assert observed.without_write_s < 10


@pytest.mark.parametrize("number", first_of(0, 1))
def test_a_storage_machine_that_hung_knows_nothing_old_when_it_wakes(pairs: DockerDeployment, number: int) -> None:
    """Whichever has the address then: number 0 has the higher priority, and both servers are started anew."""
    if holder(pairs, Role.STORAGE) != SERVERS[number]:
        break_it(pairs, "restart", other(SERVERS[number]))
        mend_it(pairs)
    assert holder(pairs, Role.STORAGE) == SERVERS[number]
    which = ["pgrep", "-x", "ganesha.nfsd"]
    before = pairs.execute(SERVERS[number], which).output
    with watched(pairs) as observed:
        break_it(pairs, "pause", SERVERS[number])
        eventually(partial(moved, pairs, Role.STORAGE, SERVERS[number]), "the other one has the address", 5)
        mend_it(pairs)
        holder(pairs, Role.STORAGE)
    eventually(lambda: pairs.execute(SERVERS[number], which).output not in ("", before), "another server runs there")
    assert observed.without_write_s < 10
