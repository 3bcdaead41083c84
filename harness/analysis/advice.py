"""What to do about a failure that the harness knows, where the measures of a run show it.

Each piece is a pure function from a run to a text, or None where the run does not show its failure: a knob that is set
in a risky way is no reason by itself. A new one is a function and its place in `ADVICE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from harness.analysis.facts import FaultFacts
from harness.analysis.measures import Measures
from harness.analysis.sessions import SessionRow
from harness.core.attach import AttachedSystem
from harness.core.products import Patroni
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.core.words import Recovery, Role, SessionOutcome, Store

__all__ = ["ADVICE", "Advice", "Case", "advise"]

#: Faults after which nothing of the machine answers, so that every check is right to leave it.
_WHOLE_MACHINE: Final = frozenset({"kill", "stop", "restart", "pause", "isolate", "partition"})
#: What a second machine of the role helps against: a shared disk, say, is as full for it.
_SERVICE_GONE: Final = _WHOLE_MACHINE | {"crash", "freeze", "nfs_hang", "nfs_restart"}
#: Ways of coming back that are not the platform's own.
_NOT_BY_ITSELF: Final = (Recovery.BY_REPAIR, Recovery.NOT_RECOVERED)


@dataclass(frozen=True)
class Case:
    """A run: what was measured, and on what."""

    measures: Measures
    topology: Topology

    def faults_on(self, role: Role) -> tuple[FaultFacts, ...]:
        """The faults that were injected into members of a role."""
        injected = (fault for fault in self.measures.facts.faults if fault.inject_before_ns is not None)
        return tuple(fault for fault in injected if fault.target.startswith(f"{role}["))

    def on_target(self, *recoveries: Recovery) -> tuple[SessionRow, ...]:
        """The sessions that a fault hit and that came back in one of these ways."""
        return tuple(row for row in self.measures.sessions if row.on_target and row.recovery in recoveries)

    def lost(self, *stores: Store) -> int:
        """Acknowledged writes that are missing in these stores."""
        return sum(one.lost or 0 for one in self.measures.writes.stores if one.store in stores)


@dataclass(frozen=True)
class Advice:
    """One failure and what to do about it."""

    name: str
    text: str


def advise(measures: Measures, topology: Topology) -> tuple[Advice, ...]:
    """All advice that applies. None where the run proves nothing about the platform."""
    if measures.verdict.outcome not in (Outcome.PASS, Outcome.FAIL) or isinstance(topology, AttachedSystem):
        return ()  # of an existing system nobody knows how it is built
    case = Case(measures, topology)
    found = ((name, piece(case)) for name, piece in ADVICE.items())
    return tuple(Advice(name, text) for name, text in found if text)


def hub_is_the_only_check(case: Case) -> str | None:
    """The balancer left a node on which only the hub was away, and with it sessions that were alive."""
    balancer = case.topology.load_balancer
    if balancer is None or balancer.check != "hub" or balancer.session_check not in ("same", "hub"):
        return None
    alive = {fault.index for fault in case.measures.facts.faults if fault.kind not in _WHOLE_MACHINE}
    left = sorted(
        (server.marked_down.seconds, server.server)
        for backend in case.measures.checks_audit.backends
        if backend.fault in alive
        for server in backend.servers
        if server.marked_down is not None
    )
    gone = [row for row in case.measures.sessions if row.outcome in (SessionOutcome.RESTARTED, SessionOutcome.LOST)]
    if not left or not gone:
        return None
    seconds, server = left[0]
    return (
        f"The balancer dropped {server} {seconds:.1f} s after the fault because its only check is /hub/health, and "
        f"{_people(len(gone))} lost a session whose node was still there. Separate the checks: session_check: proxy "
        "for the way to running sessions, so that nobody is moved away from one that lives; see "
        "topologies/active-active.yaml."
    )


def led_to_a_dead_node(case: Case) -> str | None:
    """People were sent to a node that did not answer until it was repaired."""
    balancer = case.topology.load_balancer
    if balancer is None or balancer.redispatch or balancer.stickiness == "none":
        return None
    waited = case.on_target(*_NOT_BY_ITSELF)
    hit = {name for fault in case.faults_on(Role.WORKBENCH) for name in fault.targets}
    if not waited or len(hit) >= case.topology.workbench.nodes:  # where else should they go?
        return None
    return (
        f"{_people(len(waited))} of the broken node waited until it was repaired: the balancer keeps to their "
        f"{balancer.stickiness} although the node is down (redispatch: false, HAProxy's option persist). Let it send "
        "them to another node: redispatch: true; see topologies/active-active.yaml."
    )


def no_stickiness(case: Case) -> str | None:
    """Requests of one person went to nodes that do not know them, before anything was broken."""
    balancer, nodes = case.topology.load_balancer, case.topology.workbench
    if balancer is None or balancer.stickiness != "none" or nodes.nodes < 2 or nodes.mode != "active-active":
        return None
    if case.measures.without_fault is None:
        return None
    return (
        f"Without any fault people could not work: the balancer sends each request to another of the {nodes.nodes} "
        f"nodes ({balancer.balance} without stickiness), and a node knows neither the log-in nor the session that "
        "another one gave. Lead people back to their node: stickiness: cookie or table; see "
        "topologies/active-active.yaml."
    )


def homes_of_their_own(case: Case) -> str | None:
    """Saved files stayed on the disk of a node."""
    elsewhere = sum(one.lost_elsewhere or 0 for one in case.measures.writes.stores if one.store is Store.HOME)
    if case.topology.storage is not None or case.topology.workbench.nodes < 2 or not elsewhere:
        return None
    return (
        f"{elsewhere} acknowledged saves are on the disk of a node on which their owner does not work any more: each "
        "node has homes of its own. Put the homes on storage that every node mounts (the role storage); see "
        "topologies/active-active.yaml."
    )


def asynchronous_replication(case: Case) -> str | None:
    """A failover of the database lost what it had acknowledged."""
    database, lost = case.topology.database, case.lost(Store.DATABASE, Store.HUB)
    if not isinstance(database, Patroni) or database.synchronous or not lost or not case.measures.facts.faults:
        return None
    return (
        f"{lost} writes that the database had acknowledged are gone: replication is asynchronous, so the new primary "
        "did not have them. Acknowledge a write only when a replica has it too: synchronous: true; see "
        "topologies/ha-database.yaml."
    )


def one_database(case: Case) -> str | None:
    """The database is one machine, and its failure was everybody's."""
    if isinstance(case.topology.database, Patroni) and case.topology.database.nodes > 1:
        return None
    return _single(
        case, Role.DATABASE, "database", "a cluster with automatic failover (product: patroni)", "ha-database"
    )


