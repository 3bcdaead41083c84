"""Upgrades of databases, balancers and the storage, from the files to what they leave, on the fake runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.components.base import generate_secrets
from harness.components.haproxy import CONFIG_PATH, containers
from harness.core.change import ChangeEnd, ChangeStep, Upgrade
from harness.core.history import EventKind, read_history
from harness.core.products import LoadBalancer
from harness.core.specs import NodeContext
from harness.core.verdict import Outcome
from harness.errors import SpecError
from harness.report.sentence import plain_sentence
from harness.run.changes.member_steps import member_steps, members_back
from harness.runtime.fake import Behaviour
from harness.runtime.images import context_files, variants
from harness.spec.loader import load_topology
from harness.spec.reloading import RELOADED, with_knob
from tests.unit.fake_runs import ROOT, Result, experiment, run_once

pytestmark = pytest.mark.long

SERVERS = ("database-0", "database-1", "database-2")
BROKEN = Behaviour(unhealthy_images=("company/broken:1",), unusable_images=("company/useless:1",))
Upgraded = Callable[..., Result]


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgraded:
    def go(topology: str, name: str, **more: Any) -> Result:
        what = experiment(name)
        assert what.upgrade is not None
        on = load_topology(ROOT / f"topologies/{topology}.yaml")
        few = replace(what, load=replace(what.load, users=2), upgrade=replace(what.upgrade, **more), settle_s=5)
        return run_once(tmp_path, on, few, BROKEN)

    return go


def words(result: Result) -> list[tuple[str, ...]]:
    events = read_history(result.folder.history).of(EventKind.CHANGE)
    return [(event.data["step"], *event.data["nodes"]) for event in events]


def evidence(result: Result, step: str) -> list[str]:
    events = read_history(result.folder.history).of(EventKind.CHANGE)
    return [event.data["evidence"] for event in events if event.data["step"] == step]


def end(result: Result) -> tuple[ChangeEnd, str]:
    (event,) = read_history(result.folder.history).of(EventKind.CHANGED)
    return ChangeEnd(event.data["how"]), event.data["reason"]


def releases(result: Result, beginning: str) -> set[str]:
    found = result.runtime.deployments[0].platform.releases
    return {image for name, image in found.items() if name.startswith(beginning)}


# -- what is done ----------------------------------------------------------------------------------------------------


def test_a_single_database_is_backed_up_and_exchanged_behind_a_gate(upgrade: Upgraded) -> None:
    result = upgrade("active-active", "db-upgrade")
    assert end(result) == (ChangeEnd.DONE, "")
    assert words(result) == [(step, "database") for step in ("back_up", "retire", "start", "gate")]
    assert releases(result, "database") == {"database"}
    assert evidence(result, "start") == ["healthy after 0.5 s, version 1.0+database, before 1.0+database-previous"]
    assert "somebody could log in" in evidence(result, "gate")[0]
    assert result.measures.facts.faults[0].target == "database[*]"


def test_of_a_cluster_the_primary_hands_over_before_its_turn(upgrade: Upgraded) -> None:
    result = upgrade("ha-database", "db-upgrade")
    exchange = ("retire", "start", "gate")
    assert words(result) == [
        ("back_up", "database-0"),
        *((step, "database-1") for step in exchange),
        *((step, "database-2") for step in exchange),
        ("switch_over", "database-0"),
        *((step, "database-0") for step in exchange),
    ]
    assert evidence(result, "switch_over") == [
        "database-1 is the primary, and takes durable writes, 0.0 s after database-0 had handed over"
    ]
    assert releases(result, "database-0") == releases(result, "database-2") == {"patroni"}
    assert releases(result, "database-proxy") == {"load_balancer"}, "it is no member of the role"


def test_a_release_of_the_database_that_never_gets_healthy_is_taken_back_at_the_first_server(upgrade: Upgraded) -> None:
    result = upgrade("ha-database", "db-upgrade", to="company/broken:1")
    how, reason = end(result)
    assert how is ChangeEnd.TAKEN_BACK
    assert reason.startswith("start database-1: database-1 was not ready")
    assert {name for _, *names in words(result) for name in names} == {"database-0", "database-1"}
    assert ("switch_over", "database-0") not in words(result)
    assert releases(result, "database-") == {"patroni@previous", "load_balancer"}
    assert result.outcome is Outcome.FAIL


def test_a_release_that_nobody_can_work_with_does_not_get_through_the_gate(upgrade: Upgraded) -> None:
    result = upgrade("active-active", "lb-upgrade", to="company/useless:1", gate_s=5)
    how, reason = end(result)
    assert how is ChangeEnd.TAKEN_BACK
    assert reason.startswith("gate load-balancer: nobody could work with load-balancer within 5 s: log_in")
    assert releases(result, "load-balancer") == {"load_balancer@previous"}


def test_the_way_back_hands_over_again_where_the_primary_was_upgraded(upgrade: Upgraded) -> None:
    result = upgrade("ha-database", "db-upgrade", then_back=True)
    assert end(result) == (ChangeEnd.WENT_BACK, "")
    back = [
        (event.data["step"], *event.data["nodes"])
        for event in read_history(result.folder.history).of(EventKind.CHANGE)
        if event.data["back"]
    ]
    assert [name for step, name in back if step == "start"] == ["database-0", "database-2", "database-1"]
    assert ("switch_over", "database-1") in back
    assert releases(result, "database-2") == {"patroni@previous"}


def test_what_is_away_on_a_way_back_that_was_asked_for_is_no_repair(upgrade: Upgraded) -> None:
    asked = upgrade("active-active", "db-upgrade", then_back=True)
    (change,) = asked.measures.facts.faults
    assert change.stays
    assert asked.outcome is Outcome.PASS
    taken = upgrade("active-active", "db-upgrade", to="company/broken:1")
    (change,) = taken.measures.facts.faults
    assert change.undo_after_ns is not None
    assert change.recovery_confirmed


@pytest.mark.parametrize(
    ("name", "member", "release"),
    [("nfs-upgrade", "storage", "storage@next"), ("lb-upgrade", "load-balancer", "load_balancer")],
)
def test_of_a_pair_the_holder_of_the_address_comes_last(
    name: str, member: str, release: str, upgrade: Upgraded
) -> None:
    result = upgrade("ha", name)
    assert end(result) == (ChangeEnd.DONE, "")
    exchange = ("retire", "start", "gate")
    assert words(result) == [(step, f"{member}-{number}") for number in (1, 0) for step in exchange]
    assert releases(result, member) == {release}


def test_a_reload_exchanges_nothing_but_the_configuration(upgrade: Upgraded) -> None:
    result = upgrade("active-active", "lb-upgrade", from_="current", to="check_fall=5", strategy="reload")
    assert end(result) == (ChangeEnd.DONE, "")
    assert words(result) == [("reload", "load-balancer"), ("gate", "load-balancer")]
    assert evidence(result, "reload") == ["check_fall=5: a new process serves after 0.0 s"]
    (order,) = [order for _, order in result.runtime.deployments[0].orders if "-USR2" in order]
    assert "fall 5" in order
    assert result.runtime.deployments[0].platform.releases["load-balancer"] == "load_balancer"
    assert plain_sentence(result.measures).startswith("Another configuration came to the load-balancer: nobody")


def test_the_way_back_of_a_reload_is_the_configuration_before(upgrade: Upgraded) -> None:
    result = upgrade(
        "active-active", "lb-upgrade", from_="current", to="check_fall=5", strategy="reload", then_back=True
    )
    assert end(result) == (ChangeEnd.WENT_BACK, "")
    orders = [order for _, order in result.runtime.deployments[0].orders if "-USR2" in order]
    assert ["fall 5" in order for order in orders] == [True, False]


# -- the order of the steps ------------------------------------------------------------------------------------------


@given(serving=st.sampled_from(SERVERS), heir=st.sampled_from(SERVERS), data=st.data())
def test_the_way_back_leads_back_from_every_step(serving: str, heir: str, data: st.DataObject) -> None:
    change = Upgrade(component="database", from_="previous", to="current")
    steps = member_steps(change, SERVERS, serving, hands_over=True)
    begun = steps[: data.draw(st.integers(1, len(steps)), label="stopped after")]
    release: dict[str, str | None] = dict.fromkeys(SERVERS, "")
    primary = serving
    for step in begun:
        if step.what is ChangeStep.SWITCH_OVER:
            primary = next(name for name in (heir, *SERVERS) if name != serving)
        if step.what in (ChangeStep.RETIRE, ChangeStep.START):
            release[step.nodes[0]] = step.release if step.what is ChangeStep.START else None
    handed_over = False
    for step in members_back(change, begun, primary, hands_over=True):
        (name,) = step.nodes
        handed_over = handed_over or step.what is ChangeStep.SWITCH_OVER
        if step.what is ChangeStep.RETIRE:
            assert name != primary or handed_over, "a primary goes only after it handed over"
            release[name] = None
        elif step.what is ChangeStep.START:
            release[name] = step.release
    assert release == dict.fromkeys(SERVERS, "")


# -- images and knobs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "release"),
    [("database", "previous"), ("patroni", "previous"), ("load_balancer", "previous"), ("storage", "next")],
)
def test_another_release_differs_in_the_versions_of_packages_only(name: str, release: str) -> None:
    assert release in variants(name)
    now, other = context_files(name), context_files(f"{name}@{release}")
    assert now.keys() == other.keys()
    assert {path for path in now if now[path] != other[path]} == {"choose-versions"}
    assert b"sh /tmp/choose-versions" in now["Dockerfile"]


@pytest.mark.parametrize(
    "knob",
    [
        "balance=roundrobin",
        "stickiness=table",
        "redispatch=false",
        "check=tcp",
        "session_check=same",
        "check_interval_s=2.5",
        "check_timeout_s=3",
        "check_fall=9",
        "check_rise=9",
    ],
)
def test_what_a_reload_can_change_is_in_the_configuration_and_nowhere_else(knob: str) -> None:
    pair = load_topology(ROOT / "topologies/ha.yaml")
    context = NodeContext(run_id="abcdef", subnet_prefix="192.0.2", secrets=generate_secrets())
    before, after = containers(pair, context), containers(with_knob(pair, knob), context)
    for old, new in zip(before, after, strict=True):
        assert old.files[CONFIG_PATH] != new.files[CONFIG_PATH]
        assert replace(old, files={}) == replace(new, files={})
        assert {path for path in old.files if old.files[path] != new.files[path]} == {CONFIG_PATH}
    assert knob.partition("=")[0] in RELOADED


@pytest.mark.parametrize(
    ("knob", "message"),
    [
        ("nodes=2", "nodes=2, expected KNOB=VALUE with a knob that a reload can change"),
        ("previous", "previous, expected KNOB=VALUE"),
        ("check_fal=2", "did you mean check_fall"),
        ("check_fall=no", "check_fall is 'no', expected a whole number"),
        ("check_fall=2", "check_fall=2 is what t has, expected another value"),
        ("check_fall=", "check_fall is empty"),
        ("check_fall=[", "not YAML"),
    ],
)
def test_a_knob_that_a_reload_can_not_change_is_refused(knob: str, message: str) -> None:
    loaded = load_topology(ROOT / "topologies/active-passive.yaml")
    with pytest.raises(SpecError, match=message.replace("'", ".")):
        with_knob(replace(loaded, name="t", load_balancer=LoadBalancer()), knob)


def test_a_knob_must_not_contradict_another_one() -> None:
    pair = load_topology(ROOT / "topologies/active-passive.yaml")
    with pytest.raises(SpecError, match=r"load_balancer.session_check is proxy with workbench.mode active-passive"):
        with_knob(pair, "session_check=proxy")
