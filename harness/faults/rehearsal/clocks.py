"""The rehearsal's wall clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.core.clock import to_ns
from harness.core.preload import OFFSET_PATH
from harness.faults.rehearsal.paper import Paper

__all__ = ["PaperClocks"]

_WRONG = "wall clock"


class PaperClocks:
    """See `harness.faults.host.clocks.Clocks`. Every container was started with a clock that can be set."""

    def __init__(self, paper: Paper, machine_of: Callable[[int], str]) -> None:
        self._paper = paper
        self._machine_of = machine_of

    def set_offset(self, pid: int, offset_s: float) -> None:
        machine = self._machine_of(pid)
        number = f"perl -e 'print pack(\"q\", {to_ns(offset_s)})'"
        if not machine or not self._paper.do(f"{number} 1<> <root of {machine}>{OFFSET_PATH}"):
            return
        if offset_s:
            self._paper.break_(_WRONG, machine, offset_s, until_restart=True)
        else:
            self._paper.mend(_WRONG, machine)

    def offset_s(self, pid: int) -> float:
        offset_s: float = self._paper.wrong.get((_WRONG, self._machine_of(pid)), 0.0)
        return offset_s

    def deaf(self, pid: int) -> Sequence[str]:  # noqa: ARG002 - on paper nobody is
        return []
