"""Topologies under experiments, on the fake runtime: one deployment each, and what was promised against what came."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.analysis import Measures, analyse
from harness.analysis.gate import WithoutFault
from harness.analysis.standing import Cell, Standing, exit_code, standing
from harness.core.clock import FakeClock
from harness.core.verdict import Check, Outcome, Verdict
from harness.core.words import Recovery, SessionOutcome
from harness.errors import RunInterrupted, SpecError, UsageError
from harness.faults.registry import RULES
from harness.report.matrix import few_words, measured, promised, render_matrix
from harness.run.choice import Chosen
from harness.run.matrix import Matrix, choose_matrix, dry_lines, run_matrix
from harness.runtime.base import Progress
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime
from harness.spec import Catalog
from tests.unit.analysis_runs import PROMISE, twelve_users
from tests.unit.fake_runs import ROOT, Recorder

RIGHT = (ROOT / "topologies/active-passive.yaml").read_text()
WRONG = RIGHT.replace("takeover: automatic", "takeover: first-holder")
KNOWN = "known_broken:\n  node-kill: the standby may never take the lock\n"
BARE = "description: one node\nworkbench: {nodes: 1, mode: single}\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    files = {"right": RIGHT, "wrong": WRONG, "known": WRONG + KNOWN, "mended": RIGHT + KNOWN, "bare": BARE}
    (tmp_path / "topologies").mkdir()
    for name, text in files.items():
        (tmp_path / f"topologies/{name}.yaml").write_text(text)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return Catalog(tmp_path)


class Runtimes:
    """A fake runtime for each topology, made when its turn comes."""

    def __init__(self, clock: FakeClock, rows: Sequence[Chosen], behaviour: Behaviour) -> None:
        self._by_name = {row.topology.name: FakeRuntime(clock, row.topology, behaviour) for row in rows}
        self.opened: list[str] = []
        self.memory_bytes = 25_000_000_000

    def describe(self) -> Mapping[str, Any]:
        return {"engine_version": "fake", "kernel": "fake", "cores": 2, "memory_bytes": self.memory_bytes}

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        return {name: f"sha256:{name}" for name in names}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:
        self.opened.append(topology)
        return self._by_name[topology].open(run_id, topology)


Go = Callable[..., tuple[Matrix, Runtimes]]


@pytest.fixture
def go(catalog: Catalog, tmp_path: Path, undrawn: None) -> Go:
    def run(
        topologies: str, experiments: str, behaviour: Behaviour | None = None, **more: Any
    ) -> tuple[Matrix, Runtimes]:
        clock = FakeClock()
        rows = choose_matrix(catalog, topologies, experiments, RULES)
        runtimes = Runtimes(clock, rows, behaviour or Behaviour())
        runtimes.memory_bytes = more.pop("memory_bytes", runtimes.memory_bytes)
        done = run_matrix(
            runtime=runtimes,
            rows=rows,
            **{
                "results": tmp_path / "results",
                "watcher": Recorder(),
                "seed": 7,
                "clock": clock,
                "argv": ["harness", "matrix"],
                **more,
            },
        )
        return done, runtimes

    return run


def printed(cells: Sequence[Cell], width: int = 120) -> str:
    text = StringIO()
    render_matrix(cells, Console(file=text, width=width), "results/matrix/x.json")
    return text.getvalue()


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


def test_each_topology_has_one_platform_and_each_cell_says_how_it_stands(go: Go, tmp_path: Path) -> None:
    told: list[str] = []
    done, runtimes = go("known,mended,right,wrong", "node-kill", on_result=lambda cell: told.append(cell.topology))
    assert {cell.topology: cell.standing.value for cell in done.cells} == {
        "known": "known broken",
        "mended": "MENDED",
        "right": "as promised",
        "wrong": "BROKEN",
    }
    assert runtimes.opened == told == ["known", "mended", "right", "wrong"]
    written = json.loads(done.path.read_text())
    assert done.path.parent == tmp_path / "results/matrix"
    assert written["exit_code"] == done.exit_code == 1
    assert written["counts"]["MENDED"] == 1
    assert written["seed"] == 7
    cell = next(one for one in written["cells"] if one["topology"] == "right")
    assert cell["measured"]["recovers"] == "by_design"
    assert cell["measured"]["sessions"] == {"restarted": 12}
    assert cell["promised"]["outage_at_most_s"] == 30
    assert (tmp_path / "results" / cell["folder"] / "report.html").is_file()


def test_a_topology_that_nothing_applies_to_is_not_brought_up(go: Go) -> None:
    done, runtimes = go("bare,right", "db-failover")
    assert runtimes.opened == ["right"]
    assert [cell.standing.value for cell in done.cells] == ["not applicable", "as promised"]
    assert done.exit_code == 0


def test_experiments_share_the_platform_of_their_topology(go: Go) -> None:
    done, runtimes = go("right", "node-kill,db-failover")
    assert runtimes.opened == ["right"]
    assert [cell.standing.value for cell in done.cells] == ["as promised", "as promised"]


def test_a_run_says_that_its_promise_was_known_to_be_broken(go: Go, tmp_path: Path) -> None:
    (cell,) = go("known", "node-kill")[0].cells
    assert cell.measures is not None
    assert cell.measures.verdict.outcome is Outcome.FAIL
    folder = tmp_path / "results" / cell.folder
    assert json.loads((folder / "measures.json").read_text())["known_broken"] == "the standby may never take the lock"
    assert "known broken: the standby may never take the lock" in (folder / "report.html").read_text()


def test_after_an_interruption_the_rest_is_not_run_and_what_is_there_is_kept(go: Go) -> None:
    watcher = Recorder()

    def interrupt(now_ns: int) -> None:
        if any(note.startswith("topology 2") for note in watcher.notes):
            raise RunInterrupted("SIGINT")

    done, runtimes = go("mended,right,wrong", "node-kill", Behaviour(on_sleep=interrupt), watcher=watcher)
    assert [cell.standing.value for cell in done.cells] == ["MENDED", "no proof", "no proof"]
    assert done.cells[2].why_not == "not run: interrupted before its turn"
    assert runtimes.opened == ["mended", "right"]
    written = json.loads(done.path.read_text())
    assert written["interrupted"] is True
    assert written["cells"][0]["measured"]["sessions"] == {"restarted": 12}
    assert written["cells"][1]["measured"] is None, "what proves nothing is not held against the promise"
    assert done.exit_code == 1, "what was found before is found"


def test_a_signal_between_two_topologies_is_heard(go: Go) -> None:
    class Signalling(Recorder):
        def note(self, text: str) -> None:
            if text.startswith("topology 2"):
                os.kill(os.getpid(), signal.SIGINT)

    done, runtimes = go("mended,right", "node-kill", watcher=Signalling())
    assert runtimes.opened == ["mended"]
    assert [cell.why_not for cell in done.cells] == ["", "not run: interrupted before its turn"]


def test_too_many_people_for_any_topology_are_refused_before_anything_starts(go: Go, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        go("bare,right", "node-kill", memory_bytes=2_000_000_000)
    assert not (tmp_path / "results").exists()


def test_what_breaks_the_harness_leaves_the_cells_before_it_in_the_file(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_cell: Cell) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        go("mended,right", "node-kill", on_result=full)
    (path,) = (tmp_path / "results/matrix").glob("*.json")
    written = json.loads(path.read_text())
    assert [cell["standing"] for cell in written["cells"]] == ["MENDED", "no proof"]
    assert written["cells"][1]["why_not"] == "not run: its turn did not come"


# -- how a cell stands ---------------------------------------------------------------------------------------------


def verdict(outcome: Outcome, *, promise: bool = True, objective: bool = True) -> Verdict:
    checks = (Check("p", "promise", "", "", promise), Check("o", "objective", "", "", objective))
    return Verdict(outcome, ("reason",), checks)


@pytest.mark.parametrize(
    ("what", "known", "expected"),
    [
        (verdict(Outcome.PASS), "", Standing.AS_PROMISED),
        (verdict(Outcome.PASS), "why", Standing.MENDED),
        (verdict(Outcome.FAIL, promise=False), "", Standing.BROKEN),
        (verdict(Outcome.FAIL, promise=False), "why", Standing.KNOWN_BROKEN),
        (verdict(Outcome.FAIL, objective=False), "", Standing.BROKEN),
        (verdict(Outcome.FAIL, objective=False), "why", Standing.MENDED),
        (verdict(Outcome.INCONCLUSIVE, promise=False), "why", Standing.NO_PROOF),
        (verdict(Outcome.ERROR), "", Standing.ERROR),
    ],
)
def test_how_a_verdict_stands_to_the_file(what: Verdict, known: str, expected: Standing) -> None:
    assert standing(what, known) is expected


@pytest.mark.parametrize(
    ("standings", "code"),
    [
        (["AS_PROMISED", "KNOWN_BROKEN", "NOT_APPLICABLE"], 0),
        (["AS_PROMISED", "NO_PROOF"], 2),
        (["NO_PROOF", "ERROR"], 70),
        (["ERROR", "BROKEN"], 1),
        (["NO_PROOF", "MENDED"], 1),
        (["NOT_APPLICABLE"], 2),
        ([], 2),
    ],
)
def test_the_exit_code(standings: list[str], code: int) -> None:
    class Fixed(Cell):
        @property
        def standing(self) -> Standing:
            return Standing[self.experiment]

    assert exit_code(Fixed(topology="t", experiment=word, promise=None) for word in standings) == code


# -- how it is shown -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def passed() -> Measures:
    return analyse(twelve_users())


def cell_of(measures: Measures | None, **more: Any) -> Cell:
    return Cell(**{"topology": "pair", "experiment": "node-kill", "promise": PROMISE, "measures": measures, **more})


def test_a_cell_in_words(passed: Measures) -> None:
    cell = cell_of(passed)
    assert promised(cell.promise) == "by design, 15 s, restarted"
    assert promised(None) == "nothing"
    assert measured(cell) == "by design, 4.0 s, 12 restarted"
    assert few_words(cell) == "4.0 s, 12 restarted"
    lost = cell_of(analyse(twelve_users(lose_user=True)))
    assert few_words(lost) == "4.0 s, 11 restarted, 1 lost"
    calm = cell_of(replace(passed, capabilities=()))
    assert few_words(calm) == "no outage, 12 restarted"
    assert measured(calm) == "by design, no outage, 12 restarted"
    repaired = tuple(replace(row, recovery=Recovery.BY_REPAIR) for row in passed.sessions)
    assert few_words(cell_of(replace(passed, capabilities=(), sessions=repaired))).startswith(
        "no outage, people until repaired, 12"
    )
    refused = WithoutFault(
        users=12, working=3, waited_s=60, capability="work", refused=60, probes=120, most_often="Refused: 403"
    )
    never = cell_of(replace(passed, without_fault=refused))
    assert measured(never) == few_words(never) == "not everybody could work, without any fault"
    aside = cell_of(None, why_not="not applicable: no GPU", applicable=False)
    assert (measured(aside), few_words(aside)) == ("not applicable: no GPU", "not applicable")
    assert few_words(cell_of(None, why_not="not run: interrupted before its turn")) == "not run"


def test_the_tables(passed: Measures) -> None:
    broken = analyse(twelve_users(lose_user=True, promise=replace(PROMISE, session_outcome=SessionOutcome.KEPT)))
    cells = [
        cell_of(passed),
        cell_of(None, experiment="gpu-loss", why_not="not applicable: pair has no GPU", applicable=False),
        cell_of(broken, topology="naive", folder="naive/node-kill/x"),
        cell_of(broken, topology="old", known_broken="it is old"),
    ]
    text = printed(cells)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "pair node-kill PASS by design, 15 s, restarted by design, 4.0 s, 12 restarted as promised" in lines
    assert "pair gpu-loss by design, 15 s, restarted pair has no GPU not applicable" in lines
    assert any(line.startswith("naive node-kill FAIL") and line.endswith("BROKEN") for line in lines)
    assert "topology node-kill gpu-loss" in lines
    assert "pair 4.0 s, 12 restarted not applicable" in lines
    assert "naive/node-kill/x/report.html" in lines
    assert "4 cells: 1 as promised, 1 known broken, 1 BROKEN, 1 not applicable; exit code 1" in lines
    assert lines[-1] == "matrix: results/matrix/x.json"


def test_more_experiments_than_fit_beside_each_other_get_a_second_table(passed: Measures) -> None:
    cells = [cell_of(passed, experiment=f"failure-{number}") for number in range(7)]
    text = printed(cells, width=100)
    assert text.count("what each topology does under each failure") == 3
    assert max(len(line) for line in text.splitlines()) <= 100
    tables = text.split("what each topology does under each failure")[1:]
    assert [table.count("4.0 s, 12 restarted") for table in tables] == [3, 3, 1]
    assert [table.split()[:2] for table in tables] == [["topology", f"failure-{first}"] for first in (0, 3, 6)]


def test_names_are_no_markup(passed: Measures) -> None:
    assert "[bold]x" in printed([cell_of(passed, topology="[bold]x")])
