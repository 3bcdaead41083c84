"""What faults of clocks may do on the engine's host: one family of `harness.faults.host`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Clocks"]


class Clocks(Protocol):
    """The wall clock that the processes of one container see, by the PID of its PID 1; see `harness.core.preload`."""

    def set_offset(self, pid: int, offset_s: float) -> None:
        """From now on the clock is so far ahead of the host's, or behind it; a machine that is gone is fine."""
        ...

    def offset_s(self, pid: int) -> float:
        """How far a program that is started now in the container sees its clock ahead of the host's.

        Raises `PeerError` if it can't be started there.
        """
        ...

    def deaf(self, pid: int) -> Sequence[str]:
        """Names of the processes of the container that see the kernel's clock whatever is set; PID 1's first, if so."""
        ...
