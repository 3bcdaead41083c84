"""A calibration on the fake clock: outages whose length is known, through the code that measures those of a run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from harness.analysis.calibration import Calibration, exact_interval
from harness.core.calibration import Away, CalibrationPlan, Trial
from harness.core.clock import FakeClock
from harness.core.history import EventKind, read_history
from harness.core.verdict import Outcome
from harness.errors import RecordError, RunInterrupted, UsageError
from harness.faults.base import Evidence, State
from harness.faults.host import Host
from harness.faults.kinds.processes import Freeze
from harness.faults.registry import FAULTS
from harness.run.artifacts import CalibrationFolder
from harness.run.calibrate import checked_plan, lasts_s, run_calibration, trials_of
from harness.run.calibrations import last_calibration, read_calibration
from tests.unit.rig_runs import MACHINE, SHORT, Behaviour, RigRuntime, Watcher

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
Calibrate = Callable[..., tuple[CalibrationFolder, Calibration]]


def run_on(
    folder: Path, behaviour: Behaviour | None = None, plan: CalibrationPlan = SHORT, *, seed: int = 7, **machine: Any
) -> tuple[CalibrationFolder, Calibration]:
    clock = FakeClock()
    runtime = RigRuntime(clock, folder, behaviour or Behaviour(), {**MACHINE, **machine})
    done = run_calibration(
        runtime=runtime, plan=plan, results=folder / "results", watcher=Watcher(), seed=seed, clock=clock
    )
    assert [deployment.removed for deployment in runtime.deployments] == [True]
    return done


@pytest.fixture
def calibrated(tmp_path: Path) -> Calibrate:
    return lambda *args, **kwargs: run_on(tmp_path, *args, **kwargs)


def test_the_whole_matrix_meets_the_aims_where_the_probes_are_right(calibrated: Calibrate) -> None:
    folder, result = calibrated(plan=CalibrationPlan(repetitions=2))
    assert result.outcome is Outcome.PASS, result.reasons
    assert [(cell.away.value, cell.nominal_s) for cell in result.cells[:9]] == [
        (away, seconds) for away in ("kill", "stall", "drop") for seconds in (0.25, 1.0, 3.0)
    ]
    judged = [value for value in result.values if value.series == "rig at 100/s"]
    assert len(judged) == 18
    for value in judged:
        assert 0.8 * value.nominal_s - 0.002 <= value.true_s <= 1.2 * value.nominal_s + 0.002
        assert value.pieces == 1
        assert value.inside
        assert value.error_s is not None
        assert abs(value.error_s) <= 0.010
    # the truth of dropped packets lies between two of them, if the agent's stamps do not know it better
    assert all(value.true_plus_minus_s <= 0.0011 for value in judged)
    assert result.false_outages == {"rig at 100/s": 0, "rig at 4/s": 0}
    # the rate of a run is coarser, and its bounds say so
    coarse = [cell for cell in result.kinds if cell.series == "rig at 4/s"]
    assert all((cell.bounds_plus_minus_s or 0) > 0.2 for cell in coarse)
    assert {event.data["step"] for event in read_history(folder.recorded.history).of(EventKind.FAULT)} >= {"undo"}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32), seconds=st.floats(0.25, 2), late_s=st.floats(0, 0.009), latency_s=st.floats(1e-4, 0.004)
)
def test_bounds_contain_the_truth(
    tmp_path_factory: pytest.TempPathFactory, seed: int, seconds: float, late_s: float, latency_s: float
) -> None:
    _, result = run_on(
        tmp_path_factory.mktemp("run"),
        Behaviour(late_s=late_s, latency_s=latency_s),
        CalibrationPlan(durations_s=(seconds,), repetitions=1),
        seed=seed,
    )
    judged = [value for value in result.values if value.series == "rig at 100/s"]
    assert len(judged) == 3
    for value in judged:
        assert value.lower_s is not None
        assert value.upper_s is not None
        # as exactly as the truth itself is known
        assert value.lower_s - value.true_plus_minus_s <= value.true_s <= value.upper_s + value.true_plus_minus_s


def test_the_same_seed_makes_the_same_outages() -> None:
    def order(seed: int) -> list[Trial]:
        return trials_of(CalibrationPlan(), random.Random(seed))

    assert order(1) == order(1) != order(2)
    assert len(order(1)) == 54
    assert len({trial.seconds for trial in order(1)}) == 54  # none is a whole number of periods but by chance


# -- what is not met, and what proves nothing --------------------------------------------------------------------------


def test_an_error_above_the_aim_fails(calibrated: Calibrate) -> None:
    _, result = calibrated(Behaviour(seen_longer_s=0.015))
    assert (result.outcome, result.outcome.exit_code) == (Outcome.FAIL, 1)
    assert {check.name for check in result.checks if not check.kept} >= {"mean error of kill of 0.5 s"}
    # 15 ms are not too much for a stall
    assert all(check.kept for check in result.checks if check.name == "mean error of stall of 0.5 s")


def test_an_outage_that_was_not_seen_is_no_small_error(calibrated: Calibrate) -> None:
    _, result = calibrated(Behaviour(deaf=True))
    assert result.outcome is Outcome.FAIL
    assert all(cell.seen == 0 and cell.mean_error_s is None and cell.inside == 0 for cell in result.cells)
    assert "none was seen, 2 of 2 not seen" in {check.observed for check in result.checks}


def test_probes_that_are_sent_too_late_prove_nothing(calibrated: Calibrate) -> None:
    _, result = calibrated(Behaviour(late_s=0.03))
    assert (result.outcome, result.outcome.exit_code) == (Outcome.INCONCLUSIVE, 2)
    assert any("probes were sent late (p99 " in reason for reason in result.reasons)
    assert not any(cell.conclusive for cell in result.cells if cell.series == "rig at 100/s")
    assert all(cell.conclusive for cell in result.cells if cell.series == "rig at 4/s")


def test_late_probes_widen_the_bounds(tmp_path: Path) -> None:
    widths = []
    for late_s in (0.0, 0.009):
        folder = tmp_path / str(late_s)
        folder.mkdir()
        _, result = run_on(folder, Behaviour(late_s=late_s), SHORT)
        assert result.outcome is Outcome.PASS, result.reasons
        (kill,) = [c for c in result.kinds if (c.series, c.away) == ("rig at 100/s", Away.KILL)]
        widths.append(kill.bounds_plus_minus_s or 0)
    assert widths[0] < widths[1]


def test_an_outage_while_nothing_was_wrong_proves_nothing(calibrated: Calibrate) -> None:
    _, result = calibrated(Behaviour(false_outage=True))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.false_outages["rig at 100/s"] == 1
    assert any("the rig was not quiet" in reason for reason in result.reasons)


def test_a_rig_that_never_serves_proves_nothing(calibrated: Calibrate) -> None:
    _, result = calibrated(Behaviour(never_up=True))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.values == ()
    assert "the rig did not serve: not good for 6 s within 60 s" in result.reasons[0]


def test_a_stall_without_proof_has_no_truth(calibrated: Calibrate) -> None:
    class Unseen(Freeze):
        def confirm(self, host: Host, state: State) -> Evidence:
            return Evidence(False, "in state R")

    _, result = calibrated(Behaviour(faults={**FAULTS, "freeze": Unseen()}))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert {value.away for value in result.values} == {Away.KILL, Away.DROP}
    assert any("(stall): confirm: rig: in state R" in reason for reason in result.reasons)


def test_an_interruption_keeps_what_was_measured(calibrated: Calibrate) -> None:
    def interrupt(number: int) -> None:
        if number == 16:  # 13 looks until all is steady, and three outages
            raise RunInterrupted("SIGINT")

    folder, result = calibrated(Behaviour(on_snapshot=interrupt))
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.reasons[0] == "interrupted by SIGINT"
    assert 0 < len({value.index for value in result.values}) < 6
    assert any("of 6 outages were made" in reason for reason in result.reasons)
    assert folder.file.is_file()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Behaviour(lose_row=True), "RecordError: probes.csv: the rows do not match"),
        (Behaviour(witness_deaf=True), "RunError: the rig did not hear within 3 s that packets were lost"),
    ],
    ids=["a lost row", "no packet was lost"],
)
def test_what_breaks_is_an_error(calibrated: Calibrate, behaviour: Behaviour, words: str) -> None:
    _, result = calibrated(behaviour)
    assert (result.outcome, result.outcome.exit_code) == (Outcome.ERROR, 70)
    assert result.reasons[0].startswith(words)


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_file_follows_its_schema_and_is_rebuilt_from_what_was_recorded(calibrated: Calibrate) -> None:
    folder, result = calibrated()
    assert folder.file.parent.parent.name == "calibration"
    content = json.loads(folder.file.read_text())
    schema = json.loads((ROOT / "docs/schema/calibration.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(content)
    assert content["run"]["machine"] == MACHINE
    assert content["run"]["probe_scheduler"] == "fake"
    assert content["run"]["processors_busy_ratio"] == 0.25
    assert set(content["run"]["versions"]) >= {"python", "pandas"}
    assert read_calibration(folder.file) == replace(result, run=content["run"])
    folder.file.unlink()
    again = CalibrationFolder.found(folder.path)
    assert again is not None
    again.analyse()
    assert json.loads(folder.file.read_text()) == content


def test_rows_of_another_calibration_are_refused(calibrated: Calibrate) -> None:
    folder, _ = calibrated()
    (folder.path / "probes.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"probes\.parquet: is not the file that the history"):
        folder.analyse()


@pytest.mark.parametrize(
    ("hits", "of", "lower", "upper"),
    # worked out from the binomial distribution: 0.025 ** (1 / 18), and 5 of 10 as in every table
    [(18, 18, 0.8147, 1), (0, 18, 0, 0.1853), (5, 10, 0.1871, 0.8129), (17, 18, 0.7271, 0.9986)],
)
def test_the_exact_interval(hits: int, of: int, lower: float, upper: float) -> None:
    assert list(exact_interval(hits, of)) == pytest.approx([lower, upper], abs=5e-4)


# -- quoted by runs ----------------------------------------------------------------------------------------------------


def test_the_last_quiet_calibration_of_this_machine_is_quoted(tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert last_calibration(results, MACHINE, datetime.now(UTC)) == {"why_not": ""}
    mine, _ = run_on(tmp_path)
    run_on(tmp_path, cores=4)
    run_on(tmp_path, plan=replace(SHORT, busy_processes=2))
    run_on(tmp_path, Behaviour(lose_row=True))
    for number, path in enumerate(reversed(CalibrationFolder.files(results))):  # all within one second
        path.parent.rename(path.parent.with_name(f"20260101T00000{number}Z-{path.parent.name[-6:]}"))
    found = last_calibration(results, MACHINE, datetime.now(UTC))
    assert found["path"].endswith(f"{mine.path.name[-6:]}/calibration.json")
    assert found["outcome"] == "PASS"
    assert 0 <= found["age_s"] < 60
    assert [(one["series"], one["away"]) for one in found["kinds"]][:3] == [
        ("rig at 100/s", away) for away in ("kill", "stall", "drop")
    ]
    assert found["kinds"][0]["inside"] == found["kinds"][0]["values"] == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"schema": 0}, "schema 0, expected 1"),
        ({"outcome": "GREAT"}, "outcome: "),
        ({"kinds": [{}]}, "kinds.0."),
    ],
)
def test_a_calibration_that_cannot_be_read_is_passed_over_and_said(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    folder, _ = run_on(tmp_path)
    folder.file.write_text(json.dumps(json.loads(folder.file.read_text()) | change))
    found = last_calibration(tmp_path / "results", MACHINE, datetime.now(UTC))
    assert set(found) == {"why_not"}
    assert problem in found["why_not"]
    assert found["why_not"].startswith(f"calibration/{folder.path.name}/calibration.json: ")


# -- options -----------------------------------------------------------------------------------------------------------


def plan_with(**changes: Any) -> CalibrationPlan:
    options: dict[str, Any] = {"durations_s": (1.0,), "repetitions": 1, "rate": 100.0, "busy_processes": 0}
    return checked_plan(**(options | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"durations_s": (0.1,)}, "an outage of 0.1 s: expected 0.25 to 10 s"),
        ({"durations_s": (1.0, 60.0)}, "an outage of 60 s"),
        ({"durations_s": (float("nan"),)}, "an outage of nan s"),
        ({"durations_s": (1.0, 1.0)}, "the same length twice"),
        ({"repetitions": 0}, "--repetitions 0: expected 1 to 100"),
        ({"rate": 1000.0}, "--rate 1000: expected 1 to 200"),
        ({"busy_processes": -1}, "--under-load -1: expected 0 to 64"),
    ],
)
def test_options_that_would_measure_nothing_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_with(**changes)


def test_a_load_is_bounded_by_the_machine(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9 busy processes on 2 processors: at most 8"):
        run_on(tmp_path, plan=plan_with(busy_processes=9))
    assert not (tmp_path / "results").exists()


def test_the_rate_of_runs_is_one_series() -> None:
    assert plan_with(rate=4.0).rates == (4.0,)
    assert plan_with(rate=20.0).rates == (20.0, 4.0)


def test_the_default_takes_less_than_four_minutes() -> None:
    assert lasts_s(CalibrationPlan()) < 210  # with half a minute for the rig
