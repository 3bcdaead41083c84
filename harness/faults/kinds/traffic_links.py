"""Traffic faults by the Toxiproxy that stands between target and peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.core.experiment import Fault, Target
from harness.core.names import link_name
from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.errors import PeerError
from harness.faults.base import Aim, Evidence, State
from harness.faults.host import ContainerState, GuardError, Host
from harness.faults.host.traffic import Ended, Exchange, Proxy, Toxic
from harness.faults.kinds.machines import guard_own_machine
from harness.faults.kinds.traffic_proof import Proof, alive, over, seconds_text, shown
from harness.faults.scripts.questions import LARGEST_BYTES

__all__ = [
    "Plan",
    "add_toxics",
    "confirm_gone",
    "confirm_toxics",
    "find_link",
    "past_own_addresses",
    "prepare_toxics",
    "remove_toxics",
    "roles_of",
]

_LOOPBACK = "127.0.0.1"
#: A delay below this can't be told from a busy machine.
_LEAST_SHOWN_S = 0.01


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A toxic, and what shows that it acts."""

    type: str
    attributes: Mapping[str, int]
    proof: Proof
    both_ways: bool = False
    """On what the peer sends, too."""
    rate: int = 0
    """kB/s of a throttle, 0 for others: how long an exchange takes follows from its size."""


@dataclass(frozen=True)
class _Way:
    """A link that leads from target to peer, or back."""

    container: ContainerState
    stream: str
    """In which what the target sends passes."""
    proxies: Sequence[Proxy]


def roles_of(fault: Fault) -> tuple[Role, Role] | None:
    """Of its target and its peer; None where they are not both the name of a role."""
    found = [Target.PATTERN.fullmatch(text) for text in (fault.target, fault.peer)]
    roles = [Role(match["role"]) for match in found if match is not None and match["role"] in list(Role)]
    return (roles[0], roles[1]) if len(roles) == len(found) else None


def past_own_addresses(topology: Topology, fault: Fault) -> str:
    """Why it would hit nothing: between nodes and a pair of storage servers only the virtual address is spoken to, and
    what a fault does to packets is told by the servers' own. Empty where that is not so."""
    roles = roles_of(fault)
    if not roles or set(roles) != {Role.WORKBENCH, Role.STORAGE} or not topology.storage or not topology.storage.vip:
        return ""
    return (
        "storage.vip is true, and nodes speak to the virtual address, not to a server's own, which is all that this "
        "would hit: use isolate or pause on one of both"
    )


def find_link(host: Host, aim: Aim) -> _Way | None:
    """The link between the target and its peers; None if there is none. Raises `GuardError` where one does not run, or
    leads to some of them only."""
    for source, target in Link.POSSIBLE:
        name = link_name(source, target)
        upstream = _all_of(source, [aim.target]) and _all_of(target, aim.peers)
        if not upstream and not (_all_of(target, [aim.target]) and _all_of(source, aim.peers)):
            continue
        container = host.machines.there(name)
        if container is None:
            continue
        guard_own_machine(container)
        found = host.traffic.proxies(container.pid)
        stream = "upstream" if upstream else "downstream"
        chosen = _between(found, [aim.target], aim.peers)
        if not chosen:
            raise GuardError(
                f"{name} leads neither from {aim.target} to {', '.join(aim.peers)} nor back, only "
                f"{', '.join(proxy.name for proxy in found) or 'nowhere'}"
            )
        return _Way(container, stream, chosen)
    return None


def prepare_toxics(host: Host, aim: Aim, way: _Way, plan: Plan) -> dict[str, Any]:
    """What to add, where, and what an exchange through each way takes as it is. Raises `GuardError`."""
    pid = way.container.pid
    for proxy in way.proxies:
        if any(toxic.name.startswith(aim.tag) for toxic in proxy.toxics):
            raise GuardError(f"{way.container.name} has a toxic {aim.tag} on {proxy.name} already")
    probes = [found for proxy in way.proxies if (found := _probe(host, pid, proxy, plan)) is not None]
    if not probes:
        raise GuardError(
            f"nothing that {way.container.name} leads to answers as it is, or takes long enough to be seen: "
            f"{', '.join(f'{proxy.name}' for proxy in way.proxies)}",
            hint=f"at {plan.rate} kB/s the largest question that can be asked passes in less than 10 ms: a smaller "
            "rate_kb_per_s would be seen"
            if plan.rate
            else "is another fault on the way still in effect?",
        )
    toxics = [_toxic(aim.tag, plan, way.stream)]
    if plan.both_ways:
        other = "downstream" if way.stream == "upstream" else "upstream"
        toxics.append(_toxic(f"{aim.tag}-back", plan, other))
    return {
        "mechanism": "toxiproxy",
        "link": way.container.name,
        "link_pid": pid,
        "link_start_ticks": way.container.start_ticks,
        "proxies": [proxy.name for proxy in way.proxies],
        "toxics": [asdict(toxic) for toxic in toxics],
        "probes": probes,
    }


