"""Whether a candidate is worse than a baseline, measure by measure, without false alarms.

Worse is what differs by more than its tolerance, with an interval that leaves the tolerance out. Many measures are
looked at, so each interval is widened until all of them together are as sure as was asked for: S. Holm: A simple
sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6 (1979), 65-70. A measure that can't
show anything (too few runs, or the same value in all of them) does not widen the others: R. E. Tarone: A modified
Bonferroni method for discrete data, Biometrics 46 (1990), 515-522.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.analysis.comparable import COMPARABLES, Comparable, Kind
from harness.analysis.comparison import (
    CONFIDENCE,
    Cell,
    CellInput,
    Comparison,
    Row,
    SideSummary,
    Word,
    sides_of,
)
from harness.analysis.differences import (
    Bounds,
    Difference,
    Reading,
    mean_difference,
    paired_difference,
    runs_needed,
    share_difference,
)

__all__ = ["compare"]

_NO_BOUNDS = Bounds(lower=None, upper=None)
#: Probabilities that are equal but for rounding.
_ROUNDING = 1e-12


@dataclass
class _Test:
    """A row in the making."""

    cell: int
    row: Row
    difference: Difference | None = None
    p: float = 1.0
    """Two-sided, of being beyond the tolerance."""
    least_p: float = 1.0
    """It can't be smaller than this, whatever had been measured."""
    varies: bool = False
    """Whether any two runs differ at all."""
    counts: bool = False
    """Whether it shares the confidence."""
    confidence: float = field(default=CONFIDENCE)


