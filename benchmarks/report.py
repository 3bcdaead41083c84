"""How long the page of a run takes after its analysis, and how large it is: `python -m benchmarks.report`.

Two runs: 12 people on the fake runtime, and 2,000 people for 10 minutes (`benchmarks.analysis` makes that folder, as
the client would have written it). Each in a process of its own; prints seconds and sizes, asserts nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.analysis import ROWS_PER_BEAT, write_run
from benchmarks.main_job import ROOT
from harness.analysis import analyse
from harness.analysis.course import course_of
from harness.core.clock import FakeClock
from harness.core.history import Phase
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.run.experiment import run_experiment
from harness.run.paper import paper_picture
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_experiment, load_topology

MINUTES = 10
#: Name -> seconds and megabytes that it should take at the most.
AIMS = {"12 people": (2.0, 3.0), "2,000 people x 10 minutes": (15.0, 15.0)}


class Silent:
    """Watches a run and says nothing."""

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def snapshot(self, snapshot: object) -> None:
        """Nothing."""


def small(root: Path) -> Path:
    """`node-kill` on `active-passive`, on the fake runtime."""
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    experiment = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    clock = FakeClock()
    folder, _ = run_experiment(
        runtime=FakeRuntime(clock, topology), topology=topology, experiment=experiment, results=root,
        watcher=Silent(), seed=7, clock=clock,
    )  # fmt: skip
    return folder.path


def large(root: Path) -> Path:
    """2,000 people, half of them away for 30 s."""
    return write_run(root, round(ROWS_PER_BEAT * 60 * MINUTES))


def measure(path: Path) -> None:
    """Draw the page of a folder whose measures are there, and print what it took, as JSON; imports count."""
    record = RunFolder.existing(path).load()
    measures = analyse(record)
    began, processor = time.perf_counter(), time.process_time()
    from harness.report.html import Background, render_html  # noqa: PLC0415 - Bokeh's import is a part of the time

    page = render_html(
        measures,
        Background(
            topology=record.topology,
            experiment=record.experiment,
            course=course_of(record, measures),
            picture=paper_picture(record.topology),
        ),
    )
    took = {"seconds": time.perf_counter() - began, "processor_s": time.process_time() - processor}
    print(json.dumps({**took, "megabytes": len(page.encode()) / 1e6}))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    makers: tuple[Callable[[Path], Path], ...] = (small, large)
    print(f"{'':>26} {'page':>10} {'processor':>10} {'aim':>6} {'size':>10} {'aim':>8}")
    for (name, (aim_s, aim_mb)), make in zip(AIMS.items(), makers, strict=True):
        with tempfile.TemporaryDirectory(prefix="chaos-bench-") as root:
            argv = [sys.executable, "-m", "benchmarks.report", "--measure", str(make(Path(root)))]
            took = json.loads(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        times = f"{took['seconds']:8.1f} s {took['processor_s']:8.1f} s {aim_s:4.0f} s"
        print(f"{name:>26} {times} {took['megabytes']:7.1f} MB {aim_mb:5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
