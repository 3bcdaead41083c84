"""`harness compare`, `baseline`, `history` and `prune` from the command line: exit codes, files, texts."""

from __future__ import annotations

import random
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness.analysis.comparing import compare
from harness.analysis.comparison import CellInput, LeftOut, RunReadings, SideInput
from harness.analysis.differences import Reading
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Capability
from harness.report.comparison import render_comparison, render_comparison_markdown
from harness.runtime.fake import Behaviour
from tests.unit.fake_runs import Result, run_once
from tests.unit.kept_runs import Kept
from tests.unit.test_cli import Harness, harness

__all__ = ["harness"]  # the fixture


@pytest.fixture
def kept(tmp_path: Path, usual: Result) -> Kept:
    return Kept(tmp_path / "results", usual.folder)


def test_a_slower_candidate_is_exit_code_1_and_named_everywhere(kept: Kept, harness: Harness, tmp_path: Path) -> None:
    kept.runs((4.0, 4.4, 4.2, 4.1, 4.3))
    kept.runs((9.0, 9.4, 9.2, 9.1, 9.3), topology="slow")
    summary, junit = tmp_path / "summary.md", tmp_path / "compare.xml"
    code, out, _ = harness(
        "compare",
        str(kept.root / "active-passive"),
        str(kept.root / "slow"),
        *("--markdown", str(summary), "--junit", str(junit), "--results", str(kept.root)),
    )
    assert code == 1
    assert "WORSE  of 13 measures" in out
    assert "  - outage of work: 4.20 s (n 5) to 9.20 s (n 5), by +" in out
    assert "node-kill on active-passive against slow" in out
    assert summary.read_text().startswith("## WORSE: ")
    assert "| outage of work | 4.20 s (n 5) | 9.20 s (n 5) | +5.00 s |" in summary.read_text()
    (suite,) = ET.parse(junit).getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert "outage of work" in failed
    assert suite.get("failures") == str(len(failed))
    assert suite.get("errors") == "0"


def test_single_runs_are_exit_code_2_with_the_number_that_is_needed(kept: Kept, harness: Harness) -> None:
    one, other = kept.runs((4.0, 40.0))
    code, out, _ = harness("compare", str(one), str(other), "--results", str(kept.root))
    assert code == 2
    assert "TOLD NOTHING  too few runs: 5 on each side are needed at least" in out


def test_a_tolerance_of_the_command_line_counts(kept: Kept, harness: Harness) -> None:
    kept.runs((4.0, 4.4, 4.2, 4.1, 4.3))
    kept.runs((9.0, 9.4, 9.2, 9.1, 9.3), topology="slow")
    keys = ["longest_outage_s", "user_outage_s", *(f"outage_s.{one}" for one in Capability)]
    wished = [word for key in keys for word in ("--tolerance", f"{key}=20")]
    sides = str(kept.root / "active-passive"), str(kept.root / "slow")
    assert harness("compare", *sides, *wished, "--results", str(kept.root))[0] == 0


def test_the_baseline_is_marked_printed_and_compared_with(kept: Kept, harness: Harness) -> None:
    place = ("--results", str(kept.root))
    kept.runs((4.0, 4.4, 4.2, 4.1, 4.3))
    cell = kept.root / "active-passive"
    code, _, error = harness("baseline", *place)
    assert code == 64
    assert "there is no baseline" in error
    code, out, _ = harness("baseline", str(cell), *place)
    assert code == 0
    assert "baseline.json: 5 runs are the baseline" in out
    assert harness("baseline", *place)[1].strip() == str(cell)
    assert harness("compare", "baseline", str(cell), *place)[0] == 0


def test_history_and_prune_say_what_they_did(kept: Kept, harness: Harness) -> None:
    kept.runs((4.0, 4.4, 4.2))
    place = ("--results", str(kept.root))
    code, out, _ = harness("history", *place)
    assert code == 0
    assert out.strip() == f"history: {kept.root / 'history.html'} (3 runs)"
    code, out, _ = harness("prune", "--keep", "2", "--dry-run", *place)
    assert code == 0
    assert "1 of 3 runs and 0 of 0 files about several would go" in out


@pytest.mark.long
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["compare", "nowhere", "nowhere"], "no such file or folder"),
        (["compare", "nowhere", "nowhere", "--confidence", "100"], "--confidence 100"),
        (["compare", "nowhere", "nowhere", "--tolerance", "outage=1"], "is no measure"),
        (["compare", "baseline", "nowhere"], "there is no baseline"),
        (["compare", "nowhere"], "Missing argument"),
        (["baseline", "nowhere"], "no such file or folder"),
        (["baseline", "nowhere", "--at-most", "3"], "--at-most 3"),
        (["history"], "there is no run in it"),
        (["prune"], "Missing option"),
        (["prune", "--keep", "0"], "--keep 0"),
        (["prune", "--keep", "1", "--keep-days", "-1"], "--keep-days -1"),
    ],
)
def test_bad_words_are_exit_code_64(harness: Harness, tmp_path: Path, argv: list[str], message: str) -> None:
    code, _, error = harness(*argv, "--results", str(tmp_path))
    assert code == 64
    assert message in error
    assert not list(tmp_path.iterdir())