def compare(
    cells: Sequence[CellInput],
    *,
    only_baseline: Sequence[str] = (),
    only_candidate: Sequence[str] = (),
    confidence: float = CONFIDENCE,
    tolerances: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare every measure of every cell. Pure; the order of the runs does not matter.

    `tolerances`: absolute ones by key, in place of those of the registry.
    """
    wanted = tolerances or {}
    tests = [
        _test(index, cell, comparable, confidence, wanted.get(comparable.key))
        for index, cell in enumerate(cells)
        for comparable in COMPARABLES
    ]
    family = _family(tests, 1 - confidence)
    _decide(family, 1 - confidence)
    varying = sum(test.row.comparable.gated and test.varies for test in tests)
    measured = sum(test.row.comparable.gated and test.row.difference is not None for test in tests)
    needed = runs_needed(varying or measured, confidence)
    rows = [(test.cell, _row(test, needed)) for test in tests]
    return Comparison(
        cells=[
            Cell(input=cell, rows=[row for at, row in rows if at == index and _has_values(row)])
            for index, cell in enumerate(cells)
        ],
        only_baseline=only_baseline,
        only_candidate=only_candidate,
        confidence=confidence,
        tests=len(family),
        varying=varying,
        runs_needed=needed,
    )


def _has_values(row: Row) -> bool:
    return bool(row.baseline.runs or row.candidate.runs)


def _test(index: int, cell: CellInput, comparable: Comparable, confidence: float, tolerance: float | None) -> _Test:
    before = [run.readings[comparable.key] for run in cell.baseline.runs if comparable.key in run.readings]
    after = [run.readings[comparable.key] for run in cell.candidate.runs if comparable.key in run.readings]
    baseline, candidate = _summary(before), _summary(after)
    pairs = _pairs(cell, comparable.key) if comparable.kind is Kind.MEAN else []
    difference: Difference | None = None
    if pairs:
        difference = paired_difference(pairs)
    elif comparable.kind is Kind.SHARE and before and after:
        difference = share_difference(before, after)
    elif min(len(before), len(after)) >= 2:
        difference = mean_difference(before, after)
    if tolerance is None:
        tolerance = comparable.tolerance.of(baseline.mean or 0.0)
    observed = candidate.mean - baseline.mean if baseline.mean is not None and candidate.mean is not None else None
    row = Row(
        comparable=comparable,
        baseline=baseline,
        candidate=candidate,
        difference=difference.estimate if difference else observed,
        bounds=_NO_BOUNDS,
        confidence=confidence,
        tolerance=tolerance,
        word=Word.CANT_TELL,
        paired=bool(pairs),
        why=_refuted(cell, comparable),
    )
    varies = len({one.value for one in (*before, *after)}) > 1
    test = _Test(index, row, difference, varies=varies, confidence=confidence)
    if difference is not None:
        test.p = min(1.0, 2 * min(difference.p_above(tolerance), difference.p_below(-tolerance)))
        test.least_p = 2 * difference.least_p if varies else 1.0
    return test


def _summary(readings: Sequence[Reading]) -> SideSummary:
    values = [one.value for one in readings]
    return SideSummary(
        runs=len(values),
        mean=math.fsum(values) / len(values) if values else None,
        at_least=any(one.at_least for one in readings),
    )


def _pairs(cell: CellInput, key: str) -> list[tuple[Reading, Reading]]:
    """Runs with the same schedule. Empty unless all that have a value on the smaller side have exactly one partner."""
    sides = []
    for _, side in sides_of(cell):
        runs = [run for run in side.runs if key in run.readings]
        by_hash = {run.schedule_sha256: run.readings[key] for run in runs if run.schedule_sha256}
        if len(by_hash) < len(runs):
            return []
        sides.append(by_hash)
    before, after = sides
    both = sorted(before.keys() & after.keys())
    few, many = sorted((len(before), len(after)))
    # with most of a side without partners, all runs of both sides say more than the few pairs
    return [(before[name], after[name]) for name in both] if len(both) == few >= max(2, many / 2) else []


def _refuted(cell: CellInput, comparable: Comparable) -> str:
    """Why no statistics are needed; empty where they are. A promise that the baseline kept in every run is refuted by a
    single one in which it was broken."""
    name = comparable.never
    before = sum(name in run.broken for run in cell.baseline.runs)
    after = sum(name in run.broken for run in cell.candidate.runs)
    values = [run.readings[comparable.key].value for run in cell.baseline.runs if comparable.key in run.readings]
    good = 0.0 if comparable.more_is_worse else 1.0
    if not name or not after or before or not values or any(value != good for value in values):
        return ""
    of = len(cell.candidate.runs)
    return f"a promise that none of {len(values)} runs broke, and now {after} of {of}: one is enough"


def _family(tests: Sequence[_Test], level: float) -> list[_Test]:
    """The tests that share the confidence: those that could show something at the level that is left to each (Tarone:
    the smallest k of which no more than k can show something at level / k)."""
    gated = [test for test in tests if test.row.comparable.gated and test.least_p < 1]
    for k in range(1, len(gated) + 1):
        able = [test for test in gated if test.least_p <= level / k + _ROUNDING]
        if len(able) <= k:
            return able
    return []


def _decide(family: Sequence[_Test], level: float) -> None:
    """Give each test the confidence that Holm's procedure decides it with: a step for each that is beyond its
    tolerance, and the step at which it stopped for the rest."""
    ordered = sorted(family, key=lambda test: test.p)
    step, stopped = 0, False
    for test in ordered:
        share = level / (len(ordered) - step)
        test.confidence = 1 - share
        test.counts = True
        stopped = stopped or test.p > share
        step += not stopped


def _row(test: _Test, needed: int) -> Row:
    row = replace(test.row, confidence=test.confidence, counts=test.counts)
    if row.why:
        return replace(row, word=Word.WORSE)
    if test.difference is None:
        return replace(row, why=_why_no_interval(row))
    bounds = test.difference.bounds(test.confidence)
    row = replace(row, bounds=bounds, word=_word(bounds, row.tolerance, more_is_worse=row.comparable.more_is_worse))
    if bounds == _NO_BOUNDS:
        return replace(row, why=_why_no_interval(row))
    if row.comparable.gated and not test.counts and row.word in (Word.WORSE, Word.BETTER):
        why = f"{row.word} if it were the only measure, with so many {needed} runs a side are needed"
        return replace(row, word=Word.CANT_TELL, why=why)
    return row


def _why_no_interval(row: Row) -> str:
    if not row.baseline.runs or not row.candidate.runs:
        return "not measured on both sides"
    if row.baseline.at_least and row.candidate.at_least:
        return "it had not ended on either side"
    return "too few runs"


def _word(bounds: Bounds, tolerance: float, *, more_is_worse: bool) -> Word:
    lower, upper = bounds.lower, bounds.upper
    if lower is not None and lower > tolerance:
        return Word.WORSE if more_is_worse else Word.BETTER
    if upper is not None and upper < -tolerance:
        return Word.BETTER if more_is_worse else Word.WORSE
    inside = lower is not None and upper is not None and lower >= -tolerance and upper <= tolerance
    return Word.ALIKE if inside else Word.CANT_TELL
