"""What the history says: steady state, window, each fault's life cycle, errors, interruption."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.change_facts import ChangeFacts, read_changes
from harness.analysis.growth import GrowthFacts, read_growth
from harness.analysis.record import RunRecord
from harness.core.change import ChangeEnd, Disaster, Scale, Upgrade
from harness.core.clock import to_s
from harness.core.experiment import Fault
from harness.core.history import Event, EventKind, FaultStep, GrowthStep, History

__all__ = ["Facts", "FaultFacts", "GaveUp", "Window", "facts_of", "read_facts"]

DRAIN = "drain"


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time in which availability is measured."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return to_s(self.end_ns - self.start_ns)


@dataclass(frozen=True, kw_only=True)
class FaultFacts:
    """One fault as it happened. Stamps are monotonic nanoseconds; None where the step was not reached or failed."""

    index: int
    kind: str
    target: str
    """As written in the experiment: `workbench[active]`."""
    targets: tuple[str, ...]
    """Short names of the containers that it resolved to."""
    inject_before_ns: int | None
    inject_after_ns: int | None
    confirmed: bool
    evidence: str
    """What `confirm` read from the system."""
    undo_before_ns: int | None
    """When the repair began: the first attempt to undo."""
    undo_after_ns: int | None
    """When an attempt to undo had succeeded."""
    recovery_confirmed: bool
    recovery_evidence: str
    problems: tuple[str, ...]
    """`step: message` for each step that reported a failure."""
    stays: bool = False
    """Nothing undoes it: a planned change that went well, or whose way back got stuck, which is its result; so too a
    disaster after which the restore failed."""
    confirmed_ns: int | None = None
    """When the evidence had been read; None where there was none."""

    @property
    def label(self) -> str:
        """Which fault, for messages."""
        return f"fault {self.index} ({self.kind} on {self.target})"


@dataclass(frozen=True, kw_only=True)
class GaveUp:
    """The wait for the steady state was given up."""

    t_ns: int
    waited_s: float
    working: int
    """How many people worked then."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything else in this package relies on these."""

    steady: bool
    steady_reason: str
    gave_up: GaveUp | None
    """None where the steady state was reached, or the run ended before."""
    window: Window | None
    """None where the steady state was not reached: then nothing can be measured."""
    faults: tuple[FaultFacts, ...]
    errors: tuple[str, ...]
    interrupted: str | None
    """Who or what interrupted the run."""
    aborted_ns: int | None
    """When the experiment's own abort condition was met; None where it was not."""
    aborted_why: str
    readback_rows: int | None
    """Number of values the reader says it found; None where the homes were not read back."""
    changes: tuple[ChangeFacts, ...] = ()
    """Planned changes; each is among the faults too, after them."""
    growth: GrowthFacts | None = None
    """None where none was asked for, or the run ended before it."""

    @property
    def first_inject_ns(self) -> int | None:
        """When the first fault began to be injected."""
        stamps = [fault.inject_before_ns for fault in self.faults if fault.inject_before_ns is not None]
        return min(stamps, default=None)

    @property
    def origin_ns(self) -> int | None:
        """Zero of every time axis: the first injection, else the start of the window."""
        if self.first_inject_ns is not None:
            return self.first_inject_ns
        return self.window.start_ns if self.window else None


def read_facts(record: RunRecord) -> Facts:
    """Read the history of a run, however early it ended."""
    return facts_of(record.history, record.experiment.faults, record.experiment.changes)


def facts_of(history: History, planned: Sequence[Fault], changes: Sequence[Upgrade | Scale | Disaster] = ()) -> Facts:
    """As `read_facts`; `planned` and `changes` name what was never reached."""
    changed = read_changes(history, changes)
    steady = _steady(history)
    interruptions = history.of(EventKind.INTERRUPTED)
    aborts = history.of(EventKind.ABORTED)
    readbacks = history.of(EventKind.READBACK)
    return Facts(
        steady=steady is not None and bool(steady.data.get("reached")),
        steady_reason=str(steady.data.get("reason") or "") if steady else "the steady state was never looked for",
        gave_up=_gave_up(steady),
        window=_window(history, steady),
        faults=(*_faults(history, planned), *(_as_fault(change, len(planned)) for change in changed)),
        changes=changed,
        errors=tuple(_error_text(event) for event in history.of(EventKind.ERROR)),
        interrupted=str(interruptions[0].data.get("by") or "unknown") if interruptions else None,
        aborted_ns=aborts[0].t_ns if aborts else None,
        aborted_why=str(aborts[0].data.get("why") or "") if aborts else "",
        readback_rows=int(readbacks[-1].data.get("rows", 0)) if readbacks else None,
        growth=read_growth(history),
    )


def _steady(history: History) -> Event | None:
    events = history.of(EventKind.STEADY)
    return next((event for event in events if event.data.get("reached")), events[-1] if events else None)


def _gave_up(steady: Event | None) -> GaveUp | None:
    if steady is None or steady.data.get("reached"):
        return None
    return GaveUp(t_ns=steady.t_ns, waited_s=float(steady.data["seconds"]), working=int(steady.data["working"]))


