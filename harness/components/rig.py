"""What `harness calibrate` brings up: the rig's server, its witness, its probes, and processors kept busy if asked to.

All of them from the load client's image, so that the probes are the very programs of a run.
"""

from __future__ import annotations

from typing import Final

from harness.components import client
from harness.components.base import CLIENT_HOST
from harness.core.specs import ContainerSpec

__all__ = ["BUSY", "IMAGES", "PROBES", "SERVER", "SERVER_HOST", "WITNESS", "containers"]

IMAGES: Final = client.IMAGES
SERVER: Final = "rig"
WITNESS: Final = "witness"
PROBES: Final = "client"
BUSY: Final = "busy"

SERVER_HOST: Final = 60
_WITNESS_HOST: Final = 61
_BUSY_HOST: Final = 62
#: The most that the kernel knows.
_ALL_SHARES: Final = 262_144


def containers(*, busy_processes: int = 0) -> tuple[ContainerSpec, ...]:
    """The rig; with `busy_processes` so many processes beside it that do nothing but use a processor."""
    # That the server is away must be the fault's doing, not a busy machine's; the probes have what those of a run have.
    server = _program(SERVER, "server", SERVER_HOST, cpu_shares=_ALL_SHARES)
    witness = _program(WITNESS, "witness", _WITNESS_HOST, cpu_shares=_ALL_SHARES)
    probes = _program(PROBES, "probes", CLIENT_HOST, cpu_shares=client.CPU_SHARES)
    return (server, witness, probes, *([_busy(busy_processes)] if busy_processes else []))


def _program(name: str, which: str, host_number: int, *, cpu_shares: int = 0) -> ContainerSpec:
    return ContainerSpec(
        name=name,
        role="rig",
        image=IMAGES[0],
        host_number=host_number,
        command=("python3", "-m", "harness.load.rig", which),
        capabilities=("SYS_NICE",),
        cpu_shares=cpu_shares,
        conversation=True,
    )


def _busy(processes: int) -> ContainerSpec:
    spin = f"for _ in $(seq {processes}); do while :; do :; done & done; wait"
    return ContainerSpec(name=BUSY, role="rig", image=IMAGES[0], host_number=_BUSY_HOST, command=("sh", "-c", spin))
