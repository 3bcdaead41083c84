"""Every kind of fault, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.faults.base import FaultKind
from harness.faults.machines import Kill, Pause, Stop
from harness.faults.network import Isolate

__all__ = ["FAULTS"]

_KINDS: tuple[FaultKind, ...] = (
    Kill(),
    Stop(),
    Pause(),
    Isolate(),
)

#: Kind -> what carries it out.
FAULTS: Mapping[str, FaultKind] = MappingProxyType({fault.kind: fault for fault in _KINDS})
