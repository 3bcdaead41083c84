"""Results of any kind on both sides of `harness compare`: what belongs together, what is refused, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.comparison import Word
from harness.errors import UsageError
from harness.run.artifacts import RunFolder
from harness.run.compare import Compared, compare_results, tolerances_of
from harness.run.mark import mark
from harness.run.results import Results
from tests.unit.fake_runs import Result
from tests.unit.kept_runs import Kept

USUAL = (4.0, 4.4, 4.2, 4.1, 4.3)
SLOW = (9.0, 9.4, 9.2, 9.1, 9.3)


@pytest.fixture
def kept(tmp_path: Path, usual: Result) -> Kept:
    return Kept(tmp_path / "results", usual.folder)


@pytest.fixture
def compared(kept: Kept) -> Callable[[Path, Path], Compared]:
    return lambda baseline, candidate: compare_results(baseline, candidate, Results(kept.root))


Go = Callable[[Path, Path], Compared]


def outcome(verdict: str, reason: str) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["verdict"] = {"outcome": verdict, "reasons": [reason], "checks": []}

    return change


def cell_of(kept: Kept, topology: str = "active-passive", experiment: str = "node-kill") -> Path:
    return kept.root / topology / experiment


def trial_set(kept: Kept, control: Path, trials: list[Path], not_run: int = 0) -> Path:
    entries: list[dict[str, Any]] = [{"number": n, "folder": kept.name(path)} for n, path in enumerate(trials, 1)]
    entries += [
        {"number": len(trials) + n, "folder": None, "why_not": "not run: interrupted before its turn"}
        for n in range(1, not_run + 1)
    ]
    content = {"schema": 1, "topology": "active-passive", "experiment": "node-kill", "trials": entries}
    return kept.file(
        f"active-passive/node-kill/trials/{control.name}.json",
        {**content, "control": {"number": 0, "folder": kept.name(control)}},
    )


def matrix(kept: Kept, name: str, cells: dict[tuple[str, str], list[Path]]) -> Path:
    """A matrix with trials; a cell without any was not run."""
    return kept.file(
        f"matrix/{name}.json",
        {
            "schema": 1,
            "cells": [
                {
                    "topology": topology,
                    "experiment": experiment,
                    "standing": "as promised",
                    "folder": kept.name(paths[0]) if paths else None,
                    "why_not": None if paths else "not run: interrupted before its turn",
                    "trials": [{"number": n, "folder": kept.name(path)} for n, path in enumerate(paths, 1)],
                }
                for (topology, experiment), paths in cells.items()
            ],
        },
    )


# -- kinds of results ----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_slower_topology_is_worse_and_its_measures_are_named(kept: Kept, compared: Go) -> None:
    kept.runs(USUAL)
    kept.runs(SLOW, topology="active-passive-slow", spec=lambda s: s["topology"]["database"].update(user_timeout_s=9))
    found = compared(kept.root / "active-passive", kept.root / "active-passive-slow").comparison
    assert found.exit_code == 1
    assert {row.comparable.key for _, row in found.worse} >= {"longest_outage_s", "outage_s.work", "user_outage_s"}
    (cell,) = found.cells
    assert cell.title == "node-kill on active-passive against active-passive-slow"
    assert "topology.database.user_timeout_s: 3 against 9" in cell.input.differs


def test_a_set_is_its_trials_without_the_control_run(kept: Kept, compared: Go) -> None:
    control = kept.run(experiment="control", trial={"number": 0})
    before = trial_set(kept, control, kept.runs(USUAL))
    after = trial_set(kept, kept.run(experiment="control"), kept.runs(SLOW[:4]), not_run=1)
    found = compared(before, after)
    (cell,) = found.comparison.cells
    assert found.comparison.exit_code == 1
    assert [len(side.runs) for side in (cell.input.baseline, cell.input.candidate)] == [5, 4]
    assert [(one.run, one.why) for one in cell.input.candidate.left_out] == [
        ("trial 5", "not run: interrupted before its turn")
    ]
    assert "5 runs; harness" in found.baseline.head


@pytest.mark.long
def test_trials_with_the_same_schedule_are_pairs_whatever_moment_was_drawn(kept: Kept, compared: Go) -> None:
    sides = []
    for seconds in (USUAL, SLOW):
        runs = []
        for number, value in enumerate(seconds, 1):
            offset_s = number / 8

            def drawn(spec: dict[str, Any], offset_s: float = offset_s) -> None:
                spec["experiment"]["faults"][0]["at_s"] += offset_s

            trial = {"number": number, "offset_s": offset_s}
            runs += kept.runs([value], spec=drawn, trial=trial, schedule_sha256=f"s{number}")
        sides.append(trial_set(kept, kept.run(experiment="control"), runs))
    found = compared(*sides).comparison
    assert found.exit_code == 1
    assert {row.paired for _, row in found.worse} == {True}


def test_matrices_are_compared_cell_by_cell(kept: Kept, compared: Go) -> None:
    both, first, second = ("active-passive", "node-kill"), ("ha", "lb-loss"), ("ha", "partition")
    before = matrix(kept, "a", {both: kept.runs(USUAL), first: kept.runs(USUAL, topology="ha", experiment="lb-loss")})
    after = matrix(
        kept,
        "b",
        {both: kept.runs(SLOW), first: [], second: kept.runs(USUAL, topology="ha", experiment="partition")},
    )
    found = compared(before, after).comparison
    assert [cell.title for cell in found.cells] == ["node-kill on active-passive"]
    assert found.only_baseline == ["lb-loss on ha (5 runs): not run: interrupted before its turn"]
    assert found.only_candidate == ["partition on ha (5 runs)"]
    assert found.exit_code == 1


def test_one_run_against_one_tells_nothing_but_a_lost_write(kept: Kept, compared: Go) -> None:
    def lose(content: dict[str, Any]) -> None:
        content["writes"]["lost"] = 3
        (check,) = [
            one for one in content["verdict"]["checks"] if one["source"] == "objective" and "writes" in one["name"]
        ]
        check["kept"] = False
        content["verdict"]["outcome"] = "FAIL"

    good, slow, lost = kept.runs([4.0])[0], kept.runs([40.0])[0], kept.runs([4.0], lose)[0]
    assert compared(good, slow).comparison.exit_code == 2
    found = compared(good, lost).comparison
    assert found.exit_code == 1
    assert [row.comparable.key for _, row in found.worse] == ["runs_losing_writes"]
    known = kept.runs([4.0], lose, lambda content: content.update(known_broken="it is asynchronous"))[0]
    assert compared(good, known).comparison.exit_code == 2


# -- what must not be compared -------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_different_load_is_refused_with_its_key(kept: Kept, compared: Go) -> None:
    kept.runs(USUAL, day=1)
    more = kept.runs(USUAL, day=2, spec=lambda spec: spec["experiment"]["load"].update(users=24))
    with pytest.raises(UsageError, match=r"load\.users: 12 against 24"):
        compared(kept.runs(USUAL)[0], more[0])


def test_a_different_experiment_is_refused(kept: Kept, compared: Go) -> None:
    kill, loss = kept.run(), kept.run(experiment="lb-loss")
    with pytest.raises(UsageError, match="experiment: node-kill against lb-loss"):
        compared(kill, loss)


def test_a_fault_more_is_a_difference_and_what_judges_a_run_is_none(kept: Kept, compared: Go) -> None:
    def judged_otherwise(spec: dict[str, Any]) -> None:
        spec["experiment"] |= {"description": "other words", "objectives": {"sessions_lost_at_most": 3}}
        spec["topology"]["promises"] = {}
        del spec["experiment"]["blast_radius"]  # a key that a version did not know

    plain, other = kept.run(), kept.run(spec=judged_otherwise)
    assert compared(plain, other).comparison.cells[0].input.differs == []
    twice = kept.run(
        spec=lambda spec: spec["experiment"]["faults"].append(dict(spec["experiment"]["faults"][0], options={}))
    )
    with pytest.raises(UsageError, match=r"faults \(number\): 1 against 2"):
        compared(plain, twice)


def test_runs_of_two_versions_of_a_platform_are_not_one_side(kept: Kept, compared: Go) -> None:
    kept.run()
    kept.run(spec=lambda spec: spec["topology"].update(database=None))
    with pytest.raises(
        UsageError, match=r"were both node-kill on active-passive, but topology\.database: some against none"
    ):
        compared(cell_of(kept), cell_of(kept))


def test_matrices_with_nothing_in_common_say_what_they_have(kept: Kept, compared: Go) -> None:
    a, b, c = ({(name, "x"): [kept.run(topology=name, experiment="x")]} for name in "abc")
    one, other = matrix(kept, "a", {**a, **b}), matrix(kept, "b", c)
    with pytest.raises(UsageError, match="has x on a, x on b"):
        compared(one, other)


# -- what is no evidence -------------------------------------------------------------------------------------------


def test_runs_that_prove_nothing_are_named_and_in_no_number(kept: Kept, compared: Go) -> None:
    before = [*kept.runs(USUAL, day=1)]
    broken = kept.run(outcome("ERROR", "the engine went away"), day=2)
    doubt = kept.run(outcome("INCONCLUSIVE", "probes were sent late"), day=2)
    torn, gone = kept.run(day=2), kept.run(day=2)
    (torn / "measures.json").write_text('{"verdict": {')
    (gone / "measures.json").unlink()
    old = kept.run(lambda content: content.pop("outages"), day=2)
    after = [*kept.runs(USUAL, day=2), broken, doubt, torn, gone, old]
    found = compared(
        matrix(kept, "a", {("active-passive", "node-kill"): before}),
        matrix(kept, "b", {("active-passive", "node-kill"): after}),
    )
    (cell,) = found.comparison.cells
    assert found.comparison.exit_code == 0
    assert len(cell.input.candidate.runs) == 5
    why = {one.run.rpartition("/")[2]: one.why for one in cell.input.candidate.left_out}
    assert why[broken.name] == "ERROR: the engine went away"
    assert why[doubt.name] == "INCONCLUSIVE: probes were sent late"
    assert "measures.json can't be read" in why[torn.name]
    assert why[gone.name].startswith("there is no measures.json (harness analyze")
    assert "of another version: KeyError: 'outages'" in why[old.name]
    assert "5 left out" in found.candidate.head


def test_a_cell_without_any_proof_is_exit_code_2(kept: Kept, compared: Go) -> None:
    before = trial_set(kept, kept.run(experiment="control"), kept.runs(USUAL))
    nothing = kept.runs(USUAL, outcome("INCONCLUSIVE", "the steady state was not reached"))
    after = trial_set(kept, kept.run(experiment="control"), nothing)
    found = compared(before, after).comparison
    assert (found.exit_code, found.cells[0].no_evidence) == (2, True)


def test_a_set_of_which_no_trial_was_run_is_refused(kept: Kept, compared: Go) -> None:
    good = trial_set(kept, kept.run(experiment="control"), kept.runs(USUAL))
    empty = trial_set(kept, kept.run(experiment="control"), [], not_run=3)
    with pytest.raises(UsageError, match="no trial was run: not run: interrupted"):
        compared(good, empty)


def test_other_surroundings_are_said(kept: Kept, compared: Go) -> None:
    one = kept.run(git_revision="aaa", machine={"cores": 2}, images={"agent": "sha256:1"})
    other = kept.run(git_revision="bbb", machine={"cores": 4}, images={"agent": "sha256:2"})
    differs = compared(one, other).comparison.cells[0].input.differs
    assert differs == ["git_revision: aaa against bbb", "machine.cores: 2 against 4", "images: agent"]


def test_a_tolerance_names_a_measure() -> None:
    assert tolerances_of(["outage_s.work=2.5", "sessions_lost=1"]) == {"outage_s.work": 2.5, "sessions_lost": 1.0}
    with pytest.raises(UsageError, match=r"did you mean outage_s\.work"):
        tolerances_of(["outage_s.wrk=2"])
    for wrong in ("outage_s.work", "outage_s.work=", "outage_s.work=-1", "outage_s.work=nan"):
        with pytest.raises(UsageError, match="--tolerance"):
            tolerances_of([wrong])


# -- the baseline --------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_is_marked_is_the_baseline(kept: Kept, compared: Go) -> None:
    first = matrix(kept, "a", {("active-passive", "node-kill"): kept.runs(USUAL, day=1)})
    second = matrix(kept, "b", {("active-passive", "node-kill"): kept.runs(USUAL, day=2)})
    tonight = matrix(kept, "c", {("active-passive", "node-kill"): kept.runs(SLOW[:3], day=3)})
    results = Results(kept.root)
    said = mark(results, [first])
    assert said[1:] == ["  node-kill on active-passive: 5"]
    assert json.loads(results.baseline.path.read_text())["results"] == ["matrix/a.json"]
    assert compared(Path("baseline"), tonight).comparison.exit_code == 2  # 3 against 5 are too few
    mark(results, [second], add=True)
    found = compared(results.baseline.path, tonight)
    assert found.comparison.exit_code == 1
    assert "10 runs" in found.baseline.head
    mark(results, [tonight], add=True, at_most=2)
    assert json.loads(results.baseline.path.read_text())["results"] == ["matrix/b.json", "matrix/c.json"]


@pytest.mark.long
def test_nothing_is_overwritten_by_what_can_be_no_baseline(kept: Kept, tmp_path: Path) -> None:
    results = Results(kept.root)
    mark(results, [kept.run(day=1)])
    before = results.baseline.path.read_text()
    nothing = kept.run(outcome("ERROR", "the engine went away"))
    other = kept.run(spec=lambda spec: spec["experiment"]["load"].update(users=24))
    outside = Kept(tmp_path / "elsewhere", RunFolder(kept.run())).run()
    for paths, more, message in (
        ([nothing], {}, "no run in it proves anything: .*the engine went away"),
        ([other], {"add": True}, r"load\.users: 12 against 24"),
        ([outside], {}, "stays beside its baseline"),
        ([kept.root / "nowhere"], {}, "no such file or folder"),
        ([Path("baseline")], {}, "means what is marked already"),
    ):
        with pytest.raises(UsageError, match=message):
            mark(results, paths, **more)
    assert results.baseline.path.read_text() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no baseline"),
        ("{", "is no baseline"),
        ("[]", "is no baseline"),
        ('{"schema": 1, "results": []}', "0 results"),
        ('{"schema": 9, "results": ["x"]}', "schema 9"),
        ('{"schema": 1, "results": ["matrix/gone.json"]}', "is not there any more"),
    ],
)
def test_a_missing_or_broken_baseline_is_said(kept: Kept, compared: Go, content: str | None, message: str) -> None:
    run = kept.run()
    if content is not None:
        (kept.root / "baseline.json").write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        compared(Path("baseline"), run)
    assert "harness baseline RESULT" in caught.value.hint


def test_equal_sides_of_whole_folders_are_alike(kept: Kept, compared: Go) -> None:
    kept.runs(USUAL)
    found = compared(cell_of(kept), cell_of(kept)).comparison
    assert found.exit_code == 0
    words = {row.comparable.key: row.word for row in found.cells[0].rows}
    assert words["outage_s.work"] is Word.ALIKE
