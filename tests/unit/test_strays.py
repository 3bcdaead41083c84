"""Which bridges of the host can only be a leftover of ours."""

from __future__ import annotations

from typing import Any

import pytest

from harness.faults.agent.strays import stray_bridges

POOL = "10.71.0.0/16"
OURS = "br-0123456789ab"


def device(name: str = OURS, kind: str = "bridge", address: str = "10.71.9.1", **more: Any) -> dict[str, Any]:
    return {
        "ifname": name,
        "linkinfo": {"info_kind": kind},
        "addr_info": [{"family": "inet", "local": address, "prefixlen": 24}],
        **more,
    }


def test_a_bridge_without_a_network_behind_it_is_stray() -> None:
    assert stray_bridges([device()], ["ffffffffffff0000"], POOL) == [(OURS, "10.71.9.0/24")]


@pytest.mark.parametrize(
    "other",
    [
        device(name="br-office"),
        device(name="docker0"),
        device(name="eth0", kind="veth"),
        device(kind="vlan"),
        device(address="192.168.9.1"),
        device(addr_info=[]),
        {"ifname": OURS},
    ],
)
def test_everything_else_of_the_host_is_left_alone(other: dict[str, Any]) -> None:
    assert stray_bridges([other], [], POOL) == []


def test_a_bridge_that_is_in_use_or_known_is_left_alone() -> None:
    attached = {"ifname": "veth1", "master": OURS, "linkinfo": {"info_kind": "veth"}}
    assert stray_bridges([device(), attached], [], POOL) == []
    assert stray_bridges([device()], ["0123456789abcdef"], POOL) == []
