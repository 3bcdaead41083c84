"""What a sweep removes, and what it says of a network that the engine does not let go."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import PeerError
from harness.faults.agent.sweep import sweep


class _Engine:
    """An engine with one network of the run, which it may refuse to remove."""

    def __init__(self, refusal: str, members: list[str]) -> None:
        self._refusal = refusal
        self._members = members
        self.networks = [{"Id": "e325", "Name": "chaos-08960b"}]

    def list_labelled(self, kind: str, _label: str) -> list[dict[str, str]]:
        return self.networks if kind == "networks" else []

    def members(self, _network_id: str) -> list[str]:
        return self._members

    def remove(self, kind: str, identifier: str) -> None:
        assert (kind, identifier) == ("networks", "e325")
        if self._refusal:
            raise PeerError(self._refusal)


IN_USE = "the engine answered 403 to DELETE /networks/e325: network chaos-08960b id e325 has active endpoints"


@pytest.mark.parametrize(
    ("refusal", "members", "done", "stuck"),
    [
        ("", [], ["removed network chaos-08960b"], []),
        (IN_USE, ["a container"], [f"could not remove network chaos-08960b: {IN_USE}"], []),
        (IN_USE, [], [], ["chaos-08960b"]),
        ("the engine broke", [], ["could not remove network chaos-08960b: the engine broke"], []),
    ],
)
def test_a_network_that_is_held_for_nobody_is_named_and_not_waited_for(
    refusal: str, members: list[str], done: list[str], stuck: list[str]
) -> None:
    engine: Any = _Engine(refusal, members)
    swept = sweep(engine, "08960b", "me")
    assert (swept.done, swept.stuck) == (done, stuck)
