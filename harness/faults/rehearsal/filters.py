"""The rehearsal's packet filters: packets on paper meet the same rules that a real host would be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.faults.host import ContainerState
from harness.faults.rehearsal.paper import Paper
from harness.faults.scripts.filters import (
    CABLE,
    LOOPBACK,
    NAME_SERVER,
    SHARE_UNIT,
    Answer,
    Fate,
    Rule,
    add_script,
    remove_script,
)

__all__ = ["RehearsalFilters"]


class _Machines(Protocol):
    """What must be known of the machines on paper."""

    pids: dict[str, int]

    def look(self, name: str) -> ContainerState:
        """One of them."""
        ...

    def of_pid(self, pid: int) -> str:
        """The machine with that PID 1."""
        ...


@dataclass(frozen=True)
class _Packets:
    """So many of one kind, on their way from one machine to another."""

    sender: str
    receiver: str
    count: int
    refused: bool = False


class RehearsalFilters:
    """See `harness.faults.host.Filters`."""

    def __init__(self, paper: Paper, machines: _Machines) -> None:
        self._paper = paper
        self._machines = machines
        # by PID 1 of the machine, because a restarted one has lost them, and the name of the table
        self._tables: dict[tuple[int, str], tuple[Rule, ...]] = {}
        self._counted: dict[tuple[int, str], dict[str, int]] = {}

    def add(self, pid: int, table: str, rules: Sequence[Rule]) -> None:
        machine = self._machines.of_pid(pid)
        if self._paper.do(_command(machine, add_script(table, rules))):
            self._tables[pid, table] = tuple(rules)
            self._counted[pid, table] = {rule.counter: 0 for rule in rules}
            self._paper.break_(_wrong(table), machine, until_restart=True)

    def remove(self, pid: int, table: str) -> None:
        machine = self._machines.of_pid(pid)
        if self._paper.do(_command(machine, remove_script(table))):
            self._tables.pop((pid, table), None)
            self._counted.pop((pid, table), None)
            self._paper.mend(_wrong(table), machine)

    def counters(self, pid: int, table: str) -> Mapping[str, int]:
        return dict(self._counted.get((pid, table), {}))

    def knock(self, pid: int, address: str) -> Answer:
        own = self._machines.look(self._machines.of_pid(pid)).address
        there = self._travel(_Packets(own, address, 1))
        back = self._travel(_Packets(address, own, there.count))
        return Answer.REFUSED if there.refused or back.count else Answer.NONE

    def send(self, pid: int, sender: str, receiver: str, count: int) -> None:  # noqa: ARG002 - the sender tells
        self._travel(_Packets(sender, receiver, count))

    def ask_name(self, pid: int, name: str) -> Answer:  # noqa: ARG002 - every name is known on paper
        asked = _Packets("127.0.0.1", NAME_SERVER, 1)
        met = self._meet(pid, asked, device=LOOPBACK, incoming=True)
        if met.refused:
            return Answer.REFUSED
        return Answer.ANSWERED if met.count else Answer.NONE

    def _travel(self, packets: _Packets) -> _Packets:
        """Those that arrive."""
        left = self._meet(self._pid_at(packets.sender), packets, device=CABLE, incoming=False)
        receiver = self._pid_at(packets.receiver)
        return self._meet(receiver, left, device=CABLE, incoming=True) if receiver else replace(left, count=0)

    def _pid_at(self, address: str) -> int:
        """PID 1 of the machine with that address; 0 if none runs there."""
        machines = [self._machines.look(name) for name in self._machines.pids]
        return next((machine.pid for machine in machines if machine.address == address), 0)

    def _meet(self, pid: int, packets: _Packets, *, device: str, incoming: bool) -> _Packets:
        """Those that come past the rules in one machine's namespace."""
        for (owner, table), rules in self._tables.items():
            for rule in rules:
                applies = (owner, device, incoming) == (pid, rule.device, rule.incoming)
                if not applies or rule.sender not in ("", packets.sender):
                    continue
                if rule.receiver not in ("", packets.receiver):
                    continue
                hit = packets.count * rule.per_10000 // SHARE_UNIT
                self._counted[owner, table][rule.counter] += hit
                if rule.fate is not Fate.PASS:
                    refused = packets.refused or (hit > 0 and rule.fate is Fate.REJECT)
                    packets = replace(packets, count=packets.count - hit, refused=refused)
        return packets


def _command(machine: str, script: str) -> str:
    """The script in one line: there a semicolon ends a statement, but none may follow an opening brace."""
    text = "; ".join(line.strip() for line in script.splitlines()).replace("{;", "{").replace(";;", ";")
    return f"nsenter --net=<network namespace of {machine}> nft '{text}'"


def _wrong(table: str) -> str:
    return f"packet filter {table}"
