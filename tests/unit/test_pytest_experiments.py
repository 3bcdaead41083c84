"""YAML experiments as pytest tests, on the fake runtime: what is collected, and what a verdict is to pytest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from harness.errors import RunInterrupted
from harness.runtime.fake import Behaviour
from tests.unit.fake_runs import NO_TAKEOVER, ROOT, SOUND, Toothless
from tests.unit.pytest_runs import Inner

pytestmark = pytest.mark.long

pytest_plugins = ["pytester"]

#: The real one, made short.
NODE_KILL = (ROOT / "experiments/node-kill.yaml").read_text().replace("hold_s: 40", "hold_s: 10")
NODE_KILL = NODE_KILL.replace("settle_s: 20", "settle_s: 6\nload: {users: 2, ramp_s: 1}")
ACTIVE_PASSIVE = SOUND


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, usual: object) -> Inner:
    made = Inner(pytester, monkeypatch)
    made.write("experiments/node-kill.yaml", NODE_KILL)
    return made


# -- what is collected -------------------------------------------------------------------------------------------------


def collected(inner: Inner, *words: str) -> list[str]:
    result = inner.run("--collect-only", "-q", *words)
    assert inner.engine.deployments == []
    return [line for line in result.outlines if "::" in line]


def test_each_experiment_is_one_test_on_the_first_standard_topology_that_it_can_be_done_to(inner: Inner) -> None:
    for name in ("db-switchover", "lb-loss"):
        inner.write(f"experiments/{name}.yaml", (ROOT / f"experiments/{name}.yaml").read_text())
    assert sorted(collected(inner, "experiments/")) == [
        "experiments/db-switchover.yaml::ha-database",
        "experiments/lb-loss.yaml::active-active",
        "experiments/node-kill.yaml::active-active",
    ]
    assert collected(inner, "experiments/", "-k", "lb-loss") == ["experiments/lb-loss.yaml::active-active"]


def test_topologies_are_chosen_by_name_and_path_and_what_none_can_do_is_left_out_of_all(inner: Inner) -> None:
    mine = inner.write("mine.yaml", ACTIVE_PASSIVE)
    inner.write("experiments/lb-loss.yaml", (ROOT / "experiments/lb-loss.yaml").read_text())
    names = collected(inner, "experiments/node-kill.yaml", "--topology", f"single, {mine}")
    assert names == ["experiments/node-kill.yaml::single", "experiments/node-kill.yaml::mine"]
    every = collected(inner, "experiments/", "--topology", "all")
    assert "experiments/node-kill.yaml::single" in every
    assert "experiments/lb-loss.yaml::single" not in every


def test_what_does_not_apply_is_skipped_where_the_topology_was_named(inner: Inner) -> None:
    inner.write("experiments/lb-loss.yaml", (ROOT / "experiments/lb-loss.yaml").read_text())
    result = inner.run("experiments/lb-loss.yaml", "--topology", "single", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not applicable: single has no load_balancer*"])


def test_nobody_who_did_not_ask_meets_an_experiment(inner: Inner) -> None:
    inner.write("experiments/hydra.yaml", "model: {layers: 3}\n")
    inner.write("experiments/train.py", "raise SystemExit('this is no test')\n")
    inner.write("test_own.py", "def test_own(): pass\n")
    assert collected(inner) == ["test_own.py::test_own"]
    assert collected(inner, ".") == ["test_own.py::test_own"]
    assert collected(inner, "experiments/") == ["experiments/node-kill.yaml::active-active"]


def test_an_experiment_anywhere_is_a_test_when_it_is_named(inner: Inner) -> None:
    inner.write("tests/my_experiment.yaml", NODE_KILL)
    assert collected(inner, "tests/") == []
    assert collected(inner, "tests/my_experiment.yaml") == ["tests/my_experiment.yaml::active-active"]
    assert collected(inner, "tests/", "--topology", "ha") == ["tests/my_experiment.yaml::ha"]


def test_a_script_among_experiments_is_collected_once(inner: Inner) -> None:
    script = '@pytest.mark.topology("active-active")\ndef test_it(deployment): pass\n'
    inner.write("experiments/own-script.py", f"import pytest\n{script}")
    inner.write("experiments/test_usual.py", f"import pytest\n{script}")
    expected = ["experiments/own-script.py::test_it", "experiments/test_usual.py::test_it"]
    assert [name for name in collected(inner, "experiments/") if ".py" in name] == expected
    assert collected(inner, "experiments/own-script.py") == expected[:1]


def test_a_mistake_is_named_with_its_file_and_line(inner: Inner) -> None:
    inner.write("experiments/wrong.yaml", NODE_KILL.replace("fault: kill", "fault: kil"))
    result = inner.run("experiments/")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*wrong.yaml:11: faults*kil*did you mean kill?*"])
    assert "Traceback" not in result.stdout.str()


def test_the_catalogue_itself_is_collected(inner: Inner) -> None:
    shutil.copytree(ROOT / "experiments", inner.path / "experiments", dirs_exist_ok=True)
    names = collected(inner, "experiments/")
    assert {name.split("/")[-1].split("::")[0] for name in names} == {
        path.name for pattern in ("*.yaml", "*.py") for path in (ROOT / "experiments").glob(pattern)
    }


def test_the_plugin_costs_other_runs_of_pytest_nothing() -> None:
    program = "import sys, harness.pytest_plugin; print([m for m in sys.modules if m.startswith('harness')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['harness', 'harness.pytest_plugin.hookspecs', 'harness.pytest_plugin']"


# -- what comes of them ------------------------------------------------------------------------------------------------


def test_a_kept_promise_passes_and_says_where_the_report_is(inner: Inner) -> None:
    result = inner.run("experiments/", "--topology", "active-passive", "--junitxml=j.xml")
    result.assert_outcomes(passed=1)
    folder = inner.folder()
    assert folder.path.parent == inner.path / "results/active-passive/node-kill"
    result.stdout.fnmatch_lines([f"PASS *node-kill.yaml::active-passive: {folder.report}"])
    (case,) = ET.parse(inner.path / "j.xml").iter("testcase")
    properties = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert properties == {"harness_verdict": "PASS", "harness_report": str(folder.report)}


def test_a_broken_promise_fails_with_expected_and_observed(inner: Inner) -> None:
    result = inner.run("experiments/", f"--topology={NO_TAKEOVER}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAIL  node-kill on *", "  - promise recovers: expected *", "report: *report.html"])


def known_broken(inner: Inner, topology: str) -> str:
    return str(inner.write("mine.yaml", topology + "known_broken:\n  node-kill: nobody takes over\n"))


def test_what_is_known_to_be_broken_is_an_expected_failure(inner: Inner) -> None:
    result = inner.run("experiments/", "--topology", known_broken(inner, NO_TAKEOVER.read_text()), "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["*known broken: nobody takes over*"])


def test_a_known_broken_promise_that_is_kept_fails(inner: Inner) -> None:
    result = inner.run("experiments/", "--topology", known_broken(inner, ACTIVE_PASSIVE))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["MENDED: *"])


@pytest.mark.parametrize("behaviour", [Behaviour(steady=False), Behaviour(faults={"kill": Toothless()})])
def test_a_run_without_proof_fails_by_that_word(inner: Inner, behaviour: Behaviour) -> None:
    result = inner.run("experiments/", "--topology", "active-passive", behaviour=behaviour)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["INCONCLUSIVE  node-kill on active-passive"])


def test_an_error_of_the_harness_is_no_failed_test(inner: Inner) -> None:
    result = inner.run("experiments/", "--topology", "active-passive", behaviour=Behaviour(never_ready="database"))
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ERROR  node-kill on active-passive", "*database was not ready*"])


def test_experiments_on_one_topology_share_a_platform(inner: Inner) -> None:
    inner.write("experiments/again.yaml", NODE_KILL)
    result = inner.run("experiments/", "--topology", "active-passive,single-dr,active-active")
    assert result.ret == 1, "the cold standby of single-dr takes nothing over in this simulation"
    assert len(inner.engine.deployments) == 3
    assert len(inner.folders()) == 6


def test_x_ends_after_the_first_failure_and_nothing_stays_up(inner: Inner) -> None:
    inner.write("experiments/again.yaml", NODE_KILL)
    result = inner.run("experiments/", "--topology", "active-passive", "-x", behaviour=Behaviour(steady=False))
    result.assert_outcomes(failed=1)


def test_ctrl_c_in_an_experiment_ends_the_session_with_everything_undone(inner: Inner) -> None:
    def interrupt_in_mid_fault(_now_ns: int) -> None:
        if not inner.engine.deployments[-1].platform.host.paper.untouched():
            raise RunInterrupted("SIGINT")

    inner.write("experiments/zzz.yaml", NODE_KILL)
    words = ("experiments/", "--topology", "active-passive")
    result = inner.run(*words, behaviour=Behaviour(on_sleep=interrupt_in_mid_fault))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert inner.folder().analyse().facts.interrupted == "SIGINT"


def test_more_people_than_fit_are_refused_before_anything_starts(inner: Inner) -> None:
    inner.write("experiments/crowd.yaml", NODE_KILL.replace("users: 2", "users: 5000"))
    result = inner.run("experiments/crowd.yaml", "--topology", "active-passive")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["5000 users do not fit*"])
    assert inner.engine.deployments == []


def test_a_seed_is_repeated(inner: Inner) -> None:
    for _ in range(2):
        inner.run("experiments/", "--topology", "active-passive", "--chaos-seed", "5", "--chaos-results", "kept")
    runs = [folder.load().run for folder in inner.folders("kept")]
    assert [run["seed"] for run in runs] == [5, 5]
    assert runs[0]["schedule_sha256"] == runs[1]["schedule_sha256"]
