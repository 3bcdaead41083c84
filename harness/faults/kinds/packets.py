"""Faults of packets: rules in the target's own network namespace. Its processes and its link go on."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from harness.core.constraints import Bounds
from harness.core.experiment import Fault, Target
from harness.core.names import container_name
from harness.core.rules import Peer
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import PeerError
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import ContainerState, GuardError, Host
from harness.faults.kinds.machines import guard_own_machine, machine_state
from harness.faults.kinds.traffic_links import past_own_addresses, roles_of
from harness.faults.scripts.filters import ALL_MACHINES, LOOPBACK, NAME_SERVER, SHARE_UNIT, Answer, Fate, Rule

__all__ = ["Dns", "Loss", "Partition"]

How = Literal["drop", "reject"]
_FATES: Mapping[How, Fate] = {"drop": Fate.LOSE, "reject": Fate.REJECT}


class _Filter(FaultKind):
    """What all of them share: one table of rules, named from the act's tag, in the target's network namespace."""

    leaves: ClassVar[str] = "a packet filter in a machine"

    def refusal(self, topology: Topology, fault: Fault) -> str:
        """Where nothing passes from one's own address to the other's, with a link or a virtual address between; and one
        machine has nobody to be cut off from among its own."""
        target, peer = (Target.PATTERN.fullmatch(text) for text in (fault.target, fault.peer))
        if target and peer and target["role"] == peer["role"] and topology.size(Role(target["role"])) == 1:
            return f"{target['role']} is one machine, which has no other one to be cut off from"
        roles = roles_of(fault)
        if not roles or not (topology.link(*roles) or topology.link(*reversed(roles))):
            return past_own_addresses(topology, fault)
        return (
            f"a link stands between {roles[0]} and {roles[1]}, and they do not talk directly: leave it out of "
            "`links:`, or use reset"
        )

    @abstractmethod
    def _rules(self, aim: Aim, peers: Mapping[str, str]) -> Sequence[Rule]:
        """What to put in; `peers` are the addresses of the other sides by name."""

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        peers = {name: _guarded_peer(host, name).address for name in aim.peers}
        # a look with the same program that injects: where it can't work it fails now, and its pages are in memory
        if host.filters.counters(container.pid, aim.tag):
            raise GuardError(f"{container.name} has a packet filter {aim.tag} already", hint="run `harness doctor`")
        return {
            **machine_state(container),
            "address": container.address,
            "table": aim.tag,
            "peers": peers,
            "rules": [asdict(rule) for rule in self._rules(aim, peers)],
        }

    def inject(self, host: Host, state: State) -> None:
        if not _is_there(host, state):
            raise GuardError(f"{state['container']} has gone since it was looked at, so it was left alone")
        host.filters.add(state["pid"], state["table"], _rules_of(state))

    def undo(self, host: Host, state: State) -> None:
        if not _is_there(host, state):
            return  # the namespace went with the machine, and the rules with it
        try:
            host.filters.remove(state["pid"], state["table"])
        except (GuardError, PeerError):
            if _is_there(host, state):
                raise

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(True, "the machine has gone since, and its packet filter with it")
        if host.filters.counters(state["pid"], state["table"]):
            return Evidence(False, f"the packet filter {state['table']} is still there")
        return self._back(host, state)

    def _back(self, host: Host, state: State) -> Evidence:  # noqa: ARG002 - for kinds that can see more
        return Evidence(True, f"the packet filter {state['table']} is gone")


class Partition(_Filter):
    """Two machines can't reach each other, while both reach everybody else. Connections that are open are cut too.

    Only what bears the peer's own address is cut, not a virtual address that it may hold for a while.
    """

    kind: ClassVar[str] = "partition"
    summary: ClassVar[str] = "the machine and its peer can't reach each other, in one direction or both, until undone"
    peer: ClassVar[Peer] = Peer.REQUIRED

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Which way, and whether anybody is told."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        direction: Literal["both", "to_peer", "from_peer"] = "both"
        """Which packets do not arrive, seen from the target."""
        how: How = "drop"
        """drop: they are lost, as on a broken path; whoever waits finds out by a time limit. reject: their sender is
        told at once, as by a firewall."""

    def prepare(self, host: Host, aim: Aim) -> State:
        if not aim.peers:
            raise GuardError(
                f"partition: {aim.target} is its only peer, so there is nobody to cut it off from",
                hint="name another machine as `peer`",
            )
        state = super().prepare(host, aim)
        before = {name: host.filters.knock(state["pid"], address).value for name, address in state["peers"].items()}
        return {**state, "how": aim.options.how, "before": before}

    def _rules(self, aim: Aim, peers: Mapping[str, str]) -> Sequence[Rule]:
        fate, direction = _FATES[aim.options.how], aim.options.direction
        rules = []
        for name, address in peers.items():
            if direction != "from_peer":
                rules.append(Rule(counter=f"to_{name}", incoming=False, receiver=address, fate=fate))
            if direction != "to_peer":
                rules.append(Rule(counter=f"from_{name}", incoming=True, sender=address, fate=fate))
        return rules

    def confirm(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(False, "the machine has gone since")
        counters = {rule.counter for rule in _rules_of(state)}
        found = [self._provoke(host, state, name) for name in state["peers"]]
        counted = host.filters.counters(state["pid"], state["table"])
        moved = all(counted.get(counter, 0) > 0 for counter in counters)
        silent = all(answer is Answer.NONE for answer, _ in found)
        numbers = ", ".join(f"{counter}: {counted.get(counter, 'no rule')}" for counter in sorted(counters))
        text = "; ".join(text for _, text in found) + f"; packets cut: {numbers}"
        # a refusal may be the peer's own or our rule's: with `reject` the counters alone tell
        return Evidence(moved and (silent or state["how"] == "reject"), text)

    def _provoke(self, host: Host, state: State, name: str) -> tuple[Answer, str]:
        """Make the packets that the rules for one peer are to count; returns what the target's own attempt met."""
        answer = host.filters.knock(state["pid"], state["peers"][name])
        text = f"{name}:9 from {state['container']}: {answer.value}"
        peer = host.machines.look(name)
        if not peer.running:
            return answer, f"{text}, {name} is {peer.status} and sends nothing"
        return answer, f"{text}, back: {host.filters.knock(peer.pid, state['address']).value}"

    def _back(self, host: Host, state: State) -> Evidence:
        gone = f"the packet filter {state['table']} is gone"
        fine, texts = True, [gone]
        for name, address in state["peers"].items():
            if not host.machines.look(name).running:
                texts.append(f"{name} does not run")
                continue
            answer = host.filters.knock(state["pid"], address)
            # who could not be reached before need not be reached now: that was something else
            fine &= answer is not Answer.NONE or state["before"][name] == Answer.NONE
            texts.append(f"{name}:9 from {state['container']}: {answer.value}")
        return Evidence(fine, "; ".join(texts))


