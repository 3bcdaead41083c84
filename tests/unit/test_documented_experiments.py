"""The worked example of docs/writing-experiments.md, and its words: tried, on the fake runtime."""

from __future__ import annotations

import inspect
import re
import shutil

import pytest

from harness.pytest_plugin.limits import Expect, Numbers, Ratio, Seconds
from harness.pytest_plugin.scene import Deployment, Faults, HistorySoFar, InForce, LoadOfPeople
from harness.runtime.fake import Behaviour
from tests.unit.documented import ROOT, blocks, commands
from tests.unit.pytest_runs import Inner

pytest_plugins = ["pytester"]

PAGE = ROOT / "docs/writing-experiments.md"


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, usual: object) -> Inner:
    """A folder with what the page has one write, and the experiment that it tells of."""
    made = Inner(pytester, monkeypatch)
    for name, language, number in (
        ("platform.yaml", "yaml", 0),
        ("experiments/node-away.yaml", "yaml", 1),
        ("test_node.py", "python", 0),
    ):
        assert f"`{name}`" in PAGE.read_text()
        made.write(name, [block.text for block in blocks(PAGE) if block.language == language][number])
    return made


@pytest.mark.long
def test_every_command_of_the_page_does_what_it_says(inner: Inner) -> None:
    shown = [one.words[1:] for one in commands(PAGE) if one.words[0] == "pytest"]
    assert shown == [
        ("experiments/", "--topology=platform.yaml", "--collect-only"),
        ("experiments/", "--topology=platform.yaml"),
        ("test_node.py",),
        ("experiments/cascading-overload.py",),
    ]
    *of_the_example, of_the_catalogue = shown
    for words in of_the_example:
        assert inner.run(*words).ret == 0
    assert [folder.path.parent.name for folder in inner.folders()] == [
        "node-away",
        "test_people_come_back_from_a_dead_node",
    ]
    shutil.copy(ROOT / of_the_catalogue[0], inner.path / "experiments")
    result = inner.run(*of_the_catalogue, behaviour=Behaviour(carries=40))
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*carried 36 people (at 48 only 40 of 48 could work)"])


@pytest.mark.parametrize(
    "of", [Deployment, LoadOfPeople, Faults, InForce, HistorySoFar, Expect, Numbers, Ratio, Seconds]
)
def test_every_word_of_the_fixtures_is_on_the_page(of: type) -> None:
    words = {name for name, _ in inspect.getmembers(of) if not name.startswith("_")}
    said = set(re.findall(r"\w+", PAGE.read_text()))
    assert words <= said


def test_every_option_is_on_the_page() -> None:
    options = re.findall(r'addoption\(\s*"(--[\w-]+)"', (ROOT / "harness/pytest_plugin/__init__.py").read_text())
    assert options
    assert [option for option in options if option not in PAGE.read_text()] == []
