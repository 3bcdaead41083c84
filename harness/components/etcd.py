"""etcd: where Patroni's servers keep who is primary. A part of the database, no role of its own."""

from __future__ import annotations

from typing import Final

from harness.components.base import ETCD_FIRST_HOST
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe

__all__ = ["IMAGE", "ROLE", "addresses", "containers", "names"]

IMAGE: Final = "etcd"
ROLE: Final = "etcd"
_CLIENT_PORT: Final = 2379
_PEER_PORT: Final = 2380


def names(members: int) -> tuple[str, ...]:
    """`etcd-0` and so on."""
    return tuple(f"etcd-{index}" for index in range(members))


def addresses(members: int, context: NodeContext) -> tuple[str, ...]:
    """Where clients reach each member: address and port."""
    return tuple(f"{context.address(ETCD_FIRST_HOST + index)}:{_CLIENT_PORT}" for index in range(members))


def containers(members: int, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The members; each knows all from the start, and one that is ready is part of a majority.

    What a member has agreed to is on a volume, because one that came back without it could agree to the opposite.
    """
    peers = {
        name: f"http://{context.address(ETCD_FIRST_HOST + index)}:{_PEER_PORT}"
        for index, name in enumerate(names(members))
    }
    return tuple(
        ContainerSpec(
            name=name,
            role=ROLE,
            image=IMAGE,
            host_number=ETCD_FIRST_HOST + index,
            command=(
                *("--name", name),
                *("--listen-peer-urls", f"http://0.0.0.0:{_PEER_PORT}"),
                *("--initial-advertise-peer-urls", peers[name]),
                *("--listen-client-urls", f"http://0.0.0.0:{_CLIENT_PORT}"),
                *("--advertise-client-urls", f"http://{addresses(members, context)[index]}"),
                *("--initial-cluster", ",".join(f"{peer}={url}" for peer, url in peers.items())),
                *("--initial-cluster-token", context.run_id),
                *("--logger", "zap"),
            ),
            mounts=(Mount(volume=name, path="/var/lib/etcd"),),
            ready=ReadyProbe(argv=("/usr/local/bin/ready",), proves="a majority commits"),
        )
        for index, name in enumerate(names(members))
    )
