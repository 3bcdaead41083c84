"""A matrix that was cut short is gone on with: what is finished is kept, the rest is run, or it is refused and why."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RunInterrupted, UsageError
from harness.run.experiment import versions
from harness.run.matrix import Matrix, Words, resumed_words
from harness.run.matrix_file import MatrixFile
from harness.run.matrix_kept import left_by
from tests.unit.fake_runs import ROOT, Recorder
from tests.unit.matrix_runs import MatrixBench, content, make_catalog

pytestmark = pytest.mark.long

CELLS = ("right,wrong", "node-kill")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MatrixBench:
    monkeypatch.setattr("harness.report.html.render_html", lambda *_: "")  # has tests of its own
    return MatrixBench(make_catalog(tmp_path, quick=True), tmp_path / "results")


@pytest.fixture(scope="module")
def cut_short_once(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    """Stopped in the run of the second topology. To be copied, not used."""
    folder = tmp_path_factory.mktemp("cut-short")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.report.html.render_html", lambda *_: "")
        bench = MatrixBench(make_catalog(folder, quick=True), folder / "results")
        stop_at(bench, "topology 2 of 2")
        return bench.go(*CELLS)


@pytest.fixture
def first(bench: MatrixBench, cut_short_once: Matrix) -> Matrix:
    """A matrix of which the second of two cells was cut short."""
    there = cut_short_once.file
    shutil.copytree(there.root, bench.results, symlinks=True)
    return replace(cut_short_once, file=MatrixFile(bench.results, bench.results / there.path.relative_to(there.root)))


def stop_at(bench: MatrixBench, note: str) -> None:
    """Somebody stops it in a run, once that was noted."""

    def stop(_now_ns: int) -> None:
        if any(note in said for said in bench.watcher.notes):
            raise RunInterrupted("SIGINT")

    bench.behaviour.on_sleep = stop


def goes_well(bench: MatrixBench) -> None:
    bench.behaviour.on_sleep = None
    bench.watcher = Recorder()


#: What a process does that is ended hard in its second run.
_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.matrix_runs import MatrixBench
from harness.spec import Catalog

bench = MatrixBench(Catalog(Path(sys.argv[1])), Path(sys.argv[1]) / "results")

def end(_now_ns):
    if any("topology 2 of 2" in note for note in bench.watcher.notes):
        os.kill(os.getpid(), signal.SIGKILL)

bench.behaviour.on_sleep = end
bench.go("right,wrong", "node-kill")
"""


def test_only_the_missing_runs_are_run_and_what_was_cut_short_is_not_counted(bench: MatrixBench, first: Matrix) -> None:
    before = bench.histories()
    assert len(before) == 2
    done = bench.go(*CELLS, seed=None, resume=str(first.file.path))
    assert bench.runtimes.opened == ["wrong"]
    assert done.file.path == first.file.path
    assert any(note.startswith("RESUMED: ") and "1 runs are finished" in note for note in bench.watcher.notes)
    assert [cell.standing.value for cell in done.result.cells] == ["as promised", "BROKEN"]
    assert done.result.cells[0] == first.result.cells[0]
    assert (done.result.finished, done.result.interrupted, done.result.seed) == (True, False, 7)
    assert len(done.result.resumed_utc) == 1
    assert (done.result.started_utc, done.result.argv) == (first.result.started_utc, first.result.argv)
    (trial,) = done.result.cells[1].trials
    (left,) = trial.interrupted_runs
    assert left in map(str, before), "the folder of the run that was cut short stays"
    assert (bench.results / left / "history.jsonl").is_file()
    assert trial.folder not in map(str, before)
    assert len(bench.histories()) == 3
    assert left not in json.dumps(content(done)["buys"])


def test_the_runs_of_a_matrix_are_where_its_file_is(bench: MatrixBench, first: Matrix, tmp_path: Path) -> None:
    bench.results = tmp_path / "elsewhere"
    done = bench.go(*CELLS, resume=str(first.file.path))
    assert (first.file.root / done.result.cells[1].trials[0].folder / "run.json").is_file()
    assert not bench.results.exists()


