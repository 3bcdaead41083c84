"""A rebuild in a terminal: what had been changed by hand, and how long each phase took."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.drift import Drift
from harness.core.rebuild import Rebuild
from harness.core.words import counted

__all__ = ["rebuild_line", "render_rebuild"]


def render_rebuild(found: Rebuild, console: Console) -> None:
    """Print it all."""
    if found.before is None:
        console.print(Text(f"nothing of {found.topology} was up, so there was nothing to compare"))
    for drift in (found.before, found.after):
        if drift:
            console.print(_drift(drift))
    if len(found.phases_s) > 1:
        console.print(_phases(found))
    console.print(rebuild_line(found), soft_wrap=True)


def rebuild_line(found: Rebuild) -> Text:
    """What came of it in one line."""
    before = "" if found.before is None else _counted(found.before, f"run {found.was or found.run_id}")
    if found.after is None:
        return Text.assemble(_word(found.before), f"  {found.topology}: {before}")
    parts = [
        part for part in (before, f"rebuilt as run {found.run_id} in {sum(found.phases_s.values()):.1f} s") if part
    ]
    if found.after:
        parts.append(_counted(found.after, "the new one"))
    return Text.assemble(_word([*(found.before or ()), *found.after]), f"  {found.topology}: {'; '.join(parts)}")


def _word(drift: Sequence[Drift] | None) -> tuple[str, str]:
    return ("DRIFT", "bold red") if drift else ("AS DECLARED", "bold green")


def _counted(drift: Sequence[Drift], where: str) -> str:
    if not drift:
        return f"{where} was as declared"
    machines = len({one.container for one in drift})
    were = "was" if len(drift) == 1 else "were"
    return f"{counted(len(drift), 'thing')} on {machines} of the machines of {where} {were} not as declared"


def _drift(drift: Sequence[Drift]) -> Table:
    table = Table(title="not as declared", title_justify="left", box=None, pad_edge=False)
    for name in ("machine", "what", "", "declared", "found"):
        table.add_column(name, overflow="fold")
    for one in drift:
        table.add_row(*(Text(word) for word in (one.container, one.kind.value, one.what, one.declared, one.found)))
    return table


def _phases(found: Rebuild) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    for name, seconds in found.phases_s.items():
        table.add_row(name, f"{seconds:.1f}")
    table.add_row("together", f"{sum(found.phases_s.values()):.1f}")
    return table
