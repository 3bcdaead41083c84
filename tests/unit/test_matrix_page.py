"""The page of a matrix, its JUnit file and its summary in Markdown; and drawing an older file again."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.analysis import Measures, analyse
from harness.analysis.brief import brief_of
from harness.analysis.gains import NinesAllowed
from harness.analysis.matrix_result import Control, MatrixResult
from harness.analysis.standing import Cell
from harness.errors import RecordError, UsageError
from harness.report.matrix_ci import render_matrix_junit, render_matrix_markdown
from harness.report.matrix_page import render_matrix_page
from harness.run.matrix_again import is_matrix, reanalyse_matrix
from tests.unit.analysis_runs import twelve_users
from tests.unit.matrix_runs import MatrixBench, cell_of, content, make_catalog, result_of, trial_of


@pytest.fixture(scope="module")
def passed() -> Measures:
    return analyse(twelve_users())


@pytest.fixture(scope="module")
def broken() -> Measures:
    return analyse(twelve_users(lose_user=True))


@pytest.fixture
def mixed(passed: Measures, broken: Measures) -> MatrixResult:
    """A cell of each kind."""
    aside: dict[str, Any] = {"trials": (), "why_not": "not applicable: a < b & c", "applicable": False}
    return result_of(
        cell_of(passed, passed),
        cell_of(passed, broken, experiment="lb-loss"),
        cell_of(broken, broken, topology="old", known_broken="it is <old>"),
        cell_of(passed, passed, topology="old", experiment="lb-loss", known_broken="it was old"),
        cell_of(topology="third", **aside),
        cell_of(passed, None, topology="third", experiment="lb-loss"),
        trials=2,
        controls=(Control(topology="pair", experiments=("node-kill",), trial=trial_of(passed, 0), steady=True),),
    )


def junit(result: MatrixResult) -> ET.Element:
    return ET.fromstring(render_matrix_junit(result, "x"))


def test_each_cell_is_a_test_case_and_a_flaky_one_says_so(mixed: MatrixResult) -> None:
    root = junit(mixed)
    assert [suite.get("name") for suite in root] == ["pair", "old", "third"]
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert len(cases) == 6
    kinds = {
        place: next((one.tag for one in case if one.tag in {"failure", "error", "skipped"}), "")
        for place, case in cases.items()
    }
    assert kinds == {
        ("pair", "node-kill"): "",
        ("pair", "lb-loss"): "failure",
        ("old", "node-kill"): "skipped",
        ("old", "lb-loss"): "failure",
        ("third", "node-kill"): "skipped",
        ("third", "lb-loss"): "error",
    }
    assert [suite.get("failures") for suite in root] == ["1", "1", "0"]
    flaky = cases["pair", "lb-loss"]
    (failure,) = flaky.iter("failure")
    assert failure.get("type") == "flaky"
    assert failure.get("message", "").startswith("flaky (1 as promised, 1 BROKEN): trial 1: as promised: ")
    (mark,) = flaky.iter("property")
    assert (mark.get("name"), mark.get("value")) == ("flaky", "true")
    (said,) = flaky.iter("system-out")
    lines = (said.text or "").splitlines()
    assert lines[2].startswith("trial 1: as promised: by design, 4.0 s")
    assert lines[3].endswith("pair/node-kill/run-2")
    assert float(cases["pair", "node-kill"].get("time", "0")) == pytest.approx(
        2 * (brief_of_passed(mixed) or 0), abs=0.01
    )


def brief_of_passed(result: MatrixResult) -> float | None:
    return result.cells[0].briefs[0].window_s


def test_the_summary_has_the_grid_the_flaky_trials_and_what_each_buys(mixed: MatrixResult) -> None:
    lines = render_matrix_markdown(mixed, "x").splitlines()
    assert "**6 cells of 2 trials: 1 as promised, 1 known broken, 1 MENDED, 1 flaky, 1 no proof" in lines[2]
    assert "**Not finished**: 1 runs are still to be done: `harness matrix --resume results/matrix/x.json`" in lines
    (row,) = [line for line in lines if line.startswith("| **pair** | as promised")]
    assert "**flaky**: 4.0 s, 11 to 12 restarted, 0 to 1 lost" in row
    assert (
        "- pair, lb-loss, trial 2: BROKEN: did not recover, 4.0 s, 11 restarted, 1 lost (`pair/node-kill/run-2`)"
        in lines
    )
    (gain,) = [line for line in lines if line.startswith("| pair | 5 | 2 of 2, 4 trials | 3 of 4 | lb-loss |")]
    assert gain.endswith("| 47 of 48 | 1 of 48 | 0 | not told: no rates |")


def test_the_page_tells_cells_apart_by_words_and_links_each_trial(mixed: MatrixResult) -> None:
    page = render_matrix_page(mixed, "x")
    for word in ("as promised", "known broken", "MENDED", "flaky", "no proof", "not applicable"):
        assert re.search(rf'<span class="word"><span aria-hidden="true">.</span> {word}', page), word
    assert 'href="../pair/node-kill/run-2/report.html"' in page
    assert page.count('aria-label="pair, lb-loss, trial 2: BROKEN: did not recover') == 2, "in the grid and as flaky"
    assert "a &lt; b &amp; c" in page
    assert "it is &lt;old&gt;" in page
    assert "<old>" not in page
    assert not re.findall(r"""(?:src|href)=["'](?!\.\./|#|data:,)""", page), "nothing is loaded"
    assert "1 runs are still to be done" in page
    assert "prefers-color-scheme: dark" in page


