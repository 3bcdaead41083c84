"""Who carries out the changes of a run, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.core.clock import Clock
from harness.core.history import HistoryWriter
from harness.run.changes.autoscaling import Autoscaling
from harness.run.changes.changing import Changing
from harness.run.changes.nodes import Nodes
from harness.run.changes.recovering import Recovering
from harness.run.interrupts import Interrupts
from harness.run.stage import Stage
from harness.run.watcher import Watcher

if TYPE_CHECKING:
    from harness.core.experiment import Experiment

__all__ = ["changes_of"]


def changes_of(
    experiment: Experiment,
    stage: Stage,
    *,
    history: HistoryWriter,
    clock: Clock,
    watcher: Watcher,
    interrupts: Interrupts,
    watch_until: Callable[[int], None],
    sessions: Callable[[], Mapping[str, int]],
    keep_log: Callable[[str, str], None],
) -> tuple[Changing, Autoscaling]:
    """The planned changes of an experiment, and the topology's policy. `watch_until`, `sessions` and `keep_log` are as
    in `Nodes`."""
    nodes = Nodes(stage, clock, interrupts=interrupts, watch_until=watch_until, sessions=sessions, keep_log=keep_log)
    recovering = Recovering(stage, nodes, clock, interrupts=interrupts, watch_until=watch_until, keep_log=keep_log)
    changing = Changing(
        experiment, nodes, recovering, history=history, clock=clock, watcher=watcher, watch_until=watch_until
    )
    autoscaling = Autoscaling(
        experiment, nodes, changing, sessions=sessions, history=history, clock=clock, watch_until=watch_until
    )
    return changing, autoscaling
