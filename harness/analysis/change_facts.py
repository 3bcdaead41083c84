"""Planned changes as they happened: each step, and how it ended.

To everything else a change is a fault: it begins with its first step, and its undoing is the way back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.change import ChangeEnd, ChangeStep, Scale, Strategy, Upgrade
from harness.core.history import Event, EventKind, History

__all__ = ["ChangeFacts", "StepFacts", "read_changes"]

_HOW: Mapping[Strategy, str] = {"rolling": "rolling", "blue_green": "blue/green", "all_at_once": "all at once"}


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """One step. Stamps are monotonic nanoseconds."""

    step: ChangeStep
    nodes: tuple[str, ...]
    back: bool
    """Whether it was on the way back."""
    began_ns: int
    ended_ns: int
    ok: bool
    evidence: str

    @property
    def label(self) -> str:
        """For tables: `drain workbench-0`."""
        return f"{self.step.value.replace('_', ' ')} {', '.join(self.nodes)}"


@dataclass(frozen=True, kw_only=True)
class ChangeFacts:
    """One change of an experiment."""

    index: int
    kind: str
    """`upgrade` or `scale`."""
    what: str
    """In words: `workbench from previous to current, rolling`."""
    how: str
    """The strategy of an upgrade, in words; empty for a scaling."""
    steps: tuple[StepFacts, ...]
    ended: ChangeEnd | None
    """None: the run ended before."""
    reason: str
    """Why it was taken back, or why that got stuck."""

    @property
    def began_ns(self) -> int | None:
        """When its first step began; None where it came to none."""
        return self.steps[0].began_ns if self.steps else None

    @property
    def way_back(self) -> tuple[StepFacts, ...]:
        """The steps that took it back."""
        return tuple(step for step in self.steps if step.back)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Whom it had to do with, each once."""
        return tuple(dict.fromkeys(node for step in self.steps for node in step.nodes))


def read_changes(history: History, planned: Sequence[Upgrade | Scale]) -> tuple[ChangeFacts, ...]:
    """Each change that was planned, as far as it came."""
    return tuple(_change(history, index, change) for index, change in enumerate(planned))


def _change(history: History, index: int, planned: Upgrade | Scale) -> ChangeFacts:
    ends = [event for event in history.of(EventKind.CHANGED) if event.data["index"] == index]
    upgrade = isinstance(planned, Upgrade)
    return ChangeFacts(
        index=index,
        kind="upgrade" if upgrade else "scale",
        what=_words(planned),
        how=_HOW[planned.strategy] if isinstance(planned, Upgrade) else "",
        steps=tuple(_step(event) for event in history.of(EventKind.CHANGE) if event.data["index"] == index),
        ended=ChangeEnd(ends[0].data["how"]) if ends else None,
        reason=str(ends[0].data["reason"]) if ends else "",
    )


def _step(event: Event) -> StepFacts:
    data = event.data
    return StepFacts(
        step=ChangeStep(data["step"]),
        nodes=tuple(str(node) for node in data["nodes"]),
        back=bool(data["back"]),
        began_ns=int(data["began_ns"]),
        ended_ns=event.t_ns,
        ok=bool(data["ok"]),
        evidence=str(data["evidence"]),
    )


def _words(change: Upgrade | Scale) -> str:
    if isinstance(change, Upgrade):
        return f"{change.component} from {change.from_} to {change.to}, {_HOW[change.strategy]}"
    return f"{change.role} to {change.to}" + ("" if change.drain else ", without draining")
