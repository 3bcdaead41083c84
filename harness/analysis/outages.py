"""Outages of each capability from open-loop probes, with bounds: the interval estimator.

A probe is *bad* when it failed (a missed deadline is a failure) or was slow; it is attributed to the moment it was
*sent*. An outage contains at least one hard failure: slowness alone is not an outage. Its edges are intervals:

- start in [send of the last good probe before the first bad one, send of the first bad one + the latency it should
  usually have had]: a request sent in good times that was caught in flight fails for what happened after its send;
- end in [send of the last probe known bad or slow, completion of the first success that completes after the last
  hard failure was sent].

Probes that take turns over several places (keepers on different nodes, several entrances) are a series for each. A
place that fails between good ones would read as many short outages, so outages are found in each series by itself, and
the capability's are their union: those that may overlap are one, from the earliest start to the latest end.

The point estimate is the difference of the midpoints. Against kills and stalls of known length it was within 15 ms at
100 probes a second, where counting failures misses a stall shorter than the deadline altogether.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Facts, Window
from harness.analysis.intermittent import OutageTotals, outage_totals
from harness.analysis.recoveries import began_ns, fault_at, recovery_of, worst
from harness.core.clock import NS_PER_S, to_ns, to_s
from harness.core.words import Capability, Recovery

__all__ = [
    "SAMPLES_AT_LEAST",
    "SLOW_AT_LEAST_NS",
    "SLOW_FACTOR",
    "CapabilityMeasures",
    "Edges",
    "Outage",
    "find_edges",
    "measure_probes",
    "slow_above",
    "union",
    "usual_latency",
]

Ints = npt.NDArray[np.int64]

#: Below this the p99 of the steady state, and so the slow threshold, is no more than the slowest of a handful.
SAMPLES_AT_LEAST = 20
#: A success is slow above this many times the p99 latency of the steady state. The estimator needs a threshold above
#: the p99 plus the time a queue takes to drain; against stalls of known length (0.25 to 3 s) 4 was enough.
SLOW_FACTOR = 4
#: ... but never below 5 ms: with a p99 under a millisecond the scheduler's own jitter would read as slowness.
SLOW_AT_LEAST_NS = 5_000_000
#: The steady state reaches back over this many probes of a capability that is probed rarely: with one probe in 5 s, a
#: gate of 5 s holds one, and that one may be in flight when the fault comes.
BASELINE_PERIODS = 3


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The two censored edges of an outage, monotonic nanoseconds."""

    began_ns: int
    """When the first bad probe was surely bad: at its end, or once it was slow."""
    start_lower_ns: int
    start_upper_ns: int
    end_lower_ns: int
    end_upper_ns: int | None


@dataclass(frozen=True, kw_only=True)
class Outage:
    """One interval in which a capability was not available. Bounds are closed."""

    capability: str
    start_lower_ns: int
    start_upper_ns: int
    end_lower_ns: int
    end_upper_ns: int | None
    """None: it did not end while it was observed."""
    observed_until_ns: int
    """End of the window."""
    during_fault: int | None
    """Index of the fault in whose time it began; None before any fault: then the platform was not steady."""
    recovery: Recovery
    places_affected: int
    """In how many of the `places` that were probed it was seen."""
    places: int

    @property
    def ended(self) -> bool:
        """Whether the capability came back while it was observed."""
        return self.end_upper_ns is not None

    @property
    def start_ns(self) -> int:
        """Point estimate of the start."""
        return (self.start_lower_ns + self.start_upper_ns) // 2

    @property
    def end_ns(self) -> int:
        """Point estimate of the end; the end of the window where it did not end."""
        if self.end_upper_ns is None:
            return max(self.observed_until_ns, self.end_lower_ns)
        return (self.end_lower_ns + self.end_upper_ns) // 2

    @property
    def seconds(self) -> float:
        """Point estimate of its length; of what was observed of it where it did not end."""
        return max(0.0, to_s(self.end_ns - self.start_ns))

    @property
    def seconds_lower(self) -> float:
        """It lasted at least this long."""
        return max(0.0, to_s(self.end_lower_ns - self.start_upper_ns))

    @property
    def seconds_upper(self) -> float | None:
        """It lasted at most this long; None where it did not end."""
        return None if self.end_upper_ns is None else to_s(self.end_upper_ns - self.start_lower_ns)