def test_trials_are_gone_on_with_one_by_one(bench: MatrixBench) -> None:
    stop_at(bench, "node-kill, trial 2")
    first = bench.go("right", "node-kill", trials=2)
    assert [trial.finished for trial in first.result.cells[0].trials] == [True, False]
    goes_well(bench)
    told: list[str] = []
    done = bench.go(
        "right", "node-kill", trials=2, resume="latest", on_result=lambda _cell, _trial, slot: told.append(str(slot))
    )
    assert told == ["right, node-kill, trial 2"], "neither the control run nor the first trial again"
    assert done.result.controls == first.result.controls
    assert done.result.cells[0].trials[0] == first.result.cells[0].trials[0]
    assert done.exit_code == 0


def test_what_failed_is_not_run_again(bench: MatrixBench) -> None:
    stop_at(bench, "topology 2 of 2")
    first = bench.go("wrong,right", "node-kill")
    goes_well(bench)
    done = bench.go("wrong,right", "node-kill", resume="latest")
    assert bench.runtimes.opened == ["right"]
    assert done.result.cells[0] == first.result.cells[0]
    assert done.exit_code == 1


def test_after_a_hard_end_the_run_in_the_middle_is_found_and_run_again(bench: MatrixBench, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", _KILLED, str(tmp_path)]
    done_for = subprocess.run(argv, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done_for.returncode == -signal.SIGKILL
    (file,) = MatrixFile.all(bench.results)
    written = json.loads(file.path.read_text())
    assert written["running"]["slot"] == {"topology": "wrong", "experiment": "node-kill", "number": 1}
    assert written["finished"] is False
    done = bench.go(*CELLS, resume="latest")
    assert bench.runtimes.opened == ["wrong"]
    (left,) = done.result.cells[1].trials[0].interrupted_runs
    assert left.endswith(written["running"]["run_id"])
    assert (bench.results / left / "history.jsonl").is_file()
    assert content(done)["running"] is None


def test_a_matrix_can_be_cut_short_more_than_once(bench: MatrixBench, first: Matrix) -> None:
    stop_at(bench, "RESUMED")
    again = bench.go(*CELLS, resume="latest")
    assert len(again.result.cells[1].trials[0].interrupted_runs) == 2
    goes_well(bench)
    done = bench.go(*CELLS, resume="latest")
    assert done.result.finished
    assert len(done.result.resumed_utc) == 2


# -- what is refused ---------------------------------------------------------------------------------------------------


def change(bench: MatrixBench, name: str, before: str, after: str) -> None:
    path = bench.catalog.root / f"{name}.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


Change = Callable[[MatrixBench, pytest.MonkeyPatch], dict[str, Any]]


def _topology(bench: MatrixBench, _patch: pytest.MonkeyPatch) -> dict[str, Any]:
    change(bench, "topologies/right", "lease_ttl_s: 3", "lease_ttl_s: 5")
    return {}


def _experiment(bench: MatrixBench, _patch: pytest.MonkeyPatch) -> dict[str, Any]:
    change(bench, "experiments/node-kill", "hold_s: 12", "hold_s: 13")
    return {}


def _versions(_bench: MatrixBench, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    other = {**versions(), "docker": "0"}
    patch.setattr("harness.run.matrix.versions", lambda: other)
    return {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_topology, "topologies/right: the file says something else"),
        (_experiment, "experiments/node-kill: the file says something else"),
        (_versions, "versions.docker is 0, and was "),
        (lambda _bench, _patch: {"trials": 2}, "trials is 2, and was not given"),
        (lambda _bench, _patch: {"users": 3}, "users is 3, and was not given"),
        (lambda _bench, _patch: {"seed": 8}, "--seed 8, but "),
        (lambda _bench, _patch: {"machine": {"cores": 8}}, "machine.cores is 8, and was 2"),
        (lambda _bench, _patch: {"image_of": lambda name: f"sha256:other-{name}"}, "images.agent is sha256:other"),
    ],
)
def test_what_is_not_as_it_was_is_named_and_nothing_is_overwritten(
    bench: MatrixBench, first: Matrix, monkeypatch: pytest.MonkeyPatch, change: Change, says: str
) -> None:
    before = first.file.path.read_bytes()
    more = change(bench, monkeypatch)
    with pytest.raises(UsageError) as caught:
        bench.go(*CELLS, resume="latest", **more)
    assert says in str(caught.value)
    assert first.file.path.read_bytes() == before
    assert len(bench.histories()) == 2, "nothing was started"


def test_other_cells_are_refused_with_their_names(bench: MatrixBench, first: Matrix) -> None:
    with pytest.raises(UsageError) as caught:
        bench.go("right", "node-kill,other", resume="latest")
    assert "topologies are right, and were right, wrong when the matrix began" in str(caught.value)
    assert "experiments are node-kill, other, and were node-kill when the matrix began" in str(caught.value)


def test_a_comment_is_no_difference(bench: MatrixBench, first: Matrix) -> None:
    change(bench, "topologies/right", "description:", "# a comment\ndescription:")
    assert bench.go(*CELLS, resume="latest").result.finished


def test_files_that_can_not_be_gone_on_with(bench: MatrixBench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        left_by(bench.results, str(tmp_path / "nothing.json"))
    with pytest.raises(UsageError, match="there is no matrix in"):
        left_by(bench.results, "latest")
    done = bench.go("right", "node-kill")
    with pytest.raises(UsageError, match="this matrix is finished"):
        bench.go("right", "node-kill", resume="latest")
    written = content(done)
    path = tmp_path / "results/matrix/x.json"
    old = {"schema": 1, "started_utc": "", "argv": [], "seed": 1, "interrupted": True, "cells": []}
    for text, says in (
        ("{", "is not the file of a matrix"),
        ("[]", "is not the file of a matrix"),
        (json.dumps({**written, "schema": 3}), "schema 3, expected"),
        (json.dumps(old), "schema 1, expected 2: one of an earlier version does not say"),
        (json.dumps({key: value for key, value in written.items() if key != "plan"}), "is not what a matrix writes"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=says):
            left_by(bench.results, str(path))
        assert path.read_text() == text


def test_a_finished_run_whose_folder_is_gone_is_not_run_again_in_silence(bench: MatrixBench, first: Matrix) -> None:
    shutil.rmtree(bench.results / first.result.cells[0].trials[0].folder)
    with pytest.raises(UsageError, match=r"names the run right/node-kill/.*, which is not there"):
        bench.go(*CELLS, resume="latest")


def test_a_matrix_that_is_running_is_left_alone(bench: MatrixBench, first: Matrix) -> None:
    with first.file.held(), pytest.raises(UsageError, match="another process is running this matrix"):
        bench.go(*CELLS, resume="latest")


# -- of the last night -------------------------------------------------------------------------------------------------


def test_recent_goes_on_with_one_of_the_same_plan_or_begins_another(bench: MatrixBench, first: Matrix) -> None:
    other = bench.go("right", "node-kill", resume="recent")
    assert other.file.path != first.file.path, "another plan"
    goes_well(bench)
    done = bench.go(*CELLS, resume="recent")
    assert done.file.path == first.file.path
    assert any(note.startswith("RESUMED") for note in bench.watcher.notes)
    goes_well(bench)
    assert bench.go(*CELLS, resume="recent").file.path not in {first.file.path, other.file.path}, "it is finished"
    assert not any("RESUMED" in note for note in bench.watcher.notes)


def test_recent_is_not_the_night_before(bench: MatrixBench, first: Matrix) -> None:
    for hours, found in ((11.9, True), (12.1, False)):
        began = datetime.now(UTC) - timedelta(hours=hours)
        first.file.write({**content(first), "started_utc": began.isoformat()})
        assert (left_by(bench.results, "recent", content(first)["plan"]) is not None) is found


def test_recent_says_loudly_why_it_begins_another(bench: MatrixBench, first: Matrix) -> None:
    done = bench.go(*CELLS, resume="recent", machine={"cores": 8})
    assert done.file.path != first.file.path
    (said,) = [note for note in bench.watcher.notes if "NOT RESUMED" in note]
    assert "machine.cores is 8, and was 2 when the matrix began. Another matrix begins" in said


def test_what_is_not_said_is_taken_from_the_file(bench: MatrixBench, first: Matrix) -> None:
    assert resumed_words(bench.results, "", Words()) == Words("all", "suite")
    assert resumed_words(bench.results, "recent", Words(trials=2)) == Words("all", "suite", 2)
    written = content(first)
    first.file.write({**written, "plan": {**written["plan"], "users": 3}})
    assert resumed_words(bench.results, "latest", Words()) == Words("right,wrong", "node-kill", None, 3)
    assert resumed_words(bench.results, "latest", Words("bare", trials=4)) == Words("bare", "node-kill", 4, 3)
