"""What a run and a calibration put into their history in the same way: steps of faults, phases, and errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from harness.core.clock import Clock
from harness.core.history import EventKind, FaultStep, HistoryWriter, Phase
from harness.errors import HarnessError, PeerError
from harness.run.watcher import Watcher
from harness.runtime.base import Peer

__all__ = ["enter_phase", "record_error", "take_step"]

log = logging.getLogger(__name__)

#: The longest step waits for a container to stop or to start again; the agent has limits of its own below this.
_STEP_TIMEOUT_S = 40.0


def take_step(
    agent: Peer,
    history: HistoryWriter,
    clock: Clock,
    step: FaultStep,
    *,
    index: int,
    fault: str,
    target: str,
    targets: Sequence[str],
    details: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Have the agent take a step of a fault's life, and record its answer with its own stamps.

    Raises `PeerError` where it could not, after that was recorded.
    """
    event = {"index": index, "fault": fault, "target": target, "targets": list(targets), "step": step.value}
    before_ns = clock.now_ns()
    try:
        answer = agent.call("fault", timeout_s=_STEP_TIMEOUT_S, step=step.value, index=index, **details)
    except PeerError as error:
        failed = {"before_ns": before_ns, "after_ns": clock.now_ns(), "ok": False, "message": error.message}
        history.append(EventKind.FAULT, {**event, **failed})
        raise
    history.append(EventKind.FAULT, {**event, **answer}, t_ns=answer["before_ns"])
    return answer


def enter_phase(history: HistoryWriter, watcher: Watcher, phase: Phase, detail: str, seconds: float | None) -> None:
    """Say and record that a phase begins, and how long it is to take."""
    history.append(EventKind.PHASE, {"name": phase.value})
    watcher.phase(phase, detail, seconds)
    log.info("phase %s: %s", phase, detail)


def record_error(history: HistoryWriter, watcher: Watcher, error: Exception) -> None:
    """Say and record that the harness broke. To be called where the error is handled: the log gets its traceback."""
    message = error.message if isinstance(error, HarnessError) else str(error)
    detail = error.detail if isinstance(error, HarnessError) else ""
    log.exception("the harness broke")
    with suppress(OSError):  # it stays in `history.broken`, which ends the run; first everything has to be removed
        history.append(EventKind.ERROR, {"type": type(error).__name__, "message": message, "detail": detail})
    watcher.note(f"error: {type(error).__name__}: {message}" + (f"\n{detail}" if detail else ""))
