"""What is called worse: false alarms and power by simulation, and every word with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness.analysis.comparable import COMPARABLES, Kind
from harness.analysis.comparing import compare
from harness.analysis.comparison import CellInput, Comparison, LeftOut, Row, RunReadings, SideInput, Word
from harness.analysis.differences import Reading

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]
#: Measures that decide and are no shares: everything that varies in most runs.
MEANS = [one.key for one in COMPARABLES if one.gated and one.kind is Kind.MEAN]
LOST = "acknowledged writes lost"


def run(values: Mapping[str, float], *, name: str = "run", error: float = 0.1, **more: Any) -> RunReadings:
    found = {key: Reading(value=float(value), error=error) for key, value in values.items()}
    return RunReadings(name=name, readings=found, **more)


def side(runs: Sequence[RunReadings], left_out: Sequence[LeftOut] = (), topology: str = "active-passive") -> SideInput:
    return SideInput(topology=topology, runs=runs, left_out=left_out)


def cell(baseline: Sequence[RunReadings], candidate: Sequence[RunReadings], name: str = "node-kill") -> CellInput:
    return CellInput(experiment=name, baseline=side(baseline), candidate=side(candidate))


def outages(*values: float, key: str = "outage_s.work", **more: Any) -> list[RunReadings]:
    return [run({key: value}, **more) for value in values]


def the_row(found: Comparison, key: str = "outage_s.work", at: int = 0) -> Row:
    (row,) = [row for row in found.cells[at].rows if row.comparable.key == key]
    return row


# -- by simulation -------------------------------------------------------------------------------------------------


def normal(rng: np.random.Generator, runs: int, measures: int) -> Floats:
    return rng.normal(4.0, 0.8, (runs, measures))


def skewed(rng: np.random.Generator, runs: int, measures: int) -> Floats:
    return 3.0 + rng.exponential(1.5, (runs, measures))


def one_in_five_thrice(rng: np.random.Generator, runs: int, measures: int) -> Floats:
    return np.where(rng.random((runs, measures)) < 0.2, 9.0, 3.0) + rng.normal(0, 0.05, (runs, measures))


def one_or_the_other(rng: np.random.Generator, runs: int, measures: int) -> Floats:
    return np.where(rng.random((runs, measures)) < 0.5, 7.0, 0.0)


def simulated(
    draw: Draw, sizes: tuple[int, int], comparisons: int, *, shift: float = 0.0, paired: bool = False
) -> list[Comparison]:
    """Comparisons of measures that have nothing to do with each other, of which the first is shifted."""
    rng = np.random.default_rng(20260101)
    found = []
    for _ in range(comparisons):
        sides: list[list[RunReadings]] = []
        for runs in sizes:
            values = draw(rng, runs, len(MEANS))
            if len(sides) == 1:
                values[:, MEANS.index("outage_s.work")] += shift
            hashes = [str(index) if paired else f"{len(sides)}/{index}" for index in range(runs)]
            sides.append(
                [
                    run(dict(zip(MEANS, row, strict=True)), schedule_sha256=digest)
                    for row, digest in zip(values.tolist(), hashes, strict=True)
                ]
            )
        found.append(compare([cell(sides[0], sides[1])]))
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("draw", "sizes"),
    [
        (normal, (5, 5)),
        (skewed, (5, 5)),
        (one_or_the_other, (5, 5)),
        (one_in_five_thrice, (5, 5)),
        (one_in_five_thrice, (30, 3)),
    ],
)
def test_equals_differ_in_no_more_cases_than_is_said(draw: Draw, sizes: tuple[int, int]) -> None:
    """5% for anything that is called worse or better in a comparison of 400."""
    found = simulated(draw, sizes, 400)
    assert all(one.tests >= len(MEANS) - 2 for one in found)  # they could have been told apart
    wrong = sum(any(row.word in (Word.WORSE, Word.BETTER) for row in one.cells[0].rows) for one in found)
    assert wrong <= 0.05 * len(found)


@pytest.mark.long
def test_equals_with_the_same_schedules_differ_in_no_more_cases() -> None:
    found = simulated(skewed, (5, 5), 200, paired=True)
    assert all(the_row(one).paired for one in found)
    assert sum(one.exit_code for one in found) <= 0.05 * len(found)


@pytest.mark.long
@pytest.mark.parametrize(("sizes", "shift", "power"), [((5, 5), 5.0, 0.9), ((10, 10), 3.0, 0.9), ((30, 3), 4.0, 0.9)])
def test_a_shift_is_found_and_named(sizes: tuple[int, int], shift: float, power: float) -> None:
    """Of 4 s with a standard deviation of 20%; tolerance 1 s."""
    found = simulated(normal, sizes, 100, shift=shift)
    named = [one for one in found if [row.comparable.key for _, row in one.worse] == ["outage_s.work"]]
    assert len(named) >= power * len(found)
    assert {one.exit_code for one in named} == {1}


# -- words ---------------------------------------------------------------------------------------------------------


def test_a_difference_within_the_tolerance_is_alike_and_beyond_it_worse() -> None:
    before = outages(4.0, 4.1, 4.2, 4.1, 4.0)
    assert the_row(compare([cell(before, outages(4.3, 4.2, 4.4, 4.3, 4.2))])).word is Word.ALIKE
    assert the_row(compare([cell(before, outages(6.3, 6.2, 6.4, 6.3, 6.2))])).word is Word.WORSE
    assert the_row(compare([cell(before, outages(2.3, 2.2, 2.4, 2.3, 2.2))])).word is Word.BETTER
    assert the_row(compare([cell(before, outages(1.0, 9.0, 4.0, 3.0, 9.0))])).word is Word.CANT_TELL


def test_the_interval_that_is_shown_is_the_one_that_decides() -> None:
    found = compare([cell(outages(4.0, 4.4, 4.2, 4.1, 4.0), outages(8.3, 8.2, 8.9, 8.3, 8.2))])
    row = the_row(found)
    assert found.tests == 1
    assert row.confidence == pytest.approx(0.95)
    assert row.bounds.lower is not None
    assert row.bounds.lower > row.tolerance
    assert row.tolerance == pytest.approx(0.25 * 4.14)  # a quarter of the baseline, more than 1 s


def test_where_more_is_better_less_is_worse() -> None:
    found = compare(
        [cell(outages(72, 72, 60, 72, 72, key="users_carried"), outages(36, 24, 36, 36, 36, key="users_carried"))]
    )
    assert the_row(found, "users_carried").word is Word.WORSE
    assert found.exit_code == 1


def test_what_does_not_decide_is_shown_and_fails_nothing() -> None:
    key = "latency_s.work"
    found = compare(
        [
            cell(
                outages(0.05, 0.051, 0.05, 0.05, 0.05, key=key, error=0.001),
                [run({key: 0.3, "sessions_lost": 0.0}, error=0.001) for _ in range(5)],
            )
        ]
    )
    assert the_row(found, key).word is Word.WORSE
    assert not found.worse


def test_a_tolerance_can_be_wished() -> None:
    sides = outages(4.0, 4.1, 4.2, 4.1, 4.0), outages(6.3, 6.2, 6.4, 6.3, 6.2)
    found = compare([cell(*sides)], tolerances={"outage_s.work": 5.0})
    assert the_row(found).word is Word.ALIKE
    assert found.exit_code == 0


# -- how many runs -------------------------------------------------------------------------------------------------


def test_single_runs_tell_nothing_and_it_is_said_how_many_are_needed() -> None:
    found = compare([cell([run(dict.fromkeys(MEANS, 4.0))], [run(dict.fromkeys(MEANS, 40.0))])])
    assert found.exit_code == 2
    assert found.tests == 0
    assert found.runs_needed == 5
    assert {row.word for row in found.cells[0].rows} == {Word.CANT_TELL}
    assert the_row(found).difference == 36
    assert the_row(found).why == "too few runs"


def test_three_runs_are_enough_for_one_measure_and_not_for_many() -> None:
    alone = compare([cell(outages(4.0, 4.1, 4.2), outages(40.0, 40.1, 40.2))])
    assert alone.exit_code == 1
    many = compare(
        [
            cell(
                [run(dict.fromkeys(MEANS, v)) for v in (4.0, 4.1, 4.2)],
                [run(dict.fromkeys(MEANS, v)) for v in (40.0, 40.1, 40.2)],
            )
        ]
    )
    assert many.exit_code == 2
    assert "with so many 5 runs a side are needed" in the_row(many).why


def test_measures_that_never_vary_and_cells_with_too_few_runs_widen_no_interval() -> None:
    others = {"sessions_lost": 0.0, "logged_in_again": 0.0, "sessions_restarted": 12.0}
    before = [run({"outage_s.work": value, **others}) for value in (4.0, 4.1, 4.2)]
    after = [run({"outage_s.work": value, **others}) for value in (40.0, 40.1, 40.2)]
    few = cell(outages(4.0, key="outage_s.save"), outages(5.0, key="outage_s.save"), "lb-loss")
    found = compare([cell(before, after), few])
    assert found.tests == 1
    assert found.exit_code == 1
    assert the_row(found, "sessions_restarted").word is Word.ALIKE


def test_every_cell_shares_the_confidence() -> None:
    cells = [cell(outages(4.0, 4.4, 4.2, 4.1, 4.0), outages(4.3, 4.2, 4.9, 4.3, 4.2), f"e{n}") for n in range(8)]
    found = compare(cells)
    assert found.tests == 8
    assert the_row(found, at=3).confidence == pytest.approx(1 - 0.05 / 8)


def test_sides_that_are_the_same_in_everything_are_no_failure() -> None:
    found = compare([cell(outages(0, 0, 0), outages(0, 0, 0))])
    assert (found.tests, found.varying, found.exit_code) == (0, 0, 0)


# -- promises, missing evidence ------------------------------------------------------------------------------------


def test_one_lost_write_is_enough_where_none_is_promised() -> None:
    good = run({"runs_losing_writes": 0.0})
    lost = run({"runs_losing_writes": 1.0}, broken=frozenset({LOST}))
    found = compare([cell([good], [lost])])
    assert found.exit_code == 1
    assert the_row(found, "runs_losing_writes").why == (
        "a promise that none of 1 runs broke, and now 1 of 1: one is enough"
    )


def test_where_the_baseline_lost_writes_too_or_nothing_is_promised_runs_are_counted() -> None:
    good, bad = run({"runs_losing_writes": 0.0}), run({"runs_losing_writes": 1.0})
    refuted = run({"runs_losing_writes": 1.0}, broken=frozenset({LOST}))
    assert compare([cell([good], [bad])]).exit_code == 2
    assert compare([cell([good, refuted], [refuted])]).exit_code == 2
    assert compare([cell([good] * 12, [bad] * 10 + [good] * 2)]).exit_code == 1


def test_a_cell_that_lost_all_of_its_evidence_is_not_passed_over() -> None:
    fine = cell(outages(4.0, 4.1, 4.2, 4.1, 4.0), outages(4.3, 4.2, 4.4, 4.3, 4.2))
    broke = CellInput(
        experiment="lb-loss",
        baseline=side(outages(4.0, 4.1, 4.2)),
        candidate=side([], [LeftOut("lb-loss/x", "ERROR: the engine went away")]),
    )
    assert compare([fine]).exit_code == 0
    found = compare([fine, broke])
    assert found.exit_code == 2
    assert found.cells[1].no_evidence


def test_runs_with_the_same_schedule_are_held_against_each_other() -> None:
    def runs(*values: float, first: int = 0) -> list[RunReadings]:
        return [run({"outage_s.work": v}, schedule_sha256=str(first + i)) for i, v in enumerate(values)]

    before = runs(2.0, 12.0, 22.0, 32.0, 42.0)
    assert the_row(compare([cell(before, runs(22.0, 32.1, 42.2, 52.0, 62.0))])).paired
    assert not the_row(compare([cell(before, runs(22.0, 32.1, 42.2, 52.0, 62.0, first=9))])).paired
    assert the_row(compare([cell(before, runs(22.0, 32.1, 42.2))])).paired  # two trials proved nothing
    assert not the_row(compare([cell(before, runs(22.0, 32.1))])).paired


def test_everything_is_there_as_json() -> None:
    found = compare(
        [cell(outages(4.0, 4.4, 4.2, 4.1, 4.0), outages(8.3, 8.2, 8.9, 8.3, 8.2))], only_baseline=["lb-loss on ha"]
    ).to_json_dict()
    assert (found["exit_code"], found["worse"]) == (1, ["outage_s.work: node-kill on active-passive"])
    assert found["only_baseline"] == ["lb-loss on ha"]
    (measure,) = found["cells"][0]["measures"]
    assert measure["word"] == "worse"
    assert measure["lower"] < measure["difference"] < measure["upper"]
