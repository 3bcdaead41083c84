"""Links between containers and the host, by `ip` in the right network namespace.

Everything here can reach the host's own devices, so nothing is switched that is not a veth device.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from harness.errors import PeerError
from harness.faults.base import GuardError

__all__ = ["is_up", "outer_device", "set_link"]

#: Docker's name for the first interface in a container.
_INNER_DEVICE = "eth0"


def outer_device(pid: int, host_pid: int) -> str:
    """The host's end of the link of the container whose PID 1 is `pid`.

    Raises `GuardError` unless it is a veth device whose peer is the container's own.
    """
    inner = _devices(pid, _INNER_DEVICE)
    if not inner or "link_index" not in inner[0]:
        raise GuardError(f"process {pid} has no linked device {_INNER_DEVICE}, so there is no link to switch off")
    for device in _devices(host_pid):
        if device["ifindex"] == inner[0]["link_index"] and device.get("link_index") == inner[0]["ifindex"]:
            _guard_veth(device)
            return str(device["ifname"])
    raise GuardError(f"the host has no device that is the other end of {_INNER_DEVICE} of process {pid}: refused")


def set_link(device: str, host_pid: int, *, up: bool) -> None:
    """Switch a veth device of the host; one that is gone is fine. Raises `GuardError` for any other device."""
    found = _devices(host_pid, device)
    if not found:
        return
    _guard_veth(found[0])
    _ip(host_pid, ["link", "set", "dev", device, "up" if up else "down"])


def is_up(device: str, host_pid: int) -> bool:
    """Whether the device is there and switched on."""
    return any("UP" in found["flags"] for found in _devices(host_pid, device))


def _guard_veth(device: dict[str, Any]) -> None:
    kind = device.get("linkinfo", {}).get("info_kind")
    if kind != "veth":
        raise GuardError(f"{device['ifname']} is no veth device but {kind or 'a real one'}: refused")


def _devices(pid: int, name: str = "") -> list[dict[str, Any]]:
    """Devices in the network namespace of a process; none if the named one is not there."""
    found: list[dict[str, Any]] = json.loads(_ip(pid, ["-details", "-json", "link", "show"]))
    return [device for device in found if name in ("", device["ifname"])]


def _ip(pid: int, arguments: Sequence[str]) -> str:
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout
