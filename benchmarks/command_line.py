"""How soon the command answers where nothing is started: `python -m benchmarks.command_line`.

Each command is a process of its own, as a person starts it. Of some rounds the one that took the least processor time
is printed: on a machine that does other work beside it that is what the command itself needs, while the seconds on the
clock also have the others' turns in them. The rows before the commands say what of it is Python and the library of the
command line. Asserts nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.main_job import ROOT

ROUNDS = 15
HARNESS = ("-m", "harness")
#: What is started -> the arguments of Python, and how long it should take at the most on a free machine, in seconds.
COMMANDS: Mapping[str, tuple[Sequence[str], float | None]] = {
    "python, nothing done": (("-c", "pass"), None),
    "python, typer imported": (("-c", "import typer"), None),
    "python, typer and its coloured help imported": (("-c", "import typer.rich_utils"), None),
    "harness --help": ((*HARNESS, "--help"), 0.3),
    "harness run --help": ((*HARNESS, "run", "--help"), None),
    "harness list": ((*HARNESS, "list"), None),
    "harness validate": ((*HARNESS, "validate"), 1.0),
    "harness run active-passive all --dry-run": ((*HARNESS, "run", "active-passive", "all", "--dry-run"), None),
}


@dataclass(frozen=True, order=True)
class Round:
    """One start of a command. The first field decides which is the best."""

    processor_s: float
    """User and system time together."""
    wall_s: float


def one_round(argv: Sequence[str]) -> Round:
    """Start it once, wait for its end, and ask the kernel what it took."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # it was waited for here, so Popen shall not
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}, expected 0")
    return Round(usage.ru_utime + usage.ru_stime, wall_s)


def main() -> None:
    print(f"{'what':44} {'processor':>10} {'clock':>8} {'aim':>6}")
    for what, (argv, aim_s) in COMMANDS.items():
        best = min(one_round(argv) for _ in range(ROUNDS))
        aim = "" if aim_s is None else f"{aim_s:.1f} s"
        print(f"{what:44} {best.processor_s:8.2f} s {best.wall_s:6.2f} s {aim:>6}")


if __name__ == "__main__":
    main()
