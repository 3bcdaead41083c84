"""What the knobs of a topology decide, on real containers: two nodes, and in front of them a balancer for each way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Literal, get_args, get_origin, get_type_hints

import docker
import pytest

from harness.components import haproxy
from harness.components.jupyterhub import LOAD_PORT, LOG_IN_PATH
from harness.components.registry import plan
from harness.core.products import LoadBalancer, Storage, Workbench
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.tls import SERVED_PATH
from harness.core.topology import Topology
from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import eventually
from tests.integration.browsers import Browser, believed, persons, somebody_on
from tests.integration.rig import break_it, deployed, mend_it, new_context

NODES = ("workbench-0", "workbench-1")
#: Nothing that ended is started again on the second one, and its homes give up. Both have the same server of homes.
SUPERVISED, UNSUPERVISED = HARD, SOFT = NODES
SOFT_TIMEOUT_S = 2
#: How long a hub may be silent before its node says that it does not serve; 15 s unless a test is in a hurry.
HUB_GRACE_S = 4
TOPOLOGY = Topology(
    name="knobs",
    description="two nodes that share their homes only",
    load_balancer=LoadBalancer(),
    workbench=Workbench(nodes=2, mode="active-active"),
    storage=Storage(size_mb=0),
)
#: The single balancers by the name of their machine.
BALANCERS: Mapping[str, LoadBalancer] = {
    "by-cookie": LoadBalancer(stickiness="cookie"),
    "by-table": LoadBalancer(stickiness="table", balance="roundrobin"),
    "in-turn": LoadBalancer(stickiness="none", balance="roundrobin"),
    "by-load": LoadBalancer(stickiness="none", balance="load"),
    "persistent": LoadBalancer(redispatch=False),
    "apart": LoadBalancer(session_check="proxy"),
}
PAIR = LoadBalancer(nodes=2, vip=True, stickiness="table", balance="roundrobin")
#: Past all that the model gives away.
FIRST_HOST = 60
#: The configurations to be tried, each behind a line with its name.
CONFIGURATIONS = "/srv/configurations"
_SPLIT = "{ if (/^#### /) file = $2; else print > file }"
_TRY_EACH = f"""
mkdir /tmp/tried && cd /tmp/tried && awk '{_SPLIT}' "$1" || exit 1
ls | xargs -P "$(nproc)" -n 1 sh -c 'echo "$0: $(haproxy -c -f "$0" 2>&1)"'
"""
#: Appends the line $2 to the file $1; prints `kept` or the error's name, and how many seconds it took.
_APPEND = r"""
import errno, os, sys, time
began, told = time.monotonic(), "kept"
try:
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(file, sys.argv[2].encode() + b"\n")
    os.fsync(file)
except OSError as error:
    told = errno.errorcode[error.errno]
