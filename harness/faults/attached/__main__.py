"""`python3 -m harness.faults.attached JOURNAL`: breaks and mends an existing system for the harness, over standard
input and output, beside the harness and not inside it.

When the input ends (the harness is gone, however it went), or on SIGTERM, everything in the journal is undone. A wish
to stop that the terminal sends to everybody is not meant for this process.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from harness.core.attach import CommandAct, Docker, Machine, Ssh
from harness.core.conversation import Handler, serve
from harness.core.words import Role
from harness.errors import UsageError
from harness.faults.attached.kinds import Here, kinds_for
from harness.faults.host import Host
from harness.faults.journal import Journal
from harness.faults.lifecycle import COULD_NOT, Lifecycle

#: How long to try to undo while a machine or an engine does not answer, and how often.
AWAY_LIMIT_S, AGAIN_S = 600.0, 2.0


class Operator:
    """Answers the harness: machines (once, before anything else), look, fault."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lifecycle: Lifecycle | None = None
        self._machines: Mapping[str, Machine] = {}

    def machines(self, *, run_id: str, machines: Mapping[str, Any]) -> Mapping[str, Any]:
        """Which machines may be broken, and how."""
        self._machines = {name: _machine(data) for name, data in machines.items()}
        # the kinds here ask their host for the clock alone
        self._lifecycle = Lifecycle(cast(Host, Here()), self._journal, kinds_for(self._machines), run_id=run_id)
        return {}

    def look(self, *, fault: str, targets: list[str]) -> Mapping[str, Any]:
        """Whether each of the targets is there and sound, as `prepare` looks; changes nothing."""
        self._life.step(step="prepare", index=-1, fault=fault, targets=targets)
        return {}

    def fault(self, **step: Any) -> Mapping[str, Any]:
        """One step of a fault's life."""
        return self._life.step(**step)

    def end(self) -> list[str]:
        """Undo whatever is still in force."""
        return self._lifecycle.undo_all() if self._lifecycle else []

    @property
    def _life(self) -> Lifecycle:
        if self._lifecycle is None:
            raise UsageError("nobody said which machines may be broken")
        return self._lifecycle


def _machine(data: Mapping[str, Any]) -> Machine:
    reach = dict(data["reach"])
    if reach["product"] == "docker":
        return Machine(role=Role(data["role"]), reach=Docker(**reach))
    acts = {kind: CommandAct(**act) for kind, act in reach.pop("acts").items()}
    options = tuple(reach.pop("options"))
    return Machine(role=Role(data["role"]), reach=Ssh(**reach, options=options, acts=acts))


def _until_undone(operator: Operator) -> None:
    """Undo whatever is in force, for as long as a machine may be away; what could not be is said."""
    deadline = time.monotonic() + AWAY_LIMIT_S
    while True:
        done = operator.end()
        for line in done:
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - standard error is the log
        if not any(line.startswith(COULD_NOT) for line in done) or time.monotonic() > deadline:
            return
        time.sleep(AGAIN_S)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    operator = Operator(Journal(Path(sys.argv[1])))
    handlers: dict[str, Handler] = {
        "machines": operator.machines,
        "look": operator.look,
        "fault": operator.fault,
    }
    try:
        serve(sys.stdin, lambda line: print(line, end="", flush=True), handlers)  # noqa: T201 - the answer
    finally:
        _until_undone(operator)


if __name__ == "__main__":
    main()
