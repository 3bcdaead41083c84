"""How exactly outages are measured: those of the rig, of known length, against what the estimator of every run says.

The estimates are `outages.measure_probes` on the rig's probes, as they are on a capability's. An estimate belongs to
the outage that it overlaps. Where there are several pieces the longest counts, because that is what a report would call
the longest outage; where there is none the outage was not seen, and its true value lies in no bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv

from harness.analysis.facts import Facts, facts_of
from harness.analysis.outages import Outage, measure_probes
from harness.analysis.record import typed_probes
from harness.analysis.truth import Truth, truths_of
from harness.core.calibration import Away, CalibrationPlan, series_of
from harness.core.clock import to_ns, to_s
from harness.core.history import EventKind, History
from harness.core.verdict import Check, Outcome, Verdict, decide

__all__ = ["SCHEMA_VERSION", "Calibration", "CalibrationRecord", "Cell", "Value", "calibrate", "exact_interval"]

SCHEMA_VERSION: Final = 1

#: The aims: mean error, and the share of true values inside the bounds. A stalled server first answers those who have
#: waited (300 after 3 s), so it is back later than the signal.
MEAN_ERROR_AT_MOST_S: Final[Mapping[Away, float]] = {Away.KILL: 0.010, Away.STALL: 0.020, Away.DROP: 0.010}
COVERAGE_AT_LEAST: Final = 0.95
COVERAGE_OF: Final = (Away.KILL, Away.DROP)

#: Lateness is looked at from so long before an outage until so long after it.
_AROUND_S: Final = 1.0
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """A closed calibration, as it was recorded."""

    history: History
    probes: pd.DataFrame
    """One row for each `ProbeSample`."""
    run: Mapping[str, Any]
    """`run.json`."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """One outage as it was, and as one series of probes saw it. Seconds."""

    index: int
    away: Away
    nominal_s: float
    series: str
    true_s: float
    true_plus_minus_s: float
    """The truth lies between two stamps at each edge: it may be this much longer or shorter."""
    measured_s: float | None
    """None: no outage was seen."""
    lower_s: float | None
    upper_s: float | None
    pieces: int
    """As how many outages it was seen."""

    @property
    def error_s(self) -> float | None:
        """Measured - true; None where it was not seen."""
        return None if self.measured_s is None else self.measured_s - self.true_s

    @property
    def inside(self) -> bool:
        """The true value is within the bounds."""
        if self.lower_s is None or self.upper_s is None:
            return False
        return self.lower_s <= self.true_s <= self.upper_s


@dataclass(frozen=True, kw_only=True)
class Cell:
    """All outages of one kind and one duration, as one series saw them."""

    series: str
    away: Away
    nominal_s: float | None
    """None: of all durations."""
    values: int
    seen: int
    mean_error_s: float | None
    """Of those that were seen; None where none was."""
    spread_s: float | None
    """Standard deviation of the errors; None with fewer than two."""
    largest_error_s: float | None
    """Without its sign."""
    inside: int
    """True values within the bounds."""
    coverage_lower: float
    """Clopper and Pearson's exact interval of the share inside, 95%."""
    coverage_upper: float
    true_plus_minus_s: float
    """Median over the outages: how exactly the truth is known."""
    bounds_plus_minus_s: float | None
    """Median half width of the bounds."""
    late_p99_s: float | None
    """How late probes were sent around these outages."""
    late_at_most_s: float
    """Later than one period, they are on no grid any more."""

    @property
    def conclusive(self) -> bool:
        """Whether the instrument was on its grid."""
        return self.late_p99_s is not None and self.late_p99_s <= self.late_at_most_s

    @property
    def coverage(self) -> float:
        """Share of true values inside the bounds."""
        return self.inside / self.values


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result: `calibration.json`."""

    schema: int
    run: Mapping[str, Any]
    """`run.json`: machine, versions, seed, scheduler of the probes."""
    plan: CalibrationPlan
    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    kinds: tuple[Cell, ...]
    """Over all durations."""
    cells: tuple[Cell, ...]
    values: tuple[Value, ...]
    false_outages: Mapping[str, int]
    """By series: outages that were measured while nothing was wrong."""

    def to_json_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


def calibrate(record: CalibrationRecord) -> Calibration:
    """Compare, and judge by the aims. Pure; never raises for a calibration that ended early: it says so."""
    history = record.history
    opened = history.of(EventKind.OPENED)[0].data["plan"]
    plan = CalibrationPlan(**{**opened, "durations_s": tuple(opened["durations_s"])})
    facts = facts_of(history, ())
    probes = typed_probes(record.probes)
    truths, missing = truths_of(history, facts.faults)
    measured = {one.capability: one.outages for one in measure_probes(probes, facts, _steady_s(history))}
    values, cells, kinds, false_outages = [], [], [], {}
    for rate in plan.rates:
        series = series_of(rate)
        rows, outages = probes[probes["capability"] == series], measured.get(series, ())
        seen = [_value(truth, series, outages) for truth in truths]
        late = {truth.index: _lateness(rows, truth) for truth in truths}
        values += seen
        cells += list(_cells(seen, late, 1 / rate, by_duration=True))
        kinds += list(_cells(seen, late, 1 / rate, by_duration=False))
        false_outages[series] = sum(not any(_overlap(truth, outage) for truth in truths) for outage in outages)
    verdict = _judge(plan=plan, facts=facts, missing=missing, cells=cells, kinds=kinds, false_outages=false_outages)
    return Calibration(
        schema=SCHEMA_VERSION,
        run=record.run,
        plan=plan,
        outcome=verdict.outcome,
        reasons=verdict.reasons
        if verdict.outcome is not Outcome.PASS
        else (f"all {len(verdict.checks)} aims are met",),
        checks=verdict.checks,
        kinds=tuple(kinds),
        cells=tuple(cells),
        values=tuple(values),
        false_outages=false_outages,
    )


def exact_interval(hits: int, of: int, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934), by quantiles of the beta distribution."""
    tail = (1 - confidence) / 2
    lower = float(betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    upper = float(betaincinv(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return lower, upper


def _steady_s(history: History) -> float:
    return max((float(event.data["good_s"]) for event in history.of(EventKind.STEADY)), default=0.0)


def _overlap(truth: Truth, outage: Outage) -> bool:
    ends_ns = outage.observed_until_ns if outage.end_upper_ns is None else outage.end_upper_ns
    return outage.start_lower_ns <= truth.end_upper_ns and ends_ns >= truth.start_lower_ns


def _value(truth: Truth, series: str, outages: Sequence[Outage]) -> Value:
    pieces = [outage for outage in outages if _overlap(truth, outage)]
    longest = max(pieces, key=lambda outage: outage.seconds, default=None)
    return Value(
        index=truth.index,
        away=truth.away,
        nominal_s=truth.nominal_s,
        series=series,
        true_s=truth.seconds,
        true_plus_minus_s=truth.plus_minus_s,
        measured_s=None if longest is None else longest.seconds,
        lower_s=None if longest is None else longest.seconds_lower,
        upper_s=None if longest is None else longest.seconds_upper,
        pieces=len(pieces),
    )


def _lateness(rows: pd.DataFrame, truth: Truth) -> npt.NDArray[np.int64]:
    send, due = (rows[name].to_numpy(dtype=np.int64) for name in ("send_ns", "due_ns"))
    around_ns = to_ns(_AROUND_S)
    at = (send >= truth.start_lower_ns - around_ns) & (send <= truth.end_upper_ns + around_ns)
    late: npt.NDArray[np.int64] = (send - due)[at]
    return late


def _cells(
    values: Sequence[Value], late: Mapping[int, npt.NDArray[np.int64]], period_s: float, *, by_duration: bool
) -> Iterator[Cell]:
    groups: dict[tuple[Away, float | None], list[Value]] = {}
    for value in sorted(values, key=lambda value: (list(Away).index(value.away), value.nominal_s)):
        groups.setdefault((value.away, value.nominal_s if by_duration else None), []).append(value)
    for (away, nominal_s), group in groups.items():
        errors = np.array([value.error_s for value in group if value.error_s is not None])
        widths = [v.upper_s - v.lower_s for v in group if v.upper_s is not None and v.lower_s is not None]
        inside = sum(value.inside for value in group)
        lower, upper = exact_interval(inside, len(group))
        lateness = np.concatenate([late[value.index] for value in group])
        yield Cell(
            series=group[0].series,
            away=away,
            nominal_s=nominal_s,
            values=len(group),
            seen=len(errors),
            mean_error_s=float(errors.mean()) if len(errors) else None,
            spread_s=float(errors.std(ddof=1)) if len(errors) > 1 else None,
            largest_error_s=float(np.abs(errors).max()) if len(errors) else None,
            inside=inside,
            coverage_lower=lower,
            coverage_upper=upper,
            true_plus_minus_s=float(np.median([value.true_plus_minus_s for value in group])),
            bounds_plus_minus_s=float(np.median(widths)) / 2 if widths else None,
            late_p99_s=to_s(int(np.percentile(lateness, 99))) if len(lateness) else None,
            late_at_most_s=period_s,
        )


# -- by the aims -------------------------------------------------------------------------------------------------------


def _judge(
    *,
    plan: CalibrationPlan,
    facts: Facts,
    missing: Sequence[str],
    cells: Sequence[Cell],
    kinds: Sequence[Cell],
    false_outages: Mapping[str, int],
) -> Verdict:
    judged = series_of(plan.rate)
    own_cells = [cell for cell in cells if cell.series == judged]
    own_kinds = [cell for cell in kinds if cell.series == judged]
    return decide(
        errors=list(facts.errors),
        doubts=list(_doubts(plan, facts, missing, own_cells, false_outages[judged])),
        checks=[*map(_error_check, own_cells), *(_coverage_check(one) for one in own_kinds if one.away in COVERAGE_OF)],
    )


def _doubts(
    plan: CalibrationPlan, facts: Facts, missing: Sequence[str], cells: Sequence[Cell], false_outages: int
) -> Iterator[str]:
    if facts.interrupted is not None:
        yield f"interrupted by {facts.interrupted}"
    if not facts.steady:
        yield f"the rig did not serve: {facts.steady_reason}"
        return
    yield from missing
    planned, made = len(list(plan.kinds())), sum(cell.values for cell in cells)
    if made + len(missing) < planned:
        yield f"{made + len(missing)} of {planned} outages were made"
    for cell in cells:
        if not cell.conclusive:
            late = "none was sent" if cell.late_p99_s is None else f"p99 {cell.late_p99_s * 1000:.1f} ms"
            yield (
                f"{_named(cell)}: probes were sent late ({late}), "
                f"at most one period ({cell.late_at_most_s * 1000:.0f} ms) is sound"
            )
    if false_outages:
        yield f"the rig was not quiet: {false_outages} outage(s) were measured while nothing was wrong"


def _error_check(cell: Cell) -> Check:
    at_most_s = MEAN_ERROR_AT_MOST_S[cell.away]
    observed = "none was seen" if cell.mean_error_s is None else f"{cell.mean_error_s * 1000:+.1f} ms"
    if cell.seen < cell.values:
        observed += f", {cell.values - cell.seen} of {cell.values} not seen"
    return Check(
        name=f"mean error of {_named(cell)}",
        source="aim",
        expected=f"at most {at_most_s * 1000:.0f} ms",
        observed=observed,
        kept=cell.seen == cell.values and cell.mean_error_s is not None and abs(cell.mean_error_s) <= at_most_s,
    )


def _coverage_check(cell: Cell) -> Check:
    return Check(
        name=f"true values of {cell.away} inside the bounds",
        source="aim",
        expected=f"at least {COVERAGE_AT_LEAST:.0%}",
        observed=f"{cell.inside} of {cell.values}",
        kept=cell.coverage >= COVERAGE_AT_LEAST,
    )


def _named(cell: Cell) -> str:
    return f"{cell.away} of {cell.nominal_s:g} s"
