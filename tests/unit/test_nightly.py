"""`make matrix` and `make nightly` say the right commands, and the CI files name what is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.runtime.images import context_files
from harness.spec import Catalog

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github/workflows/nightly.yml"
GITLAB = ROOT / "docs/ci/gitlab-nightly.yml"
#: Instead of the command: says how it was called, and ends as it is told to.
_STUB = """#!/bin/bash
echo "harness $*"
case $1 in matrix) exit ${MATRIX:-0};; compare) exit ${COMPARE:-0};; history|baseline) exit 0;; *) exit 64;; esac
"""

Make = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    stub = tmp_path / "harness"
    stub.write_text(_STUB)
    stub.chmod(0o755)

    def go(target: str, *words: str) -> tuple[int, list[str]]:
        argv = ["make", "--no-print-directory", "--old-file=.venv/.ready", target, f"BIN={tmp_path}", *words]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, [" ".join(line.split()) for line in done.stdout.splitlines()]

    return go


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "harness matrix all suite"),
        (["TOPOS=a,b", "EXPS=node-kill", "TRIALS=3"], "harness matrix a,b node-kill --trials 3"),
        (["EXPS=node-kill"], "harness matrix all node-kill"),
        (["RESUME=1"], "harness matrix --resume latest"),
        (["RESUME=x.json", "TOPOS=a"], "harness matrix a suite --resume x.json"),
    ],
)
def test_make_matrix(make: Make, words: list[str], expected: str) -> None:
    assert make("matrix", *words) == (0, [expected])


def test_a_night_without_a_baseline_says_so(make: Make, tmp_path: Path) -> None:
    code, lines = make("nightly", "TOPOS=a", "EXPS=b", "TRIALS=2", f"BASELINE={tmp_path}/none.json")
    assert code == 0
    assert lines == [
        "harness matrix a b --trials 2 --seed 1 --resume recent",
        f"no baseline at {tmp_path}/none.json, so nothing was compared: make baseline keeps this night as one",
        "harness history",
    ]


@pytest.mark.parametrize(
    ("matrix", "compared", "code", "steps"),
    [
        (0, 0, 0, ["matrix", "compare", "history"]),
        (1, 0, 2, ["matrix", "compare", "history"]),
        (0, 1, 2, ["matrix", "compare", "history"]),
        (64, 0, 2, ["matrix"]),
        (69, 0, 2, ["matrix"]),
        (70, 0, 2, ["matrix", "compare", "history"]),
    ],
)
def test_every_step_of_a_night_is_taken_and_any_that_fails_fails_it(
    make: Make, monkeypatch: pytest.MonkeyPatch, matrix: int, compared: int, code: int, steps: list[str]
) -> None:
    monkeypatch.setenv("MATRIX", str(matrix))
    monkeypatch.setenv("COMPARE", str(compared))
    found, lines = make("nightly", f"BASELINE={ROOT}/README.md")
    assert found == code, "make turns every code but 0 into 2"
    assert [line.split()[1] for line in lines if line.startswith("harness")] == steps
    if "compare" in steps:
        assert lines[1].startswith(f"harness compare {ROOT}/README.md results/latest-matrix.json")


def test_too_few_runs_to_tell_are_no_failure_and_said(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPARE", "2")
    code, lines = make("nightly", f"BASELINE={ROOT}/README.md")
    assert code == 0
    assert "too few runs to tell: more TRIALS, or more nights in the baseline" in lines


@pytest.mark.parametrize(("matrix", "compared", "joins"), [(0, 0, True), (0, 2, True), (0, 1, False), (1, 0, False)])
def test_only_a_good_night_joins_the_baseline_and_only_where_that_is_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch, matrix: int, compared: int, joins: bool
) -> None:
    monkeypatch.setenv("MATRIX", str(matrix))
    monkeypatch.setenv("COMPARE", str(compared))
    kept = "harness baseline --add --at-most 10 results/latest-matrix.json"
    assert kept not in make("nightly", f"BASELINE={ROOT}/README.md")[1]
    assert (kept in make("nightly", f"BASELINE={ROOT}/README.md", "KEEP=1")[1]) is joins


# -- the files ---------------------------------------------------------------------------------------------------------


def texts(value: Any) -> Iterator[str]:
    """Every string in a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def github() -> dict[str, Any]:
    document: dict[Any, Any] = yaml.safe_load(GITHUB.read_text())
    return {("on" if key is True else key): value for key, value in document.items()}  # YAML 1.1 takes `on` for true


def gitlab() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(GITLAB.read_text())
    return document


@pytest.mark.parametrize("document", [github, gitlab])
def test_a_ci_file_names_targets_variables_and_files_that_are_there(document: Callable[[], dict[str, Any]]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    every = "\n".join(texts(document()))
    targets = re.findall(r"\bmake ([a-z][a-z-]*)", every)
    assert "nightly" in targets
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []
    for variable in ("TOPOS", "EXPS", "TRIALS", "BASELINE"):
        assert re.search(rf"^{variable} \?=", makefile, re.MULTILINE)
    lists = re.findall(r"\b[a-z]+(?:-[a-z]+)*(?:,[a-z]+(?:-[a-z]+)*)+\b", every)
    named = {name for each in lists for name in each.split(",")}
    assert {"node-kill", "partition"} <= named
    assert named <= set(Catalog(ROOT).experiments())


def test_both_run_one_job_for_each_of_the_same_topologies() -> None:
    job = github()["jobs"]["nightly"]
    names = job["strategy"]["matrix"]["topology"]
    assert job["env"]["TOPOS"] == "${{ matrix.topology }}"
    assert gitlab()["nightly"]["parallel"]["matrix"] == [{"TOPOS": names}]
    assert set(names) <= set(Catalog(ROOT).topologies())


def test_what_a_night_leaves_is_kept_also_when_it_fails() -> None:
    document = github()
    assert document["on"]["schedule"][0]["cron"]
    steps = document["jobs"]["nightly"]["steps"]
    night = next(index for index, step in enumerate(steps) if "make nightly" in step.get("run", ""))
    later = steps[night + 1 :]
    assert all(step["if"].startswith("always()") for step in later)
    summary = next(step["run"] for step in later if "GITHUB_STEP_SUMMARY" in step.get("run", ""))
    assert "results/matrix/*.md" in summary
    upload = next(step for step in later if "upload-artifact" in step.get("uses", ""))
    assert upload["with"]["path"] == "results"
    job = gitlab()["nightly"]["artifacts"]
    assert (job["when"], job["reports"]["junit"][0]) == ("always", "results/matrix/*.junit.xml")


def test_the_cached_images_depend_on_everything_that_goes_into_one() -> None:
    key = next(text for text in texts(github()) if text.startswith("images-"))
    names = [path.split("/")[2] for image in ("agent", "client") for path in context_files(image) if "package/" in path]
    assert "core" in names
    assert [part for part in {"images", *names} if f"harness/{part}" not in key] == []
