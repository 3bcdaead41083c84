"""What the kernel is told to delay or to throttle: scripts for tc(8).

The root is HTB, which every packet passes at once that belongs to none of its classes. One class takes what goes to the
peers, by a filter on their addresses, so that everybody else is reached as before. The filter is added last: only with
it the rest has an effect.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DEVICE", "Shape", "burst_bytes", "handle_of", "script"]

#: Docker's name for the first interface in a container.
DEVICE = "eth0"
#: More than any of these machines can send, so that a class that only delays never throttles.
_UNLIMITED = "10gbit"
#: Packets on their way; netem's default of 1,000 would be full with 100 ms at 15 MB/s, and lose the rest.
_NETEM_LIMIT = 100_000
#: One whole Ethernet frame and a little more: with less nothing would ever be sent.
_LEAST_BURST_BYTES = 1_600


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What is done to the packets to some addresses."""

    delay_ms: int = 0
    jitter_ms: int = 0
    rate_kb_per_s: int = 0
    """0: as fast as the machine can."""


def handle_of(tag: str) -> str:
    """The handle of an act's queueing discipline: 16 bits of the tag are what fits, and it is never 0."""
    return f"{1 + zlib.crc32(tag.encode()) % 0xFFFE:x}:"


def burst_bytes(rate_kb_per_s: int) -> int:
    """What passes at once after a pause: what is due in 10 ms, the longest tick of a kernel."""
    return max(_LEAST_BURST_BYTES, rate_kb_per_s * 10)


def script(device: str, handle: str, addresses: Sequence[str], shape: Shape) -> str:
    """Lines for `tc -batch`."""
    leaf = f"{handle}1"
    rate, burst = _UNLIMITED, burst_bytes(1_000_000)
    if shape.rate_kb_per_s:
        rate, burst = f"{shape.rate_kb_per_s * 8}kbit", burst_bytes(shape.rate_kb_per_s)
    rate = f"{rate} burst {burst} cburst {burst} quantum 1600"
    lines = [
        f"qdisc add dev {device} root handle {handle} htb default 0",
        f"class add dev {device} parent {handle} classid {leaf} htb rate {rate}",
    ]
    if shape.delay_ms or shape.jitter_ms:
        jitter = f" {shape.jitter_ms}ms" if shape.jitter_ms else ""
        lines.append(
            f"qdisc add dev {device} parent {leaf} netem limit {_NETEM_LIMIT} delay {shape.delay_ms}ms{jitter}"
        )
    lines += [
        f"filter add dev {device} parent {handle} protocol ip prio 1 u32 match ip dst {address}/32 flowid {leaf}"
        for address in addresses
    ]
    return "".join(f"{line}\n" for line in lines)
