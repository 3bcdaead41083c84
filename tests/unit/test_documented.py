"""What can be used is documented: every fault, topology, experiment and command."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from harness.cli import app
from harness.core.experiment import AbortWhen, Experiment, Fault, Growth, Load, Objectives
from harness.faults.registry import FAULTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_fault_has_its_row(kind: str) -> None:
    assert f"| `{kind}` |" in (ROOT / "docs/faults.md").read_text()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*ologies/*.yaml")) + sorted(ROOT.glob("experiments/*.[py]*")), ids=str
)
def test_every_topology_and_experiment_is_in_the_readme(path: Path) -> None:
    assert f"`{path.stem}`" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("part", [Experiment, Fault, Load, AbortWhen, Growth, Objectives])
def test_every_key_of_an_experiment_is_documented(part: type) -> None:
    document = (ROOT / "docs/architecture.md").read_text()
    (table,) = re.findall(r"The keys .*?\n\n(.*?)\n\n", document, re.DOTALL)
    keys = {field.name for field in dataclasses.fields(part)} - ({"name"} if part is Experiment else set())
    assert sorted(key for key in keys if f"`{key}`" not in table) == []


def test_every_command_is_in_the_readme() -> None:
    names = {c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands}
    readme = (ROOT / "README.md").read_text()
    assert names
    assert not [name for name in names if f"harness {name}" not in readme]
