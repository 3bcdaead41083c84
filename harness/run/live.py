"""Shows a run while it goes on: a few moving lines in a terminal, plain lines elsewhere.

It shows what the client answers anyway and decides nothing. Seconds in it are as coarse as the client is asked, every
half second; what counts is measured from the rows afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.core.clock import to_s
from harness.core.history import Phase

__all__ = ["LiveWatcher"]

#: The load on the same machine has the priority, and nothing that is shown changes more often than the client is asked.
#: One drawing takes 0.6 ms of processor time (measured with five capabilities, two busy cores): 0.2% of a core.
_REFRESHES_PER_S = 4
_BAR_WIDTH = 36
#: Where people and probes are at work, so that what was seen of them last is of now.
_LOADED = frozenset({Phase.RAMP, Phase.FAULTS, Phase.SETTLE})
#: What the load client calls a person, in the words of the reports where they have one.
_STATES: Mapping[str, str] = {"recovering": "disturbed", "gave_up": "gave up"}
_STYLES: Mapping[str, str] = {"working": "green", "disturbed": "yellow", "gave up": "bold magenta"}


@dataclass
class _Stretch:
    """A phase or a part of one, and how long it should take."""

    detail: str
    began_s: float
    seconds: float | None

    def left(self, now_s: float) -> str:
        """`12 s left`, `3 s longer than expected`, or `9 s so far` where nobody knows."""
        so_far_s = now_s - self.began_s
        if self.seconds is None:
            return f"{so_far_s:.0f} s so far"
        if so_far_s <= self.seconds:
            return f"{self.seconds - so_far_s:.0f} s left"
        return f"{so_far_s - self.seconds:.0f} s longer than expected"


@dataclass
class _Seen:
    """What was seen of a capability."""

    away_since_ns: int | None = None
    """Since the first look at which it was away; None while it is there."""
    was_away_s: float | None = None
    """How long it was away the last time; None before there was one."""
    probed: bool = False


class LiveWatcher:
    """Prints notes with the seconds since the start; people and capabilities as they change."""

    def __init__(self, console: Console, now_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now_s = now_s
        self._start_s = now_s()
        self._lock = threading.Lock()  # containers get ready in threads of their own
        self._live: Live | None = None
        self._phase: Phase | None = None
        self._whole: _Stretch | None = None
        self._part: _Stretch | None = None
        self._users: Mapping[str, int] = {}
        self._seen: dict[str, _Seen] = {}
        self._looked_ns, self._looked_s = 0, 0.0  # the client's clock and this one at the last look

    def __enter__(self) -> LiveWatcher:
        if self._console.is_terminal and not self._console.quiet:
            self._live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_S,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """See `harness.run.watcher.Watcher`."""
        stretch = _Stretch(detail, self._now_s(), seconds)
        if phase is self._phase:
            self._part = stretch
        else:
            if phase is Phase.IMAGES:  # another run: what was seen is of other people
                self._users, self._seen = {}, {}
            self._phase, self._whole, self._part = phase, stretch, None
        expected = "" if seconds is None or self._live else f", {seconds:.0f} s"
        self._line(f"[bold]{phase.value}[/bold]: {escape(detail)}{expected}")

    def note(self, text: str) -> None:
        """See `harness.run.watcher.Watcher`."""
        self._line("  " + escape(text))

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """See `harness.run.watcher.Watcher`."""
        users = {_STATES.get(state, state): number for state, number in snapshot["users"].items() if number}
        if users != self._users and not self._live:
            self._line("  people: " + _counts(users))
        self._users = users
        self._looked_ns, self._looked_s = snapshot["t_ns"], self._now_s()
        for name, state in sorted(snapshot["capabilities"].items()):
            self._see(name, state)

    def _see(self, name: str, state: Mapping[str, Any]) -> None:
        seen = self._seen.setdefault(name, _Seen())
        if not state["samples"]:
            return
        seen.probed = True
        if not state["last_ok"] and seen.away_since_ns is None:
            seen.away_since_ns = self._looked_ns
            self._line(f"  {name} is away: {escape(str(state['last_detail']))}")
        elif state["last_ok"] and seen.away_since_ns is not None:
            good_ns = state["good_since_ns"] or self._looked_ns
            seen.was_away_s = to_s(max(0, good_ns - seen.away_since_ns))
            seen.away_since_ns = None
            self._line(f"  {name} is back after about {seen.was_away_s:.1f} s")

    def _line(self, text: str) -> None:
        with self._lock:
            stamp = f"{self._now_s() - self._start_s:6.1f} s"
            self._console.print(f"[dim]{stamp}[/dim]  {text}", highlight=False, soft_wrap=True)

    # -- what moves ------------------------------------------------------------------------------------------------

    def _draw(self) -> Group:
        """The lines below everything that was printed; called by a thread of its own."""
        if self._phase is None or self._whole is None:
            return Group()
        now_s = self._now_s()
        phases = self._phases(self._phase)
        if self._part is not None and self._whole.seconds is not None:
            phases.append(f" {self._phase.value}: {self._whole.left(now_s)}", style="dim")
        lines: list[Table | Text] = [phases, _bar(self._part or self._whole, now_s)]
        if self._phase in _LOADED:
            if self._users:
                lines.append(
                    _spread("people  ", [Text(f"{n} {s}", _STYLES.get(s, "")) for s, n in _sorted(self._users)])
                )
            lines.append(_spread("", list(self._capabilities(now_s))))
        return Group(*lines)

    def _phases(self, current: Phase) -> Text:
        line, before = Text(no_wrap=True, overflow="ellipsis"), True
        for phase in Phase:
            before = before and phase is not current
            line.append(phase.value, style="bold reverse" if phase is current else "green" if before else "dim")
            line.append("  ")
        return line

    def _capabilities(self, now_s: float) -> Iterator[Text]:
        for name, seen in list(self._seen.items()):  # another thread adds to it
            if seen.away_since_ns is not None:
                # the client's clock goes on since the last look as this one does
                away_s = to_s(self._looked_ns - seen.away_since_ns) + now_s - self._looked_s
                yield Text(f"{name} away {away_s:.0f} s", "bold red")
            elif seen.was_away_s is not None:
                yield Text(f"{name} back after {seen.was_away_s:.1f} s", "yellow")
            elif seen.probed:
                yield Text(f"{name} ok", "green")


def _bar(stretch: _Stretch, now_s: float) -> Table:
    so_far_s = now_s - stretch.began_s
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=_BAR_WIDTH)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    bar: ProgressBar | str = ""
    if stretch.seconds:
        bar = ProgressBar(total=stretch.seconds, completed=min(so_far_s, stretch.seconds), width=_BAR_WIDTH)
    table.add_row(bar, stretch.left(now_s), Text(stretch.detail))
    return table


def _spread(title: str, words: list[Text]) -> Text:
    return Text(title, no_wrap=True, overflow="ellipsis", end="\n").append_text(Text("   ").join(words))


def _sorted(users: Mapping[str, int]) -> list[tuple[str, int]]:
    """Those who work first, then as the client names them."""
    return sorted(users.items(), key=lambda pair: pair[0] != "working")


def _counts(users: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in users.items())
