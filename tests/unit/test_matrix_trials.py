"""A matrix whose cells have trials, on the fake runtime: seeds, control runs, flaky cells."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, CellTrial, Standing
from harness.core.history import Phase
from harness.core.verdict import Outcome
from harness.errors import SpecError
from harness.faults.registry import FAULTS, RULES
from harness.run.matrix import choose_matrix
from harness.run.matrix_nines import nines_of
from harness.run.matrix_plan import Slot, make_matrix_plan
from harness.run.schedule import make_plan
from tests.unit.matrix_runs import MatrixBench, content, make_catalog

pytestmark = pytest.mark.long


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MatrixBench:
    monkeypatch.setattr("harness.report.html.render_html", lambda *_: "")  # has tests of its own
    return MatrixBench(make_catalog(tmp_path, quick=True), tmp_path / "results")


def stand(cells: Sequence[Cell]) -> list[str]:
    return [cell.standing.value for cell in cells]


def test_each_cell_has_its_trials_after_one_control_run_for_the_topology(bench: MatrixBench) -> None:
    told: list[str] = []
    done = bench.go("right", "node-kill,lb-loss", trials=2, on_result=lambda _c, _t, slot: told.append(str(slot)))
    assert told == [
        "right, node-kill, control run",
        "right, node-kill, trial 1",
        "right, node-kill, trial 2",
        "right, lb-loss, trial 1",
        "right, lb-loss, trial 2",
    ]
    assert bench.runtimes.opened == ["right"], "all on one platform"
    (control,) = done.result.controls
    assert (control.clean, control.experiments) == (True, ("node-kill", "lb-loss"))
    assert control.trial.folder.startswith("right/control/")
    assert stand(done.result.cells) == ["as promised", "as promised"]
    assert done.result.finished
    assert done.exit_code == 0
    rows = choose_matrix(bench.catalog, "right", "node-kill", RULES)
    plan = make_plan(rows[0].topology, rows[0].experiments[0], 2, 7)
    trials = done.result.cells[0].trials
    assert [trial.seed for trial in trials] == [run.seed for run in plan.trials], "as of harness run --trials"
    assert [trial.schedule_sha256 for trial in trials] == [run.sha256 for run in plan.trials]
    facts = json.loads((bench.results / trials[1].folder / "run.json").read_text())
    assert facts["trial"]["number"] == 2
    assert facts["schedule_sha256"] == trials[1].schedule_sha256
    assert len(bench.histories()) == 5


def test_the_file_says_all_that_a_report_draws(bench: MatrixBench) -> None:
    bench.behaviour.takeover_s = 60.0
    done = bench.go("bare,right", "lb-loss,node-kill", trials=1)
    again = MatrixResult.from_json_dict(content(done), "x")
    assert again == done.result
    assert stand(done.result.cells) == ["not applicable", "BROKEN", "as promised", "BROKEN"]
    bare, right = content(done)["buys"]
    assert (bare["topology"], bare["trials"], bare["containers"]) == ("bare", 1, 1)
    assert (right["topology"], right["trials"], right["by_itself"]) == ("right", 2, 1)
    assert (right["needs_repair"], right["untold"], right["containers"]) == (["node-kill"], [], 5)
    assert right["may_need_repair_ratio"] == pytest.approx(0.95)


def test_another_load_gets_a_control_run_of_its_own(bench: MatrixBench) -> None:
    path = bench.catalog.experiment_path("other")
    path.write_text(path.read_text().replace("users: 2", "users: 3"))
    rows = choose_matrix(bench.catalog, "right,wrong", "node-kill,other,lb-loss", RULES)
    plan = make_matrix_plan(rows, trials=2, users=None, seed=1)
    assert {str(slot): names for slot, names in plan.controls.items()} == {
        "right, node-kill, control run": ("node-kill", "lb-loss"),
        "right, other, control run": ("other",),
        "wrong, node-kill, control run": ("node-kill", "lb-loss"),
        "wrong, other, control run": ("other",),
    }
    assert plan.control_of(Slot("right", "lb-loss", 2)) == Slot("right", "node-kill", 0)


def test_a_control_run_is_on_the_kind_of_platform_that_its_trials_need(bench: MatrixBench) -> None:
    path = bench.catalog.experiment_path("other")
    skew = "{fault: clock_skew, target: 'workbench[0]', at_s: 2, hold_s: 5, options: {offset_s: 60}}"
    path.write_text(re.sub("faults: .*", f"faults: [{skew}]", path.read_text()))
    rows = choose_matrix(bench.catalog, "right", "node-kill,other", RULES)
    plan = make_matrix_plan(rows, trials=1, users=None, seed=1)
    assert len(plan.controls) == 2, "a clock that can be set takes a library that nobody has for nothing"
    roles = [(str(slot), sorted(planned.needs.clock_roles)) for slot, planned in plan.runs["right"]]
    assert roles == [
        ("right, node-kill, control run", []),
        ("right, node-kill, trial 1", []),
        ("right, other, control run", ["workbench"]),
        ("right, other, trial 1", ["workbench"]),
    ]


def test_trials_that_disagree_make_a_flaky_cell_and_the_worst_one_counts(bench: MatrixBench) -> None:
    def slower(_cell: Cell | None, trial: CellTrial, _slot: Slot) -> None:
        bench.behaviour.takeover_s = 60.0 if trial.number == 1 else 1.0

    done = bench.go("right", "node-kill", trials=3, on_result=slower)
    (cell,) = done.result.cells
    assert [trial.standing for trial in cell.trials] == [
        Standing.AS_PROMISED,
        Standing.BROKEN,
        Standing.AS_PROMISED,
    ]
    assert cell.standing is Standing.FLAKY
    assert done.exit_code == 1
    assert len(bench.histories()) == 4, "nothing is tried again"
    assert content(done)["counts"] == {"flaky": 1}


# -- the control run -------------------------------------------------------------------------------------------------


def falter(bench: MatrixBench, topology: str) -> None:
    """The platform goes away for a moment while the control run is watched."""

    def leave(_now_ns: int) -> None:
        if bench.watcher.phases[-1] is Phase.SETTLE and "faltered" not in bench.watcher.notes:
            bench.watcher.note("faltered")
            bench.runtimes.deployment(topology).platform._leave("workbench-0")

    bench.behaviour.on_sleep = leave


def test_after_a_control_run_that_was_not_clean_no_trial_is_run(bench: MatrixBench) -> None:
    falter(bench, "right")
    done = bench.go("right", "node-kill,lb-loss", trials=2)
    (control,) = done.result.controls
    assert control.stops
    assert stand(done.result.cells) == ["no proof", "no proof"]
    assert all("the control run was not clean" in t.why_not for cell in done.result.cells for t in cell.trials)
    assert done.exit_code == 2
    assert done.result.finished, "there is nothing to go on with"
    assert len(bench.histories()) == 1


def test_a_control_run_that_broke_is_an_error_of_its_cells(bench: MatrixBench) -> None:
    bench.behaviour.lose_row = True
    done = bench.go("right", "node-kill", trials=2)
    assert stand(done.result.cells) == ["error"]
    assert done.exit_code == 70


def refuse(bench: MatrixBench) -> None:
    """Nobody can work, and nothing is broken."""
    bench.behaviour.steady, bench.behaviour.refusal = False, "WebSocketBadStatusException: 403"


def test_where_nobody_could_work_without_a_fault_the_trials_say_so_themselves(bench: MatrixBench) -> None:
    refuse(bench)
    done = bench.go("right", "node-kill", trials=2)
    (control,) = done.result.controls
    assert (control.clean, control.steady, control.stops) == (False, False, False)
    (cell,) = done.result.cells
    assert [trial.outcome for trial in cell.trials] == [Outcome.FAIL, Outcome.FAIL]
    assert cell.standing is Standing.BROKEN, "a platform that works not even without a fault breaks its promise"
    (gain,) = done.result.gains
    assert gain.without_fault == ("node-kill",)
    assert (gain.platform_outage_s, gain.longest_s) == (None, None), "nothing was injected, so nothing was measured"


def test_what_a_trial_measured_proves_nothing_beside_a_control_run_that_was_not_steady(bench: MatrixBench) -> None:
    def mend(_cell: Cell | None, _trial: CellTrial, _slot: Slot) -> None:
        bench.behaviour.steady = True

    refuse(bench)
    done = bench.go("right", "node-kill", trials=1, on_result=mend)
    (cell,) = done.result.cells
    assert cell.trials[0].outcome is Outcome.PASS
    assert cell.standing is Standing.NO_PROOF
    assert cell.trials[0].reason.startswith("the control run was not clean")


# -- nines -----------------------------------------------------------------------------------------------------------

_RATES = """\
rates:
  node-kill: {per_year: 1, uncertainty_percent: 50, source: this test}
