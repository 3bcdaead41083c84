"""The policy of a topology that changes the number of nodes by how many people are at work.

What it sees decides what comes next, so it is looked at here. Every look is recorded, and what it began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.core.change import Scale
from harness.core.clock import Clock, to_ns, to_s
from harness.core.experiment import Experiment
from harness.core.history import EventKind, HistoryWriter
from harness.core.products import Autoscale
from harness.run.changes.changing import Changing
from harness.run.changes.nodes import Nodes

__all__ = ["Autoscaling"]

#: Between two looks. As long as a start takes at the best, and short beside a compressed day.
_LOOK_S = 2.0


class Autoscaling:
    """The policy in the course of one day's curve; without either it never does anything."""

    def __init__(
        self,
        experiment: Experiment,
        nodes: Nodes,
        changing: Changing,
        *,
        sessions: Callable[[], Mapping[str, int]],
        history: HistoryWriter,
        clock: Clock,
        watch_until: Callable[[int], None],
    ) -> None:
        """`sessions` says how many people work on which node, as of the last look; `watch_until` watches people until a
        moment."""
        self._day_s = experiment.load.day_s
        self._nodes = nodes
        self._changing = changing
        self._sessions = sessions
        self._history = history
        self._clock = clock
        self._watch_until = watch_until

    def follow(self, start_ns: int) -> None:
        """To the end of the curve, and of a change that goes on then."""
        policy = self._nodes.topology.workbench.autoscale
        until_ns = start_ns + to_ns(self._day_s)
        quiet_until_ns = start_ns
        while policy is not None and (now_ns := self._clock.now_ns()) < until_ns:
            if (scale := self._look(policy, to_s(now_ns - start_ns), now_ns >= quiet_until_ns)) is not None:
                self._changing.scale(scale)
                quiet_until_ns = self._clock.now_ns() + to_ns(policy.cool_down_s)
            self._watch_until(min(until_ns, self._clock.now_ns() + to_ns(_LOOK_S)))

    def _look(self, policy: Autoscale, at_s: float, may_act: bool) -> Scale | None:
        """What is to be changed now."""
        sessions, there = self._sessions(), self._nodes.there
        wanted = policy.wanted(sum(sessions.values()))
        acts = may_act and wanted != len(there)
        self._history.append(
            EventKind.AUTOSCALE,
            {
                "sessions": dict(sessions),
                "nodes": list(there),
                "wanted": wanted,
                "drain": policy.drain,
                "index": self._changing.following if acts else None,
            },
        )
        return Scale(to=wanted, at_s=at_s, drain=policy.drain, drain_s=policy.drain_s) if acts else None
