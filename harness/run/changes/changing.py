"""Carries out the planned changes of an experiment step by step, and takes an upgrade back where a gate stays shut.

What a gate shows is looked at here, because the next step depends on it. It is recorded with what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.core.change import ChangeEnd, Disaster, Scale, Upgrade
from harness.core.clock import Clock, to_ns
from harness.core.history import EventKind, HistoryWriter
from harness.errors import ChangeFailed
from harness.run.changes.members import Members
from harness.run.changes.nodes import Nodes
from harness.run.changes.recovering import Recovering
from harness.run.changes.steps import Step, disaster_steps, scale_steps, upgrade_steps, way_back
from harness.run.watcher import Watcher

if TYPE_CHECKING:
    from harness.core.experiment import Experiment

__all__ = ["Changing"]


class Changing:
    """The changes of one experiment; without any it never does anything."""

    def __init__(
        self,
        experiment: Experiment,
        nodes: Nodes,
        recovering: Recovering,
        *,
        history: HistoryWriter,
        clock: Clock,
        watcher: Watcher,
        watch_until: Callable[[int], None],
    ) -> None:
        """`watch_until` watches people until a moment; it raises where the experiment is to be given up."""
        self._changes = [*experiment.changes]
        self._nodes = nodes
        self._members = Members(nodes.hands)
        self._recovering = recovering
        self._history = history
        self._clock = clock
        self._watcher = watcher
        self._watch_until = watch_until
        self._now: int | None = None
        self._begun: list[Step] = []

    def carry_out(self, start_ns: int) -> None:
        """All of them, each at its time after the steady state, or as soon as the one before it is over."""
        for index, change in enumerate(self._changes):
            self._watch_until(start_ns + to_ns(change.at_s))
            self._carry_out(index, change)

    @property
    def joined(self) -> tuple[str, ...]:
        """As `Nodes.joined`."""
        return self._nodes.joined

    @property
    def following(self) -> int:
        """The index of a change that nobody planned, if one begins now."""
        return len(self._changes)

    def scale(self, change: Scale) -> None:
        """Carry out a change that nobody planned."""
        self._changes.append(change)
        self._carry_out(len(self._changes) - 1, change)

    def give_up(self, why: str) -> None:
        """The experiment went too far in the middle of a change: an upgrade is taken back at once."""
        if self._now is None:
            return
        change = self._changes[self._now]
        how = ChangeEnd.STUCK
        if isinstance(change, Upgrade):
            how, why = self._take_back(change, why, drained=False)
        self._end(how, why)

    def _carry_out(self, index: int, change: Upgrade | Scale | Disaster) -> None:
        self._now, self._begun = index, []
        if isinstance(change, Upgrade):
            self._end(*self._upgrade(change))
        else:
            self._end(*(self._scale(change) if isinstance(change, Scale) else self._disaster(change)))

    def _disaster(self, change: Disaster) -> tuple[ChangeEnd, str]:
        lost, back = disaster_steps(self._nodes.topology)
        began_ns = self._clock.now_ns()
        self._take(lost, change)
        self._watch_until(began_ns + to_ns(change.begin_after_s))
        try:
            self._take(back, change, back=True)
        except ChangeFailed as failed:
            return ChangeEnd.STUCK, failed.message
        return ChangeEnd.RESTORED, ""

    def _upgrade(self, change: Upgrade) -> tuple[ChangeEnd, str]:
        try:
            self._take(self._way(change), change)
        except ChangeFailed as failed:
            return self._take_back(change, failed.message, drained=False)
        if not change.then_back:
            return ChangeEnd.DONE, ""
        self._watcher.note("upgraded; now the way back")
        how, reason = self._take_back(change, "", drained=True)
        return (ChangeEnd.WENT_BACK if how is ChangeEnd.TAKEN_BACK else how), reason

    def _way(self, change: Upgrade) -> list[Step]:
        nodes = self._nodes
        if change.component != "workbench":
            return self._members.way(change)
        return upgrade_steps(nodes.topology, change, nodes.there, nodes.free, active=nodes.holder())

    def _way_back(self, change: Upgrade, *, drained: bool) -> list[Step]:
        begun = list(self._begun)
        if change.component != "workbench":
            return self._members.way_back(change, begun)
        return way_back(self._nodes.topology, change, begun, drained=drained)

    def _scale(self, change: Scale) -> tuple[ChangeEnd, str]:
        nodes = self._nodes
        before = len(nodes.there)
        try:
            steps = scale_steps(nodes.topology, change, nodes.there, nodes.free, active=nodes.holder())
            self._take(steps, change)
        except ChangeFailed as failed:
            nodes.give_up_beyond(before)
            return ChangeEnd.TAKEN_BACK, failed.message
        return ChangeEnd.DONE, ""

    def _take_back(self, change: Upgrade, why: str, *, drained: bool) -> tuple[ChangeEnd, str]:
        if why:
            self._watcher.note(f"{why}: taking the upgrade back")
        try:
            self._take(self._way_back(change, drained=drained), change, back=True)
        except ChangeFailed as failed:
            return ChangeEnd.STUCK, "; ".join(part for part in (why, f"on the way back: {failed.message}") if part)
        return ChangeEnd.TAKEN_BACK, why

    def _take_one(self, step: Step, change: Upgrade | Scale | Disaster, *, back: bool) -> str:
        if isinstance(change, Disaster):
            return self._recovering.take(step, change)
        if isinstance(change, Upgrade) and change.component != "workbench":
            return self._members.take(step, change)
        return self._nodes.take(step, change, back=back)

    def _take(self, steps: Sequence[Step], change: Upgrade | Scale | Disaster, *, back: bool = False) -> None:
        """Raises `ChangeFailed` where a step does not come out as it must."""
        for step in steps:
            self._begun.append(step)
            began_ns = self._clock.now_ns()
            problem = ""
            try:
                evidence = self._take_one(step, change, back=back)
            except ChangeFailed as failed:
                evidence = problem = failed.message
            text = f"{step.what.value.replace('_', ' ')} {', '.join(step.nodes)}"
            self._history.append(
                EventKind.CHANGE,
                {
                    "index": self._now,
                    "step": step.what.value,
                    "nodes": list(step.nodes),
                    "release": step.release,
                    "back": back,
                    "began_ns": began_ns,
                    "ok": not problem,
                    "evidence": evidence,
                },
            )
            self._watcher.note(f"{text}: {evidence}" if evidence else text)
            if problem:
                raise ChangeFailed(f"{text}: {problem}")

    def _end(self, how: ChangeEnd, reason: str) -> None:
        self._history.append(EventKind.CHANGED, {"index": self._now, "how": how.value, "reason": reason})
        self._watcher.note(f"change {how.value.replace('_', ' ')}" + (f": {reason}" if reason else ""))
        self._now = None
