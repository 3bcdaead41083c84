"""Advice is given where the measures show the failure that it is about, and only there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from harness.analysis import Measures, analyse
from harness.analysis.advice import ADVICE, advise
from harness.analysis.checks_audit import BackendAudit, Marked
from harness.analysis.facts import FaultFacts
from harness.analysis.gate import WithoutFault
from harness.analysis.growth import GrowthFacts
from harness.core.history import GrowthEnd
from harness.core.products import Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Recovery, Store
from tests.unit.analysis_runs import twelve_users, views

SOUND = Topology(
    name="sound",
    description="Nothing to advise.",
    load_balancer=LoadBalancer(nodes=2, vip=True),
    workbench=Workbench(nodes=2, mode="active-active"),
    database=Patroni(),
    storage=Storage(nodes=2, vip=True),
)


@cache
def run() -> Measures:
    """A node dies, is marked down after 1.8 s, and all of its people restart on another one."""
    return analyse(
        twelve_users(balancer=views({"workbench-0": [(-5, "UP"), (6.8, "DOWN")], "workbench-1": [(-5, "UP")]}))
    )


def hit(target: str, kind: str = "kill", names: Sequence[str] = ("workbench-0",), **changes: Any) -> Measures:
    """The same by another fault."""
    facts = run().facts
    fault: FaultFacts = replace(facts.faults[0], kind=kind, target=target, targets=tuple(names))
    return replace(run(), facts=replace(facts, faults=(fault,)), **changes)


def by_repair(measures: Measures) -> Measures:
    """Everything came back only by the repair."""
    capabilities = tuple(
        replace(
            one,
            recovery=Recovery.BY_REPAIR,
            outages=tuple(replace(outage, recovery=Recovery.BY_REPAIR) for outage in one.outages),
        )
        for one in measures.capabilities
    )
    sessions = tuple(
        replace(
            row,
            recovery=Recovery.BY_REPAIR,
            disturbances=tuple(replace(one, recovery=Recovery.BY_REPAIR) for one in row.disturbances),
        )
        for row in measures.sessions
    )
    return replace(measures, capabilities=capabilities, sessions=sessions)


def lost(measures: Measures, store: Store, **changes: Any) -> Measures:
    stores = tuple(replace(one, **changes) if one.store is store else one for one in measures.writes.stores)
    return replace(measures, writes=replace(measures.writes, stores=stores))


def never_dropped(backend: BackendAudit) -> BackendAudit:
    return replace(backend, servers=tuple(replace(server, marked_down=None) for server in backend.servers))


def names(measures: Measures, topology: Topology) -> list[str]:
    return [one.name for one in advise(measures, topology)]


def text(measures: Measures, topology: Topology) -> str:
    (only,) = advise(measures, topology)
    return only.text


def test_a_sound_platform_gets_no_advice_even_if_people_waited_for_a_repair() -> None:
    every = [hit("workbench[0]"), hit("database[0]"), hit("storage[0]"), hit("load_balancer[0]")]
    for measures in (*every, *map(by_repair, every)):
        assert names(measures, SOUND) == []


def test_what_proves_nothing_gets_no_advice() -> None:
    trap = replace(SOUND, load_balancer=LoadBalancer(redispatch=False))
    assert names(by_repair(hit("workbench[0]")), trap) == ["led to a dead node"]
    for outcome in (Outcome.INCONCLUSIVE, Outcome.ERROR):
        measures = by_repair(hit("workbench[0]"))
        assert names(replace(measures, verdict=replace(measures.verdict, outcome=outcome)), trap) == []


def test_the_hub_is_the_only_check() -> None:
    naive = replace(SOUND, load_balancer=LoadBalancer(check="hub"))
    crash = hit("workbench[busiest]", "crash")
    assert text(crash, naive) == (
        "The balancer dropped workbench-0 1.8 s after the fault because its only check is /hub/health, and 12 people "
        "lost a session whose node was still there. Separate the checks: session_check: proxy for the way to running "
        "sessions, so that nobody is moved away from one that lives; see topologies/active-active.yaml."
    )
    assert names(hit("workbench[busiest]", "kill"), naive) == [], "a dead node is rightly left"
    assert names(crash, replace(SOUND, load_balancer=LoadBalancer(check="hub", session_check="proxy"))) == []
    audit = crash.checks_audit
    kept = replace(audit, backends=tuple(map(never_dropped, audit.backends)))
    assert names(replace(crash, checks_audit=kept), naive) == [], "nobody was dropped"
    assert isinstance(audit.backends[0].servers[0].marked_down, Marked)


def test_people_were_led_to_a_dead_node() -> None:
    trap = replace(SOUND, load_balancer=LoadBalancer(redispatch=False))
    assert "12 people of the broken node waited until it was repaired" in text(by_repair(hit("workbench[0]")), trap)
    assert names(hit("workbench[0]"), trap) == [], "they came back by design"
    everything = by_repair(hit("workbench[*]", names=("workbench-0", "workbench-1")))
    assert names(everything, trap) == [], "there was no other node"


def test_requests_go_round_without_stickiness() -> None:
    naive = replace(SOUND, load_balancer=LoadBalancer(stickiness="none", balance="roundrobin"))
    without = WithoutFault(
        users=12, working=0, waited_s=120, capability="work", refused=50, probes=100, most_often="404"
    )
    assert "(roundrobin without stickiness)" in text(replace(run(), without_fault=without), naive)
    assert names(run(), naive) == []


def test_saves_lie_on_the_disk_of_another_node() -> None:
    own = replace(SOUND, storage=None)
    measures = lost(run(), Store.HOME, lost=3, lost_elsewhere=3)
    assert text(measures, own).startswith(
        "3 acknowledged saves are on the disk of a node on which their owner does not"
    )
    assert names(lost(run(), Store.HOME, lost=3, lost_elsewhere=0), own) == []
    assert names(measures, SOUND) == []


def test_asynchronous_replication_lost_writes() -> None:
    quick = replace(SOUND, database=Patroni(synchronous=False))
    assert text(lost(run(), Store.DATABASE, lost=292), quick).startswith(
        "292 writes that the database had acknowledged"
    )
    assert names(run(), quick) == []
    assert names(lost(run(), Store.DATABASE, lost=292), SOUND) == []


@pytest.mark.parametrize(
    ("name", "target", "alone"),
    [
        ("one node", "workbench[0]", replace(SOUND, workbench=Workbench(nodes=1, mode="single"))),
        ("one balancer", "load_balancer[0]", replace(SOUND, load_balancer=LoadBalancer())),
        ("one database", "database[0]", replace(SOUND, database=Database())),
        ("one storage server", "storage[0]", replace(SOUND, storage=Storage())),
    ],
)
def test_a_single_machine_was_the_end_until_it_was_repaired(name: str, target: str, alone: Topology) -> None:
    measures = by_repair(hit(target))
    assert names(measures, alone) == [name]
    assert "12 of 12 people could not work until somebody repaired it" in text(measures, alone)
    assert names(hit(target), alone) == [], "it came back by itself"
    assert names(by_repair(hit(target, "disk_full")), alone) == [], "a second machine has the same disk"


def test_a_standby_that_never_takes_over() -> None:
    sleepy = replace(SOUND, workbench=Workbench(mode="active-passive", takeover="first-holder"))
    assert "only the node that held the lease first may hold it" in text(by_repair(hit("workbench[active]")), sleepy)
    assert names(hit("workbench[active]"), sleepy) == []


@pytest.mark.parametrize(("working", "ended", "said"), [(7, GrowthEnd.NOT_BEGUN, True), (12, GrowthEnd.AT_MOST, False)])
def test_the_survivors_carry_too_few(working: int, ended: GrowthEnd, said: bool) -> None:
    growth = GrowthFacts(began_ns=None if said else 1, users=12, working=working, steps=(), ended=ended)
    measures = hit("workbench[busiest]")
    found = advise(replace(measures, facts=replace(measures.facts, growth=growth)), SOUND)
    assert [one.text.startswith("After the loss of a node only 7 of 12 people could work") for one in found] == [
        True
    ] * said


def test_every_piece_of_advice_has_a_docstring_and_names_a_way_out() -> None:
    pieces: Sequence[Callable[..., object]] = list(ADVICE.values())
    assert all(piece.__doc__ for piece in pieces)
