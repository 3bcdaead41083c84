"""Faults of single processes: the machine goes on around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host, ProcessState
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["Crash", "Freeze", "process_state"]

#: Supervisors wait before they start something again: systemd 0.1 s unless told otherwise, Patroni up to its loop's
#: 10 s; the slowest of the platform's own takes 3 s (measured: a hub).
SUPERVISOR_LIMIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """Which process of the machine."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    process: str
    """Its own name as `ps` shows it, or the last part of the path of its program or of an interpreter's script. Of
    several that are each other's children the topmost is meant, of several others the one that has run longest."""
    workers: bool = False
    """Its children of the same name instead, all of them: the processes that do the work of a master such as
    HAProxy's."""


def process_state(host: Host, aim: Aim, name: str, *, workers: bool = False) -> State:
    """What tells a machine's process from all others, and the machine. Raises `GuardError` with the names that there
    are if nothing is called so."""
    container = host.machines.look(aim.target)
    guard_own_machine(container)
    found = host.processes.find(container.pid, name)
    if not found:
        there = ", ".join(host.processes.names(container.pid))
        raise GuardError(f"no process of {aim.target} is called {name!r}; these are there: {there}")
    chosen = host.processes.workers(container.pid, name) if workers else found[:1]
    if not chosen:
        raise GuardError(
            f"{name} of {aim.target} has no children of the same name", hint="leave out `workers`: it does its own work"
        )
    return {
        **machine_state(container),
        "process": name,
        "processes": [[process.pid, process.start_ticks] for process in chosen],
        "workers": workers,
    }


def still_there(host: Host, state: State) -> Sequence[ProcessState]:
    """Those of the processes in `state` that live."""
    found = (host.processes.look(pid, start_ticks) for pid, start_ticks in state["processes"])
    return [process for process in found if process is not None]


def _now(host: Host, state: State, limit_s: float, container_pid: int) -> Sequence[ProcessState]:
    """The processes of that name that the machine has now, or has within the time limit."""
    return host.processes.await_named(container_pid, state["process"], limit_s, workers=state["workers"])


def _called(state: State) -> str:
    return f"{state['process']} ({', '.join(str(pid) for pid, _ in state['processes'])})"


class _OfOneProcess(FaultKind):
    Options: ClassVar[type] = ProcessOptions

    def prepare(self, host: Host, aim: Aim) -> State:
        return process_state(host, aim, aim.options.process, workers=aim.options.workers)


class Crash(_OfOneProcess):
    """One process dies at once: SIGKILL. Whatever supervises it may start it again; its children live on or not, as
    their own programs decide.

    Undone by nothing where it came back by itself. Where nobody has started it again a person would restart the
    machine, and so does this.
    """

    kind: ClassVar[str] = "crash"
    summary: ClassVar[str] = "one process of the machine dies at once (SIGKILL); its supervisor may start it again"
    leaves: ClassVar[str] = "a machine that lacks a process"

    def inject(self, host: Host, state: State) -> None:
        for pid, start_ticks in state["processes"]:
            host.processes.kill(pid, start_ticks)

    def confirm(self, host: Host, state: State) -> Evidence:
        left = still_there(host, state)
        return Evidence(not left, f"{_called(state)}: {f'{len(left)} left' if left else 'gone'}")

    def undo(self, host: Host, state: State) -> None:
        container = host.machines.there(state["container"])
        if container is None or container.status == "paused":
            return  # nothing is left, or nothing could be started in it: whoever paused it thaws it
        if not container.running:
            host.machines.start(container.id)
        # a dead PID 1: the engine has not noticed yet that the machine is ending, and nobody in it starts anything
        elif not host.processes.alive(container.pid, container.start_ticks) or not _now(
            host, state, SUPERVISOR_LIMIT_S, container.pid
        ):
            host.machines.restart(container.id)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None:
            return Evidence(True, "the machine has gone since, and its processes with it")
        found = _now(host, state, 0, container.pid) if container.running else ()
        pids = ", ".join(str(process.pid) for process in found)
        return Evidence(bool(found), f"{state['process']} runs as {pids}" if found else f"no {state['process']} runs")


class Freeze(_OfOneProcess):
    """One process hangs and the rest of the machine goes on: SIGSTOP to it alone.

    A grey failure: its connections stay open, the kernel accepts new ones for it until its backlog is full, and
    whatever only looks whether it exists finds it well.
    """

    kind: ClassVar[str] = "freeze"
    summary: ClassVar[str] = "one process of the machine hangs (SIGSTOP) until undone; the others go on"
    leaves: ClassVar[str] = "a stopped process"

    def inject(self, host: Host, state: State) -> None:
        for pid, start_ticks in state["processes"]:
            host.processes.freeze(pid, start_ticks)

    def confirm(self, host: Host, state: State) -> Evidence:
        found = still_there(host, state)
        stopped = len(found) == len(state["processes"]) and all(process.state == "T" for process in found)
        return Evidence(stopped, f"{_called(state)}: {_states(found)}")

    def undo(self, host: Host, state: State) -> None:
        # in a paused machine the signal takes effect as soon as it is thawed
        for pid, start_ticks in state["processes"]:
            host.processes.thaw(pid, start_ticks)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        found = still_there(host, state)
        return Evidence(all(process.state != "T" for process in found), f"{_called(state)}: {_states(found)}")


def _states(found: Sequence[ProcessState]) -> str:
    """In words: proc(5) has the letters."""
    return f"in state {', '.join(process.state for process in found)} (T is stopped)" if found else "gone"
