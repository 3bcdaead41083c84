"""What faults of traffic may do on the engine's host: one family of `harness.faults.host`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

__all__ = ["Ended", "Exchange", "Proxy", "Toxic", "Traffic"]


@dataclass(frozen=True, kw_only=True)
class Toxic:
    """One thing that a Toxiproxy does to what passes through one of its proxies."""

    name: str
    type: str
    """`latency`, `bandwidth`, `reset_peer` or `slow_close`."""
    stream: str
    """`upstream`: what goes to the side that accepts connections; `downstream`: what comes from it."""
    attributes: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """One way through a Toxiproxy: from one container to one port of another."""

    name: str
    """See `harness.core.names.proxy_name`."""
    port: int
    """Where it listens, in its own container."""
    address: str
    """IPv4 address to which it leads."""
    service: int
    """The port there."""
    toxics: tuple[Toxic, ...] = field(default=())


class Ended(StrEnum):
    """How an exchange ended."""

    ANSWERED = "answered"
    CLOSED = "closed"
    RESET = "reset"
    SILENT = "no answer in time"


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A connection that was opened, and what became of it."""

    ended: Ended
    took_s: float
    """From the attempt to connect until the whole answer, or the end."""
    sent_bytes: int = 0
    received_bytes: int = 0


class Traffic(Protocol):
    """Toxiproxies and queueing disciplines in containers' own network namespaces, by the containers' PID 1.

    Everything raises `GuardError` if the process is gone or its namespace is the host's own, and `PeerError` if the
    Toxiproxy or the kernel's tool says that it failed, or does not answer in time.
    """

    def proxies(self, pid: int) -> Sequence[Proxy]:
        """What the Toxiproxy in a container says of itself."""
        ...

    def add_toxic(self, pid: int, proxy: str, toxic: Toxic) -> None:
        """Add a toxic; one of that name that is there already is fine."""
        ...

    def remove_toxic(self, pid: int, proxy: str, name: str) -> None:
        """Take a toxic away; one that is not there is fine."""
        ...

    def exchange(
        self, pid: int, address: str, port: int, service: int, *, padding_bytes: int = 0, count: int = 1
    ) -> Sequence[Exchange]:
        """Ask what answers on a port, in the protocol that `service` speaks, so many times at once."""
        ...

    def hang_up(self, pid: int, address: str, port: int) -> Exchange:
        """Open a connection, end its own side at once and wait until the other side ends too."""
        ...

    def why_not_shape(self, device: str, script: str) -> str:
        """Why the kernel can't do what the script for tc(8) says; empty if it can. Tried in a namespace of its own,
        on a device of that name."""
        ...

    def shape(self, pid: int, script: str) -> None:
        """Run a script for tc(8)."""
        ...

    def unshape(self, pid: int, device: str, handle: str) -> None:
        """Take the queueing discipline with that handle away from the root of a device; another one stays."""
        ...

    def handle(self, pid: int, device: str) -> str:
        """Of the queueing discipline at the root of a device; empty where there is the kernel's own."""
        ...

    def knock_s(self, pid: int, address: str, *, load_bytes: int = 0, count: int = 1) -> Sequence[float]:
        """Seconds until a port where nobody listens refuses a connection, one for each of so many attempts at once;
        none for those that are not answered in time. `load_bytes` are sent before it, as datagrams to nobody."""
        ...
