"""Every kind of fault, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.rules import FaultRules
from harness.faults.base import FaultKind
from harness.faults.kinds.certificates import CertificateExpiry
from harness.faults.kinds.clocks import ClockSkew
from harness.faults.kinds.database import Failover, KillConnections
from harness.faults.kinds.disks import DiskFull, IoSlow, IoStall, ReadOnly
from harness.faults.kinds.links import Isolate
from harness.faults.kinds.machines import Kill, Pause, Restart, Stop
from harness.faults.kinds.packets import Dns, Loss, Partition
from harness.faults.kinds.processes import Crash, Freeze
from harness.faults.kinds.resources import Cpu, Memory
from harness.faults.kinds.stale import Stale
from harness.faults.kinds.storage import NfsHang, NfsRestart
from harness.faults.kinds.switchover import Switchover
from harness.faults.kinds.traffic import Bandwidth, Jitter, Latency, Reset, SlowClose

__all__ = ["FAULTS", "RULES"]

_KINDS: tuple[FaultKind, ...] = (
    Kill(),
    Stop(),
    Restart(),
    Pause(),
    Crash(),
    Freeze(),
    Cpu(),
    Memory(),
    Failover(),
    KillConnections(),
    Switchover(),
    NfsHang(),
    NfsRestart(),
    DiskFull(),
    ReadOnly(),
    IoStall(),
    IoSlow(),
    Stale(),
    Isolate(),
    Partition(),
    Loss(),
    Dns(),
    CertificateExpiry(),
    ClockSkew(),
    Latency(),
    Jitter(),
    Bandwidth(),
    Reset(),
    SlowClose(),
)

#: Kind -> what carries it out.
FAULTS: Mapping[str, FaultKind] = MappingProxyType({fault.kind: fault for fault in _KINDS})
#: Kind -> what may stand in an experiment's file.
RULES: Mapping[str, FaultRules] = MappingProxyType({fault.kind: fault.rules() for fault in _KINDS})
