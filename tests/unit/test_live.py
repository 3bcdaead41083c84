"""What a person sees of a run while it goes on: lines that move in a terminal, lines that stay elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.core.clock import FakeClock, to_ns, to_s
from harness.core.experiment import Experiment
from harness.core.history import Phase
from harness.core.topology import Topology
from harness.run.experiment import run_experiment
from harness.run.live import LiveWatcher
from harness.runtime.fake import Behaviour, FakeRuntime

GOOD = {"samples": 9, "good_since_ns": 0, "last_ok": True, "last_detail": ""}
BAD = {"samples": 9, "good_since_ns": None, "last_ok": False, "last_detail": "ConnectionError: [refused]"}


class Screen:
    """A terminal of 120 columns, or a file, on a clock that is set by hand."""

    def __init__(self, *, terminal: bool, quiet: bool = False) -> None:
        self.now_s = 1000.0
        self.console = Console(
            file=io.StringIO(), force_terminal=terminal, width=120, color_system=None, quiet=quiet, legacy_windows=False
        )
        self.watcher = LiveWatcher(self.console, now_s=lambda: self.now_s)

    @property
    def printed(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()

    def look(self, at_s: float, *, users: Mapping[str, int] | None = None, **capabilities: Mapping[str, Any]) -> None:
        """What the client answers at a moment."""
        self.now_s = 1000.0 + at_s
        people = {"starting": 0, "working": 12, "recovering": 0, "gave_up": 0} | dict(users or {})
        self.watcher.snapshot({"t_ns": to_ns(at_s), "users": people, "nodes": {}, "capabilities": capabilities})

    def moving(self) -> str:
        """The lines that move, as they would be drawn now."""
        drawn = Console(file=io.StringIO(), width=120, color_system=None)
        drawn.print(self.watcher._draw())
        assert isinstance(drawn.file, io.StringIO)
        return drawn.file.getvalue()


@pytest.fixture
def terminal() -> Screen:
    return Screen(terminal=True)


@pytest.fixture
def pipe() -> Screen:
    return Screen(terminal=False)


def test_seconds_left_count_down_and_what_takes_longer_says_so(terminal: Screen) -> None:
    terminal.watcher.phase(Phase.SETTLE, "watching people come back", 20.0)
    assert "20 s left" in terminal.moving()
    terminal.now_s += 12.2
    assert "8 s left" in terminal.moving()
    assert "watching people come back" in terminal.moving()
    terminal.now_s += 10
    assert "2 s longer than expected" in terminal.moving()


def test_of_what_has_no_known_length_the_seconds_so_far_are_shown(terminal: Screen) -> None:
    terminal.watcher.phase(Phase.CONTAINERS, "of active-passive", None)
    terminal.now_s += 7
    assert "7 s so far" in terminal.moving()


def test_a_part_of_a_phase_has_seconds_of_its_own_beside_those_of_the_phase(terminal: Screen) -> None:
    terminal.watcher.phase(Phase.FAULTS, "kill on workbench[active] at 5 s for 40 s", 45.0)
    terminal.now_s += 5
    terminal.watcher.phase(Phase.FAULTS, "until kill on workbench[active] is undone", 40.0)
    terminal.now_s += 10
    shown = terminal.moving()
    assert "faults: 30 s left" in shown.splitlines()[0]
    assert re.search(r"━+ +30 s left +until kill on workbench\[active\] is undone", shown.splitlines()[1])


def test_people_and_capabilities_are_shown_while_there_is_load(terminal: Screen) -> None:
    terminal.watcher.phase(Phase.FAULTS, "none", 45.0)
    terminal.look(1, log_in=GOOD, work=GOOD)
    terminal.look(2, users={"working": 5, "recovering": 7}, log_in=GOOD, work=BAD)
    terminal.now_s += 3.4
    assert "5 working   7 disturbed" in terminal.moving()
    assert "log_in ok   work away 3 s" in terminal.moving()
    terminal.look(6.5, log_in=GOOD, work=GOOD | {"good_since_ns": to_ns(6.1)})
    assert "work back after 4.1 s" in terminal.moving()
    terminal.watcher.phase(Phase.DRAIN, "collecting what was measured", None)
    assert "working" not in terminal.moving()


def test_a_capability_that_comes_back_says_after_how_long(pipe: Screen) -> None:
    pipe.look(1, save=GOOD)
    pipe.look(2, save=BAD)
    pipe.look(2.5, save=BAD)
    pipe.look(4, save=GOOD | {"good_since_ns": to_ns(3.7)})
    assert [line[10:] for line in pipe.printed.splitlines()] == [
        "  people: 12 working",
        "  save is away: ConnectionError: [refused]",
        "  save is back after about 1.7 s",
    ]


def test_what_was_not_probed_yet_is_neither_there_nor_away(pipe: Screen) -> None:
    pipe.look(1, save=BAD | {"samples": 0})
    assert "save" not in pipe.printed


def test_the_next_run_begins_with_nothing_seen(pipe: Screen) -> None:
    pipe.watcher.phase(Phase.FAULTS, "none", 1.0)
    pipe.look(1, save=BAD)
    pipe.watcher.phase(Phase.IMAGES, "present or built", None)
    pipe.look(9, save=GOOD)
    assert "is back" not in pipe.printed


def test_a_narrow_terminal_cuts_lines_and_breaks_none(terminal: Screen) -> None:
    terminal.watcher.phase(Phase.FAULTS, "a very long list of faults on several machines " * 5, 45.0)
    terminal.look(1, log_in=GOOD, start_session=GOOD, work=GOOD, save=GOOD, reconnect=GOOD)
    drawn = Console(file=io.StringIO(), width=60, color_system=None)
    drawn.print(terminal.watcher._draw())
    assert isinstance(drawn.file, io.StringIO)
    lines = drawn.file.getvalue().splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 60


def test_it_is_drawn_four_times_a_second_at_most(terminal: Screen) -> None:
    with terminal.watcher as watcher:
        assert watcher._live is not None
        assert watcher._live.refresh_per_second <= 4
        drawn = terminal.printed
        for number in range(50):  # what is looked at often is not drawn more often for it
            terminal.look(number, log_in=GOOD)
        assert terminal.printed.count("log_in") - drawn.count("log_in") <= 4


def test_a_quiet_console_gets_nothing_at_all() -> None:
    screen = Screen(terminal=True, quiet=True)
    with screen.watcher as watcher:
        watcher.phase(Phase.FAULTS, "none", 1.0)
        screen.look(1, save=BAD)
    assert screen.printed == ""


Watched = Callable[[bool], str]


@pytest.fixture
def watched(tmp_path: Path, topology: Topology, node_kill: Experiment) -> Watched:
    """A whole run on the fake platform, as it was shown."""

    def go(terminal: bool) -> str:
        clock = FakeClock()
        screen = Screen(terminal=terminal)
        screen.watcher = LiveWatcher(screen.console, now_s=lambda: to_s(clock.now_ns()))
        drawn: list[str] = []
        behaviour = Behaviour(on_sleep=lambda _now_ns: drawn.append(screen.moving()))
        with screen.watcher as watcher:
            run_experiment(
                runtime=FakeRuntime(clock, topology, behaviour),
                topology=topology,
                experiment=node_kill,
                results=tmp_path,
                watcher=watcher,
                seed=7,
                clock=clock,
            )
        return "".join(drawn) if terminal else screen.printed

    return go


@pytest.mark.long
def test_a_whole_run_in_a_terminal(watched: Watched) -> None:
    shown = watched(True)
    for words in (
        r"s left +steady: everybody works",
        r"s left +until kill on workbench\[active\] is injected",
        r"s left +until kill on workbench\[active\] is undone",
        r"s left +watching people come back",
        r"12 disturbed",
        r"log_in away 2 s",
        r"log_in back after \d\.\d s",
    ):
        assert re.search(words, shown), words


@pytest.mark.long
def test_a_whole_run_in_the_log_of_a_ci(watched: Watched) -> None:
    lines = watched(False).splitlines()
    assert "\x1b" not in "".join(lines), "no colours and no moving of the cursor in a log"
    phases = [line[10:].split(":")[0] for line in lines if not line[10:].startswith("  ")]
    assert list(dict.fromkeys(phases)) == [phase.value for phase in Phase]
    text = "\n".join(lines)
    assert re.search(r"\d s  faults: until kill on workbench\[active\] is undone, 40 s\n", text)
    assert "people: 12 disturbed" in text
    assert re.search(r"log_in is back after about [2-9]\.\d s", text)
    assert "drain: looking up what was saved" in text
