"""What more or fewer nodes did: who came to the new ones, who was interrupted, and what a policy's nodes cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.analysis.change_facts import ChangeFacts
from harness.analysis.facts import Facts, Window
from harness.analysis.outages import CapabilityMeasures
from harness.analysis.record import RunRecord
from harness.analysis.sessions import SessionRow
from harness.core.change import ChangeStep
from harness.core.clock import to_s
from harness.core.history import EventKind
from harness.core.words import Capability, SessionOutcome

__all__ = ["AutoscaleMeasures", "Scaled", "measure_autoscale", "measure_scaling"]


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """One change of the number of nodes, until the next one."""

    change: int
    joined: tuple[str, ...]
    """Nodes that people were sent to from then on."""
    left: tuple[str, ...]
    """Nodes that went."""
    new_sessions: int
    """Sessions that people began after the first of `joined` was opened; 0 where nobody joined."""
    new_on_joined: int
    """Those of them that are on one of `joined`, or were at last."""
    interrupted: int
    """Sessions whose memory was gone, or that never worked again, by something that began after the change did."""


@dataclass(frozen=True, kw_only=True)
class AutoscaleMeasures:
    """A policy in the course of a day's curve. Node-seconds are in the observation window; a node costs from when it is
    asked for until it has gone."""

    looks: int
    """How often it looked."""
    nodes: tuple[tuple[int, int], ...]
    """From when on (monotonic nanoseconds) there were how many nodes."""
    node_s: float
    fixed_node_s: float
    """What as many nodes as the policy may have would have cost, all the time."""
    sessions_per_node: float | None
    """Mean: time of all sessions by node-seconds; None without nodes."""
    sessions_per_node_most: float | None
    """The most that it saw in a look; None where it saw nobody."""
    interrupted: int
    """Sessions that were interrupted by nodes that went (`Scaled`); who was twice counts twice."""
    start_session_away_s: float
    """Sum of the outages of start_session."""


def measure_scaling(changes: Sequence[ChangeFacts], sessions: Sequence[SessionRow]) -> tuple[Scaled, ...]:
    """One for each change of the number of nodes that came to a step."""
    begun = [(change, change.began_ns) for change in changes if change.began_ns is not None]
    found = []
    for number, (change, began_ns) in enumerate(begun):
        until_ns = begun[number + 1][1] if number + 1 < len(begun) else None
        if change.kind == "scale":
            found.append(_scaled(change, began_ns, until_ns, sessions))
    return tuple(found)


def measure_autoscale(
    record: RunRecord,
    facts: Facts,
    sessions: Sequence[SessionRow],
    scaled: Iterable[Scaled],
    capabilities: Iterable[CapabilityMeasures],
) -> AutoscaleMeasures | None:
    """None where no policy was in force, or nothing was observed."""
    policy = record.topology.workbench.autoscale
    looks = [event.data for event in record.history.of(EventKind.AUTOSCALE)]
    if policy is None or facts.window is None or not looks:
        return None
    window = facts.window
    nodes = _nodes(facts.changes, record.topology.workbench.nodes, window)
    node_s = _area_s(nodes, window)
    session_s = sum(_within_s(row.first_work_ns, row.ended_ns, window) for row in sessions)
    seen = [sum(look["sessions"].values()) / len(look["nodes"]) for look in looks if look["sessions"]]
    away = [outage for one in capabilities if one.capability == Capability.START_SESSION for outage in one.outages]
    return AutoscaleMeasures(
        looks=len(looks),
        nodes=nodes,
        node_s=node_s,
        fixed_node_s=policy.nodes_at_most * window.seconds,
        sessions_per_node=session_s / node_s if node_s else None,
        sessions_per_node_most=max(seen, default=None),
        interrupted=sum(one.interrupted for one in scaled if one.left),
        start_session_away_s=sum(outage.seconds for outage in away),
    )


def _scaled(change: ChangeFacts, began_ns: int, until_ns: int | None, sessions: Iterable[SessionRow]) -> Scaled:
    def in_it(t_ns: int, since_ns: int) -> bool:
        return t_ns >= since_ns and (until_ns is None or t_ns < until_ns)

    opened = [step for step in change.steps if step.step is ChangeStep.OPEN and step.ok]
    joined = tuple(node for step in opened for node in step.nodes)
    new = [row for row in sessions if opened and in_it(row.began_ns, opened[0].ended_ns)]
    return Scaled(
        change=change.index,
        joined=joined,
        left=tuple(node for step in change.steps if step.step is ChangeStep.RETIRE for node in step.nodes),
        new_sessions=len(new),
        new_on_joined=sum(row.node_after in joined for row in new),
        interrupted=sum(
            any(
                in_it(one.start_ns, began_ns)
                and (one.restarted or (one.end_ns is None and row.outcome is SessionOutcome.LOST))
                for one in row.disturbances
            )
            for row in sessions
        ),
    )


def _nodes(changes: Iterable[ChangeFacts], before: int, window: Window) -> tuple[tuple[int, int], ...]:
    """How many nodes there were from when on, from the beginning of the window."""
    found = [(window.start_ns, before)]
    for step in (step for change in changes for step in change.steps):
        if step.step is ChangeStep.START:
            found.append((step.began_ns, found[-1][1] + len(step.nodes)))
        elif step.step is ChangeStep.RETIRE:
            found.append((step.ended_ns, found[-1][1] - len(step.nodes)))
    return tuple(found)


def _area_s(nodes: Sequence[tuple[int, int]], window: Window) -> float:
    ends = [*(t_ns for t_ns, _ in nodes[1:]), window.end_ns]
    return sum(number * _within_s(t_ns, end_ns, window) for (t_ns, number), end_ns in zip(nodes, ends, strict=True))


def _within_s(since_ns: int | None, until_ns: int | None, window: Window) -> float:
    """Seconds of it that lie in the window; none where it never began, to the end where it did not end."""
    if since_ns is None:
        return 0.0
    end_ns = window.end_ns if until_ns is None else min(until_ns, window.end_ns)
    return max(0.0, to_s(end_ns - max(since_ns, window.start_ns)))
