"""Topologies under experiments, on the fake runtime: one deployment each, and what was promised against what came."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from harness.analysis.standing import Cell, CellTrial
from harness.core.verdict import Outcome
from harness.errors import RunInterrupted, SpecError, UsageError
from harness.faults.registry import RULES
from harness.run.matrix import choose_matrix, dry_lines
from harness.run.matrix_plan import Slot
from harness.spec import Catalog
from tests.unit.fake_runs import ROOT, Recorder
from tests.unit.matrix_runs import RIGHT, MatrixBench, content, make_catalog

pytestmark = pytest.mark.long


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return make_catalog(tmp_path)


@pytest.fixture
def bench(catalog: Catalog, tmp_path: Path) -> MatrixBench:
    return MatrixBench(catalog, tmp_path / "results")


# -- what is chosen ------------------------------------------------------------------------------------------------


def test_what_a_topology_has_nothing_for_is_set_aside_also_where_it_was_named(catalog: Catalog) -> None:
    rows = choose_matrix(catalog, "bare,right", "lb-loss,node-kill", RULES, users=3)
    assert [row.names for row in rows] == [["lb-loss", "node-kill"]] * 2
    assert [[one.name for one in row.experiments] for row in rows] == [["node-kill"], ["lb-loss", "node-kill"]]
    assert [one.why_not for one in rows[0].not_applicable] == ["not applicable: bare has no load_balancer"]
    assert {one.load.users for row in rows for one in row.experiments} == {3}


def test_all_means_every_topology(catalog: Catalog) -> None:
    rows = choose_matrix(catalog, "all", "suite", RULES)
    assert [row.topology.name for row in rows] == catalog.topologies()


def test_the_mistakes_of_all_files_are_told_together(catalog: Catalog) -> None:
    for name in ("right", "wrong"):
        path = catalog.topology_path(name)
        path.write_text(path.read_text().replace("check_fall", "check_fal"))
    with pytest.raises(SpecError) as caught:
        choose_matrix(catalog, "all", "suite", RULES)
    assert [problem.rsplit("/", 1)[1].split(":")[0] for problem in caught.value.problems] == [
        "right.yaml",
        "wrong.yaml",
    ]


def test_a_mistake_in_an_experiment_is_told_once(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((ROOT / "experiments/node-kill.yaml").read_text().replace("hold_s: 40", "hold_s: long"))
    with pytest.raises(SpecError) as caught:
        choose_matrix(catalog, "right,wrong", f"lb-loss,{path}", RULES)
    assert len(caught.value.problems) == 1


def test_names_that_could_not_be_told_apart_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "right.yaml").write_text(RIGHT)
    with pytest.raises(UsageError, match="two files are called right"):
        choose_matrix(catalog, f"right,{tmp_path}/right.yaml", "suite", RULES)
    with pytest.raises(UsageError, match="which topologies"):
        choose_matrix(catalog, ",", "suite", RULES)
    with pytest.raises(UsageError, match="did you mean right"):
        choose_matrix(catalog, "rihgt", "suite", RULES)


def test_a_dry_run_lists_the_cells_with_what_applies(catalog: Catalog) -> None:
    lines = list(dry_lines(choose_matrix(catalog, "bare,known", "node-kill,lb-loss", RULES)))
    assert lines[0].startswith("4 cells, of which 3 apply: 4 min at the least")
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "bare",
        "node-kill 12 people, 76 s; promised: nothing",
        "lb-loss not applicable: bare has no load_balancer",
        "known",
        "node-kill 12 people, 76 s; promised: by design, 30 s, restarted (known broken)",
        "lb-loss 12 people, 61 s; promised: by repair, 30 s, kept",
        "nothing was started, nothing was changed",
    ]


# -- what is run ---------------------------------------------------------------------------------------------------


def test_each_topology_has_one_platform_and_each_cell_says_how_it_stands(bench: MatrixBench, tmp_path: Path) -> None:
    told: list[str] = []
    done = bench.go("known,mended,right,wrong", "node-kill", on_result=lambda _c, _t, slot: told.append(slot.topology))
    assert {cell.topology: cell.standing.value for cell in done.result.cells} == {
        "known": "known broken",
        "mended": "MENDED",
        "right": "as promised",
        "wrong": "BROKEN",
    }
    assert bench.runtimes.opened == told == ["known", "mended", "right", "wrong"]
    written = content(done)
    assert done.file.path.parent == tmp_path / "results/matrix"
    assert (tmp_path / "results/latest-matrix.json").resolve() == done.file.path.resolve()
    assert written["exit_code"] == done.exit_code == 1
    assert written["counts"]["MENDED"] == 1
    assert (written["seed"], written["trials"], written["finished"]) == (7, None, True)
    assert written["containers"]["right"] == 5
    cell = next(one for one in written["cells"] if one["topology"] == "right")
    (trial,) = cell["trials"]
    assert trial["measured"]["recovers"] == "by_design"
    assert trial["measured"]["sessions"] == {"restarted": 12}
    assert trial["measured"]["platform_outage_s"] > trial["measured"]["user_outage_s"] * 0.5 > 0
    assert cell["promised"]["outage_at_most_s"] == 30
    folder = tmp_path / "results" / trial["folder"]
    assert (folder / "report.html").is_file()
    run = json.loads((folder / "run.json").read_text())
    assert (run["matrix"], run["seed"]) == (done.file.path.stem, 7)
    for suffix in (".html", ".junit.xml", ".md"):
        assert done.file.path.with_suffix(suffix).is_file()


def test_a_topology_that_nothing_applies_to_is_not_brought_up(bench: MatrixBench) -> None:
    done = bench.go("bare,right", "db-failover")
    assert bench.runtimes.opened == ["right"]
    assert [cell.standing.value for cell in done.result.cells] == ["not applicable", "as promised"]
    assert done.exit_code == 0


def test_experiments_share_the_platform_of_their_topology(bench: MatrixBench) -> None:
    done = bench.go("right", "node-kill,db-failover")
    assert bench.runtimes.opened == ["right"]
    assert [cell.standing.value for cell in done.result.cells] == ["as promised", "as promised"]


def test_a_run_says_that_its_promise_was_known_to_be_broken(bench: MatrixBench, tmp_path: Path) -> None:
    (cell,) = bench.go("known", "node-kill").result.cells
    (trial,) = cell.trials
    assert trial.outcome is Outcome.FAIL
    folder = tmp_path / "results" / trial.folder
    assert json.loads((folder / "measures.json").read_text())["known_broken"] == "the standby may never take the lock"
    assert "known broken: the standby may never take the lock" in (folder / "report.html").read_text()


def test_after_an_interruption_the_rest_is_not_run_and_what_is_there_is_kept(bench: MatrixBench) -> None:
    def interrupt(_now_ns: int) -> None:
        if any(note.startswith("topology 2") for note in bench.watcher.notes):
            raise RunInterrupted("SIGINT")

    bench.behaviour.on_sleep = interrupt
    done = bench.go("mended,right,wrong", "node-kill")
    assert [cell.standing.value for cell in done.result.cells] == ["MENDED", "no proof", "no proof"]
    assert bench.runtimes.opened == ["mended", "right"]
    written = content(done)
    assert (written["interrupted"], written["finished"]) == (True, False)
    first, second, third = (cell["trials"][0] for cell in written["cells"])
    assert first["measured"]["sessions"] == {"restarted": 12}
    assert second["why_not"] == "not run: interrupted by SIGINT in the middle"
    assert (second["measured"], second["folder"]) == (None, None), "what was cut short is not counted"
    (cut_short,) = second["interrupted_runs"]
    assert (bench.results / cut_short / "history.jsonl").is_file()
    assert third["why_not"] == "not run: interrupted before its turn"
    assert done.exit_code == 1, "what was found before is found"


def test_a_signal_between_two_topologies_is_heard(bench: MatrixBench) -> None:
    class Signalling(Recorder):
        def note(self, text: str) -> None:
            if text.startswith("topology 2"):
                os.kill(os.getpid(), signal.SIGINT)

    bench.watcher = Signalling()
    done = bench.go("mended,right", "node-kill")
    assert bench.runtimes.opened == ["mended"]
    whys = [cell.trials[0].why_not for cell in done.result.cells]
    assert whys == ["", "not run: interrupted before its turn"]


def test_too_many_people_for_any_topology_are_refused_at_once(bench: MatrixBench, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        bench.go("bare,right", "node-kill", machine={"memory_bytes": 2_000_000_000})
    assert not (tmp_path / "results").exists()


def test_what_breaks_the_harness_leaves_the_cells_before_it_in_the_file(bench: MatrixBench) -> None:
    def full(_cell: Cell | None, _trial: CellTrial, _slot: Slot) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        bench.go("mended,right", "node-kill", on_result=full)
    assert bench.runtimes.left() == []
    (path,) = (bench.results / "matrix").glob("*.json")
    written = json.loads(path.read_text())
    assert [cell["standing"] for cell in written["cells"]] == ["MENDED", "no proof"]
    assert written["cells"][1]["trials"][0]["why_not"] == "not run: its turn did not come"
