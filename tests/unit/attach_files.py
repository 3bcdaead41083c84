"""The text of the file of an existing system, for tests that make mistakes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.core.attach import AttachedSystem
from harness.core.experiment import AbortWhen, Experiment, Fault
from harness.faults.registry import RULES
from harness.spec.attach import load_system

__all__ = ["SYSTEM", "WEB", "kill", "loaded"]

SYSTEM = """\
description: somebody else's platform
attach:
  url: https://there.example.org
  session: {product: jupyterhub}
  users: {environment: TEST_ACCOUNTS}
  machines:
    one:
      role: workbench
      reach: {product: docker, label: service=one}
    two:
      role: workbench
      reach:
        product: ssh
        host: admin@two
        acts:
          stop: {do: systemctl stop hub, undo: systemctl start hub, in_force: "! systemctl is-active hub"}
  allow: [one]
  abort_when: {working_below_percent: 50, for_s: 30}
"""
WEB = """\
description: a web application
attach:
  url: http://127.0.0.1:1
  session:
    product: http
    token: {path: /login, pattern: 'value="([^"]+)"'}
    log_in:
      method: POST
      path: /login
      form: {u: "{user}", p: "{password}", t: "{token}"}
      expect_status: 302
    heartbeat: {path: /ping, expect_text: alive}
  users: {environment: TEST_ACCOUNTS}
"""


def loaded(folder: Path, text: str = SYSTEM) -> AttachedSystem:
    path = folder / "theirs.yaml"
    path.write_text(text)
    return load_system(path, RULES)


def kill(fault: str = "kill", target: str = "workbench[0]", **more: Any) -> Experiment:
    one = Fault(fault=fault, target=target, at_s=1, hold_s=2, **more)
    abort = AbortWhen(working_below_percent=50, for_s=9)
    return Experiment(description="a node", source="a test", faults=(one,), abort_when=abort, name="break-it")
