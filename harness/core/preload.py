"""How containers get a wall clock of their own: a library that is loaded before the C library answers for it.

Containers share the kernel's real-time clock (time namespaces cover the monotonic and the boot clock only), so nothing
else can set it for one of them. The library (harness/images/own_clock.c) adds less than 0.1 us to a look at the clock,
but it does change the platform under test; so it is there only where an experiment needs it.

Why not libfaketime 0.9.10: with an offset that changes, its `clock_nanosleep` fails for the monotonic clock, on which
Python sleeps; its semaphores end processes of another user than root, such as PostgreSQL; a look takes 27 us.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["CLOCK_ENVIRONMENT", "CLOCK_IMAGES", "LIBRARY", "OFFSET_PATH"]

#: What the kernel's table of a process's memory calls it.
LIBRARY: Final = "own_clock.so"
#: Holds the offset: nanoseconds, as a signed number of 64 bits in the byte order of the machine. In memory of the
#: container's own, which is new at every start: a machine that boots asks for the time.
OFFSET_PATH: Final = "/dev/shm/clock-offset"  # noqa: S108 - the agent's; root made it, everybody else only reads it
#: Which images have the library.
CLOCK_IMAGES: Final = frozenset({"database", "load_balancer", "patroni", "storage", "workbench"})

#: For the containers, from their start, and for whoever asks what time it is there.
CLOCK_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"LD_PRELOAD": f"/usr/local/lib/{LIBRARY}"})
