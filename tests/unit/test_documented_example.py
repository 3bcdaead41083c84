"""The fault that the page on adding one makes is one: its own blocks are carried out."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

from harness.core.clock import FakeClock
from harness.core.rules import FaultRules
from harness.faults.base import FaultKind
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.faults.registry import FAULTS, RULES
from harness.faults.rehearsal import RehearsalHost
from harness.run.dry import plan_lines
from harness.spec.loader import check_pair, load_experiment, load_topology
from tests.unit.documented import ROOT, Block, blocks

PAGE = ROOT / "docs/adding.md"
MODULE = "harness.faults.kinds.proxies"
TOPOLOGY = ROOT / "topologies/active-active.yaml"


def block(language: str) -> Block:
    (found,) = [one for one in blocks(PAGE) if one.language == language]
    return found


@pytest.fixture
def fault() -> Iterator[FaultKind]:
    """The class of the page, as if its file were there."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    exec(compile(block("python").text, str(PAGE), "exec"), module.__dict__)
    yield module.ProxyHang()
    del sys.modules[MODULE]


@pytest.fixture
def registered(fault: FaultKind, monkeypatch: pytest.MonkeyPatch) -> MappingProxyType[str, FaultRules]:
    """With its entry in the registry."""
    kinds = MappingProxyType({**FAULTS, fault.kind: fault})
    for place in ("harness.faults.registry", "harness.run.dry", "harness.run.plan"):
        monkeypatch.setattr(f"{place}.FAULTS", kinds)
    return MappingProxyType({**RULES, fault.kind: fault.rules()})


@pytest.mark.parametrize("inert", [False, True])
def test_it_goes_through_its_life_and_is_caught_if_it_does_nothing(
    fault: FaultKind, tmp_path: Path, inert: bool
) -> None:
    clock = FakeClock()
    host = RehearsalHost(clock.now_ns, "abc123")
    host.paper.inert = inert
    lifecycle = Lifecycle(
        host, Journal(tmp_path / "journal.jsonl"), {fault.kind: fault}, run_id="abc123", pause=clock.sleep
    )
    assert lifecycle.step(step="prepare", index=0, fault=fault.kind, targets=["workbench-0"])["ok"]
    lifecycle.step(step="inject", index=0)
    assert lifecycle.step(step="confirm", index=0)["ok"] is not inert
    lifecycle.step(step="undo", index=0)
    assert lifecycle.step(step="confirm_recovery", index=0)["ok"]


def test_its_experiment_is_valid_and_the_plan_is_the_one_that_is_shown(
    registered: MappingProxyType[str, FaultRules], tmp_path: Path
) -> None:
    path = tmp_path / "proxy-hang.yaml"
    path.write_text(block("yaml").text)
    experiment, topology = load_experiment(path, registered), load_topology(TOPOLOGY)
    check_pair(topology, experiment, TOPOLOGY, path, registered)
    plan = "\n".join(plan_lines(topology, [experiment], ()))
    assert block("text").text in plan + "\n"


def test_the_page_names_what_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in set(re.findall(r"`((?:harness|tests)/[\w/]+\.(?:py|yaml))`", text)) - {
        "harness/faults/kinds/proxies.py"
    }:
        assert (ROOT / path).is_file(), path
    (name,) = re.findall(r"`(test_freeze_\w+)`", text)
    assert f"def {name}(" in (ROOT / "tests/integration/test_faults_processes.py").read_text(encoding="utf-8")
