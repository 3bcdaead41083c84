"""Faults of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.core.experiment import Fault
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host, ProcessState
from harness.faults.kinds.machines import Kill
from harness.faults.kinds.processes import process_state, still_there

__all__ = ["Failover", "KillConnections"]

_SERVER = "postgres"
#: The title of a process that serves a client (PostgreSQL, postmaster.c: user, database, host and port, then what it
#: does, perhaps after the cluster's name). Those that send the write-ahead log to a replica begin with their own word.
_CLIENT_TITLE = r"postgres: (?!(\S+: )?walsender ).*?(\[local\]|\S+\(\d+\))( |$)"


class Failover(Kill):
    """The primary's machine dies, so that a replica has to become primary. `kill`, under the name of what it tests."""

    kind: ClassVar[str] = "failover"
    summary: ClassVar[str] = "the machine of the primary database dies at once; a replica has to take its place"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.DATABASE})

    def refusal(self, topology: Topology, fault: Fault) -> str:  # noqa: ARG002 - a single server is a primary too
        if fault.target == f"{Role.DATABASE}[primary]":
            return ""
        return f"only the death of the primary is a failover: target: {Role.DATABASE}[primary], not {fault.target}"


class KillConnections(FaultKind):
    """Every connection of a client is ended by the server, as `pg_terminate_backend` does it and as an administrator's
    script or a restart of a connection pool does: SIGTERM to the processes that serve them.

    The server goes on, and its clients may connect again at once: nothing has to be undone.
    """

    kind: ClassVar[str] = "kill_connections"
    summary: ClassVar[str] = "the database ends every client's connection; they may connect again at once"
    leaves: ClassVar[str] = "nothing"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.DATABASE})

    def prepare(self, host: Host, aim: Aim) -> State:
        server = process_state(host, aim, _SERVER)
        clients = host.processes.titled(server["pid"], _CLIENT_TITLE)
        if not clients:
            raise GuardError(
                f"no client is connected to {aim.target}, so there is no connection to end",
                hint="is the load running, and does it use this server?",
            )
        return {**server, "clients": [[client.pid, client.start_ticks] for client in clients]}

    def inject(self, host: Host, state: State) -> None:
        for pid, start_ticks in state["clients"]:
            host.processes.terminate(pid, start_ticks)

    def confirm(self, host: Host, state: State) -> Evidence:
        left = [pid for pid, start_ticks in state["clients"] if host.processes.alive(pid, start_ticks)]
        server = still_there(host, state)
        text = f"of {len(state['clients'])} connections {len(left)} are left, {_server_text(server)}"
        return Evidence(not left and bool(server), text)

    def undo(self, host: Host, state: State) -> None:
        """Nothing: whoever was connected connects again."""

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None or container.pid != state["pid"]:
            return Evidence(True, "the machine has gone since, and the ended connections with it")
        found = host.processes.find(container.pid, _SERVER)
        return Evidence(bool(found), _server_text(found))


def _server_text(found: Sequence[ProcessState]) -> str:
    return f"the server, process {found[0].pid}, is alive" if found else "the server is gone"