def _window(history: History, steady: Event | None) -> Window | None:
    """From the steady state to the drain, or to where growth begins: from there on people are overloaded on purpose.

    A run that broke before it could drain ends with what broke it: what comes after is tear-down, not availability.
    """
    if steady is None or not steady.data.get("reached"):
        return None
    later = [event for event in history.events if event.seq > steady.seq]
    ends = [event for event in later if event.kind is EventKind.PHASE and event.data.get("name") == DRAIN]
    ends += [event for event in later if event.kind in (EventKind.INTERRUPTED, EventKind.ERROR)]
    ends += [e for e in later if e.kind is EventKind.GREW and e.data.get("step") == GrowthStep.BEGIN]
    end_ns = min((event.t_ns for event in ends), default=max((event.t_ns for event in later), default=steady.t_ns))
    return Window(start_ns=steady.t_ns, end_ns=end_ns) if end_ns > steady.t_ns else None


def _faults(history: History, plans: Sequence[Fault]) -> tuple[FaultFacts, ...]:
    by_index: dict[int, list[Event]] = {index: [] for index in range(len(plans))}
    for event in history.of(EventKind.FAULT):
        by_index.setdefault(int(event.data.get("index", 0)), []).append(event)
    return tuple(_fault(plans, index, events) for index, events in sorted(by_index.items()))


def _fault(plans: Sequence[Fault], index: int, events: Iterable[Event]) -> FaultFacts:
    steps: dict[str, list[Mapping[str, Any]]] = {step.value: [] for step in FaultStep}
    for event in events:
        steps.setdefault(str(event.data.get("step")), []).append(event.data)
    every = [data for entries in steps.values() for data in entries]
    planned = plans[index] if index < len(plans) else None
    inject = _first_good(steps[FaultStep.INJECT])
    confirm = _first_good(steps[FaultStep.CONFIRM])
    undo = _first_good(steps[FaultStep.UNDO])
    recovery = _first_good(steps[FaultStep.CONFIRM_RECOVERY])
    undo_attempts = [_stamp(data, "before_ns") for data in steps[FaultStep.UNDO]]
    targets = [tuple(str(name) for name in data["targets"]) for data in every if data.get("targets")]
    return FaultFacts(
        index=index,
        kind=_named(every, "fault", planned.fault if planned else "?"),
        target=_named(every, "target", planned.target if planned else "?"),
        targets=targets[-1] if targets else (),
        inject_before_ns=_stamp(inject, "before_ns"),
        inject_after_ns=_stamp(inject, "after_ns"),
        confirmed=confirm is not None and bool(_text(confirm.get("evidence"))),
        evidence=_text(confirm.get("evidence")) if confirm else "",
        confirmed_ns=_stamp(confirm, "after_ns"),
        undo_before_ns=min((stamp for stamp in undo_attempts if stamp is not None), default=None),
        undo_after_ns=_stamp(undo, "after_ns"),
        recovery_confirmed=recovery is not None,
        recovery_evidence=_text(recovery.get("evidence")) if recovery else "",
        problems=tuple(
            f"{data.get('step')}: {data.get('message') or _text(data.get('evidence')) or 'failed without a message'}"
            for data in every
            if not data.get("ok", True)
        ),
    )


def _as_fault(change: ChangeFacts, faults: int) -> FaultFacts:
    """A change has the life of a fault. What proves it is how it ended; a step that did not come out as it must is what
    the change is about, and no doubt. A way back that was asked for repairs nothing: what is away on it is as meant."""
    last = change.steps[-1] if change.steps else None
    back = () if change.ended is ChangeEnd.WENT_BACK else change.way_back
    gone_back = change.ended in (ChangeEnd.TAKEN_BACK, ChangeEnd.RESTORED)
    return FaultFacts(
        index=faults + change.index,
        kind=change.kind,
        target=change.target,
        targets=change.nodes,
        inject_before_ns=change.began_ns,
        inject_after_ns=change.steps[0].ended_ns if change.steps else None,
        confirmed=change.ended is not None,
        evidence=" ".join(filter(None, [change.ended.value.replace("_", " ") if change.ended else "", change.reason])),
        confirmed_ns=last.ended_ns if last and change.ended else None,
        undo_before_ns=back[0].began_ns if back else None,
        undo_after_ns=back[-1].ended_ns if back and gone_back else None,
        recovery_confirmed=gone_back,
        recovery_evidence=back[-1].evidence if back else "",
        problems=(),
        stays=not back or change.ended is ChangeEnd.STUCK,
    )


def _first_good(entries: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((data for data in entries if data.get("ok", True)), None)


def _stamp(data: Mapping[str, Any] | None, key: str) -> int | None:
    value = data.get(key) if data else None
    return None if value is None else int(value)


def _named(entries: list[Mapping[str, Any]], key: str, default: str) -> str:
    return next((str(data[key]) for data in entries if data.get(key)), default)


def _text(value: object) -> str:
    """Evidence as one line: texts as they are, mappings as `key=value`, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_text(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _error_text(event: Event) -> str:
    kind, message = event.data.get("type", ""), event.data.get("message", "")
    return f"{kind}: {message}".strip(": ") or "the run broke without a message"
