"""Faults of what passes between two roles: it is late, it is slow, it breaks off.

Where a link (a Toxiproxy) stands between target and peer, a toxic does it: there the peer is not reached in any other
way. Elsewhere the kernel does it in the target's own network namespace, if it can.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from harness.core.constraints import Bounds
from harness.core.experiment import Fault
from harness.core.rules import Peer
from harness.core.topology import Link, Topology
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.machines import guard_own_machine, machine_state
from harness.faults.kinds.traffic_links import (
    Plan,
    add_toxics,
    confirm_gone,
    confirm_toxics,
    find_link,
    past_own_addresses,
    prepare_toxics,
    remove_toxics,
    roles_of,
)
from harness.faults.kinds.traffic_proof import Proof, alive, over, seconds_text, shown
from harness.faults.scripts.shaping import DEVICE, Shape, burst_bytes, handle_of, script

__all__ = ["Bandwidth", "Jitter", "Latency", "Reset", "SlowClose"]

Milliseconds = Annotated[int, Bounds(10, 3000)]
"""At least what can be told from a busy machine; at most what can be seen several times before `confirm` gives up."""
#: How long a burst is that shows a rate.
_BURST_S = 0.3


class _Traffic(FaultKind):
    leaves: ClassVar[str] = "a toxic in a link, or a queueing discipline in a machine"
    peer: ClassVar[Peer] = Peer.REQUIRED

    def refusal(self, topology: Topology, fault: Fault) -> str:
        return past_own_addresses(topology, fault)

    @abstractmethod
    def _plan(self, options: Any) -> Plan:
        """What a Toxiproxy is to do, and what then shows it."""

    def _shape(self, options: Any) -> Shape | None:  # noqa: ARG002 - for kinds that a kernel can do
        """What the kernel is to do, where there is no link; None if it can't."""
        return None

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        if not aim.peers:
            raise GuardError(
                f"{self.kind}: {aim.target} is its only peer, so there is no traffic between two sides",
                hint="name another machine as `peer`",
            )
        addresses = [_peer_address(host, name) for name in aim.peers]
        state = {**machine_state(container), "peers": list(aim.peers), "tag": aim.tag}
        if link := find_link(host, aim):
            return {**state, **prepare_toxics(host, aim, link, self._plan(aim.options))}
        shape = self._shape(aim.options)
        if shape is None:
            raise GuardError(_no_link(aim, f"{self.kind} is what only a Toxiproxy does"), hint=_HINT)
        return {**state, **_prepare_shape(host, aim, container.pid, addresses, shape)}

    def inject(self, host: Host, state: State) -> None:
        if state["mechanism"] == "toxiproxy":
            add_toxics(host, state)
        elif alive(host, state):
            host.traffic.shape(state["pid"], state["script"])
        else:
            raise GuardError(f"{state['container']} has gone since it was looked at, so it was left alone")

    def confirm(self, host: Host, state: State) -> Evidence:
        if state["mechanism"] == "toxiproxy":
            return confirm_toxics(host, state)
        if not alive(host, state):
            return Evidence(False, "the machine has gone since")
        proof, handle = Proof(**state["proof"]), host.traffic.handle(state["pid"], DEVICE)
        times = host.traffic.knock_s(
            state["pid"], state["addresses"][0], load_bytes=state["load_bytes"], count=proof.count
        )
        text = (
            f"{_discipline_text(state, handle)}; {state['peers'][0]} refused a connection after {seconds_text(times)}"
        )
        return Evidence(handle == state["handle"] and shown(proof, times), text)

    def undo(self, host: Host, state: State) -> None:
        if state["mechanism"] == "toxiproxy":
            remove_toxics(host, state)
        elif alive(host, state):
            host.traffic.unshape(state["pid"], DEVICE, state["handle"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if state["mechanism"] == "toxiproxy":
            return confirm_gone(host, state)
        if not alive(host, state):
            return Evidence(True, "the machine has gone since, and its queueing discipline with it")
        proof, handle = Proof(**state["proof"]), host.traffic.handle(state["pid"], DEVICE)
        text = _discipline_text(state, handle)
        if handle == state["handle"]:
            return Evidence(False, text)
        if not host.machines.look(state["peers"][0]).running:
            return Evidence(True, f"{text}; {state['peers'][0]} does not run")
        times = host.traffic.knock_s(
            state["pid"], state["addresses"][0], load_bytes=state["load_bytes"], count=proof.count
        )
        text += f"; {state['peers'][0]} refused a connection after {seconds_text(times)}"
        return Evidence(over(proof, times), text)


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """How late."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    latency_ms: Milliseconds
    """What the target sends to its peer arrives so much later, and so does every answer to it."""
    jitter_ms: Annotated[int, Bounds(0, 3000)] = 0
    """Plus or minus so much, drawn anew each time; less than latency_ms by 10 at least."""


class Latency(_Traffic):
    """What the target sends to its peer is late, as with a long or busy line between them."""

    kind: ClassVar[str] = "latency"
    summary: ClassVar[str] = "what the target sends to its peer arrives later until undone"
    Options: ClassVar[type] = LatencyOptions

    def prepare(self, host: Host, aim: Aim) -> State:
        if _least_delay_ms(aim.options) < 10:
            raise GuardError(
                f"latency of {aim.options.latency_ms} ms with a jitter of {aim.options.jitter_ms} ms may be less than "
                "10 ms, which can't be told from a busy machine",
                hint="a smaller jitter_ms, or the fault `jitter`",
            )
        return super().prepare(host, aim)

    def _plan(self, options: Any) -> Plan:
        attributes = {"latency": options.latency_ms, "jitter": options.jitter_ms}
        proof = Proof(by="least", seconds=_least_delay_ms(options) / 1000, count=3)
        return Plan(type="latency", attributes=attributes, proof=proof)

    def _shape(self, options: Any) -> Shape | None:
        return Shape(delay_ms=options.latency_ms, jitter_ms=options.jitter_ms)


@dataclass(frozen=True, kw_only=True)
class JitterOptions:
    """How unevenly."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    jitter_ms: Annotated[int, Bounds(20, 1500)]
    """What the target sends to its peer is late by anything between nothing and twice as much, drawn anew each time."""


class Jitter(_Traffic):
    """What the target sends to its peer is now late and now not, as over a radio link or a line that is full."""

    kind: ClassVar[str] = "jitter"
    summary: ClassVar[str] = "what the target sends to its peer arrives unevenly late until undone"
    Options: ClassVar[type] = JitterOptions

    def _plan(self, options: Any) -> Plan:
        # of eight evenly drawn delays the largest and the smallest are closer than a quarter of the range once in 2,600
        proof = Proof(by="spread", seconds=options.jitter_ms / 1000, count=8)
        return Plan(type="latency", attributes={"latency": options.jitter_ms, "jitter": options.jitter_ms}, proof=proof)

    def _shape(self, options: Any) -> Shape | None:
        return Shape(delay_ms=options.jitter_ms, jitter_ms=options.jitter_ms)


@dataclass(frozen=True, kw_only=True)
class BandwidthOptions:
    """How slow."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    rate_kb_per_s: Annotated[int, Bounds(1, 20_000)]
    """1,000 bytes a second. By a Toxiproxy each connection gets so much each way; by the kernel all that the target
    sends to its peer gets so much together, and the way back is as fast as before."""


class Bandwidth(_Traffic):
    """Little passes between target and peer, as over a line that is too thin or shared with a backup."""

    kind: ClassVar[str] = "bandwidth"
    summary: ClassVar[str] = "only so many kB a second pass between the target and its peer until undone"
    Options: ClassVar[type] = BandwidthOptions

    def _plan(self, options: Any) -> Plan:
        proof = Proof(by="least", seconds=0, count=2)  # how long follows from what the service takes
        attributes = {"rate": options.rate_kb_per_s}
        return Plan(type="bandwidth", attributes=attributes, proof=proof, both_ways=True, rate=options.rate_kb_per_s)

    def _shape(self, options: Any) -> Shape | None:
        return Shape(rate_kb_per_s=options.rate_kb_per_s)


class _NeedsLink(_Traffic):
    def refusal(self, topology: Topology, fault: Fault) -> str:
        if trouble := super().refusal(topology, fault):
            return trouble
        roles = roles_of(fault)
        if not roles or topology.link(*roles) or topology.link(*reversed(roles)):
            return ""  # what is no target at all is said elsewhere
        way = next((way for way in Link.POSSIBLE if set(way) == set(roles)), None)
        if way is None:
            return f"{roles[0]} and {roles[1]} do not talk to each other"
        return f"it needs a Toxiproxy on the way, `links: [{{from: {way[0]}, to: {way[1]}}}]` in the topology"


class Reset(_NeedsLink):
    """Connections between target and peer break off as soon as the target sends something, also new ones.

    New ones end with a TCP reset; those that were open before end in the ordinary way (FIN): Toxiproxy arranges for a
    reset when a connection is opened.
    """

    kind: ClassVar[str] = "reset"
    summary: ClassVar[str] = "connections between the target and its peer break off as soon as it sends, until undone"

    def _plan(self, options: Any) -> Plan:  # noqa: ARG002 - it has none
        return Plan(type="reset_peer", attributes={"timeout": 0}, proof=Proof(by="reset"))


@dataclass(frozen=True, kw_only=True)
class SlowCloseOptions:
    """How long."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    delay_ms: Milliseconds
    """When the target ends a connection, its peer learns it so much later."""


class SlowClose(_NeedsLink):
    """Connections that the target ends stay open for a while on the other side, which fills pools and tables."""

    kind: ClassVar[str] = "slow_close"
    summary: ClassVar[str] = "the peer learns late that the target has ended a connection, until undone"
    Options: ClassVar[type] = SlowCloseOptions

    def _plan(self, options: Any) -> Plan:
        proof = Proof(by="hang_up", seconds=options.delay_ms / 1000)
        return Plan(type="slow_close", attributes={"delay": options.delay_ms}, proof=proof)


_HINT = "say `links: [{from: ..., to: ...}]` in the topology: then a Toxiproxy stands between the two roles"


def _least_delay_ms(options: LatencyOptions) -> int:
    return options.latency_ms - options.jitter_ms


def _no_link(aim: Aim, why: str) -> str:
    return f"there is no link between {aim.target} and {', '.join(aim.peers)}, and {why}"


def _peer_address(host: Host, name: str) -> str:
    peer = host.machines.look(name)
    if not peer.running or not peer.address:
        raise GuardError(
            f"the peer {name} is {peer.status}, so nothing passes between it and the target",
            hint="did an earlier fault of this experiment already take it away?",
        )
    return peer.address


def _prepare_shape(host: Host, aim: Aim, pid: int, addresses: Sequence[str], shape: Shape) -> dict[str, Any]:
    """Everything that the kernel needs, tried where it hurts nobody. Raises `GuardError`."""
    handle = handle_of(aim.tag)
    commands = script(DEVICE, handle, addresses, shape)
    if why := host.traffic.why_not_shape(DEVICE, commands):
        raise GuardError(_no_link(aim, f"this kernel can't do it either: {why}"), hint=_HINT)
    if there := host.traffic.handle(pid, DEVICE):
        raise GuardError(f"{aim.target} has a queueing discipline {there} already: is another fault in effect?")
    before = host.traffic.knock_s(pid, addresses[0])
    if not before:
        raise GuardError(f"{aim.peers[0]} does not answer {aim.target} as it is, so nothing can be seen to change")
    load_bytes, rate = 0, shape.rate_kb_per_s
    if rate:
        load_bytes = burst_bytes(rate) + round(rate * 1000 * _BURST_S)
        proof = Proof(by="least", seconds=_BURST_S, before_s=before[0])
    elif shape.jitter_ms == shape.delay_ms:
        proof = Proof(by="spread", seconds=shape.jitter_ms / 1000, count=8, before_s=before[0])
    else:
        seconds = (shape.delay_ms - shape.jitter_ms) / 1000
        proof = Proof(by="least", seconds=seconds, count=3, before_s=before[0])
    return {
        "mechanism": "kernel",
        "script": commands,
        "handle": handle,
        "addresses": list(addresses),
        "load_bytes": load_bytes,
        "proof": proof.as_state(),
    }


def _discipline_text(state: State, handle: str) -> str:
    ours = "is there" if handle == state["handle"] else "is not there"
    return f"by the kernel: the queueing discipline {state['handle']} {ours}"
