"""Of a results folder that is not whole there is a page without numbers, and nothing that exists is overwritten."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.clock import FakeClock
from harness.core.history import EventKind, HistoryWriter, read_history
from harness.core.verdict import Outcome
from harness.report.broken import BROKEN_MARK
from harness.run.artifacts import RunFolder
from harness.run.several import runs_below
from harness.runtime.fake import Behaviour
from tests.unit.fake_runs import ROOT, Result, Run
from tests.unit.test_cli import Harness, harness

pytestmark = pytest.mark.long

__all__ = ["harness"]

#: What numbers are made of.
ROWS = ("operations", "probes", "database_writes", "hub_writes", "saved", "balancer", "servers")
RECORDED = ("history.jsonl", "spec.resolved.yaml", "run.json", *(f"{name}.parquet" for name in ROWS))
#: What an analysis makes of it.
DERIVED = ("measures.json", "verdict.json", "outages.csv", "sessions.csv", "junit.xml", "report.html")
#: What nothing is measured from.
LOGS = ("harness.log", "containers/agent/log", "containers/agent/inspect.json")

#: A number with a unit, as every measure has it.
MEASURE = re.compile(r"\d\s?(?:ms|s|%)(?!\w)|\d of \d|by design|by_design|restarted|user-uptime")


def remove(path: Path) -> None:
    path.unlink()


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x04
    path.write_bytes(content)


HARMS = [remove, halve, empty, flip]
Harm = Callable[[Path], None]


def contents(folder: Path) -> dict[str, str]:
    """Every file with its SHA-256."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def page_says(page: Path, *words: str) -> str:
    """The text of a page of a folder that is not whole: it has no numbers, and these words."""
    text = page.read_text()
    assert BROKEN_MARK in text
    body = re.sub(r"<[^>]+>", " ", text.partition("<body>")[2])
    assert not MEASURE.search(body), "a number of half a record"
    for word in words:
        assert word in body, word
    return body


def raw_only(folder: RunFolder) -> RunFolder:
    """As it was before its first analysis."""
    for name in DERIVED:
        (folder.path / name).unlink()
    return folder


def test_every_file_of_a_run_is_damaged_below(usual: Result) -> None:
    found = contents(usual.folder.path)
    assert {name for name in found if not name.startswith("containers/")} == {*RECORDED, *DERIVED, LOGS[0]}
    assert {*LOGS} <= {*found}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", sorted({*RECORDED} - {"run.json"}))
def test_what_numbers_are_made_of_must_be_whole(
    harness: Harness, damaged: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str, harm: Harm
) -> None:
    harm(damaged.path / name)
    before = contents(damaged.path)
    code, out, error = harness("analyze", str(damaged.path))
    unfinished = name == "history.jsonl" and harm in (halve, empty)
    assert code == (2 if unfinished else 70)
    assert error == ""
    assert name in out.partition(", and nothing is measured from it: ")[2], "the file is named"
    assert f"report: {damaged.path}/broken.html" in out
    page_says(damaged.path / "broken.html", "nothing is measured from it", name)
    after = contents(damaged.path)
    assert after.pop("broken.html")
    assert after == before, "nothing that was there is touched"


@pytest.mark.parametrize("harm", [remove, halve, empty])
def test_what_only_says_how_it_was_run_must_be_readable(harness: Harness, damaged: RunFolder, harm: Harm) -> None:
    harm(damaged.path / "run.json")
    code, out, _ = harness("analyze", str(damaged.path))
    assert code == 70
    assert "nothing is measured from it: run.json: is " in out


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("names", [DERIVED, LOGS])
def test_what_nothing_is_measured_from_changes_no_number(
    harness: Harness, usual: Result, damaged: RunFolder, names: tuple[str, ...], harm: Harm
) -> None:
    for name in names:
        harm(damaged.path / name)
    code, out, _ = harness("analyze", str(damaged.path))
    assert code == 0
    assert "PASS  " in out
    assert damaged.measures_file.read_text() == usual.folder.measures_file.read_text()
    assert not (damaged.path / "broken.html").exists()


def test_without_a_report_the_page_is_the_report(harness: Harness, damaged: RunFolder) -> None:
    halve(raw_only(damaged).rows_file("probes"))
    for _ in range(2):  # the second time its own page is replaced
        assert harness("analyze", str(damaged.path))[0] == 70
        page_says(damaged.report, "probes.parquet", "it is not the file that the history knows")
        assert not damaged.page_beside.exists()


def test_a_folder_that_is_whole_again_has_its_report_again(harness: Harness, usual: Result, damaged: RunFolder) -> None:
    name = "probes.parquet"
    remove(damaged.path / name)
    assert harness("analyze", str(damaged.path))[0] == 70
    assert damaged.page_beside.exists()
    shutil.copy(usual.folder.path / name, damaged.path / name)
    assert harness("analyze", str(damaged.path))[0] == 0
    assert not damaged.page_beside.exists(), "what it says is not true any more"
    assert BROKEN_MARK not in damaged.report.read_text()


