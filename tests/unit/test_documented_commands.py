"""Every command that README, docs and contributing show is run, or checked as far as it can be without an engine.

What needs none is run, page by page and in the order of the page, in a folder like a checkout: topologies, experiments,
results of a run. What it is said to print it must print. What needs an engine is read as the command line reads it, run
with `--dry-run` where there is such a thing, and must be in `WITH_ENGINE`: that says which test really runs it.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import typer

from harness import cli
from harness.cli.common import EXIT_USAGE
from harness.run.calibrate import checked_plan
from harness.spec import Catalog
from tests.unit.documented import PAGES, ROOT, SHELLS, Shown, blocks, commands, inline
from tests.unit.fake_runs import Result

#: What needs an engine, first match counts -> the test that runs such a command.
WITH_ENGINE = (
    (
        r"harness run .* --trials \d+.*",
        "tests/unit/test_trials.py::test_the_command_prints_the_set_and_its_verdict_is_the_exit_code",
    ),
    (
        r"harness run \S+ \S+.*",
        "tests/e2e/test_runs.py::test_two_runs_at_once_keep_the_promise_and_do_not_disturb_each_other",
    ),
    (
        r"harness matrix --resume.*",
        "tests/unit/test_matrix_resume.py::test_only_the_missing_runs_are_run_and_what_was_cut_short_is_not_counted",
    ),
    (
        r"harness compare .*",
        "tests/unit/test_comparing_commands.py::test_a_slower_candidate_is_exit_code_1_and_named_everywhere",
    ),
    (
        r"harness baseline .*",
        "tests/unit/test_comparing_commands.py::test_the_baseline_is_marked_printed_and_compared_with",
    ),
    (r"harness run \S+", "tests/e2e/test_catalogue.py::test_a_topology_is_as_its_file_says_under_every_experiment"),
    (r"harness matrix.*", "tests/e2e/test_catalogue.py::test_a_topology_is_as_its_file_says_under_every_experiment"),
    (
        r"harness (up|down) [a-z][a-z-]*",
        "tests/e2e/test_runs.py::test_up_gives_a_place_to_log_in_and_down_takes_it_away",
    ),
    (
        r"harness rebuild .*",
        "tests/e2e/test_rebuild.py::test_a_package_and_a_file_that_were_changed_by_hand_are_named_and_gone_after_it",
    ),
    (r"harness down --all", "tests/unit/test_cli.py::test_down_all_ends_every_run"),
    (r"harness calibrate.*", "tests/integration/test_calibrate.py::test_one_outage_of_each_kind_is_measured"),
)
#: Targets of make that are nothing but a command of the harness.
WRAPPERS = ("chaos", "matrix")
#: What can't be run in a test -> why.
NOT_RUN = {
    "uv": "asks a package index",
    "npm": "asks a registry",
    ".": "makes `harness` a command of the shell: here it is the one of this checkout",
    "pytest": "tests/unit/test_documented_experiments.py runs it on a simulated engine",
    "echo": "of a shell",
    "true": "of a shell",
    "cd": "goes where a command that is not run is run",
}
#: Commands of the harness that need an engine, or what several runs left, unless they only tell what they would do.
OF_THE_ENGINE = ("run", "matrix", "up", "down", "rebuild", "calibrate", "doctor", "compare", "baseline")
#: Of commands that say something about a platform every answer is one: PASS, FAIL, INCONCLUSIVE, or met, not met.
ANSWERS = {"analyze": (0, 1, 2), "nines": (0, 1, 2)}

Say = Callable[[Sequence[str]], tuple[int, str]]


@pytest.fixture
def scratch(tmp_path: Path, usual: Result, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a checkout after a run of `node-kill` on `active-passive`, and the rates that the page on nines
    shows."""
    for folder in ("topologies", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copytree(usual.folder.path.parents[2], tmp_path / "results", symlinks=True)
    (rates,) = [block.text for block in blocks(ROOT / "docs/nines.md") if block.text.startswith("rates:")]
    (tmp_path / "rates.yaml").write_text(rates)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the command line as a person does; returns its exit code and all that it said."""

    def no_engine(*_: object) -> None:
        raise AssertionError("an engine was asked for")

    monkeypatch.setattr("harness.runtime.engine.ensure_engine", no_engine)
    monkeypatch.setattr("harness.runtime.engine.connect", no_engine)

    def go(words: Sequence[str]) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", list(words))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, said.out + said.err

    return go


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, scratch: Path, say: Say) -> None:
    check_page(page, say)


def check_page(page: Path, say: Say) -> None:
    for shown in commands(page):
        program, *arguments = shown.words
        if Path(program).name == "harness":
            check_harness(shown, ["harness", *arguments], say)
        elif program == "make":
            check_make(shown, arguments, say)
        elif program in ("mkdir", "cp"):
            done = subprocess.run(shown.words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{shown.where}: {done.stderr}"
        else:
            assert program in NOT_RUN, f"{shown.where}: {shown.text}: nobody knows how to try this"


def check_harness(shown: Shown, words: list[str], say: Say) -> None:
    command = words[1]
    helps = "--help" in words or (command in ("run", "matrix") and "--dry-run" in words)
    if command in OF_THE_ENGINE and not helps:
        check_without_engine(shown, words, say)
        return
    code, said = say(words)
    assert code in ANSWERS.get(command, (0,)), f"{shown.where}: {shown.text} exits with {code}:\n{said}"
    assert missing(shown.printed, said) is None, f"{shown.where}: not printed: {missing(shown.printed, said)}\n{said}"


def check_without_engine(shown: Shown, words: list[str], say: Say) -> None:
    """Known words, names that exist, and a test that really does it."""
    assert run_by(" ".join(words)), f"{shown.where}: {shown.text}: in no line of WITH_ENGINE"
    command, *arguments = words[1:]
    if command in ("run", "matrix") and "--resume" not in words:
        code, said = say([*words, "--dry-run"])
        assert code == 0, f"{shown.where}: {shown.text}:\n{said}"
        return
    parsed = typer.main.get_command(cli.app).commands[command].make_context(command, [*arguments])  # type: ignore[attr-defined]  # a group of commands
    if command in ("up", "down") and arguments != ["--all"]:
        assert Catalog(ROOT).topology_path(arguments[0])
    elif command == "calibrate":
        given = parsed.params
        checked_plan(
            durations_s=tuple(float(word) for word in given["seconds"].split(",")),
            repetitions=given["repetitions"],
            rate=given["rate"],
            busy_processes=given["under_load"],
        )


def check_make(shown: Shown, arguments: list[str], say: Say) -> None:
    targets = [word for word in arguments if "=" not in word]
    assert targets, f"{shown.where}: {shown.text}: which target?"
    assert not set(targets) - make_targets(), f"{shown.where}: {shown.text}: there is no such target"
    if targets[0] in WRAPPERS:
        # -n: print what would be done; -o: the environment is there
        argv = ["make", "-n", "-o", ".venv/.ready", "-C", str(ROOT), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        said = done.stdout.replace("\\\n", " ")
        (line,) = [line for line in said.splitlines() if line.startswith(".venv/bin/harness ")]
        # in make's own shell quotes are gone by now
        check_harness(shown, ["harness", *line.split()[1:]], say)


def run_by(text: str) -> str | None:
    return next((test for pattern, test in WITH_ENGINE if re.fullmatch(pattern, text)), None)


def missing(expected: Sequence[str], said: str) -> str | None:
    """The first of the lines that is not there in this order, or does not follow the line before it."""
    lines = [line.rstrip() for line in said.splitlines()]
    at, gap = 0, True
    for line in expected:
        if line == "...":
            gap = True
            continue
        found = next((i for i in range(at, len(lines) if gap else min(at + 1, len(lines))) if lines[i] == line), None)
        if found is None:
            return line
        at, gap = found + 1, False
    return None


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def options_of() -> dict[str, set[str]]:
    group = typer.main.get_command(cli.app)
    return {
        name: {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]  # a group of commands
    }


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_middle_of_a_sentence_exist(page: Path) -> None:
    known, targets = options_of(), make_targets()
    wrong = []
    for program, *words in inline(page):
        if program == "make":
            wrong += [f"make {word}" for word in words if re.fullmatch(r"[a-z][a-z-]*", word) and word not in targets]
            continue
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        if words[0] not in known or options - known[words[0]]:
            wrong.append(" ".join(["harness", *words]))
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_hides_in_a_block_of_another_language(page: Path) -> None:
    begins = re.compile(r"(\$ |make |harness |\.venv/bin/)")
    hidden = [f"{b.line}: {line}" for b in blocks(page) for line in b.lines if begins.match(line.strip())
              and b.language not in (*SHELLS, "yaml")]  # fmt: skip
    assert hidden == []


def _functions(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name


def test_the_tests_that_run_what_needs_an_engine_exist_and_are_needed() -> None:
    for test in {test for _, test in WITH_ENGINE}:
        path, name = test.split("::")
        assert name in _functions(ROOT / path), test
    needed = {run_by(_plain(shown)) for page in PAGES for shown in commands(page) if _plain(shown)}
    unused = {test for _, test in WITH_ENGINE} - needed
    assert unused == set(), "no page shows what these run"


def _plain(shown: Shown) -> str:
    program, *arguments = shown.words
    if Path(program).name == "harness" and "--dry-run" not in arguments:
        return " ".join(["harness", *arguments])
    return ""


@pytest.mark.long
@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        ("bash\nharness validate active-pasive", f"exits with {EXIT_USAGE}"),
        ("bash\nharness run active-passive node-kil", "did you mean node-kill"),
        ("bash\nharness run active-passive --user 4", "No such option"),
        ("bash\nmake chaso TOPO=ha", "no such target"),
        ("bash\nmake chaos TOPO=haa", "there is no topology"),
        ("bash\nfrobnicate", "nobody knows"),
        ("bash\nharness doctor", "in no line"),
        ("bash\ncp topologies/haa.yaml own.yaml", "No such file"),
        ("console\n$ harness validate ha node-kill\nvalid: ha with node-kil", "not printed: valid: ha with node-kil"),
        ("yaml\njob: {script: [harness run haa]}", "there is no topology"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(scratch: Path, say: Say, block: str, complaint: str) -> None:
    page = scratch / "page.md"
    page.write_text(f"```{block}\n```\n")
    with pytest.raises(AssertionError, match=complaint):
        check_page(page, say)


def test_a_line_that_goes_on_is_one_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\nharness run \\\n  ha  # all four\n(echo a; make test) > file || true\n```\n")
    assert [shown.text for shown in commands(page)] == ["harness run ha", "echo a", "make test", "true"]


def test_what_a_page_leaves_out_may_be_anything() -> None:
    assert missing(["a", "...", "c"], "x\na\nb\nb\nc\nd\n") is None
    assert missing(["a", "c"], "x\na\nb\nc\n") == "c"
