"""Packet filters in containers' network namespaces, by nft(8), and attempts to get through them."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Mapping, Sequence

from harness.faults.agent.namespaces import in_network_of, run_in_network_of
from harness.faults.scripts.filters import NAME_SERVER, Answer, Rule, add_script, remove_script

__all__ = ["RealFilters"]

#: The discard port (RFC 863): nobody listens there, so a machine that is reached refuses a connection at once and
#: drops a datagram.
_NOBODYS_PORT = 9
#: A machine on the same bridge answers in less than 1 ms, Docker's name server in about 1; this leaves room for a busy
#: machine and keeps a look short.
_ANSWER_TIMEOUT_S = 0.2


class RealFilters:
    """See `harness.faults.host.Filters`. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN, and the program `nft`."""

    def add(self, pid: int, table: str, rules: Sequence[Rule]) -> None:
        run_in_network_of(pid, ["nft", "-f", "-"], text=add_script(table, rules))

    def remove(self, pid: int, table: str) -> None:
        run_in_network_of(pid, ["nft", "-f", "-"], text=remove_script(table))

    def counters(self, pid: int, table: str) -> Mapping[str, int]:
        # of all tables, because to ask for one that is not there is an error that can't be told from others
        shown = json.loads(run_in_network_of(pid, ["nft", "-j", "list", "counters", "inet"]))["nftables"]
        counters = [entry["counter"] for entry in shown if "counter" in entry]
        return {counter["name"]: counter["packets"] for counter in counters if counter["table"] == table}

    def knock(self, pid: int, address: str) -> Answer:
        return in_network_of(pid, lambda: _knock(address))

    def send(self, pid: int, sender: str, receiver: str, count: int) -> None:
        in_network_of(pid, lambda: _send(sender, receiver, count))

    def ask_name(self, pid: int, name: str) -> Answer:
        return in_network_of(pid, lambda: _ask(name))


def _knock(address: str) -> Answer:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(_ANSWER_TIMEOUT_S)
        try:
            attempt.connect((address, _NOBODYS_PORT))
        except ConnectionRefusedError:
            return Answer.REFUSED
        except OSError:  # the time is up, or there is no way to that machine
            return Answer.NONE
        return Answer.ANSWERED


def _send(sender: str, receiver: str, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        # these three matter for a group of receivers only
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sender))
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        for _ in range(count):
            out.sendto(b"", (receiver, _NOBODYS_PORT))


def _ask(name: str) -> Answer:
    question = _question(name)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.settimeout(_ANSWER_TIMEOUT_S)
        try:
            server.connect((NAME_SERVER, 53))
            server.send(question)
            ready, _, _ = select.select([server], [], [], _ANSWER_TIMEOUT_S)
            # any answer to this very question counts: it is not about what the name server knows
            return Answer.ANSWERED if ready and server.recv(512)[:2] == question[:2] else Answer.NONE
        except OSError:  # an ICMP message said that it was not to be
            return Answer.REFUSED


def _question(name: str) -> bytes:
    """A query for the IPv4 address of a name (RFC 1035, 4.1), recursion desired."""
    labels = b"".join(bytes([len(part)]) + part for part in name.encode("ascii").split(b"."))
    return struct.pack(">6H", 0xC4A0, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
