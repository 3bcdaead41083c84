"""Faults of clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from harness.core.constraints import Bounds
from harness.core.experiment import Fault
from harness.core.preload import CLOCK_IMAGES
from harness.core.topology import Topology
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["ClockSkew"]

#: How exactly the clock must show what was set. A look takes about 10 ms, on a busy machine a few hundred; clocks that
#: are this close together harm nobody, so smaller offsets are refused.
_TOLERANCE_S = 2.0
_YEAR_S = 365.25 * 86_400


class ClockSkew(FaultKind):
    """The machine's wall clock is wrong: it jumps, for all processes at once, and goes on from there.

    As after a battery that is empty, a virtual machine that was resumed or a time server that lies. The monotonic clock
    is right, as it is then. A machine that is started anew has asked for the time.
    """

    kind: ClassVar[str] = "clock_skew"
    summary: ClassVar[str] = "the machine's wall clock jumps by offset_s, ahead or behind, until undone"
    leaves: ClassVar[str] = "a machine whose clock is wrong"
    preloads_clock: ClassVar[bool] = True

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """By how much."""

        __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

        offset_s: Annotated[float, Bounds(-10 * _YEAR_S, 10 * _YEAR_S)]
        """Seconds by which the machine's clock is ahead of the others' then, behind if negative; at least 5 either way,
        so that it can be told from clocks that are right."""

    def refusal(self, topology: Topology, fault: Fault) -> str:  # noqa: ARG002 - every topology has clocks
        offset_s = fault.options.get("offset_s", 0)
        if abs(offset_s) < 5:
            return f"offset_s is {offset_s:g}, expected at least 5 or at most -5: less can't be told from a right clock"
        return ""

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        deaf = host.clocks.deaf(container.pid)
        if deaf:
            raise GuardError(
                f"{aim.target}: the clock of {', '.join(sorted(set(deaf)))} can't be set, because the library for it "
                "is not loaded",
                hint=f"it is in the images {', '.join(sorted(CLOCK_IMAGES))}, from the start of a run of an "
                "experiment with this fault",
            )
        offset_s = host.clocks.offset_s(container.pid)
        if abs(offset_s) > _TOLERANCE_S:
            raise GuardError(
                f"{aim.target}: its clock is {offset_s:+.1f} s off even now",
                hint="is another fault on the clock of this machine still in effect?",
            )
        return {**machine_state(container), "offset_s": float(aim.options.offset_s)}

    def inject(self, host: Host, state: State) -> None:
        host.clocks.set_offset(state["pid"], state["offset_s"])

    def confirm(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(False, "the machine has gone since")
        shown_s, deaf = host.clocks.offset_s(state["pid"]), host.clocks.deaf(state["pid"])
        text = f"date in the container is {shown_s:+.3f} s off the host's, {state['offset_s']:+g} expected"
        if deaf:
            text += f"; but these see the host's clock: {', '.join(deaf)}"
        return Evidence(abs(shown_s - state["offset_s"]) <= _TOLERANCE_S and not deaf, text)

    def undo(self, host: Host, state: State) -> None:
        if _is_there(host, state):
            host.clocks.set_offset(state["pid"], 0.0)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(True, "the machine has gone since, and what was set with it")
        shown_s = host.clocks.offset_s(state["pid"])
        return Evidence(abs(shown_s) <= _TOLERANCE_S, f"date in the container is {shown_s:+.3f} s off the host's")


def _is_there(host: Host, state: State) -> bool:
    return host.processes.alive(state["pid"], state["start_ticks"])
