"""Faults of the NFS server."""

from __future__ import annotations

from typing import ClassVar

from harness.core.words import Role
from harness.faults.base import Aim, Evidence, NoOptions, State
from harness.faults.host import GuardError, Host
from harness.faults.kinds.machines import Restart, back, guard_can_be_shut_down
from harness.faults.kinds.processes import Freeze, process_state

__all__ = ["NfsHang", "NfsRestart"]

_SERVER = "ganesha.nfsd"


def _prepare(host: Host, aim: Aim) -> State:
    state = process_state(host, aim, _SERVER)
    if trouble := host.storage.answers(state["pid"]):
        raise GuardError(f"the NFS server of {aim.target} doesn't serve even now: {trouble}")
    return state


def _answer(host: Host, pid: int) -> Evidence:
    trouble = host.storage.answers(pid)
    return Evidence(not trouble, f"an NFS call gets {trouble or 'an answer'}")


class NfsHang(Freeze):
    """The NFS server hangs: connections stay open and nothing is answered, as with an overloaded or stuck server.

    Clients with a hard mount wait, and everything that touches the homes with them.
    """

    kind: ClassVar[str] = "nfs_hang"
    summary: ClassVar[str] = "the NFS server hangs (SIGSTOP) until undone: clients wait for their files"
    leaves: ClassVar[str] = "a stopped NFS server"
    Options: ClassVar[type] = NoOptions
    roles: ClassVar[frozenset[Role]] = frozenset({Role.STORAGE})

    def prepare(self, host: Host, aim: Aim) -> State:
        return _prepare(host, aim)

    def confirm(self, host: Host, state: State) -> Evidence:
        stopped = super().confirm(host, state)
        if not stopped.shown:
            return stopped
        answer = _answer(host, state["pid"])
        return Evidence(not answer.shown, f"{stopped.text}; {answer.text}")

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        thawed = super().confirm_recovery(host, state)
        if not thawed.shown or not host.processes.alive(state["pid"], state["start_ticks"]):
            return thawed
        answer = _answer(host, state["pid"])
        return Evidence(answer.shown, f"{thawed.text}; {answer.text}")


class NfsRestart(Restart):
    """The NFS server is restarted, as for an update: clients find a new server at the same address, which has to give
    them back their locks."""

    kind: ClassVar[str] = "nfs_restart"
    summary: ClassVar[str] = "the NFS server is restarted at once, at the same address"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.STORAGE})

    def prepare(self, host: Host, aim: Aim) -> State:
        state = _prepare(host, aim)
        guard_can_be_shut_down(host, aim.target)
        return {**state, "address": host.machines.look(aim.target).address}

    def confirm(self, host: Host, state: State) -> Evidence:
        restarted = back(host, state)
        if not restarted.shown:
            return restarted
        container = host.machines.look(state["container"])
        found = host.processes.find(container.pid, _SERVER)
        if not found:
            return Evidence(False, f"{restarted.text}; no {_SERVER} runs")
        answer = _answer(host, container.pid)
        same = container.address == state["address"]
        place = "the same address" if same else f"another address, {container.address}, not {state['address']}"
        text = f"{restarted.text}; {_SERVER} is process {found[0].pid} now; {answer.text} at {place}"
        fresh = [found[0].pid, found[0].start_ticks] not in state["processes"]
        return Evidence(answer.shown and same and fresh, text)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None:
            return Evidence(True, "the machine has gone since")
        if not container.running:
            return Evidence(False, f"the engine says {container.status}")
        return _answer(host, container.pid)
