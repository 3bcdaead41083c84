"""How far the harness's clock is from the engine host's, and that host's wall clock from its monotonic one."""

from __future__ import annotations

from harness.core.clock import Clock
from harness.core.history import EventKind, HistoryWriter
from harness.runtime.base import Peer

__all__ = ["measure_offset", "note_wall"]

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


def note_wall(agent: Peer, history: HistoryWriter) -> None:
    """Record how the engine host's two clocks stand, by which the stamps in logs are put on the run's clock.

    The agent looks at both within microseconds. It is noted at the beginning and when logs are collected: where the two
    differ somebody set the wall clock in between, and nobody knows when.
    """
    answer = agent.call("ping")
    history.append(EventKind.WALL, {"offset_ns": answer["wall_ns"] - answer["now_ns"]})
