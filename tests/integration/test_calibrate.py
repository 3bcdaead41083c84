"""A short calibration in real containers: one outage of each kind, and nothing left."""

from __future__ import annotations

from pathlib import Path

import docker
from rich.console import Console

from harness.core.calibration import Away, CalibrationPlan
from harness.core.history import EventKind, read_history
from harness.run.calibrate import run_calibration
from harness.run.live import LiveWatcher
from harness.runtime.docker import DockerRuntime
from tests.conftest import left_of


def test_one_outage_of_each_kind_is_measured(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path
) -> None:
    with LiveWatcher(Console()) as watcher:
        folder, result = run_calibration(
            runtime=runtime,
            plan=CalibrationPlan(durations_s=(0.5,), repetitions=1),
            results=tmp_path,
            watcher=watcher,
        )
    judged = {value.away: value for value in result.values if value.series == "rig at 100/s"}
    assert set(judged) == set(Away), result.reasons
    for value in judged.values():
        assert 0.4 <= value.true_s < 0.8, value  # as long as was asked for, and what making it took
        assert value.true_plus_minus_s < 0.02, value
        assert value.pieces == 1, value
        assert value.error_s is not None
        assert abs(value.error_s) < 0.05, value  # one value each: whether the aims are met is not asked here
    history = read_history(folder.recorded.history)
    assert not history.of(EventKind.ERROR)
    # what shows the fault is the server's own death and the packets that did not arrive, not the probes
    truths = {event.data["away"]: event.data for event in history.of(EventKind.TRUTH)}
    assert truths["kill"]["listening_ns"][0] > truths["kill"]["ended_ns"]
    assert truths["drop"]["gaps"]
    assert left_of(engine, folder.path.name[-6:]) == []
