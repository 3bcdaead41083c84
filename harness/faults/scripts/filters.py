"""Packet filters as data, and the script that nft(8) is fed with. Pure, so that a rehearsal shows what a host would do.

One table for each act, in the target's own network namespace. Everything is IPv4, as the run's network is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "ALL_MACHINES",
    "CABLE",
    "LOOPBACK",
    "NAME_SERVER",
    "SHARE_UNIT",
    "Answer",
    "Fate",
    "Rule",
    "add_script",
    "remove_script",
]

#: Docker's name for the first interface in a container.
CABLE = "eth0"
LOOPBACK = "lo"
#: Where Docker answers the names of a network, inside each container. It rewrites the port of what is sent there to one
#: of its own, but not the address, so a rule that matches the address holds before and after that.
NAME_SERVER = "127.0.0.11"
#: The group of all machines on a link (RFC 1112): nobody needs to be known, alive or found by ARP to send to it, and
#: it never leaves the link.
ALL_MACHINES = "224.0.0.1"
#: How a packet is lost on its way out. Dropped by its sender's own filter it would not be lost but refused: the kernel
#: tells the sender (EPERM), and TCP sends it again at the next acknowledgement without slowing down (measured with 5 %:
#: 83 MB/s of 108, lost on the way 4.5). So it is sent with a source that every receiver must silently discard
#: (RFC 1122, 3.2.1.3: an address that is valid as a destination only).
_LOST_ON_THE_WAY = "ip saddr set 255.255.255.255"
#: Before the kernel tracks connections, so that what is lost leaves no trace there (NF_IP_PRI_RAW).
_FIRST = -300
#: After everything that could still change a packet (NF_IP_PRI_SELINUX_LAST is 225).
_LAST = 300
#: Shares are decided by a random number below this.
SHARE_UNIT = 10_000


class Fate(StrEnum):
    """What becomes of a packet."""

    PASS = "pass"
    """It is only counted."""
    LOSE = "lose"
    """It is lost without a word to anybody."""
    REJECT = "reject"
    """Its sender is told: a reset for TCP, else an ICMP message "administratively prohibited"."""


class Answer(StrEnum):
    """What came of an attempt to reach somebody."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """By the other side, where nobody listens, or by a filter in between."""
    NONE = "no answer"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One sort of packet, as seen in the namespace that the table is in, and its fate."""

    counter: str
    """The name of the counter of the packets it applied to."""
    incoming: bool
    """It comes in through `device`; otherwise it goes out there."""
    device: str = CABLE
    sender: str = ""
    """An IPv4 address; empty: any."""
    receiver: str = ""
    """An IPv4 address; empty: any."""
    fate: Fate = Fate.LOSE
    per_10000: int = SHARE_UNIT
    """So many of 10,000 packets, each chosen at random on its own; not for `REJECT`."""


def add_script(table: str, rules: Sequence[Rule]) -> str:
    """Make the table, in one transaction; the rules of one that is there are replaced.

    They are flushed for that and the table is kept, because the kernel takes 10 ms longer to delete one.
    """
    counters = [f"  counter {name} {{ }}" for name in dict.fromkeys(rule.counter for rule in rules)]
    chains = {
        f"incoming {{ type filter hook input priority {_FIRST}; policy accept;": _incoming(rules),
        f"refused {{ type filter hook output priority {_FIRST}; policy accept;": _refused(rules),
        f"outgoing {{ type filter hook postrouting priority {_LAST}; policy accept;": _outgoing(rules),
    }
    body = [
        line
        for head, lines in chains.items()
        if lines
        for line in (f"  chain {head}", *(f"    {text}" for text in lines), "  }")
    ]
    return "\n".join(
        (f"table inet {table}", f"flush table inet {table}", f"table inet {table} {{", *counters, *body, "}", "")
    )


def remove_script(table: str) -> str:
    """Delete the table, in one transaction; one that is not there is made first, so that it can be deleted."""
    return f"table inet {table}\ndelete table inet {table}\n"


def _incoming(rules: Sequence[Rule]) -> list[str]:
    lines = []
    for rule in rules:
        if rule.incoming:
            lines += _reject(rule) if rule.fate is Fate.REJECT else [_one(rule, "drop")]
    return lines


def _refused(rules: Sequence[Rule]) -> list[str]:
    refusing = [rule for rule in rules if not rule.incoming and rule.fate is Fate.REJECT]
    lines = []
    for rule in refusing:
        if any(other.incoming and other.fate is Fate.REJECT and other.sender == rule.receiver for other in rules):
            # our own refusals of what comes in go out here: without this the other side would not hear them
            lines.append(f"{_match(rule)} tcp flags rst accept")
            lines.append(f"{_match(rule)} icmp type destination-unreachable icmp code admin-prohibited accept")
        lines += _reject(rule)
    return lines


def _outgoing(rules: Sequence[Rule]) -> list[str]:
    return [_one(rule, _LOST_ON_THE_WAY) for rule in rules if not rule.incoming and rule.fate is not Fate.REJECT]


def _one(rule: Rule, lose: str) -> str:
    share = f"numgen random mod {SHARE_UNIT} < {rule.per_10000}" if rule.per_10000 < SHARE_UNIT else ""
    fate = lose if rule.fate is Fate.LOSE else ""
    return " ".join(part for part in (_match(rule), share, f"counter name {rule.counter}", fate) if part)


def _reject(rule: Rule) -> list[str]:
    counted = f"counter name {rule.counter} reject with"
    return [f"{_match(rule)} meta l4proto tcp {counted} tcp reset", f"{_match(rule)} {counted} icmpx admin-prohibited"]


def _match(rule: Rule) -> str:
    # always by the device as well: the refusals that the kernel hands to a local sender bear the other side's address,
    # but come in through the loopback device
    device = f'{"iifname" if rule.incoming else "oifname"} "{rule.device}"'
    sender = f"ip saddr {rule.sender}" if rule.sender else ""
    receiver = f"ip daddr {rule.receiver}" if rule.receiver else ""
    return " ".join(part for part in (device, sender, receiver) if part)
