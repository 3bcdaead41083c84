"""How long the analysis of a large run takes, and how much memory: `python -m benchmarks.analysis [ROWS ...]`.

Makes a run of 2,000 people with 1, 3 and 10 million operations (a cell a second, every second one saved; in its middle
half of them are away for 30 s), writes it as a run's folder holds it, and rebuilds every number and report of it, each
size in a process of its own. Prints time, processor time and peak memory; asserts nothing.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.main_job import ROOT
from harness.core.clock import NS_PER_S, FakeClock, to_ns, to_s
from harness.core.experiment import Experiment
from harness.core.history import EventKind, FaultStep, HistoryWriter, Phase
from harness.core.rows import (
    BalancerView,
    DatabaseWrite,
    HubWrite,
    Operation,
    ProbeSample,
    RowType,
    SavedValue,
    ServersSeen,
    columns,
)
from harness.core.topology import Topology
from harness.core.words import Capability, Store
from harness.faults.registry import RULES
from harness.run.artifacts import RunFolder
from harness.spec.loader import load_experiment, load_topology

SIZES = (1_000_000, 3_000_000, 10_000_000)
#: What 10 million rows should take at the most, on 2 cores.
TARGET_S, TARGET_GB = 20.0, 2.0
USERS = 2000
NAMES = [f"user-{index:04d}" for index in range(USERS)]
#: A cell each second and a save with every second one.
ROWS_PER_BEAT = 1.5 * USERS
START_NS, GATE_S, AWAY_S = 1_000 * NS_PER_S, 5.0, 30.0
NODES = ("workbench-0", "workbench-1")

Ints = npt.NDArray[np.int64]


def text(words: Sequence[str], codes: npt.NDArray[np.integer[Any]]) -> pd.Series[str]:
    """A column of texts, as it comes out of a client's CSV."""
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(words))).astype("str")


def same(word: str, rows: int) -> pd.Series[str]:
    return text([word], np.zeros(rows, dtype=np.int8))


