"""What is left to say of a run's folder that is not whole: what is there, what is missing and why. Never a number of
what was measured: of half a record it would be a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.core.verdict import Outcome
from harness.report.templating import page_template
from harness.report.terminal import STYLES

__all__ = [
    "BROKEN_MARK",
    "BrokenFolder",
    "FileFound",
    "FileState",
    "broken_line",
    "render_broken",
    "render_broken_html",
]

SCHEMA_VERSION = 1
#: Stands in the head of the page, so that it is known as one that may be replaced.
BROKEN_MARK = '<meta name="harness-page" content="broken">'


class FileState(StrEnum):
    """How it stands with one file of a folder that is not whole."""

    WHOLE = "whole"
    """It is what the run wrote."""
    THERE = "there"
    """Nothing says whether it is what the run wrote."""
    UNFINISHED = "unfinished"
    MISSING = "missing"
    NOT_WRITTEN = "not written"
    """The run did not come so far."""
    DAMAGED = "damaged"
    EARLIER = "earlier"
    """Made by an earlier analysis, and left as it is."""

    @property
    def is_bad(self) -> bool:
        return self in (FileState.MISSING, FileState.DAMAGED, FileState.UNFINISHED)


_STATE_STYLES = {FileState.WHOLE: "green", FileState.EARLIER: "dim", FileState.NOT_WRITTEN: "yellow"}


@dataclass(frozen=True)
class FileFound:
    """One file, or folder, of a run."""

    name: str
    state: FileState
    what: str
    """What is in it."""
    why: str = ""
    """What is known about its state."""


@dataclass(frozen=True, kw_only=True)
class BrokenFolder:
    """A run's folder from which nothing can be measured."""

    folder: str
    topology: str
    experiment: str
    run_id: str
    """Empty where nobody says."""
    outcome: Outcome
    """INCONCLUSIVE where the run did not come to its end or is of another version, ERROR where it is damaged."""
    error: str
    """The first thing that is wrong, with file, and line or row."""
    detail: str
    hint: str
    came_to: Sequence[str]
    """How far the run came, as far as its history can be read."""
    files: Sequence[FileFound]

    @property
    def title(self) -> str:
        return f"{self.topology} · {self.experiment}"

    @property
    def sentence(self) -> str:
        """What it means, in one sentence."""
        what = "This run proves nothing" if self.outcome is Outcome.INCONCLUSIVE else "What this run left is damaged"
        return f"{what}, and nothing is measured from it: {self.error}."

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types. `whole` is false, which no measures say; `schema` tells versions apart."""
        plain = asdict(self)
        plain["outcome"] = self.outcome.value
        plain["came_to"] = list(self.came_to)
        plain["files"] = [{**asdict(one), "state": one.state.value} for one in self.files]
        return {"schema": SCHEMA_VERSION, "whole": False, **plain}


def broken_line(broken: BrokenFolder) -> Text:
    """The verdict in one line."""
    return Text.assemble((broken.outcome.value, STYLES[broken.outcome]), "  ", broken.sentence)


def render_broken(broken: BrokenFolder, console: Console, page: Path | str | None) -> None:
    """Print what is there, what is missing and why; `page` is where the same is kept, None where it could not be."""
    console.rule(Text(f"{broken.title}, not whole"), characters="-")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("file", "state", "what is in it", ""):
        table.add_column(header, header_style="dim", overflow="fold", no_wrap=header in ("file", "state"))
    for one in broken.files:
        style = "bold red" if one.state.is_bad else _STATE_STYLES.get(one.state, "")
        table.add_row(escape(one.name), Text(one.state.value, style), escape(one.what), escape(one.why))
    console.print(table)
    console.print()
    for line in broken.came_to:
        console.print(Text(line))
    console.print(broken_line(broken), soft_wrap=True)
    for line in (broken.detail.rstrip(), f"hint: {broken.hint}" if broken.hint else ""):
        if line:
            console.print(Text(f"  {line}"), soft_wrap=True)
    if page is not None:
        console.print(Text(f"report: {page}"), soft_wrap=True)


def render_broken_html(broken: BrokenFolder) -> str:
    """The page. Texts from outside are escaped."""
    return page_template("broken.html.j2").render(broken=broken, mark=BROKEN_MARK)