def test_the_page_says_what_is_there_and_what_is_missing(harness: Harness, damaged: RunFolder) -> None:
    remove(damaged.rows_file("operations"))
    halve(damaged.rows_file("saved"))
    code, out, _ = harness("analyze", str(damaged.path), "--json")
    assert code == 70
    found = json.loads(out)
    assert (found["schema"], found["whole"], found["outcome"]) == (1, False, "ERROR")
    assert found["error"] == "operations.parquet: these rows are missing although the run came to its end"
    states = {one["name"]: one["state"] for one in found["files"]}
    assert states == {
        "history.jsonl": "whole",
        "spec.resolved.yaml": "whole",
        "run.json": "there",
        "operations.parquet": "missing",
        "probes.parquet": "whole",
        "database_writes.parquet": "whole",
        "hub_writes.parquet": "whole",
        "saved.parquet": "damaged",
        "balancer.parquet": "whole",
        "servers.parquet": "whole",
        "harness.log": "there",
        "containers": "there",
        **dict.fromkeys(DERIVED, "earlier"),
    }
    assert found["came_to"] == [
        "Its phases: images, containers, ramp, faults, settle, drain, teardown.",
        "The steady state was reached.",
        "kill on workbench[active] (workbench-0): injected and undone.",
    ]


def test_of_an_older_schema_nothing_is_read(harness: Harness, damaged: RunFolder) -> None:
    events = read_history(damaged.history).events
    damaged.history.unlink()
    with HistoryWriter(damaged.history, FakeClock(events[-1].t_ns)) as history:
        for event in events[:-1]:
            older = {"schema": 0} if event.kind is EventKind.OPENED else {}
            history.append(event.kind, {**event.data, **older}, t_ns=event.t_ns)
    code, out, _ = harness("analyze", str(damaged.path))
    assert code == 2
    assert "INCONCLUSIVE  " in out
    page_says(damaged.page_beside, "history.jsonl:1: schema 0, expected 1", "written by another version")


def test_a_record_that_breaks_the_analysis_leaves_a_page_and_a_traceback(
    harness: Harness, damaged: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(_record: object) -> None:
        raise KeyError("working")

    monkeypatch.setattr("harness.run.artifacts.analyse", older)
    code, _, error = harness("analyze", str(damaged.path))
    assert code == 70
    assert "Traceback" in error
    page_says(damaged.page_beside, "analysis broke on it with KeyError")


def test_a_folder_with_nothing_but_its_spec_is_a_run_that_is_not_whole(harness: Harness, damaged: RunFolder) -> None:
    for path in damaged.path.iterdir():
        if path.is_file() and path != damaged.spec:
            path.unlink()
    assert [folder.path for folder in runs_below(damaged.path)] == [damaged.path], "`nines` counts it as left out"
    assert harness("analyze", str(damaged.path))[0] == 70
    page_says(damaged.report, "there is no history", "Nothing can be read of its history")


def test_a_run_that_ended_in_an_error_is_whole_and_has_a_report(harness: Harness, run: Run) -> None:
    result = run(Behaviour(never_ready="database"))
    assert result.outcome is Outcome.ERROR
    code, out, _ = harness("analyze", str(result.folder.path))
    assert code == 70
    assert "database was not ready" in out
    assert "database was not ready" in result.folder.report.read_text()
    assert not result.folder.page_beside.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT, experiment, run_once

opened, original = [], FakeRuntime.open

def remember(self, *args, **kwargs):
    opened.append(original(self, *args, **kwargs))
    return opened[-1]

def kill_in_mid_fault(_now_ns):
    if opened[0].platform.host.paper.wrong:
        os.kill(os.getpid(), signal.SIGKILL)

FakeRuntime.open = remember
topology = load_topology(ROOT / "topologies/active-passive.yaml")
run_once(Path(sys.argv[1]), topology, experiment("node-kill"), Behaviour(on_sleep=kill_in_mid_fault))
"""


def test_a_run_that_was_killed_in_mid_fault(harness: Harness, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    folder = (tmp_path / "latest").resolve()
    assert "closed" not in (folder / "history.jsonl").read_text()
    code, out, _ = harness("analyze", str(folder))
    assert code == 2
    assert "the history was not closed" in out
    page_says(
        folder / "report.html",
        "Its phases: images, containers, ramp, faults.",
        "kill on workbench[active] (workbench-0): injected, and not undone as far as the history says.",
        "`harness doctor` finds and heals what a dead run left on the engine.",
        "the run did not come so far",
    )


def test_a_line_of_the_history_that_was_being_written_is_no_damage(harness: Harness, damaged: RunFolder) -> None:
    lines = damaged.history.read_text().splitlines(keepends=True)
    damaged.history.write_text("".join(lines[:9]) + lines[9][:20])
    assert harness("analyze", str(damaged.path))[0] == 2
    damaged.history.write_text("".join(lines[:9]) + lines[9][:20] + "\n" + lines[10])
    assert harness("analyze", str(damaged.path))[0] == 70
