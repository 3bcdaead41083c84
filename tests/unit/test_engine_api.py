"""What the agent asks of the engine, where the answer is not the end of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.errors import PeerError
from harness.faults.agent import engine_api
from harness.faults.agent.engine_api import EngineApi


class Engine(EngineApi):
    """Refuses to freeze some times, as an engine does while a process waits for its disk."""

    def __init__(self, refusals: int) -> None:
        super().__init__("/nowhere")
        self.refusals = refusals
        self.paused = False

    def call(self, method: str, path: str, *, fine: Sequence[int] = ()) -> Any:
        if method == "GET":
            return {"State": {"Paused": self.paused}}
        if self.refusals:
            self.refusals -= 1
            if 500 in fine:
                return None
            raise PeerError("the engine answered 500")
        self.paused = True
        return None


def test_a_container_that_can_not_be_frozen_at_this_moment_is_frozen_at_the_next() -> None:
    engine = Engine(refusals=3)
    engine.pause("c0ffee")
    assert engine.paused


def test_a_container_that_can_not_be_frozen_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_api, "_FREEZE_S", 0.05)
    with pytest.raises(PeerError, match="500"):
        Engine(refusals=10**9).pause("c0ffee")
