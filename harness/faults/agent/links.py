"""Links between containers and the host, by `ip` in the right network namespace.

Everything here can reach the host's own devices, so nothing is switched that is not a veth device.
"""

from __future__ import annotations

import json
from typing import Any

from harness.faults.agent.namespaces import run_in_network_of, run_in_network_of_host
from harness.faults.host import GuardError

__all__ = ["RealLinks"]

#: Docker's name for the first interface in a container.
_INNER_DEVICE = "eth0"
_SHOW = ("ip", "-details", "-json", "link", "show")


class RealLinks:
    """See `harness.faults.host.Links`. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN."""

    def outer_device(self, pid: int) -> str:
        inner = _named(run_in_network_of(pid, _SHOW), _INNER_DEVICE)
        if not inner or "link_index" not in inner[0]:
            raise GuardError(f"process {pid} has no linked device {_INNER_DEVICE}, so there is no link to switch off")
        for device in _of_host():
            if device["ifindex"] == inner[0]["link_index"] and device.get("link_index") == inner[0]["ifindex"]:
                _guard_veth(device)
                return str(device["ifname"])
        raise GuardError(f"the host has no device that is the other end of {_INNER_DEVICE} of process {pid}: refused")

    def set(self, device: str, *, up: bool) -> None:
        found = _of_host(device)
        if not found:
            return
        _guard_veth(found[0])
        run_in_network_of_host(["ip", "link", "set", "dev", device, "up" if up else "down"])

    def is_up(self, device: str) -> bool:
        return any("UP" in found["flags"] for found in _of_host(device))


def _guard_veth(device: dict[str, Any]) -> None:
    kind = device.get("linkinfo", {}).get("info_kind")
    if kind != "veth":
        raise GuardError(f"{device['ifname']} is no veth device but {kind or 'a real one'}: refused")


def _of_host(name: str = "") -> list[dict[str, Any]]:
    """Devices of the host; none if the named one is not there."""
    return _named(run_in_network_of_host(_SHOW), name)


def _named(shown: str, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shown)
    return [device for device in found if name in ("", device["ifname"])]
