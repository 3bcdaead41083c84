"""What packet faults may do on the engine's host: one family of `harness.faults.host`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.faults.scripts.filters import Answer, Rule

__all__ = ["Filters"]


class Filters(Protocol):
    """Packet filters in containers' own network namespaces, by the containers' PID 1, and attempts to get through.

    Everything raises `GuardError` if the process is gone or its namespace is the host's own, and `PeerError` with what
    the kernel's tool said if that failed.
    """

    def add(self, pid: int, table: str, rules: Sequence[Rule]) -> None:
        """Put a table of rules in, at once and as a whole; the rules of one of that name are replaced."""
        ...

    def remove(self, pid: int, table: str) -> None:
        """Take a table out, with all its rules; one that is not there is fine."""
        ...

    def counters(self, pid: int, table: str) -> Mapping[str, int]:
        """Packets by the names of a table's counters; empty if there is no such table."""
        ...

    def knock(self, pid: int, address: str) -> Answer:
        """Try to open a connection to a port where nobody listens: who is reached refuses it at once."""
        ...

    def send(self, pid: int, sender: str, receiver: str, count: int) -> None:
        """Send empty datagrams that nobody answers; `sender` is the machine's own address."""
        ...

    def ask_name(self, pid: int, name: str) -> Answer:
        """Ask Docker's name server for a name; any answer to that question is one."""
        ...
