"""What a fault on an existing system will do, shown before anything is sent; and what forbids it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.attach import AttachedSystem
from harness.core.experiment import Experiment
from harness.errors import UsageError
from harness.faults.attached.kinds import plan_lines
from harness.run.plan import time_line
from harness.run.targets import known_beforehand, lot_of
from harness.spec.attach import why_not_breakable
from harness.spec.targets import parse_target

__all__ = ["attached_lines", "refuse_unbreakable"]

_INDENT = " " * 14


def refuse_unbreakable(system: AttachedSystem, experiment: Experiment) -> None:
    """Raises `UsageError` with everything that forbids the experiment."""
    if why := why_not_breakable(system, experiment):
        raise UsageError(
            f"{experiment.name} may not be done to {system.name}:\n" + "\n".join(f"  {line}" for line in why),
            hint="docs/attach.md: a fault needs an allow-list, an act with its undoing and an abort condition",
        )


def attached_lines(system: AttachedSystem, experiment: Experiment, seed: int) -> Iterator[str]:
    """The plan as lines for a person: on whom, what is sent when, what undoes it and what ends it early."""
    attach, load = system.attach, experiment.load
    yield f"{system.name}: an existing system at {attach.url}"
    yield (
        f"{experiment.name}: {load.users} people by {attach.session.product}, each busy every {load.beat_s:g} s; "
        f"probes every {attach.load.probe_every_s:g} s, a session started every {load.start_probe_every_s:g} s"
    )
    for act in time_line(experiment):
        fault = experiment.faults[act.index]
        yield f"  {act.at_s:8.1f} s  {'undo' if act.undo else 'inject'} {fault.fault} on {fault.target}"
        known = known_beforehand(system, fault.target, lot_of(seed, act.index, fault.target))
        for name in known or system.members(parse_target(fault.target).role):
            for line in plan_lines(attach.machines[name], fault.fault, undo=act.undo):
                yield f"{_INDENT}{name}: {line}"
    yield f"  then {experiment.settle_s:g} s of watching" + (" people come back" if experiment.faults else "")
    if (abort := experiment.abort_when) is not None:
        yield (
            f"  given up, with everything undone at once, if fewer than {abort.working_below_percent:g}% of the people "
            f"can work for {abort.for_s:g} s"
        )
    if experiment.faults:
        yield "  undone too when this command ends in any way, as long as this machine runs"