class Loss(_Filter):
    """A share of the machine's packets is lost, each way, chosen packet by packet; with a peer only those between the
    two.

    A packet is what the kernel hands to the device. On a bulk transfer between containers that is up to 64 KiB, which
    no real card would send as one: there a loss is a burst of losses.
    """

    kind: ClassVar[str] = "loss"
    summary: ClassVar[str] = "a share of the machine's packets is lost, each way, until undone"
    peer: ClassVar[Peer] = Peer.OPTIONAL

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """How much."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        percent: Annotated[float, Bounds(0.1, 100)]
        """So many of 100 packets are lost, of those that go out and of those that come in; in steps of 0.01. Below 0.1
        it would take more than the 20,000 packets that `confirm` sends at most to see it."""

    def _rules(self, aim: Aim, peers: Mapping[str, str]) -> Sequence[Rule]:
        share = round(aim.options.percent / 100 * SHARE_UNIT)
        rules = []
        for address in peers.values() or [""]:
            for way, incoming, sender, receiver in (("out", False, "", address), ("in", True, address, "")):
                counted = Rule(
                    counter=f"{way}_seen", incoming=incoming, sender=sender, receiver=receiver, fate=Fate.PASS
                )
                lost = Rule(counter=f"{way}_lost", incoming=incoming, sender=sender, receiver=receiver, per_10000=share)
                rules += [counted, lost]
        return rules

    def confirm(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(False, "the machine has gone since")
        share = next(rule.per_10000 for rule in _rules_of(state) if rule.fate is Fate.LOSE) / SHARE_UNIT
        enough = math.ceil(_EXPECTED_LOSSES / share)
        self._make_traffic(host, state, enough)
        counted = host.filters.counters(state["pid"], state["table"])
        ways = {way: (counted.get(f"{way}_seen", 0), counted.get(f"{way}_lost", 0)) for way in ("out", "in")}
        # without a peer nobody is known who would send enough to the machine, so there the packets out are the proof
        needed = ("out", "in") if state["peers"] else ("out",)
        shown = all(_plausible(seen, lost, share) for seen, lost in ways.values()) and all(
            ways[way][0] >= enough and ways[way][1] > 0 for way in needed
        )
        texts = [f"of {seen} packets {way} {lost} were lost" for way, (seen, lost) in ways.items()]
        return Evidence(shown, f"{', '.join(texts)}; {share:.2%} of at least {enough} {' and '.join(needed)} expected")

    def _make_traffic(self, host: Host, state: State, enough: int) -> None:
        counted = host.filters.counters(state["pid"], state["table"])
        if not counted:
            return
        missing_out = min(_BATCH, enough - counted.get("out_seen", 0))
        missing_in = min(_BATCH, enough - counted.get("in_seen", 0))
        if missing_out > 0:
            receiver = next(iter(state["peers"].values()), ALL_MACHINES)
            host.filters.send(state["pid"], state["address"], receiver, missing_out)
        if missing_in > 0 and state["peers"]:
            name, address = next(iter(state["peers"].items()))
            peer = host.machines.look(name)
            if peer.running:
                host.filters.send(peer.pid, address, state["address"], missing_in)


#: Expected losses until a share is judged; e^-20 is the chance that none of them happens.
_EXPECTED_LOSSES = 20
#: Datagrams a look, so that it stays short (5,000 took 60 to 95 ms on two busy cores).
_BATCH = 5_000
#: A fault that does what it should is called implausible once in 500,000 looks.
_RISK_NATS = -math.log(1e-6)


def _plausible(seen: int, lost: int, share: float) -> bool:
    """Whether so many lost packets fit the share, by the exact bound n*KL(lost/n || share) on the logarithm of each
    tail's probability (Hoeffding 1963, theorem 1): it holds for few packets and for any share, unlike a normal one."""
    observed = min(1.0, lost / seen) if seen else share
    divergence = 0.0
    for got, expected in ((observed, share), (1 - observed, 1 - share)):
        if got > 0:
            divergence += got * math.log(got / expected) if expected > 0 else math.inf
    return seen * divergence <= _RISK_NATS