def operations(rows: int, away_ns: tuple[int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`rows` operations in the order in which they ended, and what was saved by them."""
    beats = int(np.ceil(rows / ROWS_PER_BEAT))
    user = np.tile(np.arange(USERS), beats)
    beat = np.repeat(np.arange(beats), USERS)
    send = START_NS + beat * NS_PER_S + user * (NS_PER_S // 2 // USERS)
    saves = beat % 2 == 1
    user, beat = np.concatenate((user, user[saves])), np.concatenate((beat, beat[saves]))
    send = np.concatenate((send, send[saves] + to_ns(0.2)))
    saving = np.arange(len(user)) >= len(saves)
    order = np.argsort(send, kind="stable")[:rows]
    user, beat, send, saving = user[order], beat[order], send[order], saving[order]
    hit = user % 2 == 0
    failed = hit & (send >= away_ns[0]) & (send < away_ns[1])
    moved = hit & (send >= away_ns[1])
    beats_before = (away_ns[1] - START_NS) // NS_PER_S
    counter = np.where(moved, beat - beats_before, beat + 1)
    number = beat // 2 + 1
    first_back = moved & ~saving & (beat == beats_before)
    expected = np.where(saving, number, np.where(first_back, beat, counter))
    found = np.where(failed, -1, np.where(saving, number, counter))
    kernels = [str(uuid.UUID(int=index)) for index in range(2 * USERS)]
    frame = pd.DataFrame(
        {
            "seq": np.arange(len(user)),
            "user": text(NAMES, user),
            "session": text([f"{name}-1" for name in NAMES], user),
            "capability": text([Capability.WORK, Capability.SAVE], saving.astype(np.int8)),
            "due_ns": send,
            "send_ns": send,
            "end_ns": send + to_ns(0.02),
            "ok": (~failed).astype(np.int64),
            "node": text(NODES, (moved | ~hit).astype(np.int8)),
            "kernel": text(kernels, user + USERS * moved),
            "rung": same("", len(user)),
            "expected": expected,
            "found": found,
            "detail": text(["", "Refused: 503 GET /user/"], failed.astype(np.int8)),
        }
    )
    kept = saving & ~failed
    saved = pd.DataFrame({"user": frame["user"][kept], "value": number[kept], "store": Store.HOME.value})
    return frame[columns(Operation)], saved


def probes(seconds: float, away_ns: tuple[int, int]) -> pd.DataFrame:
    """Four a second of each capability, one session start in 5 s."""
    parts = []
    for capability in Capability:
        step_ns = to_ns(5.0 if capability is Capability.START_SESSION else 0.25)
        send = np.arange(START_NS - to_ns(GATE_S), START_NS + to_ns(seconds), step_ns)
        bad = (send >= away_ns[0]) & (send < away_ns[1])
        part: dict[str, Any] = {"capability": capability.value, "due_ns": send, "send_ns": send}
        part |= {"end_ns": send + to_ns(0.01), "ok": (~bad).astype(np.int64), "node": NODES[0]}
        parts.append(pd.DataFrame({**part, "detail": np.where(bad, "Refused: 503", ""), "via": "0"}))
    return pd.concat(parts).sort_values("end_ns", kind="stable", ignore_index=True)


def numbers(seconds: float) -> pd.DataFrame:
    """Twenty writes a second into the database."""
    send = np.arange(START_NS - to_ns(GATE_S), START_NS + to_ns(seconds), to_ns(0.05))
    frame: dict[str, Any] = {"writer": "writer", "value": np.arange(1, len(send) + 1), "due_ns": send, "send_ns": send}
    return pd.DataFrame({**frame, "end_ns": send + to_ns(0.002), "ok": 1, "server": "192.0.2.20", "detail": ""})


def tokens(seconds: float) -> pd.DataFrame:
    """A write of the hub a second."""
    send = np.arange(START_NS - to_ns(GATE_S), START_NS + to_ns(seconds), to_ns(1.0))
    frame: dict[str, Any] = {"writer": "writer-0", "value": np.arange(1, len(send) + 1), "due_ns": send}
    return pd.DataFrame(
        {**frame, "send_ns": send, "end_ns": send + to_ns(0.02), "ok": 1, "node": NODES[0], "detail": ""}
    )


def views(seconds: float) -> pd.DataFrame:
    """What a balancer says about two nodes twice a second."""
    send = np.repeat(np.arange(START_NS - to_ns(GATE_S), START_NS + to_ns(seconds), to_ns(0.5)), len(NODES))
    frame: dict[str, Any] = {"send_ns": send, "end_ns": send + to_ns(0.002), "balancer": "load-balancer"}
    frame |= {"backend": "workbench", "server": np.resize(NODES, len(send)), "status": "UP", "check": "L7OK/200"}
    return pd.DataFrame(frame)


def looks(seconds: float) -> pd.DataFrame:
    """A look a second at the nodes; everybody has one server."""
    send = np.arange(START_NS - to_ns(GATE_S), START_NS + to_ns(seconds), to_ns(1.0))
    each = pd.DataFrame({"send_ns": send, "node": "", "user": "", "servers": USERS})
    people = pd.DataFrame({"send_ns": send[0], "node": NODES[0], "user": NAMES, "servers": 1})
    frame = pd.concat([each[:1], people, each[1:]], ignore_index=True)
    return frame.assign(end_ns=frame["send_ns"] + to_ns(0.002))


def write_run(root: Path, rows: int) -> Path:
    """A whole folder of a run, but for containers and logs."""
    seconds = rows / ROWS_PER_BEAT
    away_ns = (START_NS + to_ns(round(seconds / 2)), START_NS + to_ns(round(seconds / 2) + AWAY_S))
    topology, experiment = spec()
    folder = RunFolder.create(root, topology, experiment, datetime.now(UTC), "bench")
    operation_rows, home_rows = operations(rows, away_ns)
    number_rows, token_rows = numbers(seconds), tokens(seconds)
    in_databases = [
        rows[["writer", "value"]].rename(columns={"writer": "user"}).assign(store=store.value)
        for store, rows in ((Store.DATABASE, number_rows), (Store.HUB, token_rows))
    ]
    frames: Mapping[str, tuple[RowType, pd.DataFrame]] = {
        "operations": (Operation, operation_rows),
        "probes": (ProbeSample, probes(seconds, away_ns)),
        "database_writes": (DatabaseWrite, number_rows),
        "hub_writes": (HubWrite, token_rows),
        "saved": (SavedValue, pd.concat([home_rows, *in_databases]).assign(place="storage")),
        "balancer": (BalancerView, views(seconds)),
        "servers": (ServersSeen, looks(seconds)),
    }
    clock = FakeClock(START_NS - to_ns(20.0))
    with HistoryWriter(folder.history, clock) as history:
        opened = {"schema": 1, "run_id": "bench", "topology": topology.name, "experiment": experiment.name}
        history.append(EventKind.OPENED, opened)
        clock.sleep(20.0)
        history.append(EventKind.STEADY, {"reached": True, "seconds": 9.0, "working": USERS, "reason": ""})
        for step in FaultStep:
            undoing = step in (FaultStep.UNDO, FaultStep.CONFIRM_RECOVERY, FaultStep.CLEANUP)
            at_ns = away_ns[0] + to_ns(2 * AWAY_S if undoing else 0.0)
            clock.sleep(to_s(at_ns - clock.now_ns()))
            stamps = {"before_ns": at_ns, "after_ns": at_ns + to_ns(0.01), "ok": True, "evidence": "bench"}
            fault = {"index": 0, "fault": "kill", "target": "workbench[0]", "targets": [NODES[0]], "step": step.value}
            history.append(EventKind.FAULT, {**fault, **stamps})
        clock.sleep(to_s(START_NS + to_ns(seconds) - clock.now_ns()))
        history.append(EventKind.PHASE, {"name": Phase.DRAIN.value})
        for name, (row_type, frame) in frames.items():
            whole = frame.assign(seq=np.arange(len(frame)))[columns(row_type)]
            path = folder.path / f"{name}.parquet"
            whole.to_parquet(path, index=False)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            history.append(EventKind.ROWS, {"name": name, "rows": len(whole), "sha256": sha256})
        saved_rows = len(frames["saved"][1])
        history.append(EventKind.READBACK, {"users": USERS, "rows": saved_rows, "stores": {}})
        history.append(EventKind.PHASE, {"name": Phase.TEARDOWN.value})
    folder.write_run({"run_id": "bench", "versions": {}})
    return folder.path


def spec() -> tuple[Topology, Experiment]:
    """`node-kill` on `active-passive`, with 2,000 people."""
    experiment = load_experiment(ROOT / "experiments/node-kill.yaml", RULES)
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    return topology, replace(experiment, load=replace(experiment.load, users=USERS))


def measure(path: Path) -> None:
    """Analyse a folder and print what it took, as JSON. The peak is this process's own, libraries included:
    `ru_maxrss` would begin with what its parent had."""
    began = time.perf_counter()
    measures = RunFolder.existing(path).analyse()
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text().splitlines()
    peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    took = {"seconds": seconds, "processor_s": used.ru_utime + used.ru_stime, "peak_gb": peak_kib * 1024 / 1e9}
    print(json.dumps({**took, "sessions": len(measures.sessions)}))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    print(f"{'operations':>12} {'analysis':>10} {'processor':>10} {'per million':>12} {'peak memory':>12}")
    for rows in sizes:
        with tempfile.TemporaryDirectory(prefix="chaos-bench-") as root:
            path = write_run(Path(root), rows)
            argv = [sys.executable, "-m", "benchmarks.analysis", "--measure", str(path)]
            took = json.loads(subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        per_million = took["processor_s"] / rows * 1e6
        times = f"{took['seconds']:8.1f} s {took['processor_s']:8.1f} s {per_million:10.2f} s"
        print(f"{rows:12,} {times} {took['peak_gb']:9.2f} GB", flush=True)
    print(f"aim: 10 million in {TARGET_S:.0f} s and {TARGET_GB:.0f} GB, linear")


if __name__ == "__main__":
    main()
