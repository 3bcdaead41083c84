"""What a watch over an existing system says, and what its reports say of it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.analysis import Measures, RunRecord, analyse
from harness.core.attach import AttachedSystem, HttpSession, PositWorkbenchSession, Request
from harness.core.experiment import Objectives
from harness.core.verdict import Outcome
from harness.core.words import Capability
from harness.report.html import Background, render_html
from harness.report.junit import render_junit
from harness.report.terminal import render
from harness.run.paper import paper_picture
from tests.unit.analysis_runs import grid_probes, history, op, record
from tests.unit.attach_files import loaded

pytestmark = pytest.mark.drawn

#: People work each second, but for 10 s of 40.
AWAY = {capability.value: (10.0, 14.0) for capability in Capability}


@pytest.fixture
def system(tmp_path: Path) -> AttachedSystem:
    return loaded(tmp_path)


def watched(
    system: AttachedSystem, *, target: float | None = None, away: dict[str, tuple[float, float]] | None = None
) -> RunRecord:
    """One person and all probes, for 40 s; nothing is read back."""
    found = record(
        [op(second, ok=int(not 10 <= second < 14) if away else 1) for second in range(-5, 40)],
        grid_probes(away or {}),
        events=history(readback=None),
        faults=0,
        objectives=Objectives(available_at_least_percent=target),
    )
    return replace(found, topology=system)


def test_without_a_target_it_is_neither_good_nor_bad(system: AttachedSystem) -> None:
    verdict = analyse(watched(system)).verdict
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reasons == (
        "observed only, no target was stated (`--target 99.9`): nothing was away and nobody was disturbed",
    )


@pytest.mark.long
def test_what_was_seen_is_the_reason(system: AttachedSystem) -> None:
    (reason,) = analyse(watched(system, away=AWAY)).verdict.reasons
    assert "work was away for 4." in reason
    assert "1 of 1 people were disturbed" in reason


@pytest.mark.long
@pytest.mark.parametrize(("target", "outcome"), [(99.9, Outcome.FAIL), (80, Outcome.PASS)])
def test_a_target_decides(system: AttachedSystem, target: float, outcome: Outcome) -> None:
    measures = analyse(watched(system, target=target, away=AWAY))
    assert measures.verdict.outcome is outcome
    names = [check.name for check in measures.verdict.checks]
    assert names == [*(f"available: {capability}" for capability in Capability), "available: people"]
    assert all(check.expected == f"at least {target:g}%" for check in measures.verdict.checks)


@pytest.mark.long
def test_an_outage_outside_a_fault_is_a_doubt_where_something_is_broken(system: AttachedSystem) -> None:
    run = watched(system, target=80, away=AWAY)
    broken = replace(run, experiment=replace(record().experiment, objectives=run.experiment.objectives))
    assert any("not steady" in reason for reason in analyse(broken).verdict.reasons)


@pytest.mark.long
def test_what_a_product_can_not_show_is_no_doubt(system: AttachedSystem) -> None:
    described = HttpSession(log_in=Request(path="/in"), heartbeat=Request(path="/ping"))
    web = replace(system, attach=replace(system.attach, session=described))
    run = watched(web, target=80)
    shown = run.probes[run.probes["capability"].isin(["log_in", "work"])].reset_index(drop=True)
    measures = analyse(replace(run, probes=shown))
    assert measures.verdict.outcome is Outcome.PASS
    assert [one.capability for one in measures.capabilities] == ["log_in", "work"]


def reports(run: RunRecord, measures: Measures) -> dict[str, str]:
    screen = Console(file=StringIO(), width=200)
    render(measures, screen)
    assert isinstance(screen.file, StringIO)
    behind = Background(topology=run.topology, experiment=run.experiment, picture=paper_picture(run.topology))
    page = render_html(measures, behind)
    return {"terminal": screen.file.getvalue(), "page": page, "junit": render_junit(measures)}


@pytest.mark.long
def test_every_report_says_that_an_adapter_is_experimental(system: AttachedSystem) -> None:
    posit = replace(system, attach=replace(system.attach, session=PositWorkbenchSession()))
    for a_system, said in ((posit, True), (system, False)):
        run = watched(a_system, target=80)
        for name, text in reports(run, analyse(run)).items():
            assert ("never against a licensed Posit Workbench" in " ".join(text.split())) is said, name


@pytest.mark.long
def test_the_page_does_not_say_that_the_system_was_built_for_it(system: AttachedSystem) -> None:
    run = watched(system, target=80)
    page = reports(run, analyse(run))["page"]
    assert "an existing one at https://there.example.org" in page
    assert "containers on one computer" not in page