def test_the_longer_side_goes_down(passed: Measures) -> None:
    wide = render_matrix_page(result_of(*(cell_of(passed, experiment=name) for name in ("a", "b", "c"))), "x")
    assert all(head in wide for head in ('<th scope="col">pair', '<th scope="row">a'))
    tall = render_matrix_page(result_of(*(cell_of(passed, topology=name) for name in ("a", "b", "c"))), "x")
    assert all(head in tall for head in ('<th scope="row">a', '<th scope="col">node-kill'))


# -- what each topology buys -------------------------------------------------------------------------------------------


def test_means_count_each_experiment_once_and_say_where_rows_differ(passed: Measures) -> None:
    short = replace(passed, capabilities=())
    first = cell_of(passed, passed, passed)
    second = cell_of(short, experiment="lb-loss")
    (gain,) = result_of(first, second).gains
    brief, calm = brief_of(passed), brief_of(short)
    assert brief.platform_outage_s is not None
    assert calm.platform_outage_s is None, "nothing was probed, so nothing is known"
    assert gain.platform_outage_s is None
    assert gain.user_outage_s == pytest.approx(brief.user_outage_s)
    assert (gain.trials, gain.by_itself, gain.sessions_restarted, gain.sessions) == (4, 4, 48, 48)
    assert gain.may_need_repair_ratio == pytest.approx(0.95), "by the one with the fewest trials"
    (alone,) = result_of(first).gains
    assert alone.platform_outage_s == pytest.approx(brief.platform_outage_s)
    assert alone.may_need_repair_ratio == pytest.approx(1 - 0.05 ** (1 / 3))
    remarks = render_matrix_markdown(result_of(first, replace(second, topology="other")), "x")
    assert "were not tried with the same failures" in remarks


def test_nines_are_told_only_under_stated_rates(passed: Measures) -> None:
    said = {
        "pair": NinesAllowed(target_percent=99.9, mean_s=3600.0, upper_s=7300.0),
        "low": NinesAllowed(mean_s=4e6, upper_s=5e6),
        "none": NinesAllowed(why_not="no rate for node-kill"),
    }
    result = result_of(*(cell_of(passed, topology=name) for name in said), nines=said)
    text = render_matrix_markdown(result, "x")
    assert "99.9% (60 min a year on average, up to 2.03 h)" in text
    assert "less than 90% (46.3 d a year on average, up to 57.87 d)" in text
    assert "not told: no rate for node-kill" in text
    again = MatrixResult.from_json_dict(json.loads(json.dumps(result.to_json_dict())), "x")
    assert again.nines == said


