"""How long it takes to compare two sets of 50 runs, and to write the page over 500: `python -m benchmarks.many_runs`.

Carries out one run on the fake runtime, and copies what it wrote with noise in the numbers. Asserts nothing.
"""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.main_job import ROOT
from harness.core.clock import FakeClock
from harness.core.history import Phase
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.run.compare import compare_results
from harness.run.experiment import run_experiment
from harness.run.prune import prune
from harness.run.results import Results
from harness.run.trends import write_history
from harness.runtime.fake import FakeRuntime
from harness.spec.loader import load_experiment, load_topology

EACH, ALL, CELLS = 50, 500, 10
#: Aims, on 2 cores.
COMPARE_S, HISTORY_S = 5.0, 10.0
COPIED = ("history.jsonl", "report.html", "run.json")


class Silent:
    """Nobody watches."""

    def phase(self, phase: Phase, detail: str, seconds: float | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Nothing."""


def one_run(root: Path) -> RunFolder:
    """`node-kill` on `active-passive`, on the fake runtime."""
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    experiment = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    clock = FakeClock()
    folder, _ = run_experiment(
        runtime=FakeRuntime(clock, topology),
        topology=topology,
        experiment=experiment,
        results=root,
        watcher=Silent(),
        seed=7,
        clock=clock,
    )
    return folder


def copies(original: RunFolder, cell: Path, number: int, rng: random.Random, *, longer_s: float = 0.0) -> None:
    """As if it had been a trial so often, an hour apart, with outages that vary by a fifth, and are longer by so much;
    so no spec is like another, because each has its own moment of the fault."""
    content = json.loads((original.path / "measures.json").read_text(encoding="utf-8"))
    spec = (original.path / "spec.resolved.yaml").read_text("utf-8")
    before, at_s, after = re.split(r"(?<= at_s: )([0-9.]+)", spec, maxsplit=1)
    started = datetime(2026, 1, 1, tzinfo=UTC)
    for index in range(number):
        when = started + timedelta(hours=index)
        folder = cell / f"{when:%Y%m%dT%H%M%SZ}-{index:06x}"
        folder.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(original.path / name, folder / name)
        varied = _varied(content, rng.gauss(1, 0.2), longer_s)
        offset_s = round(rng.uniform(0, 5), 3)
        (folder / "spec.resolved.yaml").write_text(f"{before}{float(at_s) + offset_s:.3f}{after}", encoding="utf-8")
        varied["run"] |= {"started_utc": when.isoformat(), "git_revision": f"{index // 20:012x}", "seed": index}
        varied["run"] |= {"trial": {"number": index + 1, "at_most": number, "offset_s": offset_s}}
        (folder / "measures.json").write_text(json.dumps(varied, indent=1, sort_keys=True), encoding="utf-8")


def _varied(content: Mapping[str, Any], factor: float, longer_s: float) -> dict[str, Any]:
    varied: dict[str, Any] = copy.deepcopy(dict(content))
    for outage in varied["outages"]:
        for key in ("seconds", "seconds_lower", "seconds_upper"):
            outage[key] = max(0.1, outage[key] * factor + longer_s)
    varied["user_uptime"]["outage_s"] = varied["user_uptime"]["outage_s"] * factor + longer_s
    return varied


def _timed(what: str, aim_s: float | None, work: Callable[[], str]) -> None:
    began, processor = time.perf_counter(), time.process_time()
    said = work()
    taken, used = time.perf_counter() - began, time.process_time() - processor
    aim = "" if aim_s is None else f" (aim {aim_s:g} s)"
    print(f"{what:34} {taken:6.2f} s{aim}, {used:.2f} s of a processor: {said}")


def main() -> None:
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as scratch:
        original = one_run(Path(scratch) / "original")
        results = Results(Path(scratch) / "results")
        cells = [results.root / "active-passive" / f"node-kill-{index}" for index in range(CELLS)]
        for index, cell in enumerate(cells):
            copies(original, cell, ALL // CELLS, rng, longer_s=float(index == 1))
        _timed(
            f"compare of 2 x {EACH} runs",
            COMPARE_S,
            lambda: f"exit {compare_results(cells[0], cells[1], results).comparison.exit_code}",
        )
        _timed(f"history of {ALL} runs", HISTORY_S, lambda: f"{_history(results):.1f} MB")
        _timed("prune --keep 30", None, lambda: list(prune(results, keep=30))[-1])


def _history(results: Results) -> float:
    write_history(results)
    return results.history_page.stat().st_size / 1e6


if __name__ == "__main__":
    main()
