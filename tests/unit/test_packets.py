"""Packet faults on paper, the scripts that nft is fed with, and what counts as proof of a loss."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.core.clock import FakeClock
from harness.faults.base import Aim, State
from harness.faults.host import GuardError
from harness.faults.kinds.packets import Dns, Loss, Partition, _plausible
from harness.faults.rehearsal import RehearsalHost
from harness.faults.scripts.filters import Answer, Fate, Rule, add_script, remove_script


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def host(clock: FakeClock) -> RehearsalHost:
    return RehearsalHost(clock.now_ns, "abc123")


def cut(host: RehearsalHost, **options: Any) -> State:
    """A partition between two machines, prepared and injected."""
    aim = Aim(target="hub", tag="chaos-abc123-0", peers=("database",), options=Partition.Options(**options))
    state = Partition().prepare(host, aim)
    Partition().inject(host, state)
    return state


def test_the_script_is_one_transaction_that_names_only_our_own_table() -> None:
    rules = [
        Rule(counter="to_a", incoming=False, receiver="192.0.2.1"),
        Rule(counter="from_a", incoming=True, sender="192.0.2.1", per_10000=250),
    ]
    assert add_script("chaos-abc123-0", rules).splitlines() == [
        "table inet chaos-abc123-0",
        "flush table inet chaos-abc123-0",
        "table inet chaos-abc123-0 {",
        "  counter to_a { }",
        "  counter from_a { }",
        "  chain incoming { type filter hook input priority -300; policy accept;",
        '    iifname "eth0" ip saddr 192.0.2.1 numgen random mod 10000 < 250 counter name from_a drop',
        "  }",
        "  chain outgoing { type filter hook postrouting priority 300; policy accept;",
        '    oifname "eth0" ip daddr 192.0.2.1 counter name to_a ip saddr set 255.255.255.255',
        "  }",
        "}",
    ]
    assert remove_script("chaos-abc123-0") == "table inet chaos-abc123-0\ndelete table inet chaos-abc123-0\n"


def test_a_packet_on_its_way_out_is_never_dropped_where_its_sender_would_notice() -> None:
    script = add_script("t", [Rule(counter="c", incoming=False, fate=Fate.LOSE)])
    assert "drop" not in script


def test_refusals_pass_where_both_ways_are_refused() -> None:
    into = Rule(counter="in", incoming=True, sender="192.0.2.1", fate=Fate.REJECT)
    out = Rule(counter="out", incoming=False, receiver="192.0.2.1", fate=Fate.REJECT)
    assert "tcp flags rst accept" in add_script("t", [into, out])
    assert "accept;" in add_script("t", [out])
    assert "tcp flags rst accept" not in add_script("t", [out])


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ({"direction": "both"}, (Answer.NONE, Answer.NONE)),
        ({"direction": "to_peer"}, (Answer.NONE, Answer.NONE)),
        ({"direction": "from_peer"}, (Answer.NONE, Answer.NONE)),
        ({"direction": "to_peer", "how": "reject"}, (Answer.REFUSED, Answer.NONE)),
        ({"direction": "both", "how": "reject"}, (Answer.REFUSED, Answer.REFUSED)),
    ],
)
def test_a_partition_on_paper(host: RehearsalHost, options: dict[str, str], answers: tuple[Answer, Answer]) -> None:
    state = cut(host, **options)
    hub, database, other = (host.machines.look(name) for name in ("hub", "database", "other"))
    assert (host.filters.knock(hub.pid, database.address), host.filters.knock(database.pid, hub.address)) == answers
    assert host.filters.knock(hub.pid, other.address) is Answer.REFUSED, "nobody listens there, but it is reached"
    evidence = Partition().confirm(host, state)
    assert evidence.shown, evidence.text
    # what would be typed is what a real host would be fed with
    script = add_script("chaos-abc123-0", [Rule(**{**r, "fate": Fate(r["fate"])}) for r in state["rules"]])
    lines = {line.strip().rstrip(";") for line in script.splitlines()} - {"}"}
    assert all(line in host.paper.commands[0] for line in lines)


def test_a_partition_is_not_proven_while_the_peer_can_send_nothing(host: RehearsalHost) -> None:
    state = cut(host)
    host.paper.break_("down", "database")
    evidence = Partition().confirm(host, state)
    assert not evidence.shown
    assert "database is exited and sends nothing" in evidence.text


def test_a_partition_from_a_peer_that_is_away_is_refused(host: RehearsalHost) -> None:
    host.machines.look("database")
    host.paper.break_("down", "database")
    with pytest.raises(GuardError, match="the peer database is exited"):
        cut(host)


def test_recovery_is_not_proven_while_something_else_is_in_the_way(host: RehearsalHost) -> None:
    first = cut(host)
    other = {**first, "table": "chaos-abc123-1"}
    Partition().inject(host, other)
    Partition().undo(host, first)
    assert not Partition().confirm_recovery(host, first).shown
    Partition().undo(host, other)
    assert Partition().confirm_recovery(host, first).shown


def test_a_machine_loses_its_filters_when_it_restarts(host: RehearsalHost, clock: FakeClock) -> None:
    state = cut(host)
    host.machines.stop("id-of-hub")
    clock.sleep(1)
    host.machines.start("id-of-hub")
    assert host.paper.untouched()
    commands = list(host.paper.commands)
    Partition().undo(host, state)
    assert host.paper.commands == commands, "nothing is left to be undone, and another may have its PID now"
    assert Partition().confirm_recovery(host, state).text == "the machine has gone since, and its packet filter with it"
    with pytest.raises(GuardError, match="has gone since"):
        Partition().inject(host, state)


def test_a_loss_that_is_far_from_what_was_asked_for_is_caught(host: RehearsalHost) -> None:
    state = dict(Loss().prepare(host, Aim(target="hub", tag="t", options=Loss.Options(percent=5))))
    Loss().inject(host, state)
    assert Loss().confirm(host, state).shown
    for rule in state["rules"]:
        if rule["fate"] == Fate.LOSE:
            rule["per_10000"] = 1500  # what confirm is to believe was asked for
    assert not Loss().confirm(host, state).shown


@pytest.mark.parametrize(
    ("seen", "lost", "share", "plausible"),
    [
        (400, 20, 0.05, True),
        (400, 45, 0.05, True),
        (400, 55, 0.05, False),
        (400, 0, 0.05, False),
        (20, 20, 1.0, True),
        (20, 19, 1.0, False),
        (0, 0, 0.05, True),
        (20_000, 20, 0.001, True),
        (20_000, 1, 0.001, False),
    ],
)
def test_which_losses_fit_a_share(seen: int, lost: int, share: float, plausible: bool) -> None:
    assert _plausible(seen, lost, share) is plausible


def test_names_that_do_not_resolve_anyway_are_not_taken_away(host: RehearsalHost) -> None:
    aim = Aim(target="hub", tag="chaos-abc123-0", options=Dns.Options())
    Dns().inject(host, Dns().prepare(host, aim))
    with pytest.raises(GuardError, match="gives no answer"):
        Dns().prepare(host, dataclasses.replace(aim, tag="chaos-abc123-1"))


def test_a_table_of_that_name_is_not_written_over(host: RehearsalHost) -> None:
    cut(host)
    with pytest.raises(GuardError, match="has a packet filter chaos-abc123-0 already"):
        cut(host)