@dataclass(frozen=True, kw_only=True)
class CapabilityMeasures:
    """What the probes of one capability say. Ratios and latencies are None without samples: nothing is not good."""

    capability: str
    samples: int
    """Probes sent in the window."""
    success_ratio: float | None
    latency_p50_s: float | None
    """Of the successes in the window."""
    latency_p99_s: float | None
    lateness_p99_s: float | None
    """How late probes were sent behind their grid (`send - due`): the instrument's own error."""
    longest_gap_s: float | None
    """Longest time in the window without a probe being sent, wherever."""
    longest_gap_at_a_place_s: float | None
    """Longest time in the window without a probe being sent to one of its places; each has one turn in `places`."""
    places: int
    """How many places take turns: nodes, or entrances."""
    period_s: float | None
    """Median time between two probes."""
    slow_above_s: float | None
    """Threshold for slow; None where the steady state has no samples: then only hard failures are bad."""
    availability: float | None
    """1 - sum of outages / window."""
    totals: OutageTotals | None
    """All outages together; None without samples."""
    outages: tuple[Outage, ...]
    recovery: Recovery
    """The worst over its outages; UNAFFECTED without any."""

    @property
    def longest(self) -> Outage | None:
        """The longest outage, one that did not end first."""
        return max(self.outages, key=lambda outage: (not outage.ended, outage.seconds), default=None)


def measure_probes(probes: pd.DataFrame, facts: Facts, steady_state_s: float) -> tuple[CapabilityMeasures, ...]:
    """Measures of every capability that was probed, and of those that should have been.

    `probes` as from `probes_of`; `steady_state_s` is how long the gate had seen all capabilities good when the window
    began, so the probes of that time belong to the steady state too.
    """
    known = [capability.value for capability in Capability]
    others = sorted(set(probes["capability"].unique()) - set(known))
    groups = dict(iter(probes.groupby("capability", observed=True)))
    return tuple(_measure(name, groups.get(name, probes.iloc[:0]), facts, steady_state_s) for name in known + others)


def _measure(name: str, samples: pd.DataFrame, facts: Facts, steady_state_s: float) -> CapabilityMeasures:
    window = facts.window
    send: Ints = samples["send_ns"].to_numpy(dtype=np.int64)
    if window is None:
        return _nothing(name)
    inside = (send >= window.start_ns) & (send < window.end_ns)
    if not inside.any():
        return _nothing(name)
    end: Ints = samples["end_ns"].to_numpy(dtype=np.int64)
    due: Ints = samples["due_ns"].to_numpy(dtype=np.int64)
    ok = samples["ok"].to_numpy(dtype=np.int64) == 1
    before_ns = max(to_ns(steady_state_s), BASELINE_PERIODS * int(np.median(np.diff(send))) if len(send) > 1 else 0)
    since_ns = window.start_ns - before_ns
    until_ns = window.end_ns if facts.first_inject_ns is None else facts.first_inject_ns
    usual_ns = usual_latency(send, end, ok, since_ns=since_ns, until_ns=until_ns)
    slow_ns = slow_above(usual_ns)
    # also those that were probed before and then no more: a place that fell silent is not good
    series = [inside & (samples["via"] == place).to_numpy() for place in sorted(set(samples["via"]))]
    seen = [
        find_edges(send[at], end[at], ok[at], slow_ns=slow_ns, usual_ns=usual_ns or 0, since_ns=window.start_ns)
        for at in series
    ]
    outages = tuple(
        _outage(name, edges, facts, window, places_affected=affected, places=len(series))
        for edges, affected in union(seen)
    )
    total_s = sum(_within(outage, window) for outage in outages)
    at_places = ([_outage(name, e, facts, window, places_affected=1, places=1) for e in one] for one in seen)
    away_s = [sum(_within(outage, window) for outage in one) for one in at_places]
    latency = (end - send)[inside & ok]
    return CapabilityMeasures(
        capability=name,
        samples=int(inside.sum()),
        success_ratio=float(ok[inside].mean()),
        latency_p50_s=_quantile_s(latency, 50),
        latency_p99_s=_quantile_s(latency, 99),
        lateness_p99_s=_quantile_s((send - due)[inside], 99),
        longest_gap_s=_longest_gap_s(send[inside], window),
        longest_gap_at_a_place_s=max(_longest_gap_s(send[at], window) for at in series),
        places=len(series),
        period_s=_quantile_s(np.diff(send[inside]), 50),
        slow_above_s=None if slow_ns is None else to_s(slow_ns),
        availability=1.0 - min(1.0, total_s / window.seconds),
        totals=outage_totals(outages, total_s, away_s),
        outages=outages,
        recovery=worst(outage.recovery for outage in outages),
    )


