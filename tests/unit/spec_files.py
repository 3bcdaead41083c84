"""The text of a small topology and a small experiment, for tests that make mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec import load_experiment, load_topology
from tests.unit.spec_rules import RULES

__all__ = ["EXPERIMENT", "PROMISE", "TOPOLOGY", "experiment_problems", "topology_problems"]

TOPOLOGY = """\
description: two nodes
load_balancer: {}
workbench:
  nodes: 2
database: {}
storage: {}
"""
PROMISE = """\
promises:
  node-kill:
    recovers: by_design
    session_outcome: restarted
    log_in_kept: true
    outage_at_most_s: 30
    why: the standby takes over
"""
EXPERIMENT = """\
description: a node dies
source: it happens
faults:
  - fault: kill
    target: workbench[active]
    at_s: 5
    hold_s: 40
"""


def topology_problems(text: str) -> list[str]:
    Path("t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_topology(Path("t.yaml"))
    return caught.value.problems


def experiment_problems(text: str) -> list[str]:
    Path("e.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_experiment(Path("e.yaml"), RULES)
    return caught.value.problems
