"""Several entrances, keepers on several nodes, and whose turn it is: every place is seen, whatever a balancer does."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_args, get_type_hints

import gevent
import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.components.base import SECRETS
from harness.components.registry import plan, serving_nodes
from harness.core.clock import FakeClock, to_ns
from harness.core.entrances import ENTRANCES_VARIABLE, Entrance, format_entrances, parse_entrances
from harness.core.products import Workbench
from harness.core.rows import ProbeSample, split_checked
from harness.core.specs import NodeContext
from harness.errors import UsageError
from harness.load.jupyterhub import JupyterHubClient, ServerState
from harness.load.keeper import MOVES_AT_MOST, Keeper, Keepers
from harness.load.people import People, Plan
from harness.load.probes import Probes
from harness.run.stage import Stage
from harness.runtime.fake import FakeRuntime
from tests.unit.analysis_runs import topology

# -- entrances -----------------------------------------------------------------------------------------------------

DIRECT = (Entrance("http://10.71.4.11:8000", "workbench-0"), Entrance("http://10.71.4.12:8000", "workbench-1"))


def test_entrances_are_read_as_they_are_written() -> None:
    assert parse_entrances("https://10.71.4.5") == (Entrance("https://10.71.4.5"),)
    text = "workbench-0=http://10.71.4.11:8000 workbench-1=http://10.71.4.12:8000"
    assert parse_entrances(text) == DIRECT
    assert format_entrances(DIRECT) == text
    assert parse_entrances("http://a/?next=b=c") == (Entrance("http://a/?next=b=c"),)


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
urls = st.builds("{}://{}:{}".format, st.sampled_from(["http", "https"]), names, st.integers(1, 65535))


@given(st.lists(st.builds(Entrance, urls, st.one_of(st.just(""), names)), min_size=1, max_size=5))
def test_parsing_is_the_inverse_of_formatting(entrances: list[Entrance]) -> None:
    assert parse_entrances(format_entrances(entrances)) == tuple(entrances)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "nothing"),
        ("10.71.4.5", "'10.71.4.5'"),
        ("a=http:// http://b", "'a=http://'"),
        ("=http://a", "'=http://a'"),
    ],
)
def test_a_text_that_names_no_entrance_is_refused(text: str, named: str) -> None:
    with pytest.raises(UsageError, match="expected URL or NODE=URL") as caught:
        parse_entrances(text)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("mode", "nodes", "serving"),
    [("single", 1, 1), ("separate", 3, 3), ("active-active", 3, 3), ("active-passive", 2, 1)],
)
def test_one_node_serves_where_the_others_stand_by_and_else_all(mode: Any, nodes: int, serving: int) -> None:
    assert serving_nodes(replace(topology(), workbench=Workbench(mode=mode, nodes=nodes))) == serving


def test_every_mode_says_how_many_nodes_serve() -> None:
    for mode in get_args(get_type_hints(Workbench)["mode"]):
        assert serving_nodes(replace(topology(), workbench=Workbench(mode=mode))) in {1, 2}


def test_without_a_balancer_each_node_is_an_entrance_with_its_name() -> None:
    apart = replace(topology(), load_balancer=None, workbench=Workbench(mode="separate", nodes=2))
    context = NodeContext(run_id="r", subnet_prefix="192.0.2", secrets=dict.fromkeys(SECRETS, "secret"))
    told = {spec.name: spec for spec in plan(apart, context)}["client"].environment[ENTRANCES_VARIABLE]
    assert parse_entrances(told) == (
        Entrance("http://192.0.2.11:8000", "workbench-0"),
        Entrance("http://192.0.2.12:8000", "workbench-1"),
    )


def test_the_client_is_told_of_entrances_and_serving_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def call(_self: object, op: str, **args: Any) -> dict[str, Any]:
        assert op == "start"
        told.update(args)
        return {}

    monkeypatch.setattr("harness.runtime.fake.FakeClient.call", call)
    stage = Stage(FakeRuntime(FakeClock(), topology()), topology(), "abcdef")
    stage.start(lambda _spec, _seconds: None)
    stage.start_load(users=3, beat_s=1, save_every=5, ramp_s=1, start_probe_every_s=5, seed=1)
    load = Plan(entrances=parse_entrances(told.pop("entrances")), **told)
    assert (load.entrances, load.serving_nodes, load.users) == ((Entrance("http://192.0.2.5"),), 1, 3)


def test_a_person_always_takes_the_same_entrance() -> None:
    load = Plan(
        prefix="", entrances=DIRECT, serving_nodes=2, password="x", users=5, beat_s=1, save_every=5, ramp_s=1,
        start_probe_every_s=5, seed=1,
    )  # fmt: skip
    people = People(load, 0, lambda _: None, gevent.event.Event())
    assert [person.node for person in people.everybody] == [f"workbench-{index % 2}" for index in range(5)]


# -- keepers -------------------------------------------------------------------------------------------------------


class _Browser(JupyterHubClient):
    """A platform that works, behind a balancer that sends each new browser to the next of `nodes`."""

    nodes: ClassVar[Iterator[str]]
    stopped: ClassVar[list[tuple[str, str]]]
    away: ClassVar[set[str]]
    state = ServerState.GONE

    def log_in(self) -> None:
        if self.node in self.away:
            raise ConnectionRefusedError
        self.node = self.node or next(self.nodes)

    def logged_in(self) -> bool:
        return True

    def spawn(self, ending: object, pause: object) -> bool:
        self.state = ServerState.READY
        return True

    def server(self) -> ServerState:
        return self.state

    def stop_server(self) -> None:
        self.stopped.append((self.user, self.node))
        self.state = ServerState.GONE

    def enter(self) -> None:
        pass

    def start_kernel(self) -> None:
        self.kernel_id = "k"

    def connect(self) -> None:
        if self.node in self.away:
            raise ConnectionRefusedError

    def run(self, code: str, on_first: Callable[[], object] | None = None) -> str:
        if on_first:
            on_first()
        return code.removeprefix("print(").removesuffix(")")

    def put_file(self, path: str, text: str) -> None:
        self.connect()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> type[_Browser]:
    class Browser(_Browser):
        nodes = itertools.cycle(["a", "b"])
        stopped: ClassVar = []
        away: ClassVar = set()

    monkeypatch.setattr("harness.load.keeper.JupyterHubClient", Browser)
    monkeypatch.setattr("harness.load.probes.JupyterHubClient", Browser)
    for kind in ("LOG_IN", "SESSION", "SAVE"):
        monkeypatch.setattr(f"harness.load.probes.{kind}_PERIOD_S", PERIOD_S)
    return Browser


BALANCER = (Entrance("http://127.0.0.1:9"),)


def settled(entrances: Sequence[Entrance], serving: int) -> tuple[Keeper, ...]:
    """Keepers after the beginning of a run that has ended since."""
    stop = gevent.event.Event()
    keepers = Keepers(entrances, serving, "x", stop)
    running = [gevent.spawn(keeper.run, keepers.earlier(keeper)) for keeper in keepers.everybody]
    try:
        assert all(keeper.settled.wait(10) for keeper in keepers.everybody)
        assert keepers.ready
    finally:
        stop.set()
        keepers.trouble()
        gevent.joinall(running, timeout=10, raise_error=True)
    return keepers.everybody


def test_one_serving_node_has_one_keeper_that_stays(browser: type[_Browser]) -> None:
    (keeper,) = settled(BALANCER, 1)
    assert (keeper.node, browser.stopped) == ("a", [])


@pytest.mark.long
def test_each_serving_node_gets_a_keeper(browser: type[_Browser]) -> None:
    browser.nodes = iter(["a", "a", "a", "b", "a", "a", "c"])
    keepers = settled(BALANCER, 3)
    assert keepers[0].node == "a"
    assert {keeper.node for keeper in keepers} == {"a", "b", "c"}
    # who moves leaves no server behind, and who came first stays
    assert len(browser.stopped) == 4
    assert {user for user, _ in browser.stopped} == {"probe-session-1", "probe-session-2"}


@pytest.mark.long
def test_a_keeper_that_finds_no_node_of_its_own_stays_where_it_is(browser: type[_Browser]) -> None:
    browser.nodes = itertools.repeat("a")
    assert [keeper.node for keeper in settled(BALANCER, 2)] == ["a", "a"]
    assert browser.stopped == [("probe-session-1", "a")] * MOVES_AT_MOST


def test_where_nobody_names_the_node_nobody_moves(browser: type[_Browser]) -> None:
    browser.nodes = itertools.repeat("")
    settled(BALANCER, 2)
    assert browser.stopped == []


def test_each_entrance_gets_a_keeper_that_stays(browser: type[_Browser]) -> None:
    assert [keeper.node for keeper in settled(DIRECT, 2)] == ["workbench-0", "workbench-1"]
    balancers = (Entrance("http://127.0.0.1:9"), Entrance("http://127.0.0.1:10"))
    browser.nodes = itertools.repeat("a")
    assert [keeper.node for keeper in settled(balancers, 2)] == ["a", "a"]
    assert browser.stopped == []


def test_a_run_that_ends_first_leaves_no_keeper_waiting(browser: type[_Browser]) -> None:
    browser.away.add("workbench-0")
    stop = gevent.event.Event()
    keepers = Keepers(DIRECT, 2, "x", stop)
    running = [gevent.spawn(keeper.run, keepers.earlier(keeper)) for keeper in keepers.everybody]
    assert keepers.everybody[1].settled.wait(10)
    assert not keepers.ready
    stop.set()
    keepers.trouble()
    gevent.joinall(running, timeout=10, raise_error=True)
    assert [keeper.ready for keeper in keepers.everybody] == [False, True]


# -- turns ---------------------------------------------------------------------------------------------------------


#: Of all probes here, which are in a hurry.
PERIOD_S = 0.1


def measured(path: Path, entrances: Sequence[Entrance], serving: int) -> dict[str, list[dict[str, str]]]:
    """The probes of some periods by capability, in the order in which they were due."""
    probes = Probes(
        entrances, "x", path, serving_nodes=serving, starts_after_s=0, start_every_s=PERIOD_S,
        driver=None, writer="", writes_path=path.with_name("writes.csv"), hub_writes_path=path.with_name("hub.csv"),
    )  # fmt: skip
    probes.start()
    with gevent.Timeout(20):
        while min(state["samples"] for state in probes.snapshot().values()) < 5:
            gevent.sleep(0.02)
    probes.stop()
    body, _ = split_checked(path.read_bytes(), ProbeSample, "probes")
    rows: dict[str, list[dict[str, str]]] = {}
    for row in sorted(csv.DictReader(body.decode().splitlines()), key=lambda row: int(row["due_ns"])):
        rows.setdefault(row["capability"], []).append(row)
    return rows


def turns(rows: list[dict[str, str]]) -> list[str]:
    return [row["via"] for row in rows]


@pytest.mark.long
@pytest.mark.parametrize("away", [set(), {"b"}], ids=["all well", "one node away"])
def test_keepers_take_turns_at_the_same_rate_as_one(
    browser: type[_Browser], tmp_path: Path, away: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _Browser.put_file

    def put(self: _Browser, path: str, text: str) -> None:
        if self.node in away:
            raise ConnectionRefusedError
        real(self, path, text)

    monkeypatch.setattr(_Browser, "put_file", put)
    rows = measured(tmp_path / "probes.csv", BALANCER, 2)
    for capability in ("work", "save", "reconnect"):
        assert turns(rows[capability])[:5] in (["0", "1", "0", "1", "0"], ["1", "0", "1", "0", "1"])
        assert {(row["via"], row["node"]) for row in rows[capability]} == {("0", "a"), ("1", "b")}
        due = [int(row["due_ns"]) for row in rows[capability]]
        assert min(after - before for before, after in itertools.pairwise(due)) == to_ns(PERIOD_S)
    assert {row["via"] for row in rows["save"] if row["ok"] == "0"} == ({"1"} if away else set())
    assert set(turns(rows["log_in"]) + turns(rows["start_session"])) == {""}


@pytest.mark.long
def test_entrances_take_turns(browser: type[_Browser], tmp_path: Path) -> None:
    rows = measured(tmp_path / "probes.csv", DIRECT, 2)
    for capability in ("log_in", "start_session", "work", "save", "reconnect"):
        assert turns(rows[capability])[:4] == ["0", "1", "0", "1"]
        seen = {(row["via"], row["node"]) for row in rows[capability]}
        assert seen == {("0", "workbench-0"), ("1", "workbench-1")}


@pytest.mark.long
def test_one_of_everything_has_one_series_each(browser: type[_Browser], tmp_path: Path) -> None:
    rows = measured(tmp_path / "probes.csv", BALANCER, 1)
    assert {name: set(turns(of)) for name, of in rows.items()} == {
        "log_in": {""}, "start_session": {""}, "work": {"0"}, "save": {"0"}, "reconnect": {"0"}
    }  # fmt: skip