def _nothing(name: str) -> CapabilityMeasures:
    return CapabilityMeasures(
        capability=name,
        samples=0,
        success_ratio=None,
        latency_p50_s=None,
        latency_p99_s=None,
        lateness_p99_s=None,
        longest_gap_s=None,
        longest_gap_at_a_place_s=None,
        places=0,
        period_s=None,
        slow_above_s=None,
        availability=None,
        totals=None,
        outages=(),
        recovery=Recovery.UNAFFECTED,
    )


def usual_latency(send: Ints, end: Ints, ok: npt.NDArray[np.bool_], *, since_ns: int, until_ns: int) -> int | None:
    """p99 latency of the successes of the steady state, in ns; those in flight at the first injection don't count."""
    steady = ok & (send >= since_ns) & (end <= until_ns)
    return int(np.ceil(np.percentile(end[steady] - send[steady], 99))) if steady.any() else None


def slow_above(usual_ns: int | None) -> int | None:
    """From which latency on a success is slow; None where nothing is known about the usual one."""
    return None if usual_ns is None else max(SLOW_AT_LEAST_NS, SLOW_FACTOR * usual_ns)


def find_edges(
    send: Ints,
    end: Ints,
    ok: npt.NDArray[np.bool_],
    *,
    slow_ns: int | None,
    usual_ns: int,
    since_ns: int,
) -> list[Edges]:
    """Edges of every outage in samples that are ordered by `send`; `since_ns` bounds a start without a good probe.

    Two hard failures belong to different outages when a success was sent after the one and completed before the other
    was sent: the capability was there in between.
    """
    hard_at = send[~ok]
    if not len(hard_at):
        return []
    slow = np.zeros(len(send), dtype=bool) if slow_ns is None else (end - send) > slow_ns
    bad = ~ok | slow
    good_at, bad_at, bad_end = send[~bad], send[bad], end[bad]
    success_at, success_end = send[ok], end[ok]
    edges: list[Edges] = []
    up_at_ns: int | None = None  # completion of the success that ended the outage before
    for first, last in _groups(hard_at, success_at, success_end):
        index = int(np.searchsorted(good_at, first, side="left")) - 1
        floor = max((t for t in (int(good_at[index]) if index >= 0 else None, up_at_ns) if t is not None), default=None)
        begin = 0 if floor is None else int(np.searchsorted(bad_at, floor, side="right"))
        begin = min(begin, int(np.searchsorted(bad_at, first, side="left")))
        first_bad_ns, first_bad_end_ns = int(bad_at[begin]), int(bad_end[begin])
        # A quick success sent before the first bad probe may still complete after it; it says nothing about the end.
        proofs = success_end[(success_end > last) & (success_at >= first_bad_ns)]
        up_at_ns = int(proofs.min()) if len(proofs) else None
        known_bad = bad_at if up_at_ns is None else bad_at[bad_at < up_at_ns]
        edges.append(
            Edges(
                began_ns=began_ns(first_bad_ns, first_bad_end_ns, slow_ns),
                start_lower_ns=min(since_ns, first_bad_ns) if floor is None else min(floor, first_bad_ns),
                start_upper_ns=first_bad_ns + min(max(0, first_bad_end_ns - first_bad_ns), usual_ns),
                end_lower_ns=int(known_bad.max()),
                end_upper_ns=up_at_ns,
            )
        )
    return edges


