"""What a runtime executes: containers, as plain data. `components` make them, `runtime` runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ContainerSpec", "Mount", "NodeContext", "ReadyProbe"]


@dataclass(frozen=True, kw_only=True)
class ReadyProbe:
    """A command inside the container that exits 0 once it really serves."""

    argv: tuple[str, ...]
    proves: str
    """What a success proves, for messages: `a query is answered`."""
    timeout_s: float = 60.0
    interval_s: float = 0.3
    """Between two tries. Each costs the engine 50 to 100 ms of a processor, besides what the command itself does."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A volume of the run inside a container."""

    volume: str
    path: str
    size_mb: int = 0
    """MiB of a file system of its own, which disk faults need; 0 for a plain volume, a folder of the engine's disk."""
    elsewhere: bool = field(default=False, compare=False)
    """It stands for a disk in another building: no disaster of the machines that have it reaches it."""


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """One container of the platform or of the harness. Names are short (`workbench-0`); the runtime adds the run's."""

    name: str
    role: str
    """A `Role`, or `client`."""
    image: str
    """The folder's name in `harness/images`."""
    host_number: int
    """Last octet of the fixed address in the run's own /24 subnet."""
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Environment too, but never written to artefacts."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the container -> text, copied in before the start."""
    mounts: tuple[Mount, ...] = ()
    writes: tuple[str, ...] = ()
    """Places on its own disk that it writes while it serves. What else differs from its image there, but for
    `core.drift.EVERY_MACHINE_WRITES`, was changed by hand."""
    capabilities: tuple[str, ...] = ()
    cpu_shares: int = 0
    """Its weight where containers compete for processors; 0 for the engine's default, 1024. Priorities of processes
    hold within their own container only, because the kernel shares processors out between control groups first."""
    devices: tuple[str, ...] = ()
    security_options: tuple[str, ...] = ()
    publish: tuple[int, ...] = ()
    """Ports to publish on 127.0.0.1 of the engine's host; none in a run, because load and probes are inside."""
    depends_on: tuple[str, ...] = ()
    """Containers that must be ready before this one starts."""
    ready: ReadyProbe | None = None
    conversation: bool = False
    """Standard input and output carry one JSON request and one JSON answer a line."""


@dataclass(frozen=True, kw_only=True)
class NodeContext:
    """What a component needs to know about the run to write its configuration."""

    run_id: str
    subnet_prefix: str
    """The first three octets of the run's subnet: `10.71.4`."""
    secrets: Mapping[str, str]
    """Generated for each run: see `harness.components.base.SECRETS`."""

    def address(self, host_number: int) -> str:
        """The fixed IPv4 address of a container."""
        return f"{self.subnet_prefix}.{host_number}"