def one_storage(case: Case) -> str | None:
    """The storage is one machine, and its failure was everybody's."""
    return _single(case, Role.STORAGE, "storage server", "a pair with a virtual address (nodes: 2, vip: true)", "ha")


def one_balancer(case: Case) -> str | None:
    """The balancer is one machine, and its failure was everybody's."""
    return _single(
        case, Role.LOAD_BALANCER, "load balancer", "a pair with a virtual address (nodes: 2, vip: true)", "ha"
    )


def one_node(case: Case) -> str | None:
    """There is one node, and its failure was everybody's."""
    return _single(case, Role.WORKBENCH, "node", "a second node behind a balancer", "active-passive")


def standby_never_takes_over(case: Case) -> str | None:
    """The node at work was away, and the one that stands by did nothing."""
    nodes = case.topology.workbench
    if nodes.mode != "active-passive" or nodes.takeover != "first-holder" or not case.faults_on(Role.WORKBENCH):
        return None
    if case.measures.worst_recovery not in _NOT_BY_ITSELF:
        return None
    return (
        "The node that stands by did not take over: only the node that held the lease first may hold it (takeover: "
        "first-holder). Let any of them: takeover: automatic; see topologies/active-passive.yaml."
    )


def survivors_carry_too_few(case: Case) -> str | None:
    """What was left after the fault could not carry everybody who was there."""
    growth = case.measures.facts.growth
    if growth is None or not growth.broke or not case.faults_on(Role.WORKBENCH):
        return None
    if growth.users_carried >= growth.users:
        return None
    working = f"only {growth.working} of {growth.users} people could work on what was left"
    return (
        f"After the loss of a node {working}: the survivors cannot carry all. Plan each node so that the others carry "
        "everybody without it (more or larger nodes, or fewer people on each)."
    )


#: Name -> advice, in the order in which it is shown.
ADVICE: Final[Mapping[str, Callable[[Case], str | None]]] = MappingProxyType(
    {
        "no stickiness": no_stickiness,
        "the hub is the only check": hub_is_the_only_check,
        "led to a dead node": led_to_a_dead_node,
        "the standby never takes over": standby_never_takes_over,
        "one node": one_node,
        "one balancer": one_balancer,
        "one database": one_database,
        "one storage server": one_storage,
        "homes of their own": homes_of_their_own,
        "asynchronous replication": asynchronous_replication,
        "the survivors carry too few": survivors_carry_too_few,
    }
)


def _single(case: Case, role: Role, called: str, instead: str, see: str) -> str | None:
    """A role with one member that a fault hit, where something came back only by a repair."""
    hit = [fault for fault in case.faults_on(role) if fault.kind in _SERVICE_GONE]
    if case.topology.size(role) != 1 or not hit or case.measures.worst_recovery not in _NOT_BY_ITSELF:
        return None
    away = " and ".join(_waited_for(case, {fault.index for fault in hit}))
    if not away:
        return None
    return (
        f"There is one {called}, and nothing took its place when it failed: {away} until somebody repaired it. What "
        f"removes this single point of failure is {instead}; see topologies/{see}.yaml."
    )


def _waited_for(case: Case, faults: set[int]) -> Iterator[str]:
    away = [
        one.capability
        for one in case.measures.capabilities
        if any(outage.during_fault in faults and outage.recovery in _NOT_BY_ITSELF for outage in one.outages)
    ]
    if away:
        yield f"{', '.join(away)} {'was' if len(away) == 1 else 'were'} away"
    waited = sum(
        any(one.during_fault in faults and one.recovery in _NOT_BY_ITSELF for one in row.disturbances)
        for row in case.measures.sessions
    )
    if waited:
        yield f"{waited} of {_people(len(case.measures.sessions))} could not work"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
