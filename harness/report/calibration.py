"""A calibration in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.calibration import Calibration, Cell
from harness.core.calibration import series_of
from harness.report import words
from harness.report.terminal import STYLES

__all__ = ["calibration_line", "render_calibration"]

_HEADERS = (
    "length", "seen", "mean error", "spread", "largest", "inside the bounds", "truth ±", "bounds ±", "late p99"
)  # fmt: skip


def render_calibration(calibration: Calibration, console: Console, path: Path) -> None:
    """Print the cells of every series, what a load changed, and whether the aims were met."""
    console.rule(Text("calibration of outages"), characters="-")
    for rate in calibration.plan.rates:
        series = series_of(rate)
        own = [cell for cell in (*calibration.cells, *calibration.kinds) if cell.series == series]
        if own:
            console.print(_table(series, own, judged=rate == calibration.plan.rate))
            false = calibration.false_outages[series]
            console.print(Text(f"outages measured while nothing was wrong: {false}", style="" if false else "dim"))
    console.print()
    for line in _circumstances(calibration):
        console.print(Text(line))
    for line in _degraded(calibration):
        console.print(Text(line))
    console.print(calibration_line(calibration))
    for reason in calibration.reasons:
        console.print(Text(f"  - {reason}"))
    console.print(Text(f"calibration: {path}"), soft_wrap=True)


def calibration_line(calibration: Calibration) -> Text:
    """Whether the aims were met, in one line."""
    return Text(calibration.outcome.value, style=STYLES[calibration.outcome])


def _table(series: str, cells: list[Cell], *, judged: bool) -> Table:
    title = f"\n{series}" + (", by which the aims are judged" if judged else ", as a capability in a run")
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for header in _HEADERS:
        table.add_column(header, justify="right", header_style="dim")
    order = {away: place for place, away in enumerate(dict.fromkeys(cell.away for cell in cells))}
    for cell in sorted(cells, key=lambda cell: (order[cell.away], cell.nominal_s is None, cell.nominal_s or 0)):
        late = words.milliseconds(cell.late_p99_s)
        table.add_row(
            cell.away.value if cell.nominal_s is not None else "",
            "all" if cell.nominal_s is None else f"{cell.nominal_s:g} s",
            f"{cell.seen} of {cell.values}",
            words.signed_ms(cell.mean_error_s),
            words.milliseconds(cell.spread_s),
            words.milliseconds(cell.largest_error_s),
            f"{cell.inside} of {cell.values} ({cell.coverage_lower:.0%} to {cell.coverage_upper:.0%})",
            words.milliseconds(cell.true_plus_minus_s),
            words.milliseconds(cell.bounds_plus_minus_s),
            late if cell.conclusive else f"{late} TOO LATE",
            end_section=cell.nominal_s is None,
        )
    return table


def _circumstances(calibration: Calibration) -> Iterator[str]:
    busy = calibration.run.get("processors_busy_ratio")
    cores = calibration.run.get("machine", {}).get("cores", "?")
    load = calibration.plan.busy_processes
    yield (
        f"{cores} processors, busy for {words.NOT_MEASURED if busy is None else f'{busy:.0%}'} of the time, "
        + (f"{load} processes of the calibration's own among it" if load else "no load of the calibration's own")
        + f"; probes: {calibration.run.get('probe_scheduler', words.NOT_MEASURED)}"
    )


def _degraded(calibration: Calibration) -> Iterator[str]:
    """What a load changed, against the last calibration of this machine without one."""
    if not calibration.plan.busy_processes:
        return
    quiet: Mapping[str, Any] = calibration.run.get("calibration") or {}
    before = {(one["series"], one["away"]): one for one in quiet.get("kinds", ())}
    if not before:
        yield "by how much the load degraded it is not known: this machine was not calibrated without one"
        return
    yield f"without that load ({quiet['path']}) and with it:"
    for cell in calibration.kinds:
        was = before.get((cell.series, cell.away.value))
        if was is not None:
            yield (
                f"  {cell.series}, {cell.away}: mean error {words.signed_ms(was['mean_error_s'])} -> "
                f"{words.signed_ms(cell.mean_error_s)}, spread {words.milliseconds(was['spread_s'])} -> "
                f"{words.milliseconds(cell.spread_s)}, inside {was['inside']} of {was['values']} -> "
                f"{cell.inside} of {cell.values}, sent late {words.milliseconds(was['late_p99_s'])} -> "
                f"{words.milliseconds(cell.late_p99_s)}"
            )
