"""What `harness calibrate` does to its rig, in words that the run, its record and its analysis share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["DEADLINE_S", "RATE_OF_RUNS", "Away", "CalibrationPlan", "Trial", "series_of"]

#: Until when the rig's server must have answered. Shorter than the shortest outage, because a server that only answers
#: late is not away; some 100 times what it takes.
DEADLINE_S = 0.1
#: Probes a second of a capability in a run: `harness.load.probes` has the periods.
RATE_OF_RUNS = 4.0


class Away(StrEnum):
    """How the rig's server is made unavailable."""

    KILL = "kill"
    """Its process is killed, and started again: whoever asks is refused at once."""
    STALL = "stall"
    """Its process is stopped (SIGSTOP), and goes on: the kernel accepts connections that nobody answers."""
    DROP = "drop"
    """Packets between it and the probes are dropped: nobody says anything."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One outage that is made."""

    index: int
    away: Away
    nominal_s: float
    seconds: float
    """Near to the nominal length."""


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """Which outages are made, and how they are measured."""

    durations_s: tuple[float, ...] = (0.25, 1.0, 3.0)
    repetitions: int = 6
    """Of each kind with each duration."""
    rate: float = 100.0
    """Probes a second of the series that is judged; another one has the rate of runs."""
    busy_processes: int = 0
    """So many processes use a processor each meanwhile."""

    @property
    def rates(self) -> tuple[float, ...]:
        """Of all series, the one that is judged first."""
        return (self.rate, RATE_OF_RUNS) if self.rate != RATE_OF_RUNS else (self.rate,)

    def kinds(self) -> Iterator[tuple[Away, float]]:
        """Every outage to be made, in no particular order."""
        for away in Away:
            for seconds in self.durations_s:
                yield from [(away, seconds)] * self.repetitions


def series_of(rate: float) -> str:
    """What the rows call the probes of that rate."""
    return f"rig at {rate:g}/s"