# -- from the file again -----------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MatrixBench:
    monkeypatch.setattr("harness.report.html.render_html", lambda *_: "")  # has tests of its own
    return MatrixBench(make_catalog(tmp_path, quick=True), tmp_path / "results")


def before_trials(written: dict[str, Any]) -> dict[str, Any]:
    """The file as the version before trials wrote it."""
    old = {key: written[key] for key in ("started_utc", "argv", "seed", "interrupted", "exit_code", "counts")}
    new_keys = {"platform_outage_s", "user_outage_s", "users_carried", "users_carried_is_limit"}
    new_keys |= {"works_without_fault", "window_s"}
    cells = []
    for cell in written["cells"]:
        trial = cell["trials"][0] if cell["trials"] else dict.fromkeys(("outcome", "measured", "folder"))
        measured = trial["measured"] and {k: v for k, v in trial["measured"].items() if k not in new_keys}
        what = {key: cell[key] for key in ("topology", "experiment", "standing", "known_broken", "promised")}
        why_not = cell["why_not"] or trial.get("why_not")
        what |= {"reasons": trial.get("reasons", []), "why_not": why_not, "measured": measured}
        cells.append({**what, "outcome": trial["outcome"], "folder": trial["folder"]})
    return {"schema": 1, **old, "cells": cells}


@pytest.mark.long
def test_a_matrix_is_rebuilt_from_what_its_runs_recorded(bench: MatrixBench) -> None:
    done = bench.go("bare,right", "lb-loss", trials=1)
    before = content(done)
    for name in (done.result.cells[1].trials[0].folder, done.result.controls[0].trial.folder):
        (bench.results / name / "measures.json").unlink()
    done.file.path.with_suffix(".html").unlink()
    assert is_matrix(done.file.path)
    again = reanalyse_matrix(bench.results / "latest-matrix.json")
    assert again.result == done.result
    assert content(again) == before
    assert (bench.results / done.result.cells[1].trials[0].folder / "measures.json").is_file()
    assert done.file.path.with_suffix(".html").is_file()
    shutil.rmtree(bench.results / done.result.cells[1].trials[0].folder)
    with pytest.raises(UsageError, match="which is not there"):
        reanalyse_matrix(done.file.path)
    assert content(again) == before


@pytest.mark.long
def test_the_file_of_an_earlier_version_is_drawn_and_stays(bench: MatrixBench) -> None:
    done = bench.go("bare,right", "lb-loss")
    old = before_trials(content(done))
    text = json.dumps(old)
    done.file.path.write_text(text)
    again = reanalyse_matrix(done.file.path)
    assert [cell.standing for cell in again.result.cells] == [cell.standing for cell in done.result.cells]
    assert again.result.cells[1].briefs == done.result.cells[1].briefs, "measured anew where the run is there"
    shutil.rmtree(bench.results / done.result.cells[1].trials[0].folder)
    (brief,) = reanalyse_matrix(done.file.path).result.cells[1].briefs
    assert brief.platform_outage_s is None, "it was not written then"
    assert "not recorded" in done.file.path.with_suffix(".html").read_text()
    assert done.file.path.read_text() == text


@pytest.mark.parametrize(
    "bad", [{"schema": 3, "cells": []}, {"schema": 2, "cells": []}, {"schema": 1, "cells": [1]}, []]
)
def test_what_is_no_matrix_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(RecordError, match=r"x\.json: "):
        MatrixResult.from_json_dict(bad, "x.json")


def test_a_cell_needs_no_run_to_be_drawn() -> None:
    empty = result_of(cell_of(None), Cell(topology="t", experiment="e", promise=None), made_with={})
    assert "no proof" in render_matrix_page(empty, "x")
    assert junit(empty).find("testsuite") is not None