manual_repair: {median_s: 600, p95_s: 1200, source: this test}
"""


def test_the_nines_that_the_trials_allow_are_told_under_rates_by_topology(bench: MatrixBench, tmp_path: Path) -> None:
    rates = tmp_path / "rates.yaml"
    rates.write_text(_RATES)
    rows = choose_matrix(bench.catalog, "bare,right", "node-kill,lb-loss", RULES)
    allowed = nines_of(rates, rows, bench.catalog.experiments(), sorted(FAULTS))
    done = bench.go("bare,right", "node-kill", trials=1, nines=allowed)
    bare, right = (gain.nines for gain in done.result.gains)
    assert right is not None
    assert right.target_percent == 99.99, "of two failures a year one in three may take ten minutes"
    assert right.mean_s is not None
    assert right.upper_s is not None
    assert 0 < right.mean_s < right.upper_s
    assert bare is not None
    assert bare.target_percent is not None
    assert content(done)["buys"][1]["nines"]["target_percent"] == 99.99
    rates.write_text(_RATES.replace("node-kill", "lb-loss"))
    less = nines_of(rates, rows, bench.catalog.experiments(), sorted(FAULTS))
    folder = bench.results / done.result.cells[1].trials[0].folder
    assert less([]).why_not == "nothing was proved"
    assert less([folder]).target_percent is not None, "the shipped rate of a machine that dies"
    rates.write_text(_RATES.replace("source: this test", ""))
    with pytest.raises(SpecError, match="source"):
        nines_of(rates, rows, bench.catalog.experiments(), sorted(FAULTS))


def test_rates_that_are_missing_are_named(bench: MatrixBench, tmp_path: Path) -> None:
    rates = tmp_path / "rates.yaml"
    rates.write_text("rates:\n  node-kill: {per_year: 0.1, uncertainty_percent: 50, source: this test}\n")
    rows = choose_matrix(bench.catalog, "right", "node-kill", RULES)
    done = bench.go("right", "node-kill", nines=nines_of(rates, rows, bench.catalog.experiments(), sorted(FAULTS)))
    (gain,) = done.result.gains
    assert gain.nines is not None
    assert gain.nines.target_percent is None
    assert "repair" in gain.nines.why_not
