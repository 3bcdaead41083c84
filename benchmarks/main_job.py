"""How long the parts of the main job take on this machine: `make bench`.

Runs `node-kill` on `active-passive` (images built) and reads the phases from the run's own history, so that what is
measured is what people get. Prints a table; asserts nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.core.clock import to_s
from harness.core.history import EventKind, History, Phase, read_history

ROOT = Path(__file__).resolve().parents[1]
#: Part -> the time it should take at the most, in seconds, on 2 cores.
TARGETS_S = {
    "containers ready": 15.0,
    "12 sessions live": 45.0,
    "whole run": 180.0,
    "teardown": 5.0,
}


def phase_ns(history: History, phase: Phase) -> int:
    """When a phase began."""
    return next(event.t_ns for event in history.of(EventKind.PHASE) if event.data["name"] == phase.value)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="chaos-bench-") as results:
        began = time.monotonic()
        argv = [sys.executable, "-m", "harness", "run", "active-passive", "node-kill", "--results", results]
        code = subprocess.run(argv, cwd=ROOT, check=False).returncode
        whole_s = time.monotonic() - began
        history = read_history(Path(results) / "latest" / "history.jsonl")
    steady = history.of(EventKind.STEADY)[0]
    measured_s = {
        "containers ready": to_s(phase_ns(history, Phase.RAMP) - phase_ns(history, Phase.CONTAINERS)),
        "12 sessions live": to_s(steady.t_ns - phase_ns(history, Phase.RAMP)),
        "whole run": whole_s,
        "teardown": to_s(history.events[-1].t_ns - phase_ns(history, Phase.TEARDOWN)),
    }
    print(f"\nexit code {code}")
    print(f"{'part':20} {'measured':>10} {'target':>10}")
    for part, seconds in measured_s.items():
        print(f"{part:20} {seconds:8.2f} s {TARGETS_S[part]:8.1f} s")


if __name__ == "__main__":
    main()