def test_a_folder_of_results_that_is_not_there_is_said(harness: Harness, tmp_path: Path) -> None:
    code, _, error = harness("prune", "--keep", "1", "--results", str(tmp_path / "gone"))
    assert code == 64
    assert "expected that of the results" in error


def test_a_file_that_can_not_be_written_is_said(kept: Kept, harness: Harness, tmp_path: Path) -> None:
    run = str(kept.run())
    code, _, error = harness("compare", run, run, "--markdown", str(tmp_path), "--results", str(kept.root))
    assert code == 64
    assert "expected a file that can be written" in error


@pytest.mark.long
def test_runs_of_the_same_thing_are_never_worse(
    kept: Kept, harness: Harness, tmp_path: Path, topology: Topology, node_kill: Experiment
) -> None:
    """Twenty comparisons of five runs with five others, of twelve whole runs whose take-overs vary by two seconds."""
    behaviour = Behaviour(takeover_spread_s=2.0)
    quick = replace(
        node_kill,
        load=replace(node_kill.load, users=2, ramp_s=1.0, start_probe_every_s=1.0),
        faults=(replace(node_kill.faults[0], at_s=2.0, hold_s=12.0),),
        settle_s=6.0,
    )
    lengths_s = []
    for number in range(12):
        found = run_once(tmp_path / str(number), topology, quick, behaviour, seed=number)
        lengths_s += [outage.seconds for outage in found.measures.outages if outage.capability == "work"]
    assert max(lengths_s) - min(lengths_s) > 1
    rng = random.Random(1)
    for attempt in range(20):
        rng.shuffle(lengths_s)
        before, after = f"before-{attempt}", f"after-{attempt}"
        kept.runs(lengths_s[:5], topology=before)
        kept.runs(lengths_s[5:10], topology=after)
        code, out, _ = harness("compare", str(kept.root / before), str(kept.root / after), "--results", str(kept.root))
        assert code == 0, out


@pytest.mark.long
def test_of_many_cells_those_with_nothing_to_tell_are_a_line_each(kept: Kept, harness: Harness) -> None:
    for day in (1, 2):
        for experiment in ("node-kill", "lb-loss", "partition"):
            slow = 5.0 if (day, experiment) == (2, "lb-loss") else 0.0
            lengths_s = [slow + 4.0 + index / 10 for index in range(6)]
            kept.runs(lengths_s, topology=f"t{day}", experiment=experiment, git_revision=f"r{day}")
    code, out, _ = harness("compare", str(kept.root / "t1"), str(kept.root / "t2"), "--results", str(kept.root))
    assert code == 1
    assert "node-kill on t1 against t2: of 13 measures " in out
    assert "partition on t1 against t2: of 13 measures " in out
    assert out.count("  not equal: git_revision: ") == 2
    assert out.count("outage of work  ") == 1
    assert "(lb-loss on t1 against t2)" in out


def test_what_is_beyond_its_tolerance_and_not_for_sure_is_said_of_many_cells_too(kept: Kept, harness: Harness) -> None:
    for day, seconds in ((1, 4.0), (2, 40.0)):
        for experiment in ("node-kill", "lb-loss"):
            kept.runs([seconds], topology=f"t{day}", experiment=experiment)
    code, out, _ = harness("compare", str(kept.root / "t1"), str(kept.root / "t2"), "--results", str(kept.root))
    assert code == 2
    assert "  outage of work: 4.00 s (n 1) to 40.00 s (n 1), beyond ± 1.00 s, but too few runs" in out


# -- texts ---------------------------------------------------------------------------------------------------------


def side(*values: float, left_out: tuple[LeftOut, ...] = (), at_least: bool = False) -> SideInput:
    return SideInput(
        topology="a|b",
        runs=[
            RunReadings(name=str(value), readings={"outage_s.work": Reading(value=value, at_least=at_least, error=0.1)})
            for value in values
        ],
        left_out=left_out,
    )


def test_markdown_has_no_markup_of_others_in_it() -> None:
    left_out = (LeftOut("node-kill/x", "ERROR: <b>boom</b>\nat the second line"),)
    cell = CellInput(
        experiment="node-kill", baseline=side(4.0, 4.1, 4.2), candidate=side(9.0, 9.1, 9.2, left_out=left_out)
    )
    text = render_comparison_markdown(compare([cell], only_candidate=["lb-loss on <i>"]), "A", "B")
    assert "a\\|b" in text
    assert "&lt;b>boom&lt;/b> at the second line" in text
    assert "lb-loss on &lt;i>" in text
    assert "<b>" not in text


def test_what_had_not_ended_is_at_least_so_long() -> None:
    cell = CellInput(
        experiment="node-kill", baseline=side(4.0, 4.1, 4.2), candidate=side(29.0, 29.1, 29.2, at_least=True)
    )
    text = StringIO()
    found = compare([cell])
    render_comparison(found, Console(file=text, width=160), "A", "B")
    assert "at least 29.10 s (n 3)" in text.getvalue()
    assert "s or more" in text.getvalue()
    assert found.exit_code == 1
