"""Every kind of fault, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.rules import FaultRules
from harness.faults.base import FaultKind
from harness.faults.links import Isolate
from harness.faults.machines import Kill, Pause, Stop

__all__ = ["FAULTS", "RULES"]

_KINDS: tuple[FaultKind, ...] = (
    Kill(),
    Stop(),
    Pause(),
    Isolate(),
)

#: Kind -> what carries it out.
FAULTS: Mapping[str, FaultKind] = MappingProxyType({fault.kind: fault for fault in _KINDS})
#: Kind -> what may stand in an experiment's file.
RULES: Mapping[str, FaultRules] = MappingProxyType({fault.kind: fault.rules() for fault in _KINDS})
