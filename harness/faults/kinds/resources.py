"""Faults of what a machine may use: too little processor, too little memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from harness.core.constraints import Bounds, Positive
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["Cpu", "Memory"]

_MB = 2**20
#: The kernel accepts no smaller quota.
_LEAST_QUOTA_US = 1_000
#: What a process may get beyond its quota: the kernel looks at each tick only (4 ms, or 10 ms on some kernels) and
#: takes it off the next periods, and our busy process runs for 2 ms or so before it is in the group.
_QUOTA_SLACK_S = 0.015


@dataclass(frozen=True, kw_only=True)
class CpuOptions:
    """How little is left."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    share_percent: Annotated[float, Bounds(1, 90)] = 5.0
    """Of one core, for all processes of the machine together. At most 90: more can't be told from a busy host."""


class Cpu(FaultKind):
    """The machine gets hardly any processor, as beside a greedy neighbour: a quota for its control group.

    Everything on it becomes slow, nothing ends: health checks begin to time out now and then.
    """

    kind: ClassVar[str] = "cpu"
    summary: ClassVar[str] = "the machine gets only a share of one core until undone"
    leaves: ClassVar[str] = "a processor quota"
    Options: ClassVar[type] = CpuOptions

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        group = host.limits.cpu_group(container.id, container.pid)
        limit = host.limits.cpu(group)
        if limit is None:
            raise GuardError(f"{aim.target} stopped while it was looked at")
        quota_us = max(_LEAST_QUOTA_US, round(limit.period_us * aim.options.share_percent / 100))
        if limit.quota_us is not None and limit.quota_us <= quota_us:
            raise GuardError(
                f"{aim.target} may use {limit.quota_us} us of processor in {limit.period_us} us already, so that a "
                f"limit of {quota_us} us takes nothing away",
                hint="a smaller share_percent would",
            )
        return {**machine_state(container), "group": group, "quota_us": quota_us, "was_us": limit.quota_us}

    def inject(self, host: Host, state: State) -> None:
        host.limits.set_cpu(state["group"], state["quota_us"])

    def confirm(self, host: Host, state: State) -> Evidence:
        limit = host.limits.cpu(state["group"])
        quota_us: int = state["quota_us"]
        if limit is None or limit.quota_us != quota_us:
            return Evidence(False, _quota_text(host, state))
        burn = host.limits.burn(state["group"])
        if burn is None:
            return Evidence(False, _quota_text(host, state))
        periods = math.ceil(burn.lasted_s * 1e6 / limit.period_us) + 1  # it began and ended within one
        most_s = periods * quota_us / 1e6 + _QUOTA_SLACK_S
        text = (
            f"{_quota_text(host, state)}; a process that wants a whole core got {burn.got_s * 1000:.0f} of "
            f"{burn.lasted_s * 1000:.0f} ms and was held back in {burn.held_back} periods"
        )
        return Evidence(burn.held_back > 0 and burn.got_s <= most_s, text)

    def undo(self, host: Host, state: State) -> None:
        host.limits.set_cpu(state["group"], state["was_us"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        limit = host.limits.cpu(state["group"])
        shown = limit is None or limit.quota_us == state["was_us"]
        return Evidence(shown, _quota_text(host, state))


def _quota_text(host: Host, state: State) -> str:
    limit = host.limits.cpu(state["group"])
    if limit is None:
        return "the machine has gone since, and its quota with it"
    quota = "no quota" if limit.quota_us is None else f"a quota of {limit.quota_us} us in {limit.period_us} us"
    return f"the kernel says {quota}"


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """How little is left, and what happens with it."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    leave_mb: Positive = 32
    """MiB that the machine may use beyond its working set of this moment (all but inactive file pages: what
    `docker stats` shows, roughly). With `oom` it also decides who dies: the kernel kills the fattest process, so with
    less than that process has it is one of the machine's own, with more it is the program that eats."""
    oom: bool = False
    """A program of the machine eats what is left, until the kernel kills something."""


class Memory(FaultKind):
    """The machine's memory becomes short: a limit for its control group, just above what it uses.

    With `oom` something eats what is left, so that the kernel kills a process for lack of memory. What was killed comes
    back if its supervisor starts it; if it was PID 1, the machine is down, and is started when this is undone.
    """

    kind: ClassVar[str] = "memory"
    summary: ClassVar[str] = "the machine's memory is limited to little more than it uses, or eaten up, until undone"
    leaves: ClassVar[str] = "a memory limit, and a program that holds memory"
    Options: ClassVar[type] = MemoryOptions

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        group = host.limits.memory_group(container.id, container.pid)
        now = host.limits.memory(group)
        if now is None:
            raise GuardError(f"{aim.target} stopped while it was looked at")
        limit_bytes = (now.used_bytes // _MB + 1 + aim.options.leave_mb) * _MB
        if now.limit_bytes is not None and now.limit_bytes <= limit_bytes:
            raise GuardError(
                f"{aim.target} may use {now.limit_bytes // _MB} MiB already, so that a limit of {limit_bytes // _MB} "
                "MiB takes nothing away",
                hint="a smaller leave_mb would",
            )
        return {
            **machine_state(container),
            "group": group,
            "limit_bytes": limit_bytes,
            "was_bytes": now.limit_bytes,
            "swap_was_bytes": now.swap_limit_bytes,
            "oom_kills": now.oom_kills,
            "eater": f"{aim.tag}-{aim.target}" if aim.options.oom else "",
        }

    def inject(self, host: Host, state: State) -> None:
        host.limits.squeeze_memory(state["group"], state["limit_bytes"])
        if state["eater"]:
            host.limits.eat(state["group"], state["pid"], state["eater"])

    def confirm(self, host: Host, state: State) -> Evidence:
        container = host.machines.look(state["container"]) if state["eater"] else None
        if container is not None and not container.running and container.oom_killed:
            return Evidence(True, "the engine says that the kernel killed the machine's PID 1 for lack of memory")
        now = host.limits.memory(state["group"])
        text = _limit_text(host, state)
        if now is None or now.limit_bytes != state["limit_bytes"]:
            return Evidence(False, text)
        if not state["eater"]:
            return Evidence(True, text)
        kills = now.oom_kills - state["oom_kills"]
        return Evidence(kills > 0, f"{text}, and that it killed {kills} processes for lack of memory")

    def undo(self, host: Host, state: State) -> None:
        if state["eater"]:
            host.limits.stop_eating(state["eater"])
        host.limits.set_memory(state["group"], state["was_bytes"], state["swap_was_bytes"])
        container = host.machines.there(state["container"])
        if not state["eater"] or container is None:
            return
        if not container.running and container.oom_killed:
            host.machines.start(container.id)
        elif container.running and not host.processes.alive(container.pid, container.start_ticks):
            host.machines.restart(container.id)  # it is ending: the engine has not noticed yet that its PID 1 is dead

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        text = _limit_text(host, state)
        if state["eater"]:
            if eaters := host.limits.eaters(state["eater"]):
                return Evidence(False, f"{text}; processes {eaters} still hold memory")
            container = host.machines.there(state["container"])
            if container is not None and not container.running and container.oom_killed:
                return Evidence(False, "the machine is down since the kernel killed its PID 1 for lack of memory")
        now = host.limits.memory(state["group"])
        shown = now is None or (now.limit_bytes, now.swap_limit_bytes) == (state["was_bytes"], state["swap_was_bytes"])
        return Evidence(shown, text)


def _limit_text(host: Host, state: State) -> str:
    now = host.limits.memory(state["group"])
    if now is None:
        return "the machine has gone since, and its limit with it"
    limit = "no limit" if now.limit_bytes is None else f"a limit of {now.limit_bytes / _MB:.0f} MiB"
    return f"the kernel says {limit}, {now.used_bytes / _MB:.0f} MiB in use"
