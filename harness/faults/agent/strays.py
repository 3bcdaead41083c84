"""Bridges and routes of networks that the engine does not know any more: what an engine leaves that lost its state.

This reaches into the host's own network, so it keeps to what can only be ours: a bridge with an engine's kind of name,
an address out of the harness's pool, nothing attached to it, and no network of the engine behind it.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.namespaces import run_in_network_of_host

__all__ = ["stray_bridges", "strays"]

#: The engine names a network's bridge after the first twelve digits of the network's id.
_BRIDGE = re.compile(r"br-([0-9a-f]{12})")


def strays(engine: EngineApi, pool: str, *, heal: bool) -> list[str]:
    """A line for each stray bridge, which takes its route along; with `heal` they are removed."""
    devices = json.loads(run_in_network_of_host(["ip", "-details", "-json", "address", "show"]))
    known = [network["Id"] for network in engine.call("GET", "/networks")]
    found = []
    for name, address in stray_bridges(devices, known, pool):
        if heal:
            run_in_network_of_host(["ip", "link", "delete", "dev", name])
        found.append(f"bridge {name} with the route to {address}, of a network that the engine does not know")
    return found


def stray_bridges(
    devices: Sequence[Mapping[str, Any]], known_networks: Sequence[str], pool: str
) -> list[tuple[str, str]]:
    """Name and subnet of each bridge that can only be a leftover of ours. `devices` is what `ip address` says, in
    JSON with details. A pure function."""
    masters = {device.get("master") for device in devices}
    found = []
    for device in devices:
        name = str(device["ifname"])
        match = _BRIDGE.fullmatch(name)
        kind = device.get("linkinfo", {}).get("info_kind")
        if match is None or kind != "bridge" or name in masters:
            continue
        if any(network.startswith(match[1]) for network in known_networks):
            continue
        for address in device.get("addr_info", []):
            subnet = ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
            if subnet.version == 4 and subnet.subnet_of(ipaddress.IPv4Network(pool)):
                found.append((name, str(subnet)))
    return found
