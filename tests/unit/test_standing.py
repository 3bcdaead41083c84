"""How a cell stands to its promise, by all its trials, and how that is shown in a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.analysis import Measures, analyse
from harness.analysis.gate import WithoutFault
from harness.analysis.standing import Cell, CellTrial, Standing, exit_code, standing
from harness.core.verdict import Check, Outcome, Verdict
from harness.core.words import Recovery, SessionOutcome
from harness.report.matrix_words import few_words, measured, promised
from tests.unit.analysis_runs import PROMISE, twelve_users
from tests.unit.matrix_runs import cell_of, printed, result_of, trial_of


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


def stands(*words: Standing | None) -> Cell:
    """A cell whose trials stand so; None was not run."""
    outcomes = {Standing.NO_PROOF: Outcome.INCONCLUSIVE, Standing.ERROR: Outcome.ERROR}
    trials = [
        CellTrial(number=number, why_not="not run: x")
        if word is None
        else CellTrial(number=number, standing=word, outcome=outcomes.get(word, Outcome.PASS), reasons=(f"r {word}",))
        for number, word in enumerate(words, 1)
    ]
    return cell_of(trials=tuple(trials))


ASIDE = cell_of(trials=(), why_not="not applicable: no GPU", applicable=False)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ([stands(Standing.AS_PROMISED), stands(Standing.KNOWN_BROKEN), ASIDE], 0),
        ([stands(Standing.AS_PROMISED), stands(Standing.NO_PROOF)], 2),
        ([stands(Standing.NO_PROOF), stands(Standing.ERROR)], 70),
        ([stands(Standing.ERROR), stands(Standing.BROKEN)], 1),
        ([stands(Standing.NO_PROOF), stands(Standing.MENDED)], 1),
        ([ASIDE], 2),
        ([], 2),
    ],
)
def test_the_exit_code(cells: list[Cell], code: int) -> None:
    assert exit_code(cells) == code


@pytest.mark.parametrize(
    ("trials", "expected", "code"),
    [
        ([Standing.AS_PROMISED] * 3, Standing.AS_PROMISED, 0),
        ([Standing.AS_PROMISED, Standing.BROKEN, Standing.AS_PROMISED], Standing.FLAKY, 1),
        ([Standing.AS_PROMISED, Standing.NO_PROOF], Standing.FLAKY, 2),
        ([Standing.AS_PROMISED, Standing.ERROR], Standing.FLAKY, 70),
        ([Standing.MENDED, Standing.KNOWN_BROKEN], Standing.FLAKY, 0),
        ([Standing.MENDED, Standing.NO_PROOF], Standing.FLAKY, 1),
        ([Standing.AS_PROMISED, None], Standing.NO_PROOF, 2),
        ([Standing.BROKEN, None], Standing.BROKEN, 1),
        ([Standing.KNOWN_BROKEN, None], Standing.NO_PROOF, 2),
        ([None, None], Standing.NO_PROOF, 2),
    ],
)
def test_a_cell_stands_as_all_its_trials_and_the_worst_one_counts(
    trials: list[Standing | None], expected: Standing, code: int
) -> None:
    cell = stands(*trials)
    assert (cell.standing, cell.exit_code) == (expected, code)


def test_the_reasons_of_a_flaky_cell_name_every_trial() -> None:
    cell = stands(Standing.AS_PROMISED, Standing.BROKEN, Standing.AS_PROMISED, None)
    assert cell.counts == {"as promised": 2, "BROKEN": 1, "not run": 1}
    assert cell.reasons == (
        "trials 1, 3: as promised: r as promised",
        "trial 2: BROKEN: r BROKEN",
        "trial 4: not run: x",
    )


def test_a_cell_survives_its_file(passed: Measures) -> None:
    lost = analyse(twelve_users(lose_user=True))
    for cell in (cell_of(passed, lost, None, known_broken="it is old"), ASIDE, cell_of(passed, promise=None)):
        assert Cell.from_json_dict(cell.to_json_dict()) == cell


# -- how it is shown -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def passed() -> Measures:
    return analyse(twelve_users())


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
    assert (measured(ASIDE), few_words(ASIDE)) == ("not applicable: no GPU", "not applicable")
    assert few_words(cell_of(None)) == "not run"
    unproven = cell_of(replace(passed, verdict=Verdict(Outcome.INCONCLUSIVE, ("why",), ())))
    assert (few_words(unproven), measured(unproven)) == ("no proof", "nothing was proved")


def test_several_trials_in_words(passed: Measures) -> None:
    lost = analyse(twelve_users(lose_user=True))
    assert measured(cell_of(passed, passed)) == "by design, 4.0 s, 12 restarted"
    assert measured(cell_of(passed, lost)) == "did not recover, 4.0 s, 11 to 12 restarted, 0 to 1 lost"
    repaired = replace(passed, sessions=tuple(replace(row, recovery=Recovery.BY_REPAIR) for row in passed.sessions))
    assert few_words(cell_of(passed, repaired)) == "4.0 s until repaired (1 of 2 trials), 12 restarted"
    calm = replace(passed, capabilities=())
    assert few_words(cell_of(passed, calm)) == "4.0 s / no outage, 12 restarted"


def test_the_tables(passed: Measures) -> None:
    broken = analyse(twelve_users(lose_user=True, promise=replace(PROMISE, session_outcome=SessionOutcome.KEPT)))
    result = result_of(
        cell_of(passed),
        replace(ASIDE, experiment="gpu-loss", why_not="not applicable: pair has no GPU"),
        cell_of(topology="naive", trials=(trial_of(broken, folder="naive/node-kill/x"),)),
        cell_of(broken, topology="old", known_broken="it is old"),
    )
    text = printed(result, width=140)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "pair node-kill PASS by design, 15 s, restarted by design, 4.0 s, 12 restarted as promised" in lines
    assert "pair gpu-loss by design, 15 s, restarted pair has no GPU not applicable" in lines
    assert any(line.startswith("naive node-kill FAIL") and line.endswith("BROKEN") for line in lines)
    assert "topology node-kill gpu-loss" in lines
    assert "pair 4.0 s, 12 restarted not applicable" in lines
    assert "naive/node-kill/x/report.html" in lines
    assert "naive needs a repair: node-kill" in lines
    assert "4 cells: 1 as promised, 1 known broken, 1 BROKEN, 1 not applicable; exit code 1" in lines
    assert lines[-2:] == ["matrix: results/matrix/x.json", "page: results/matrix/x.html"]


def test_a_flaky_cell_is_shown_with_all_its_trials(passed: Measures) -> None:
    broken = analyse(twelve_users(lose_user=True))
    text = printed(result_of(cell_of(passed, broken), trials=2))
    assert "1 PASS" in text.split("what each topology does")[0]
    assert "flaky: pair, node-kill: trial 1: as promised: all" in text
    assert "trial 1: as promised: by design, 4.0 s, 12 restarted: pair/node-kill/run-1/report.html" in text
    assert "trial 2: BROKEN: did not recover, 4.0 s, 11 restarted, 1 lost: pair/node-kill/run-2/report.html" in text
    assert "1 cell of 2 trials: 1 flaky; exit code 1" in text


def test_an_unfinished_matrix_says_how_to_go_on(passed: Measures) -> None:
    text = printed(result_of(cell_of(passed, None)))
    assert "1 runs are still to be done: harness matrix --resume results/matrix/x.json" in text
    assert "--resume" not in printed(result_of(cell_of(passed, None), made_with={})), "of an earlier version"


def test_more_experiments_than_fit_beside_each_other_get_a_second_table(passed: Measures) -> None:
    text = printed(result_of(*(cell_of(passed, experiment=f"failure-{number}") for number in range(7))), width=100)
    assert text.count("what each topology does under each failure") == 3
    tables = text.split("what each topology buys")[0].split("what each topology does under each failure")[1:]
    assert max(len(line) for table in tables for line in table.splitlines()) <= 100
    assert [table.count("4.0 s, 12 restarted") for table in tables] == [3, 3, 1]
    assert [table.split()[:2] for table in tables] == [["topology", f"failure-{first}"] for first in (0, 3, 6)]


def test_names_are_no_markup(passed: Measures) -> None:
    assert "[bold]x" in printed(result_of(cell_of(passed, topology="[bold]x")))
