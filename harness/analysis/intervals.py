"""Sets of half-open intervals in nanoseconds, as lists of (start, end)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.core.clock import to_s

__all__ = ["Intervals", "common", "seconds", "union", "without"]

Intervals = list[tuple[int, int]]


def union(parts: Iterable[tuple[int, int]]) -> Intervals:
    """The same time without overlaps, in order; parts that are empty are left out."""
    joined: Intervals = []
    for start, end in sorted(parts):
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def common(some: Intervals, others: Intervals) -> Intervals:
    """What is in both; neither may overlap itself."""
    pairs = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return sorted((start, end) for start, end in pairs if start < end)


def without(some: Intervals, others: Intervals) -> Intervals:
    """What is in `some` and not in `others`."""
    left = list(some)
    for start, end in others:
        pieces = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, end), b))]
        left = [(a, b) for a, b in pieces if a < b]
    return left


def seconds(parts: Intervals) -> float:
    """Their length together; they may not overlap."""
    return to_s(sum(end - start for start, end in parts))