def _groups(hard_at: Ints, success_at: Ints, success_end: Ints) -> list[tuple[int, int]]:
    """First and last hard failure of each outage."""
    never = np.iinfo(np.int64).max
    # Earliest completion among the successes sent at or after each success; the last entry stands for "none".
    earliest = np.append(np.minimum.accumulate(success_end[::-1])[::-1], never)
    back_by = earliest[np.searchsorted(success_at, hard_at[:-1], side="right")]
    cuts = np.flatnonzero(back_by < hard_at[1:])
    firsts = np.concatenate(([0], cuts + 1))
    lasts = np.concatenate((cuts, [len(hard_at) - 1]))
    return [(int(hard_at[a]), int(hard_at[b])) for a, b in zip(firsts, lasts, strict=True)]


def union(series: Iterable[Iterable[Edges]]) -> list[tuple[Edges, int]]:
    """The outages of all series together, each with the number of series that saw it.

    Two belong together when they may overlap, as far as their edges tell. The first of several starts lies between the
    earliest lower and the earliest upper bound, the last of several ends between the latest ones. Outages of one series
    never overlap, because the one before ends where the next can begin at the earliest.
    """
    every = sorted(((edges, number) for number, one in enumerate(series) for edges in one), key=_earliest)
    merged: list[tuple[Edges, set[int]]] = []
    for edges, number in every:
        if merged and (merged[-1][0].end_upper_ns is None or edges.start_lower_ns < merged[-1][0].end_upper_ns):
            before, seen_by = merged[-1]
            merged[-1] = _together(before, edges), seen_by | {number}
        else:
            merged.append((edges, {number}))
    return [(edges, len(seen_by)) for edges, seen_by in merged]


def _earliest(numbered: tuple[Edges, int]) -> tuple[int, int, int]:
    edges, number = numbered
    return edges.start_lower_ns, edges.end_lower_ns, number


def _together(a: Edges, b: Edges) -> Edges:
    ends = (a.end_upper_ns, b.end_upper_ns)
    known = [end_ns for end_ns in ends if end_ns is not None]
    return Edges(
        began_ns=min(a.began_ns, b.began_ns),
        start_lower_ns=min(a.start_lower_ns, b.start_lower_ns),
        start_upper_ns=min(a.start_upper_ns, b.start_upper_ns),
        end_lower_ns=max(a.end_lower_ns, b.end_lower_ns),
        end_upper_ns=max(known) if len(known) == len(ends) else None,
    )


def _outage(name: str, edges: Edges, facts: Facts, window: Window, *, places_affected: int, places: int) -> Outage:
    fault = fault_at(facts.faults, edges.began_ns)
    return Outage(
        capability=name,
        start_lower_ns=edges.start_lower_ns,
        start_upper_ns=edges.start_upper_ns,
        end_lower_ns=edges.end_lower_ns,
        end_upper_ns=edges.end_upper_ns,
        observed_until_ns=window.end_ns,
        during_fault=None if fault is None else fault.index,
        recovery=recovery_of(edges.end_upper_ns, fault, good_ns=edges.start_lower_ns),
        places_affected=places_affected,
        places=places,
    )


def _longest_gap_s(send: Ints, window: Window) -> float:
    return to_s(int(np.diff(np.concatenate(([window.start_ns], send, [window.end_ns]))).max()))


def _within(outage: Outage, window: Window) -> float:
    """Seconds of an outage inside the window."""
    return max(0, min(outage.end_ns, window.end_ns) - max(outage.start_ns, window.start_ns)) / NS_PER_S


def _quantile_s(values: npt.NDArray[Any], percent: float) -> float | None:
    return float(np.percentile(values, percent)) / NS_PER_S if len(values) else None