class Dns(_Filter):
    """No names resolve: questions to the name server do not arrive. Names in /etc/hosts and addresses still work."""

    kind: ClassVar[str] = "dns"
    summary: ClassVar[str] = "names do not resolve on the machine until undone"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Whether whoever asks is told."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        how: How = "drop"
        """drop: questions are lost, and whoever asks waits for a time limit (glibc: 5 s a try, two tries). reject: they
        are refused at once."""

    def prepare(self, host: Host, aim: Aim) -> State:
        state = super().prepare(host, aim)
        name = container_name(host.machines.look(aim.target).run_id, aim.target)
        answer = host.filters.ask_name(state["pid"], name)
        if answer is not Answer.ANSWERED:
            raise GuardError(
                f"{aim.target}: the name server {NAME_SERVER} gives {answer.value} to a question for {name} already",
                hint="is another fault on the names of this machine still in effect?",
            )
        return {**state, "name": name}

    def _rules(self, aim: Aim, peers: Mapping[str, str]) -> Sequence[Rule]:  # noqa: ARG002 - it has none
        # lost where they arrive: a drop where they are sent would be told to the sender (see filter_rules)
        fate = _FATES[aim.options.how]
        return [Rule(counter="questions", incoming=True, device=LOOPBACK, receiver=NAME_SERVER, fate=fate)]

    def confirm(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(False, "the machine has gone since")
        answer = host.filters.ask_name(state["pid"], state["name"])
        questions = host.filters.counters(state["pid"], state["table"]).get("questions", 0)
        text = f"asked for {state['name']}: {answer.value}; questions cut: {questions}"
        return Evidence(answer is not Answer.ANSWERED and questions > 0, text)

    def _back(self, host: Host, state: State) -> Evidence:
        answer = host.filters.ask_name(state["pid"], state["name"])
        text = f"the packet filter {state['table']} is gone; asked for {state['name']}: {answer.value}"
        return Evidence(answer is Answer.ANSWERED, text)


def _guarded_peer(host: Host, name: str) -> ContainerState:
    peer = host.machines.look(name)
    if not peer.running or not peer.address:
        raise GuardError(
            f"the peer {name} is {peer.status}, so there is nothing between it and the target",
            hint="did an earlier fault of this experiment already take it away?",
        )
    if not peer.own_namespaces:
        raise GuardError(f"the peer {name} shares the host's network or PID namespace: refused")
    return peer


def _is_there(host: Host, state: State) -> bool:
    return host.processes.alive(state["pid"], state["start_ticks"])


def _rules_of(state: State) -> list[Rule]:
    return [_rule(**rule) for rule in state["rules"]]


def _rule(*, fate: str, **rest: Any) -> Rule:
    return Rule(fate=Fate(fate), **rest)
