"""More people step by step: from the files to the report on the fake runtime."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness.analysis import Measures, analyse
from harness.core.clock import FakeClock
from harness.core.experiment import AbortWhen, Experiment, Fault, Growth
from harness.core.history import EventKind, read_history
from harness.core.topology import Topology
from harness.core.verdict import Outcome, Verdict
from harness.errors import RunInterrupted
from harness.report import words
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.terminal import render
from harness.run.choice import Chosen
from harness.run.experiment import run_suite
from harness.run.plan import that_fit
from harness.run.suite import SuiteEntry
from harness.runtime.fake import Behaviour, FakeRuntime
from harness.spec.loader import load_topology
from tests.unit.fake_runs import NO_TAKEOVER, ROOT, Recorder, Toothless, experiment

pytestmark = pytest.mark.long

Run = Callable[..., SuiteEntry]


def run_on(
    results: Path,
    behaviour: Behaviour | None,
    what: Experiment,
    *,
    on: Topology | None = None,
    watcher: Recorder | None = None,
) -> SuiteEntry:
    clock, topology = FakeClock(), on or load_topology(ROOT / "topologies/active-passive.yaml")
    (entry,) = run_suite(
        runtime=FakeRuntime(clock, topology, behaviour),
        topology=topology,
        experiments=[what],
        results=results,
        watcher=watcher or Recorder(),
        seed=7,
        clock=clock,
    )
    return entry


@pytest.fixture(scope="module")
def n_minus_one() -> Experiment:
    return experiment("n-minus-one")


@pytest.fixture(scope="module")
def growing(n_minus_one: Experiment) -> Experiment:
    """The same with fewer people and shorter steps."""
    return replace(
        n_minus_one,
        load=replace(n_minus_one.load, users=4),
        faults=(replace(n_minus_one.faults[0], hold_s=60),),
        growth=Growth(at_s=20, users_each=4, every_s=5, users_at_most=32),
    )


@pytest.fixture
def run(tmp_path: Path, growing: Experiment) -> Run:
    def go(behaviour: Behaviour | None = None, *, what: Experiment = growing, **more: Any) -> SuiteEntry:
        return run_on(tmp_path, behaviour, what, **more)

    return go


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory, growing: Experiment) -> SuiteEntry:
    """A platform that carries 20 people."""
    return run_on(tmp_path_factory.mktemp("limited"), Behaviour(carries=20), growing)


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory, growing: Experiment) -> SuiteEntry:
    """A platform that carries everybody who comes."""
    return run_on(tmp_path_factory.mktemp("unlimited"), None, growing)


def measures_of(entry: SuiteEntry) -> Measures:
    assert entry.measures is not None
    return entry.measures


def grew(entry: SuiteEntry) -> list[Mapping[str, Any]]:
    assert entry.folder is not None
    return [event.data for event in read_history(entry.folder.history).of(EventKind.GREW)]


def demanding(experiment: Experiment, users: int) -> Experiment:
    return replace(experiment, objectives=replace(experiment.objectives, users_carried_at_least=users))


def without_faults(experiment: Experiment) -> Experiment:
    return replace(experiment, faults=())


# -- the loop ------------------------------------------------------------------------------------------------------


def test_people_come_until_a_step_is_not_carried(limited: SuiteEntry) -> None:
    measures = measures_of(limited)
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons
    assert (measures.users_carried, measures.users_carried_is_limit) == (20, True)
    begin, *steps, end = grew(limited)
    assert (begin["step"], begin["users"], begin["working"]) == ("begin", 4, 4)
    assert [(step["users_before"], step["users_after"], step["working"], step["carried"]) for step in steps] == [
        (4, 8, 8, True), (8, 12, 12, True), (12, 16, 16, True), (16, 20, 20, True), (20, 24, 20, False),
    ]  # fmt: skip
    assert (end["how"], end["users"], end["working"]) == ("not_carried", 24, 20)
    assert words.carried(measures) == "carried 20 people (at 24 only 20 of 24 could work)"


def test_each_step_has_its_time(unlimited: SuiteEntry, growing: Experiment) -> None:
    growth = measures_of(unlimited).facts.growth
    assert growth is not None
    assert growing.growth is not None
    for step in growth.steps:
        assert growing.growth.every_s <= (step.ended_ns - step.began_ns) / 1e9 <= growing.growth.every_s + 1


def test_a_platform_that_carries_everybody_carries_at_least_so_many(unlimited: SuiteEntry) -> None:
    measures = measures_of(unlimited)
    assert (measures.users_carried, measures.users_carried_is_limit) == (32, False)
    assert grew(unlimited)[-1]["how"] == "at_most"
    assert words.carried(measures) == "carried at least 32 people (more did not come)"
    (fault,) = measures.facts.faults
    assert fault.recovery_confirmed, "the time line goes on together with the growth"


def test_the_last_group_is_no_more_than_what_is_left(run: Run, growing: Experiment) -> None:
    assert growing.growth is not None
    entry = run(what=replace(growing, growth=replace(growing.growth, users_at_most=10)))
    assert [step["users_after"] for step in grew(entry)[1:-1]] == [8, 10]


def test_the_first_step_that_fails_leaves_those_who_were_there(run: Run) -> None:
    measures = measures_of(run(Behaviour(carries=4)))
    assert (measures.users_carried, measures.users_carried_is_limit) == (4, True)


def test_too_few_are_back_so_nobody_more_comes_and_none_are_carried(run: Run) -> None:
    entry = run(on=load_topology(NO_TAKEOVER))
    measures = measures_of(entry)
    (end,) = grew(entry)
    assert (end["step"], end["how"], end["users"], end["working"]) == ("end", "not_begun", 4, 0)
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons
    assert (measures.users_carried, measures.users_carried_is_limit) == (0, True)
    assert measures.worst_recovery.value == "by_repair", "nobody was overloaded, so it is observed to the end"
    assert words.carried(measures) == "carried 0 people (only 0 of 4 could work when more were to come)"


def test_growth_ends_when_the_fault_is_undone(run: Run, growing: Experiment) -> None:
    entry = run(what=replace(growing, faults=(replace(growing.faults[0], hold_s=30),)))
    measures = measures_of(entry)
    assert grew(entry)[-1]["how"] == "undone"
    assert (measures.users_carried, measures.users_carried_is_limit) == (12, False)
    assert words.carried(measures) == "carried at least 12 people (growth ended when a fault was undone)"
    assert measures.verdict.outcome is Outcome.PASS


def test_a_control_run_grows_too(run: Run, growing: Experiment) -> None:
    measures = measures_of(run(Behaviour(carries=18), what=without_faults(growing)))
    assert measures.users_carried == 16
    assert not measures.outages


def test_growth_may_begin_after_the_last_undoing(run: Run, growing: Experiment) -> None:
    measures = measures_of(run(what=replace(growing, faults=(replace(growing.faults[0], hold_s=10),))))
    assert measures.users_carried == 32


def test_the_end_of_the_run_is_the_end_of_growth(run: Run) -> None:
    watcher = Recorder()
    measures = measures_of(run(Behaviour(faults={"kill": Toothless()}), watcher=watcher))
    assert measures.verdict.outcome is Outcome.INCONCLUSIVE
    assert "nobody more came: the run ended before growth began" in measures.verdict.reasons
    assert measures.users_carried is None
    assert not any("more people come" in note for note in watcher.notes)


def test_an_interruption_in_mid_growth_is_a_doubt(run: Run) -> None:
    watcher = Recorder()

    def interrupt(_now_ns: int) -> None:
        if "4 more people come, 16 in all" in watcher.notes:
            raise RunInterrupted("SIGINT")

    measures = measures_of(run(Behaviour(on_sleep=interrupt), watcher=watcher))
    assert measures.verdict.outcome is Outcome.INCONCLUSIVE
    assert "growth was cut short after 2 step(s)" in measures.verdict.reasons
    assert words.carried(measures) == "carried at least 12 people (growth was cut short)"


def test_an_abort_before_growth_leaves_it_out(run: Run, growing: Experiment) -> None:
    careful = replace(growing, abort_when=AbortWhen(working_below_percent=50, for_s=2))
    entry = run(Behaviour(takeover_s=10), what=demanding(careful, 8))
    measures = measures_of(entry)
    assert measures.verdict.outcome is Outcome.FAIL
    # An abort undoes the fault, and whoever comes back after that was repaired.
    assert [check.name for check in measures.verdict.checks if not check.kept] == ["recovers", "not aborted"]
    assert grew(entry) == []


def test_people_who_are_overloaded_on_purpose_abort_nothing(run: Run, growing: Experiment) -> None:
    other = Fault(fault="kill", target="workbench[active]", at_s=27, hold_s=5)
    careful = replace(
        growing,
        faults=(*growing.faults, other),
        blast_radius=2,
        abort_when=AbortWhen(working_below_percent=50, for_s=6),
    )
    measures = measures_of(run(what=careful))
    assert measures.facts.aborted_ns is None
    assert measures.users_carried == 8
    assert measures.verdict.outcome is Outcome.PASS, measures.verdict.reasons


def test_the_next_experiment_gets_a_fresh_platform(tmp_path: Path, topology: Topology, growing: Experiment) -> None:
    clock = FakeClock()
    runtime = FakeRuntime(clock, topology)
    short = replace(without_faults(growing), growth=Growth(at_s=10, users_each=1, every_s=5, users_at_most=5))
    entries = run_suite(
        runtime=runtime,
        topology=topology,
        experiments=[short, without_faults(replace(growing, growth=None))],
        results=tmp_path,
        watcher=Recorder(),
        seed=7,
        clock=clock,
    )
    assert [entry.outcome for entry in entries] == [Outcome.PASS, Outcome.PASS]
    assert len(runtime.deployments) == 2


# -- what is measured ----------------------------------------------------------------------------------------------


def test_everything_but_writes_is_observed_until_growth_begins(run: Run) -> None:
    entry = run(Behaviour(carries=20, lose_save=True))
    measures = measures_of(entry)
    window, growth = measures.facts.window, measures.facts.growth
    assert window is not None
    assert growth is not None
    assert window.end_ns == growth.began_ns
    assert {row.user for row in measures.sessions} == {f"user{index}" for index in range(4)}
    assert measures.user_uptime.users == 4
    # the fake's probes fail from the 21st person on, and its latecomers never work
    assert {outage.recovery.value for outage in measures.outages} == {"by_design"}
    # the write that is lost is one of the last person whom the platform carried
    assert measures.writes.lost == 1
    assert measures.writes.first_lost is not None
    assert "user19" in measures.writes.first_lost
    assert measures.verdict.outcome is Outcome.FAIL
    assert entry.folder is not None
    written = json.loads((entry.folder.path / "measures.json").read_text())
    assert (written["users_carried"], written["users_carried_is_limit"]) == (20, True)
    assert written["facts"]["growth"]["steps"][-1]["carried"] is False
    assert "users carried" in written["definitions"]


def judged(entry: SuiteEntry, wanted: int) -> Verdict:
    """The verdict if so many had to be carried."""
    assert entry.folder is not None
    record = entry.folder.load()
    return analyse(replace(record, experiment=demanding(record.experiment, wanted))).verdict


@pytest.mark.parametrize(
    ("platform", "wanted", "outcome", "observed"),
    [
        ("limited", 20, Outcome.PASS, "20"),
        ("limited", 21, Outcome.FAIL, "20"),
        ("unlimited", 32, Outcome.PASS, "at least 32"),
    ],
)
def test_the_objective(
    platform: str, wanted: int, outcome: Outcome, observed: str, request: pytest.FixtureRequest
) -> None:
    verdict = judged(request.getfixturevalue(platform), wanted)
    assert verdict.outcome is outcome
    check = next(check for check in verdict.checks if check.name == "users carried")
    assert (check.source, check.expected, check.observed) == ("objective", f"at least {wanted}", observed)


def test_an_objective_that_an_undoing_left_open_is_a_doubt(run: Run, growing: Experiment) -> None:
    brief = run(what=replace(growing, faults=(replace(growing.faults[0], hold_s=30),)))
    verdict = judged(brief, 16)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "12 people were carried when a fault was undone: whether 16 are is not known" in verdict.reasons[0]
    assert "users carried" not in {check.name for check in verdict.checks}
    assert judged(brief, 12).outcome is Outcome.PASS


# -- reports -------------------------------------------------------------------------------------------------------


def test_one_line_in_every_report(limited: SuiteEntry) -> None:
    measures = measures_of(limited)
    line = "carried 20 people (at 24 only 20 of 24 could work)"
    text = StringIO()
    render(measures, Console(file=text, width=100))
    assert line in text.getvalue().splitlines()
    assert f'<p class="sentence">C{line[1:]}.</p>' in render_html(measures)
    assert line in (ET.fromstring(render_junit(measures)).findtext(".//system-out") or "").splitlines()


def test_no_line_where_nothing_was_grown(run: Run, growing: Experiment) -> None:
    measures = measures_of(run(what=replace(growing, growth=None)))
    assert words.carried(measures) == ""
    assert measures.users_carried_is_limit is None
    assert "carried" not in (ET.fromstring(render_junit(measures)).findtext(".//system-out") or "")


# -- before anything starts ----------------------------------------------------------------------------------------


def test_a_suite_goes_on_without_a_growth_that_the_machine_has_no_memory_for(
    topology: Topology, n_minus_one: Experiment
) -> None:
    alone = replace(n_minus_one, name="alone", growth=None)
    small = {"memory_bytes": 4_300_000_000}
    chosen = Chosen(topology, [n_minus_one, alone], [], by_name=False)
    fit = that_fit(chosen, small)
    assert fit.experiments == [alone]
    (entry,) = fit.not_applicable
    assert entry.why_not.startswith("not applicable: 96 users do not fit into the engine's memory of 4.3 GB")
    assert not entry.applicable
    assert that_fit(replace(chosen, by_name=True), small).experiments == [n_minus_one, alone]
    assert that_fit(chosen, {"memory_bytes": 20_000_000_000}).experiments == [n_minus_one, alone]


def test_a_run_of_the_catalogue_takes_four_minutes_at_most(n_minus_one: Experiment) -> None:
    assert n_minus_one.growth is not None
    (fault,) = n_minus_one.faults
    last_step_s = n_minus_one.growth.longest_s(n_minus_one.load.users)
    # each step is looked at up to half a second late
    assert fault.at_s + fault.hold_s >= last_step_s + 7 * 0.5
    # 35 s: bring-up, ramp, drain and tear-down of node-kill, as measured (benchmarks/README.md)
    assert fault.at_s + fault.hold_s + n_minus_one.settle_s + 35 <= 240