def add_toxics(host: Host, state: State) -> None:
    """Raises `GuardError` if the link has gone."""
    if not alive(host, state, "link_"):
        raise GuardError(f"{state['link']} has gone since it was looked at, so it was left alone")
    for proxy in state["proxies"]:
        for toxic in state["toxics"]:
            host.traffic.add_toxic(state["link_pid"], proxy, Toxic(**toxic))


def remove_toxics(host: Host, state: State) -> None:
    """A link that is gone, or was started again, has none: they are in its memory only."""
    if not alive(host, state, "link_"):
        return
    try:
        for proxy in state["proxies"]:
            for toxic in state["toxics"]:
                host.traffic.remove_toxic(state["link_pid"], proxy, toxic["name"])
    except (GuardError, PeerError):
        if alive(host, state, "link_"):
            raise


def confirm_toxics(host: Host, state: State) -> Evidence:
    """The server's own word, and an exchange through each way that shows it."""
    if not alive(host, state, "link_"):
        return Evidence(False, f"{state['link']} has gone since")
    there = _read_back(host, state)
    missing = [f"{proxy}: {name}" for proxy, names in there.items() for name in _names(state) - names]
    if missing:
        return Evidence(False, f"{state['link']} says that it has no toxic {', '.join(missing)}")
    looks = [_look(host, state, probe) for probe in state["probes"]]
    text = f"by {state['link']}: toxics {', '.join(sorted(_names(state)))} on {', '.join(there)}"
    return Evidence(all(acts for acts, _, _ in looks), "; ".join([text, *(look for _, _, look in looks)]))


def confirm_gone(host: Host, state: State) -> Evidence:
    """No toxic of this act, and exchanges as before."""
    if not alive(host, state, "link_"):
        return Evidence(True, f"{state['link']} has gone since, and its toxics with it")
    there = _read_back(host, state)
    left = [f"{proxy}: {name}" for proxy, names in there.items() for name in names & _names(state)]
    if left:
        return Evidence(False, f"{state['link']} still has the toxics {', '.join(left)}")
    text = f"{state['link']} has no toxic of this act"
    down = [name for name in (state["container"], *state["peers"]) if not _runs(host, name)]
    if down:
        return Evidence(True, f"{text}; {', '.join(down)} does not run, so nothing was exchanged")
    looks = [_look(host, state, probe) for probe in state["probes"]]
    return Evidence(all(fine for _, fine, _ in looks), "; ".join([text, *(look for _, _, look in looks)]))


def _all_of(role: Role, containers: Sequence[str]) -> bool:
    """Whether all belong to a role: they are called after it, with a number where there are several, and so is what
    leads to all of a cluster (`database-proxy`)."""
    name = str(role).replace("_", "-")
    return all(container == name or container.startswith(f"{name}-") for container in containers)


def _between(proxies: Sequence[Proxy], ours: Sequence[str], theirs: Sequence[str]) -> list[Proxy]:
    """The ways from one of ours to one of theirs, or back.

    A cluster of databases is reached through one gate only, which no target names: there a way from or to any of ours
    counts, because whatever goes to any of theirs passes it.
    """
    ends = {proxy.name: tuple(proxy.name.split("_")[:2]) for proxy in proxies}
    known = {end for pair in ends.values() for end in pair}

    if not known & {*ours, *theirs}:
        return []

    def fits(end: str, side: Sequence[str]) -> bool:
        return end in side or not known & set(side)

    pairs = ((ours, theirs), (theirs, ours))
    return [
        proxy
        for proxy in proxies
        if any(fits(ends[proxy.name][0], one) and fits(ends[proxy.name][1], other) for one, other in pairs)
    ]


