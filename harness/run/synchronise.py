"""How far the harness's clock is from the engine host's, measured through the agent."""

from __future__ import annotations

from harness.core.clock import Clock
from harness.runtime.base import Peer

__all__ = ["measure_offset"]

_ROUNDS = 20


def measure_offset(clock: Clock, agent: Peer) -> tuple[int, int]:
    """The offset to the engine host's clock and the round trip, in ns, of the exchange with the shortest (as in NTP).

    Within a round trip of zero the clocks count as the same one, which they are on one kernel.
    """
    exchanges = []
    for _ in range(_ROUNDS):
        before_ns = clock.now_ns()
        there_ns = agent.call("ping")["now_ns"]
        after_ns = clock.now_ns()
        exchanges.append((after_ns - before_ns, there_ns - (before_ns + after_ns) // 2))
    round_trip_ns, offset_ns = min(exchanges)
    return (0 if abs(offset_ns) <= round_trip_ns else offset_ns), round_trip_ns
