"""The next hop of whoever talks to another role: that role's own container, or the Toxiproxy of a link in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.core.names import link_name
from harness.core.topology import Link, Topology
from harness.core.words import Role

__all__ = ["FIRST_HOST", "Hop", "hop", "link_containers", "link_host", "listen_port"]

#: Last octet of the first link's address; each pair of roles has its own, whichever links there are.
FIRST_HOST: Final = 40
_FIRST_PORT: Final = 10_000


@dataclass(frozen=True)
class Hop:
    """Where to connect to."""

    name: str
    """The container's."""
    host_number: int
    """The last octet of its address."""
    port: int


def hop(topology: Topology, source: tuple[Role, int], target: tuple[Role, int], direct: Hop, service: int = 0) -> Hop:
    """Where member `source` of a role connects to in order to reach member `target` of another.

    `direct` is where it would without a link; `service` is the place of that port among the target's ports.
    """
    link = topology.link(source[0], target[0])
    if link is None:
        return direct
    port = listen_port(source[1], target[1], service)
    return Hop(link_name(link.from_, link.to), link_host(link), port)


def link_containers(topology: Topology, source: Role, target: Role) -> tuple[str, ...]:
    """The container between two roles, none without a link: what `source` must wait for."""
    link = topology.link(source, target)
    return (link_name(link.from_, link.to),) if link else ()


def link_host(link: Link) -> int:
    """The last octet of a link's fixed address."""
    return FIRST_HOST + Link.POSSIBLE.index((link.from_, link.to))


def listen_port(source: int, target: int, service: int) -> int:
    """Every source has listeners of its own, one for each target and port, so that one pair alone can be slowed.

    Ten of each fit: a role has nine members at most.
    """
    return _FIRST_PORT + 100 * source + 10 * target + service