def _toxic(name: str, plan: Plan, stream: str) -> Toxic:
    return Toxic(name=name, type=plan.type, stream=stream, attributes=dict(plan.attributes))


def _probe(host: Host, pid: int, proxy: Proxy, plan: Plan) -> dict[str, Any] | None:
    """What to measure through one proxy, and what it takes now; None where nothing answers or it would not show."""
    if proxy.service not in LARGEST_BYTES:
        return None
    padding = LARGEST_BYTES[proxy.service] if plan.rate else 0
    if plan.proof.by == "hang_up":
        now = host.traffic.hang_up(pid, _LOOPBACK, proxy.port)
        fine = now.ended is Ended.CLOSED
    else:
        (now,) = host.traffic.exchange(pid, _LOOPBACK, proxy.port, proxy.service, padding_bytes=padding)
        fine = now.ended is Ended.ANSWERED
    # of a throttle only the way that most passes is sure to be waited for
    seconds = max(now.sent_bytes, now.received_bytes) / (1000 * plan.rate) if plan.rate else plan.proof.seconds
    if not fine or (plan.rate and seconds < _LEAST_SHOWN_S):
        return None
    return {
        "proxy": proxy.name,
        "address": proxy.address,
        "port": proxy.port,
        "service": proxy.service,
        "padding_bytes": _enough(padding, plan, seconds),
        "proof": replace(plan.proof, seconds=_enough_s(seconds, plan), before_s=now.took_s).as_state(),
    }


#: A look at a thin line must not take much longer than this.
_LONG_ENOUGH_S = 0.3


def _enough_s(seconds: float, plan: Plan) -> float:
    return min(seconds, _LONG_ENOUGH_S) if plan.rate else seconds


def _enough(padding: int, plan: Plan, seconds: float) -> int:
    return max(1, round(padding * _enough_s(seconds, plan) / seconds)) if plan.rate else padding


def _look(host: Host, state: State, probe: Mapping[str, Any]) -> tuple[bool, bool, str]:
    """Whether the effect shows, whether it is gone, and what was seen."""
    proof, pid = Proof(**probe["proof"]), state["link_pid"]
    if proof.by == "hang_up":
        ended = host.traffic.hang_up(pid, _LOOPBACK, probe["port"])
        times = [ended.took_s] if ended.ended in (Ended.CLOSED, Ended.RESET) else []
        text = f"{probe['proxy']}: a connection that was hung up ended after {seconds_text(times)}"
        return shown(proof, times), over(proof, times), text
    service, padding = probe["service"], probe["padding_bytes"]
    found = host.traffic.exchange(pid, _LOOPBACK, probe["port"], service, padding_bytes=padding, count=proof.count)
    if proof.by == "reset":
        # a Toxiproxy also breaks off if nothing answers behind it: ask there without it
        (direct,) = host.traffic.exchange(pid, probe["address"], service, service)
        text = f"{probe['proxy']}: {found[0].ended.value}; without the link: {direct.ended.value}"
        alone = direct.ended is Ended.ANSWERED
        return alone and found[0].ended is Ended.RESET, found[0].ended is Ended.ANSWERED, text
    times = _answered(found)
    text = f"{probe['proxy']}: answered after {seconds_text(times)}, before after {1000 * proof.before_s:.0f} ms"
    return shown(proof, times), over(proof, times), text


def _answered(found: Sequence[Exchange]) -> list[float]:
    return [exchange.took_s for exchange in found if exchange.ended is Ended.ANSWERED]


def _read_back(host: Host, state: State) -> dict[str, set[str]]:
    """The names of the toxics of this act's proxies, each exactly as it was asked for."""
    wanted = {toxic["name"]: Toxic(**toxic) for toxic in state["toxics"]}
    return {
        proxy.name: {toxic.name for toxic in proxy.toxics if wanted.get(toxic.name, toxic) == toxic}
        for proxy in host.traffic.proxies(state["link_pid"])
        if proxy.name in state["proxies"]
    }


def _names(state: State) -> set[str]:
    return {toxic["name"] for toxic in state["toxics"]}


def _runs(host: Host, name: str) -> bool:
    container = host.machines.there(name)
    return container is not None and container.running and container.status != "paused"
