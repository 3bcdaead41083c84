"""How long an operation may take before it has failed, and the timer that enforces it as a total.

One definition serves users and probes, so that "available" means the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import gevent

from harness.core.clock import to_ns
from harness.core.words import Capability
from harness.load.failures import DeadlineMissed

__all__ = ["DEADLINE_S", "PROBE_DEADLINE_S", "START_PROBE_DEADLINE_S", "classify", "deadline"]

#: Seconds until an operation counts as failed.
DEADLINE_S: Mapping[Capability, float] = MappingProxyType(
    {
        Capability.WORK: 5.0,  # a cell of microseconds; after 5 s people press the stop button or reload the page
        Capability.SAVE: 5.0,  # the same patience; a fsync takes milliseconds on any storage that is not failing
        Capability.RECONNECT: 5.0,  # one handshake or one request; each rung of the ladder is one
        Capability.LOG_IN: 10.0,  # JupyterHub's own slow_spawn_timeout and most balancers' limits are as long
        Capability.START_SESSION: 60.0,  # JupyterHub's start_timeout; everybody starts at once after a node died
    }
)

#: A start takes 0.2-3 s, and probes have no herd to wait for. The shorter deadline bounds how many accounts the pool
#: needs.
START_PROBE_DEADLINE_S = 20.0

#: The same of whoever starts a session while nobody else does: probes, and the visitor of a node that is not open yet.
PROBE_DEADLINE_S: Mapping[Capability, float] = MappingProxyType(
    {**DEADLINE_S, Capability.START_SESSION: START_PROBE_DEADLINE_S}
)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `DeadlineMissed` in the current greenlet after `seconds`, whatever it waits for.

    A time limit of requests or of a socket starts anew with every read, so a server that drips never meets it.
    """
    timer: Any = gevent.Timeout(seconds)
    timer.start()
    try:
        yield
    except gevent.Timeout as fired:
        if fired is not timer:
            raise
        raise DeadlineMissed(f"no answer within {seconds:g} s") from None
    finally:
        timer.close()


def classify(send_ns: int, end_ns: int, failure: str, deadline_s: float) -> tuple[int, str]:
    """`ok` and `detail` of a sample: a failure stays one, and an answer after the deadline is none."""
    if failure:
        return 0, failure
    if end_ns - send_ns > to_ns(deadline_s):
        return 0, "deadline"
    return 1, ""