print(told, time.monotonic() - began)
"""


@pytest.fixture(scope="module")
def context() -> NodeContext:
    return new_context()


@pytest.fixture(scope="module")
def started(runtime: DockerRuntime, engine: docker.DockerClient, context: NodeContext) -> Iterator[DockerDeployment]:
    with deployed(runtime, engine, TOPOLOGY.name, specs, context) as deployment:
        yield deployment


@pytest.fixture
def platform(started: DockerDeployment) -> DockerDeployment:
    """As it was at first, whatever the test before has done: every balancer believes in every node."""
    everybody = [*BALANCERS, "load-balancer-0", "load-balancer-1"]
    eventually(
        lambda: all(server["status"] == "UP" for name in everybody for server in believed(started, name).values()),
        "all nodes are up",
    )
    return started


def specs(context: NodeContext) -> Iterator[ContainerSpec]:
    """The storage, both nodes and all balancers."""
    soft = replace(
        TOPOLOGY,
        workbench=replace(TOPOLOGY.workbench, supervised=False),
        storage=Storage(size_mb=0, mount="soft", soft_timeout_s=SOFT_TIMEOUT_S),
    )
    yield planned(TOPOLOGY, context, "storage")
    for name, topology in ((HARD, TOPOLOGY), (SOFT, soft)):
        spec = planned(topology, context, name)
        yield replace(spec, environment={**spec.environment, "HUB_GRACE_S": str(HUB_GRACE_S)})
    for index, (name, balancer) in enumerate(BALANCERS.items()):
        spec = planned(replace(TOPOLOGY, load_balancer=balancer), context, haproxy.NAME)
        yield replace(spec, name=name, host_number=FIRST_HOST + index)
    for name in haproxy.names(pair := replace(TOPOLOGY, load_balancer=PAIR)):
        yield planned(pair, context, name)


def planned(topology: Topology, context: NodeContext, name: str) -> ContainerSpec:
    (found,) = [spec for spec in plan(topology, context) if spec.name == name]
    return found


def weights(platform: DockerDeployment) -> list[int]:
    """Of both nodes, as the balancer that asks for their load has them now."""
    found = believed(platform, "by-load")
    return [int(found["workbench", node]["weight"]) for node in NODES]


def ready(platform: DockerDeployment, node: str) -> bool:
    return platform.execute(node, ["/usr/local/bin/ready"]).exit_code == 0


# -- stickiness --------------------------------------------------------------------------------------------------------


def test_by_a_cookie_everybody_stays_on_the_node_whose_name_it_bears(platform: DockerDeployment) -> None:
    for node in NODES:
        browser = somebody_on(platform, "by-cookie", node)
        assert browser.stays(20) == node
        assert browser.cookies()["WORKBENCH_NODE"] == node
        # the nodes' own word on it: a hub logs each page that it made; one more for the newcomer's first
        expected = {name: 21 if name == node else 0 for name in NODES}
        eventually(partial(visited, platform, browser.name, expected), "they say so")


def visited(platform: DockerDeployment, who: str, expected: Mapping[str, int]) -> bool:
    """Whether the hubs say that they answered somebody so often."""
    return {node: platform.log(node).count(f"{LOG_IN_PATH}?{who}=") for node in NODES} == expected


def test_by_a_table_everybody_stays_until_the_only_balancer_is_restarted(platform: DockerDeployment) -> None:
    people = [Browser(platform, "by-table", f"table-{number}") for number in range(4)]
    homes = [browser.stays() for browser in people]
    assert sorted(homes) == [NODES[0], NODES[0], NODES[1], NODES[1]]
    numbers = [browser.cookies()["WORKBENCH_PERSON"] for browser in people]
    assert len(set(numbers)) == 4
    table = persons(platform, "by-table")
    assert [table[number] for number in numbers] == homes
    for browser in people:
        assert not any(node in value for value in browser.cookies().values() for node in NODES)

    break_it(platform, "restart", "by-table")
    mend_it(platform)
    probe = ["/usr/local/bin/ready", LOG_IN_PATH]
    eventually(lambda: platform.execute("by-table", probe).exit_code == 0, "the balancer serves again")
    assert not set(numbers) & set(persons(platform, "by-table"))
    # who were together are newcomers, and newcomers are sent to each node in turn
    together = [browser for browser, home in zip(people, homes, strict=True) if home == NODES[0]]
    assert {browser.stays() for browser in together} == set(NODES)
    assert [browser.cookies()["WORKBENCH_PERSON"] for browser in people] == numbers


def knows(platform: DockerDeployment, balancer: str, number: str) -> bool:
    return number in persons(platform, balancer)


def test_a_pair_shares_its_table(platform: DockerDeployment) -> None:
    one, other = haproxy.names(replace(TOPOLOGY, load_balancer=PAIR))
    for node in NODES:
        browser = somebody_on(platform, one, node)
        number = browser.cookies()["WORKBENCH_PERSON"]
        eventually(partial(knows, platform, other, number), "the other one has heard of them")
        assert persons(platform, other)[number] == node
        again = Browser(platform, other, browser.name)
        assert again.ask(10, "-H", f"Cookie: WORKBENCH_PERSON={number}") == [("200", node)] * 10


def test_without_stickiness_one_browser_goes_to_each_node_in_turn(platform: DockerDeployment) -> None:
    browser = Browser(platform, "in-turn", "turn")
    answers = browser.ask(20)
    assert answers in ([("200", node) for node in order] * 10 for order in (NODES, NODES[::-1]))
    assert set(browser.cookies()) == {"_xsrf"}


# -- balance -----------------------------------------------------------------------------------------------------------


def test_by_load_newcomers_go_where_the_processors_are_idle(platform: DockerDeployment) -> None:
    for node in NODES:
        said = platform.execute("by-load", ["socat", "-u", f"TCP:{node}:{LOAD_PORT}", "-"]).output
        assert re.fullmatch(r"\d{1,3}%\n", said), said
    eventually(lambda: min(weights(platform)) > 80, "both are idle")
    busy, idle = NODES
    loop = "while [ ! -e /tmp/rest ]; do :; done"
    loops = f"for core in $(seq $(nproc)); do timeout 30 sh -c '{loop}' >/dev/null 2>&1 & done"
    assert platform.execute(busy, ["sh", "-c", loops]).exit_code == 0
    try:
        eventually(lambda: weights(platform)[0] < 60, f"{busy} says that it is busy")
        answers = Browser(platform, "by-load", "load").ask(20)
        assert weights(platform)[1] > 80
    finally:
        platform.execute(busy, ["touch", "/tmp/rest"])
    # at less than 60 to more than 80; as a rule it is 5 to 95, and then one of twenty
    assert answers.count(("200", idle)) > 10
    assert answers.count(("200", idle)) + answers.count(("200", busy)) == 20
    eventually(lambda: min(weights(platform)) > 80, "both are idle again")


# -- what happens to people of a node that is down ---------------------------------------------------------------------


def believed_dead(platform: DockerDeployment, balancer: str, node: str) -> bool:
    return believed(platform, balancer)["workbench", node]["status"] == "DOWN"


def test_without_redispatch_people_of_a_dead_node_wait_for_it(platform: DockerDeployment) -> None:
    other, dead = NODES
    waits = somebody_on(platform, "persistent", dead)
    moves = somebody_on(platform, "by-cookie", dead)
    break_it(platform, "kill", dead)
    try:
        for balancer in ("by-cookie", "persistent"):
            eventually(partial(believed_dead, platform, balancer, dead), f"{dead} is down for {balancer}")
        # not before: whoever is waiting for the dead node when it is marked down is cut off without an answer
        assert moves.ask() == [("200", other)]
        assert waits.ask() == [("503", "")]
        assert Browser(platform, "persistent", "newcomer").ask() == [("200", other)]
    finally:
        mend_it(platform)
    eventually(lambda: ready(platform, dead), f"{dead} serves again")
    eventually(lambda: waits.ask() == [("200", dead)], "they are back on their node")


def test_sessions_that_are_checked_apart_need_no_hub_and_newcomers_do(
    platform: DockerDeployment, context: NodeContext
) -> None:
    hung, other = NODES

    def status(backend: str) -> list[str]:
        return [believed(platform, "apart")[backend, node]["status"] for node in NODES]

    somebody = somebody_on(platform, "apart", hung)
    somebody.start_session(context.secrets["USER_PASSWORD"])
    break_it(platform, "freeze", hung, options={"process": "jupyterhub"})
    try:
        assert status("workbench") == ["UP", "UP"], "a hub may be silent for a while"
        took_s = eventually(lambda: status("workbench") == ["DOWN", "UP"], "the way to the hub is closed")
        assert HUB_GRACE_S - 2 < took_s < HUB_GRACE_S + 4
        assert Browser(platform, "apart", "newcomer").ask(6) == [("200", other)] * 6
        assert status("sessions") == ["UP", "UP"]
        assert somebody.stays(path=somebody.own) == hung
    finally:
        mend_it(platform)
    eventually(lambda: status("workbench") == ["UP", "UP"], "the way to the hub is open")
    assert somebody.stays(path="/hub/home") == hung


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_what_ended_is_started_again_only_where_it_is_supervised(platform: DockerDeployment) -> None:
    # brackets, so that what looks for it does not find itself
    parts = (("-x", "jupyterhub"), ("-f", "[c]onfigurable-http-proxy"), ("-f", "[s]ession_forker"))

    def run(node: str) -> list[str]:
        """The oldest process of each kind; a warm parent has children."""
        return [platform.execute(node, ["pgrep", "-o", *part]).output.strip() for part in parts]

    before = {node: run(node) for node in NODES}
    assert all(pid for pids in before.values() for pid in pids)
    for node in (UNSUPERVISED, SUPERVISED):
        assert platform.execute(node, ["kill", "-KILL", *before[node]]).exit_code == 0
    eventually(
        lambda: all(new not in ("", old) for new, old in zip(run(SUPERVISED), before[SUPERVISED], strict=True)),
        "others run in their places",
        limit_s=5,
    )
    assert run(UNSUPERVISED) == ["", "", ""]
    eventually(lambda: ready(platform, SUPERVISED), f"{SUPERVISED} serves")
    assert run(UNSUPERVISED) == ["", "", ""]
    assert not ready(platform, UNSUPERVISED)
    break_it(platform, "restart", UNSUPERVISED)
    mend_it(platform)
    eventually(lambda: ready(platform, UNSUPERVISED), f"a restart of the machine brings {UNSUPERVISED} back")


def append(platform: DockerDeployment, node: str, line: str) -> tuple[str, float]:
    """What a program that writes into a home is told, and after how many seconds."""
    argv = ["/usr/bin/python3", "-c", _APPEND, f"/homes/{node}", line]
    told, took_s = platform.execute(node, argv, timeout_s=60).output.split()
    return told, float(took_s)


def test_while_the_homes_are_away_a_hard_mount_waits_and_a_soft_one_gives_up(platform: DockerDeployment) -> None:
    for node in NODES:
        assert append(platform, node, "before")[0] == "kept"
    with ThreadPoolExecutor(max_workers=1) as pool:
        break_it(platform, "pause", "storage")
        try:
            waiting = pool.submit(append, platform, HARD, "meanwhile")
            told, took_s = append(platform, SOFT, "meanwhile")
            assert told == "EIO"
            assert SOFT_TIMEOUT_S - 0.5 < took_s < 2 * SOFT_TIMEOUT_S + 1
            assert not waiting.done()
        finally:
            mend_it(platform)
        assert waiting.result()[0] == "kept"
    for node in NODES:
        assert append(platform, node, "after")[0] == "kept"
    kept = {node: platform.execute("storage", ["cat", f"/export/{node}"]).output.split() for node in NODES}
    assert kept[HARD] == ["before", "meanwhile", "after"]
    assert {"before", "after"} <= set(kept[SOFT])  # of what failed nobody knows


# -- configurations ----------------------------------------------------------------------------------------------------


def every_balancer() -> list[LoadBalancer]:
    """Each word and each switch of the model with each other one."""
    kinds = get_type_hints(LoadBalancer)
    choices = {key: get_args(kind) for key, kind in kinds.items() if get_origin(kind) is Literal}
    choices |= {key: (False, True) for key, kind in kinds.items() if kind is bool}
    chosen = (dict(zip(choices, words, strict=True)) for words in itertools.product(*choices.values()))
    return [LoadBalancer(nodes=2 if knobs["vip"] else 1, **knobs) for knobs in chosen]


def dealt(balancers: Collection[LoadBalancer]) -> list[LoadBalancer]:
    """Fewer: those that differ in what the checks ask only, a line or two of the same form, count as one, and each
    time it is the next pair of checks."""
    alike: dict[tuple[LoadBalancer, bool], list[LoadBalancer]] = {}
    for balancer in balancers:
        key = (replace(balancer, check="tcp", session_check="same"), balancer.session_check == "same")
        alike.setdefault(key, []).append(balancer)
    return [group[number % len(group)] for number, group in enumerate(alike.values())]


@pytest.mark.parametrize("all_of_them", [False, pytest.param(True, marks=pytest.mark.catalogue)])
def test_haproxy_accepts_each_configuration_without_a_warning(
    platform: DockerDeployment, context: NodeContext, all_of_them: bool
) -> None:
    balancers = every_balancer()
    checks = {(balancer.check, balancer.session_check) for balancer in balancers}
    if not all_of_them:
        balancers = dealt(balancers)
        assert {(balancer.check, balancer.session_check) for balancer in balancers} == checks
    there = replace(context, subnet_prefix=platform.subnet_prefix)
    found = {
        f"{number:04}": haproxy.containers(replace(TOPOLOGY, load_balancer=balancer), there)[0].files
        for number, balancer in enumerate(balancers)
    }
    certificate = next(files[SERVED_PATH] for files in found.values() if SERVED_PATH in files)
    text = "".join(f"#### {name}\n{files[haproxy.CONFIG_PATH]}" for name, files in found.items())
    machine = planned(TOPOLOGY, there, haproxy.NAME)
    machine = replace(
        machine,
        name=f"tries-{len(found)}",
        host_number=FIRST_HOST + len(BALANCERS) + all_of_them,
        files={**machine.files, SERVED_PATH: certificate, CONFIGURATIONS: text},
    )
    platform.start([machine], lambda *_: None)
    done = platform.execute(machine.name, ["sh", "-c", _TRY_EACH, "sh", CONFIGURATIONS], timeout_s=300)
    said = [line.partition(": ") for line in done.output.splitlines()]
    assert [(name, what) for name, _, what in said if what != "Configuration file is valid"] == []
    assert sorted(name for name, _, _ in said) == list(found)
