"""A disk that fills up while results are written: the file is named, and nothing half written passes for whole.

The operating system's limit for the size of a file stands for the disk: a file ends in its middle, as it does on a full
disk, and no privilege is needed for it.
"""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.core.experiment import Experiment
from harness.core.history import EventKind, HistoryWriter, read_history, readable_events
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import RecordError, RunError, UnfinishedRecord
from harness.run.artifacts import ROW_NAMES, RunFolder
from harness.run.files import FolderLog, write_text, write_whole
from harness.runtime.fake import FakeDeployment, FakeRuntime
from tests.unit.fake_runs import Result, run_once
from tests.unit.test_cli import Harness, harness

__all__ = ["harness"]

#: The largest file of a run on the fake platform is `database_writes.parquet` with 56 kB, then come `measures.json`
#: (44 kB) and `probes.parquet` (41 kB); the history has 4.6 kB, the spec 8.9 kB.
SPEC_DOES_NOT_FIT, ROWS_DO_NOT_FIT, PLENTY = 8_000, 39_000, 10_000_000


@contextmanager
def files_at_most(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def left_half_written(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*.part")]


def fill_up(path: Path) -> None:
    with files_at_most(10):
        write_text(path, "more than fits")


def opened_deployments(monkeypatch: pytest.MonkeyPatch) -> list[FakeDeployment]:
    opened: list[FakeDeployment] = []
    original: Callable[..., FakeDeployment] = FakeRuntime.open

    def remember(self: FakeRuntime, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:
        opened.append(original(self, run_id, topology, keep=keep))
        return opened[-1]

    monkeypatch.setattr(FakeRuntime, "open", remember)
    return opened


def full_when_rows_arrive(monkeypatch: pytest.MonkeyPatch, size_bytes: Callable[[RunFolder], int]) -> None:
    """From the first file of rows on there is no more room than this; to be used inside `files_at_most`."""
    original = RunFolder.write_rows

    def write_rows(self: RunFolder, name: str, data: bytes) -> tuple[int, str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes(self), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return original(self, name, data)

    monkeypatch.setattr(RunFolder, "write_rows", write_rows)


def test_a_file_that_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    with pytest.raises(RunError, match=r"report\.html: could not be written: File too large\nhint: free some space"):
        fill_up(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("right")
    with pytest.raises(RunError):
        fill_up(path)
    assert path.read_text() == "right"
    assert left_half_written(tmp_path) == []


def test_what_ends_a_write_is_not_hidden(tmp_path: Path) -> None:
    def stop(_path: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", stop)
    with pytest.raises(RunError, match="x: could not be written: No such file or directory"):
        write_text(tmp_path / "nowhere/x", "")


def test_a_log_on_a_full_disk_ends_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = FolderLog(tmp_path / "harness.log")
    with files_at_most(20):
        for _ in range(3):
            log.emit(logging.LogRecord("harness", logging.INFO, "", 0, "a line that does not fit", (), None))
        log.close()
    assert capsys.readouterr().err == "", "no traceback of the log hides what matters"
    with pytest.raises(RunError, match=r"nowhere/harness\.log: could not be written"):
        FolderLog(tmp_path / "nowhere/harness.log")


def test_without_room_for_the_spec_nothing_is_started(
    tmp_path: Path, topology: Topology, node_kill: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRuntime, "open", lambda *_args, **_how: pytest.fail("a platform was brought up"))
    with (
        files_at_most(SPEC_DOES_NOT_FIT),
        pytest.raises(RunError, match=r"/spec\.resolved\.yaml: could not be written: File too large"),
    ):
        run_once(tmp_path, topology, node_kill)
    assert left_half_written(tmp_path) == []
    assert not (tmp_path / "latest").exists(), "nothing that could be looked at began"


@pytest.mark.long
def test_rows_without_room_make_the_run_an_error_that_names_the_file(
    harness: Harness,
    tmp_path: Path,
    topology: Topology,
    node_kill: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.report.html.render_html", lambda *_: "")  # a page needs more room than rows
    full_when_rows_arrive(monkeypatch, lambda _folder: ROWS_DO_NOT_FIT)
    with files_at_most(PLENTY):
        result = run_once(tmp_path, topology, node_kill)
    assert result.outcome is Outcome.ERROR
    (reason,) = result.measures.verdict.reasons
    assert "probes.parquet: could not be written" in reason
    assert left_half_written(tmp_path) == []
    assert result.runtime.deployments[0].removed
    known = {event.data["name"] for event in read_history(result.folder.history).of(EventKind.ROWS)}
    assert {name for name in ROW_NAMES if result.folder.rows_file(name).exists()} == known, "no file is half there"
    assert harness("analyze", str(result.folder.path))[0] == 70


@pytest.mark.long
def test_reports_without_room_are_made_later(harness: Harness, damaged: RunFolder, usual: Result) -> None:
    damaged.measures_file.unlink()
    before = damaged.report.read_text()
    with files_at_most(ROWS_DO_NOT_FIT):
        code, _, error = harness("analyze", str(damaged.path))
    assert code == 70
    assert f"harness: {damaged.measures_file}: could not be written: File too large" in error
    assert f"`harness analyze {damaged.path}` makes the reports" in error
    assert not damaged.measures_file.exists()
    assert damaged.report.read_text() == before
    assert harness("analyze", str(damaged.path))[0] == 0
    assert json.loads(damaged.measures_file.read_text()) == json.loads(usual.folder.measures_file.read_text())


def test_a_page_without_room_is_still_said(harness: Harness, damaged: RunFolder) -> None:
    damaged.rows_file("probes").unlink()
    with files_at_most(1_000):
        code, out, error = harness("analyze", str(damaged.path))
    assert code == 70
    assert "nothing is measured from it: probes.parquet: these rows are missing" in out
    assert "broken.html: could not be written" in error
    assert not damaged.page_beside.exists()


def test_a_history_that_fills_the_disk_while_an_error_is_recorded_still_removes_everything(
    tmp_path: Path, topology: Topology, node_kill: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has room for the history's lines, but not for one about the file that did not fit."""
    opened = opened_deployments(monkeypatch)
    full_when_rows_arrive(monkeypatch, lambda folder: folder.history.stat().st_size)
    with (
        files_at_most(PLENTY),
        pytest.raises(RunError, match=r"/history\.jsonl could not be written: File too large"),
    ):
        run_once(tmp_path, topology, node_kill)
    assert opened[0].removed
    folder = RunFolder((tmp_path / "latest").resolve())
    assert readable_events(folder.history)[-1].kind is not EventKind.CLOSED
    with pytest.raises(UnfinishedRecord):
        folder.load()


def test_a_closing_line_that_does_not_fit_leaves_a_closed_file(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path / "h", FakeClock())
    history.append(EventKind.OPENED, {"schema": 1})
    with files_at_most((tmp_path / "h").stat().st_size + 20):
        history.close()
    assert history.broken is not None
    assert history._file.closed
    with pytest.raises(UnfinishedRecord):
        read_history(tmp_path / "h")


def test_a_folder_that_can_not_be_read_is_named(damaged: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(damaged.rows_file("probes")))

    monkeypatch.setattr("harness.run.artifacts.sha256_of", refuse)
    with pytest.raises(RecordError, match=r"probes\.parquet: can't be read: Permission denied"):
        damaged.load()
