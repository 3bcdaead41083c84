"""Experiments in Python as pytest tests, on the fake runtime: fixtures, what fails how, and what is left."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from harness.core.history import EventKind, read_history
from harness.core.verdict import Outcome
from harness.errors import PeerError
from harness.pytest_plugin import pytest_cmdline_main, pytest_xdist_make_scheduler
from harness.pytest_plugin.workers import ByTopology
from harness.runtime.fake import Behaviour
from harness.runtime.fake_client import FakeClient
from tests.unit.fake_runs import Toothless
from tests.unit.pytest_runs import Inner

pytestmark = pytest.mark.long

pytest_plugins = ["pytester"]

ON = '@pytest.mark.topology("active-passive")\n'
SHARED = '@pytest.mark.topology("active-passive", shared=True)\n'
#: Two people, and enough of a steady state to compare with.
START = "    load.start(users=2, ramp_s=1)\n"


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, usual: object) -> Inner:
    return Inner(pytester, monkeypatch)


def outcome(inner: Inner) -> Outcome:
    return inner.folder().analyse().verdict.outcome


def checks(inner: Inner) -> dict[str, str]:
    verdict = json.loads((inner.folder().path / "verdict.json").read_text())
    return {check["name"]: check["observed"] for check in verdict["checks"] if check["source"] == "test"}


# -- a test that passes ------------------------------------------------------------------------------------------------


def test_a_test_breaks_watches_and_expects_and_leaves_a_report(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_kill(deployment, load, faults, history, expect):\n"
        '    """A node dies."""\n' + START + "    assert load.working == 2\n"
        "    dead = faults.inject('kill', 'workbench[active]')\n"
        "    assert dead.active and dead.targets == ('workbench-0',) and dead.evidence\n"
        "    deployment.watch(1)\n"
        "    assert load.users['recovering'] == 2\n"
        "    assert load.everybody_works(within_s=20, steady_s=2)\n"
        "    assert load.nodes == {'workbench-1': 2}\n"
        "    dead.undo()\n"
        "    assert not dead.active\n"
        "    deployment.watch(5)\n"
        "    assert [event.data['step'] for event in history.events('fault')][-1] == 'cleanup'\n"
        "    expect.outage('log_in').below_s(5)\n"
        "    expect.outage_of_people().at_most_s(10)\n"
        "    expect.sessions('lost').none()\n"
        "    expect.sessions('restarted').at_least(2)\n"
        "    expect.logged_in_again().none()\n"
        "    expect.writes_lost().at_most(0)\n"
        "    expect.availability('save').at_least(0.5)\n"
        "    assert history.measures().worst_recovery == 'by_design'\n",
        "--junitxml=j.xml",
    )
    result.assert_outcomes(passed=1)
    folder = inner.folder()
    assert folder.path.parent == inner.path / "results/active-passive/test_kill"
    assert folder.report.stat().st_size
    result.stdout.fnmatch_lines([f"PASS *test_it.py::test_kill: {folder.report}"])
    record = folder.load()
    assert record.experiment.description == "A node dies."
    assert record.experiment.source == "test_it.py::test_kill"
    (fault,) = record.experiment.faults
    assert (fault.fault, fault.target) == ("kill", "workbench[active]")
    assert fault.hold_s == pytest.approx(8, abs=2), "what was done is what the folder says was done"
    assert record.experiment.load.users == 2
    assert record.run["test"] == "test_it.py::test_kill"
    found = checks(inner)
    assert list(found)[:2] == ["outage of log_in", "outage of people"]
    assert re.fullmatch(r"\d\.\d\d s \(\d\.\d\d to \d\.\d\d\), by_design", found["outage of log_in"])
    assert found["test_it.py::test_kill"] == "as expected"


def test_the_fault_is_undone_at_the_end_of_its_block(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_pause(deployment, load, faults):\n" + START + "    with faults.inject('pause', 'database[0]'):\n"
        "        deployment.watch(2)\n"
        "    deployment.watch(5)\n"
    )
    result.assert_outcomes(passed=1)
    assert checks(inner) == {"test_it.py::test_pause": "as expected"}


def test_more_people_come_to_work(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_add(deployment, load, expect):\n" + START + "    assert load.add(3)\n"
        "    deployment.watch(15)\n"
        "    expect.sessions('undisturbed').at_least(5)\n"
    )
    result.assert_outcomes(passed=1)
    assert inner.folder().load().experiment.load.users == 5


def test_people_come_until_a_step_is_not_carried(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_break(deployment, load, expect):\n" + START + "    deployment.watch(15)\n"
        "    assert load.overload(2, within_s=10).carried\n"
        "    step = load.overload(2, within_s=10)\n"
        "    assert (step.users, step.working, step.carried) == (6, 5, False)\n"
        "    with pytest.raises(Exception, match='growth ended'):\n"
        "        load.overload(2)\n"
        "    expect.users_carried().at_least(4)\n",
        behaviour=Behaviour(carries=5),
    )
    result.assert_outcomes(passed=1)
    measures = inner.folder().analyse()
    assert (measures.users_carried, measures.users_carried_is_limit) == (4, True)
    result.stdout.fnmatch_lines(["*carried 4 people (at 6 only 5 of 6 could work)"])


def test_where_the_limit_was_not_found_only_what_was_carried_can_be_expected(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_break(deployment, load, expect):\n" + START + "    deployment.watch(15)\n"
        "    assert load.overload(2).carried\n"
        "    expect.users_carried().at_least(4)\n"
        "    expect.users_carried().at_least(5)\n"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INCONCLUSIVE: users carried was not measured*at least 5*"])


def test_a_test_without_people_measures_nothing_and_passes_by_its_own_word(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_up(deployment):\n"
        "    assert deployment.members('workbench') == ('workbench-0', 'workbench-1')\n"
        "    assert deployment.execute('workbench-0', ['true']).exit_code == 0\n"
        "    assert 'said nothing' in deployment.log('database')\n"
    )
    result.assert_outcomes(passed=1)
    assert outcome(inner) is Outcome.INCONCLUSIVE


def test_what_a_test_broke_is_mended_whatever_comes_of_the_test(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_oops(load, faults):\n" + START + "    faults.inject('kill', 'workbench[active]')\n"
        "    raise ValueError('my own mistake')\n"
    )
    result.assert_outcomes(failed=1)
    steps = [event.data["step"] for event in read_history(inner.folder().history).of(EventKind.FAULT)]
    assert steps == ["prepare", "inject", "confirm", "undo", "confirm_recovery", "cleanup"]
    assert "ValueError('my own mistake')" in (inner.folder().path / "test.json").read_text()


# -- a test that does not ----------------------------------------------------------------------------------------------


def test_an_expectation_says_what_was_observed_with_bounds_and_where_the_report_is(inner: Inner) -> None:
    result = inner.test(
        ON
        + "def test_kill(deployment, load, faults, expect):\n"
        + START
        + "    faults.inject('kill', 'workbench[active]')\n"
        "    deployment.watch(15)\n"
        "    faults.undo_all()\n"
        "    deployment.watch(6)\n"
        "    expect.outage('work').below_s(4)\n"
    )
    result.assert_outcomes(failed=1)
    folder = inner.folder()
    result.stdout.fnmatch_lines(
        [
            ">*expect.outage('work').below_s(4)",
            "E *outage of work: expected below 4 s, observed 4.* s (* to *), by_design",
            f"E *report: {folder.report}",
        ]
    )
    assert "_must_be" not in result.stdout.str(), "the traceback ends in the test"
    assert outcome(inner) is Outcome.FAIL
    assert list(checks(inner)) == ["outage of work"]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(steady=False), "INCONCLUSIVE: 2 people came, and the steady state was not reached*"),
        (Behaviour(faults={"kill": Toothless()}), "INCONCLUSIVE: kill on workbench*no evidence that it took effect*"),
    ],
)
def test_what_was_not_proved_fails_by_that_word(inner: Inner, behaviour: Behaviour, said: str) -> None:
    result = inner.test(
        ON + "def test_kill(load, faults):\n" + START + "    faults.inject('kill', 'workbench[active]')\n",
        behaviour=behaviour,
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{said}"])
    assert outcome(inner) is Outcome.INCONCLUSIVE


def test_a_run_that_proves_nothing_fails_a_test_that_expected_nothing(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_few(load, deployment):\n" + START + "    deployment.watch(5)\n",
        behaviour=Behaviour(probe_rate_hz=0.5),
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INCONCLUSIVE: too few probes of *"])


def test_a_platform_that_does_not_come_up_is_an_error_with_a_folder(inner: Inner) -> None:
    result = inner.test(ON + "def test_up(deployment): pass\n", behaviour=Behaviour(never_ready="database"))
    result.assert_outcomes(errors=1)
    assert outcome(inner) is Outcome.ERROR


def test_a_harness_that_breaks_is_an_error_beside_the_test(inner: Inner, monkeypatch: pytest.MonkeyPatch) -> None:
    call = FakeClient.call

    def break_at_growth(self: FakeClient, op: str, **arguments: Any) -> Any:
        if op == "grow":
            raise PeerError("the client stopped answering")
        return call(self, op, **arguments)

    monkeypatch.setattr(FakeClient, "call", break_at_growth)
    result = inner.test(ON + "def test_add(load):\n" + START + "    load.add(1)\n")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*the client stopped answering*"])
    assert outcome(inner) is Outcome.ERROR


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("faults.inject('kil', 'workbench[0]')", "*test_it.py:1: *'kil'*did you mean kill?*"),
        ("faults.inject('kill', 'worker[0]')", "*test_it.py:1: *'worker?0?'*"),
        ("faults.inject('kill', 'workbench[7]')", "*test_it.py:1: *workbench?7?*"),
        ("faults.inject('kill', 'workbench[0]', sginal=9)", "*test_it.py:1: unknown key *sginal*"),
        ("load.add(1)", "*nobody has come yet*"),
        ("load.start(users=5000)", "*5000 users do not fit*"),
        ("expect.outage('login')", "*no capability 'login'*did you mean log_in?*"),
    ],
)
def test_a_mistake_in_a_test_is_named_and_breaks_nothing(inner: Inner, line: str, said: str) -> None:
    result = inner.test(ON + f"def test_wrong(deployment, load, faults, expect):\n    {line}\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([said])
    assert not read_history(inner.folder().history).of(EventKind.ERROR)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("", "*mark the test: @pytest.mark.topology*"),
        ('@pytest.mark.topology("active-pasive")\n', "*did you mean active-passive?*"),
        ('@pytest.mark.topology("single", share=True)\n', "*no share*"),
    ],
)
def test_without_a_platform_there_is_no_test(inner: Inner, marker: str, said: str) -> None:
    result = inner.test(marker + "def test_it(deployment): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])
    assert inner.engine.deployments == []


def test_two_containers_at_a_time_must_be_said(inner: Inner) -> None:
    body = "def test_both(load, faults, deployment):\n" + START + "    faults.inject('pause', 'workbench[*]'{})\n"
    refused = inner.test(ON + body.format(""))
    refused.assert_outcomes(failed=1)
    refused.stdout.fnmatch_lines(["*workbench-0, workbench-1 would be hit at the same time*"])
    assert not read_history(inner.folder().history).of(EventKind.FAULT)
    after = "    faults.undo_all()\n    deployment.watch(15)\n"
    inner.test(ON + body.format(", blast_radius=2") + after).assert_outcomes(passed=1)


# -- whose platform ----------------------------------------------------------------------------------------------------


def test_a_platform_is_fresh_for_each_test_or_shared_by_those_that_ask(inner: Inner) -> None:
    body = "def test_{}(load, deployment):\n" + START + "    deployment.watch(15)\n"
    marks = {"a": SHARED, "b": ON, "c": SHARED, "d": ON}
    result = inner.test("".join(mark + body.format(name) for name, mark in marks.items()))
    result.assert_outcomes(passed=4)
    assert len(inner.engine.deployments) == 3
    deployments = [folder.load().run["deployment"] for folder in inner.folders()]
    assert len(set(deployments)) == 3
    assert deployments[0] == deployments[1]


def test_a_shared_platform_that_nobody_can_work_on_is_not_used_again(inner: Inner) -> None:
    body = "def test_{}(load, faults, deployment):\n" + START + "    deployment.watch(15)\n{}"
    broken = "    faults.inject('kill', 'workbench[active]')\n"
    result = inner.test(SHARED + body.format("a", broken) + SHARED + body.format("b", ""))
    result.assert_outcomes(passed=2)
    assert len(inner.engine.deployments) == 2


def test_tests_that_share_follow_one_another(inner: Inner) -> None:
    inner.write("mine.yaml", "description: x\nworkbench: {nodes: 1, mode: single}\n")
    marker = '@pytest.mark.topology("mine.yaml", shared=True)\n'
    inner.write(
        "test_it.py", f"import pytest\n{marker}def test_a(): pass\ndef test_b(): pass\n{marker}def test_c(): pass\n"
    )
    result = inner.run("--collect-only", "-q")
    assert [line.split("::")[1] for line in result.outlines if "::" in line] == ["test_a", "test_c", "test_b"]


def test_ctrl_c_in_a_test_ends_the_session_with_everything_undone_and_recorded(inner: Inner) -> None:
    result = inner.test(
        ON + "def test_a(load, faults):\n" + START + "    faults.inject('kill', 'workbench[active]')\n"
        "    raise KeyboardInterrupt\n" + ON + "def test_b(deployment): pass\n"
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert inner.folder().analyse().facts.interrupted == "SIGINT"


def test_with_workers_one_topology_stays_on_one_of_them_unless_something_else_is_said(inner: Inner) -> None:
    inner.write("experiments/x.yaml", "faults: []\n")
    inner.write("test_own.py", "")

    def by_topology(*words: str) -> bool:
        config = inner.configured("-n", "2", *words)
        next(pytest_cmdline_main(config))  # what comes before xdist's turn
        return pytest_xdist_make_scheduler(config, None) is not None

    assert by_topology("experiments/")
    assert not by_topology("test_own.py")
    assert not by_topology("experiments/", "--dist", "each")


def test_the_scope_of_a_test_is_its_topology_or_its_file(inner: Inner) -> None:
    inner.write("experiments/x.yaml", "faults: []\n")
    scheduling = ByTopology(inner.configured("-n", "2", "experiments/"))
    scopes = [scheduling._split_scope(name) for name in ("a/x.yaml::ha", "b/y.yaml::ha", "test_z.py::test_one[ha]")]
    assert scopes == ["ha", "ha", "test_z.py"]
