"""What happened to each person's session: the ledger, from the operations the users recorded.

A *disturbance* of a session begins with the send of an operation that failed, or that showed another kernel or lost
memory, and ends with the completion of the next good `work`. Only operations sent in the observation window count:
a retry while the users arrive is no effect of a fault.

A disturbance is put down to a fault, and how it ended is classified, by the rule for outages (`recoveries`): probes say
how a capability came back, and this how people did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.analysis.facts import Facts
from harness.analysis.homes import WatchedServers
from harness.analysis.outages import slow_above, usual_latency
from harness.analysis.record import ordered
from harness.analysis.recoveries import began_ns, fault_at, recovery_of, worst
from harness.core.clock import to_ns, to_s
from harness.core.words import LEAVE, Capability, Recovery, SessionOutcome

__all__ = [
    "Disturbance",
    "SessionCount",
    "SessionRow",
    "attribute",
    "count_recoveries",
    "count_sessions",
    "session_ledger",
]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
LOG_IN_RUNG = "log_in"


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One interruption of one session."""

    start_ns: int
    end_ns: int | None
    """None: no good work until the end of the observation."""
    restarted: bool
    """Kernel memory was gone afterwards, or another kernel answered."""
    memory_expected: int
    """Counter the kernel's memory should have held at the first answered work after it; -1 without an answer."""
    memory_found: int
    observed_until_ns: int
    """End of the observation."""
    during_fault: int | None
    """Index of the fault in whose time it began; None before any fault: then the platform was not steady."""
    recovery: Recovery

    @property
    def seconds(self) -> float:
        """Its length; of what was observed of it where it did not end. As coarse as the person's beat."""
        return to_s(max(0, (self.observed_until_ns if self.end_ns is None else self.end_ns) - self.start_ns))


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """One session. Durations in seconds; -1 counters and empty texts mean that there is none."""

    session: str
    user: str
    outcome: SessionOutcome
    on_target: bool
    """Whether it was served by a target of a fault when that was injected."""
    node_before: str
    """Where it was served before the first fault (without faults: before its first disturbance, or last)."""
    node_after: str
    """Where it was served last."""
    logged_in_again: bool
    """A log-in was tried after the session had worked."""
    rung: str
    """The last rung of the recovery ladder that worked."""
    disturbances: tuple[Disturbance, ...]
    disturbed_total_s: float
    """Sum over its disturbances; one without an end counts to the end of the observation."""
    disturbed_longest_s: float
    until_working_s: float | None
    """From the beginning of its last disturbance to its next good work; None without one, or where there was none."""
    recovery: Recovery
    """The worst over its disturbances; UNAFFECTED without any."""
    memory_expected: int
    memory_found: int
    """At the first disturbance that lost memory, else at the first disturbance."""
    operations: int
    failed: int
    """Operations in the window, and the failed ones of them."""
    stalled: int | None
    """Those that were answered well but slowly, as probes are (`outages`); None where nothing is known about the usual
    latency of any of them."""
    saves_acknowledged: int
    saves_found: int | None
    """None where the homes were not read back."""
    saves_lost: int | None
    starts: int
    """How often a server was asked for, whatever came of it."""
    duplicated_home: bool | None
    """Whether two servers of this person ran at once, with one home (`homes`). None: no look at the nodes showed two,
    but there was a gap between looks in the session's time, or none at all, and more than one server was asked for."""
    duplicated_s: float | None
    """For how long; None where it is not known whether at all."""
    first_work_ns: int | None
    """Completion of its first good work: from here on it is a live session."""
    last_seen_ns: int
    """Completion of its last operation."""
    began_ns: int
    """Send of its first operation."""
    ended_ns: int | None
    """When its owner had ended it; None where nobody did."""


@dataclass(frozen=True, kw_only=True)
class SessionCount:
    """Sessions with one outcome, by blast radius."""

    outcome: SessionOutcome
    targeted: int
    others: int


def attribute(operations: pd.DataFrame) -> pd.DataFrame:
    """Give operations without a session (a log-in, say) to the session that their user had at that time.

    Rows before a user's first session stay without one. `operations` as from `operations_of`.
    """
    named = (operations["session"] != "").to_numpy()
    if named.all():
        return operations
    user, session = (operations[name].cat.codes.to_numpy() for name in ("user", "session"))
    last = np.maximum.accumulate(np.where(named, np.arange(len(named)), -1))
    known = (last >= 0) & (user[last] == user)
    codes = np.where(known, session[last], session)
    return operations.assign(session=pd.Categorical.from_codes(codes, operations["session"].cat.categories))


def session_ledger(
    operations: pd.DataFrame,
    acked: pd.DataFrame,
    facts: Facts,
    *,
    watched: WatchedServers,
    steady_state_s: float,
    read_back: bool,
    come_and_go: bool = False,
) -> tuple[SessionRow, ...]:
    """One row for each session that was started, by user; where people come and go, without those that came too late.
    `operations` as from `attribute`; `steady_state_s` is how long the gate had seen everybody work when the window
    began."""
    started = (operations["session"] != "").to_numpy()
    if not started.any():
        return ()
    if not started.all():
        operations = operations[started]
    order = ordered(*(operations[name].cat.codes.to_numpy() for name in ("user", "session")))
    table = _Table(operations if order is None else operations.iloc[order], facts, steady_state_s)
    # acknowledged and present saves of each session
    saves = acked.groupby(["user", "session"], observed=True)["present"].agg(["size", "sum"])
    counts = {(str(user), str(session)): (size, there) for (user, session), size, there in saves.itertuples()}
    return tuple(
        _row(table, low, high, counts.get((table.user[low], table.session[low]), (0, 0)), watched, read_back=read_back)
        for low, high in table.slices()
        if not (come_and_go and table.too_late(low, high))
    )


def count_sessions(ledger: tuple[SessionRow, ...]) -> tuple[SessionCount, ...]:
    """Sessions by outcome, mildest first."""
    return tuple(
        SessionCount(
            outcome=outcome,
            targeted=sum(row.outcome is outcome and row.on_target for row in ledger),
            others=sum(row.outcome is outcome and not row.on_target for row in ledger),
        )
        for outcome in SessionOutcome
    )


def count_recoveries(ledger: Iterable[SessionRow]) -> Mapping[Recovery, int]:
    """Sessions by how they recovered, best first."""
    counted = Counter(row.recovery for row in ledger)
    return {recovery: counted[recovery] for recovery in Recovery}


class _Words:
    """A column of texts: the text of a row, and which rows have one."""

    def __init__(self, column: pd.Series) -> None:
        self.codes: npt.NDArray[np.integer[Any]] = column.cat.codes.to_numpy()
        self._words: list[str] = [str(word) for word in column.cat.categories]

    def __getitem__(self, row: int) -> str:
        return self._words[int(self.codes[row])]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def are(self, word: str) -> Flags:
        """Which rows have this text."""
        if word not in self._words:
            return np.zeros(len(self.codes), dtype=bool)
        return np.asarray(self.codes == self._words.index(word))


class _Table:
    """The operations as arrays, ordered by session and send, with what is decided for all rows at once."""

    def __init__(self, frame: pd.DataFrame, facts: Facts, steady_state_s: float) -> None:
        names = ("session", "user", "node", "rung", "capability", "kernel")
        self.session, self.user, self.node, self.rung, self.capability, self.kernel = (_Words(frame[n]) for n in names)
        self.send: Ints = frame["send_ns"].to_numpy()
        self.end: Ints = frame["end_ns"].to_numpy()
        self.expected: Ints = frame["expected"].to_numpy()
        self.found: Ints = frame["found"].to_numpy()
        self.ok: Flags = frame["ok"].to_numpy() == 1
        self.until_ns = int(self.end.max())
        self.inside = np.ones(len(frame), dtype=bool)
        if facts.window is not None:
            self.until_ns = facts.window.end_ns
            self.inside = (self.send >= facts.window.start_ns) & (self.send < facts.window.end_ns)
        self.facts = facts
        self.slow_ns = {name: self._slow_above(name, facts, steady_state_s) for name in self.capability}
        self.faults = [
            (fault.inject_before_ns, set(fault.targets)) for fault in facts.faults if fault.inject_before_ns is not None
        ]
        self.first_inject_ns = facts.first_inject_ns
        work = self.capability.are(Capability.WORK)
        self.good_work = work & self.ok
        self.answered_work = work & (self.found >= 0) & (self.expected >= 0)
        # found > expected is consistent: the kernel ran the cell, only the answer was lost
        self.restarted = (self.answered_work & (self.found < self.expected)) | self._other_kernel()
        self.failed = self.inside & ~self.ok
        self.comparable, self.stalled = self._compared()
        self.start = self.capability.are(Capability.START_SESSION)
        self.disturbed = self.inside & (~self.ok | self.restarted)
        self.log_in = (self.capability.are(Capability.LOG_IN) | self.rung.are(LOG_IN_RUNG)) & self.inside
        self.rung_worked = ~self.rung.are("") & self.ok & self.inside
        self.has_node = self.ok & ~self.node.are("")
        self.leave = self.capability.are(LEAVE)

    def _other_kernel(self) -> Flags:
        """Good work in another kernel than the good work before it in the same session."""
        rows = np.flatnonzero(self.good_work & ~self.kernel.are(""))
        user, session, kernel = (words.codes[rows] for words in (self.user, self.session, self.kernel))
        same = (user[1:] == user[:-1]) & (session[1:] == session[:-1])
        marks = np.zeros(len(self.ok), dtype=bool)
        marks[rows[1:][same & (kernel[1:] != kernel[:-1])]] = True
        return marks

    def _slow_above(self, capability: str, facts: Facts, steady_state_s: float) -> int | None:
        """From which latency on an answer to this capability was slow."""
        if facts.window is None:
            return None
        since_ns = facts.window.start_ns - to_ns(steady_state_s)
        until_ns = facts.window.end_ns if facts.first_inject_ns is None else facts.first_inject_ns
        own = self.ok & self.capability.are(capability)
        return slow_above(usual_latency(self.send, self.end, own, since_ns=since_ns, until_ns=until_ns))

    def _compared(self) -> tuple[Flags, Flags]:
        """Operations in the window whose usual latency is known, and the good ones of them that were slow."""
        comparable, stalled = (np.zeros(len(self.ok), dtype=bool) for _ in range(2))
        for name, slow_ns in self.slow_ns.items():
            if slow_ns is not None:
                own = self.capability.are(name) & self.inside
                comparable |= own
                stalled |= own & self.ok & (self.end - self.send > slow_ns)
        return comparable, stalled

    def too_late(self, low: int, high: int) -> bool:
        """Whether the end of the observation came before a session's first work, and before anything had failed: the
        end cut that off, not the platform."""
        failed_before = ~self.ok[low:high] & (self.end[low:high] <= self.until_ns)
        return self.facts.window is not None and not (self.good_work[low:high] | failed_before).any()

    def slices(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each session's rows."""
        user, session = self.user.codes, self.session.codes
        cuts = np.flatnonzero((user[1:] != user[:-1]) | (session[1:] != session[:-1])) + 1
        yield from pairwise([0, *cuts.tolist(), len(user)])


def _row(
    table: _Table, low: int, high: int, saves: tuple[int, int], watched: WatchedServers, *, read_back: bool
) -> SessionRow:
    rows = slice(low, high)
    good = low + np.flatnonzero(table.good_work[rows])
    disturbances = _disturbances(table, low, high, good)
    lengths = [one.seconds for one in disturbances]
    first_work_ns = int(table.end[good[0]]) if len(good) else None
    memory = next((one for one in disturbances if one.restarted), disturbances[0] if disturbances else None)
    log_ins = low + np.flatnonzero(table.log_in[rows])
    rungs = low + np.flatnonzero(table.rung_worked[rows])
    acknowledged, there = saves
    left = low + np.flatnonzero(table.leave[rows])
    starts = int(table.start[rows].sum())
    last_seen_ns = int(table.end[rows].max())
    duplicated_home, duplicated_s = watched.duplicated(
        table.user[low], int(table.send[rows].min()), last_seen_ns, starts=starts
    )
    return SessionRow(
        session=table.session[low],
        user=table.user[low],
        outcome=_outcome(disturbances, ever_worked=first_work_ns is not None, failed=not table.ok[rows].all()),
        on_target=any(_node_at(table, low, high, t_ns) in targets for t_ns, targets in table.faults),
        node_before=_node_at(table, low, high, _before_ns(table, disturbances)),
        node_after=_node_at(table, low, high, None),
        logged_in_again=first_work_ns is not None and bool((table.send[log_ins] > first_work_ns).any()),
        rung=table.rung[rungs[-1]] if len(rungs) else "",
        disturbances=disturbances,
        disturbed_total_s=sum(lengths),
        disturbed_longest_s=max(lengths, default=0.0),
        until_working_s=lengths[-1] if disturbances and disturbances[-1].end_ns is not None else None,
        recovery=worst(one.recovery for one in disturbances),
        memory_expected=memory.memory_expected if memory else -1,
        memory_found=memory.memory_found if memory else -1,
        operations=int(table.inside[rows].sum()),
        failed=int(table.failed[rows].sum()),
        stalled=int(table.stalled[rows].sum()) if table.comparable[rows].any() else None,
        saves_acknowledged=acknowledged,
        saves_found=there if read_back else None,
        saves_lost=acknowledged - there if read_back else None,
        starts=starts,
        duplicated_home=duplicated_home,
        duplicated_s=duplicated_s,
        first_work_ns=first_work_ns,
        last_seen_ns=last_seen_ns,
        began_ns=int(table.send[rows].min()),
        ended_ns=int(table.end[left[-1]]) if len(left) else None,
    )


def _disturbances(table: _Table, low: int, high: int, good: Ints) -> tuple[Disturbance, ...]:
    bad = low + np.flatnonzero(table.disturbed[low:high])
    found: list[Disturbance] = []
    at = 0
    while at < len(bad):
        first = int(bad[at])
        later = int(np.searchsorted(good, first, side="left"))
        back = int(good[later]) if later < len(good) else None
        stop = high if back is None else back + 1
        shown = first + np.flatnonzero(table.answered_work[first:stop])
        lost = first + np.flatnonzero(table.restarted[first:stop])
        slow_ns = table.slow_ns[table.capability[first]]
        fault = fault_at(table.facts.faults, began_ns(int(table.send[first]), int(table.end[first]), slow_ns))
        end_ns = None if back is None else int(table.end[back])
        well_ns = int(table.send[good[later - 1]]) if later else None
        seen = next((int(i) for i in (*lost, *shown) if table.answered_work[i]), None)
        found.append(
            Disturbance(
                start_ns=int(table.send[first]),
                end_ns=end_ns,
                restarted=bool(len(lost)),
                memory_expected=-1 if seen is None else int(table.expected[seen]),
                memory_found=-1 if seen is None else int(table.found[seen]),
                observed_until_ns=table.until_ns,
                during_fault=None if fault is None else fault.index,
                recovery=recovery_of(end_ns, fault, good_ns=well_ns),
            )
        )
        at = int(np.searchsorted(bad, stop, side="left"))
    return tuple(found)


def _outcome(disturbances: tuple[Disturbance, ...], *, ever_worked: bool, failed: bool) -> SessionOutcome:
    if (disturbances and disturbances[-1].end_ns is None) or (failed and not ever_worked):
        return SessionOutcome.LOST
    if any(one.restarted for one in disturbances):
        return SessionOutcome.RESTARTED
    return SessionOutcome.KEPT if disturbances else SessionOutcome.UNDISTURBED


def _before_ns(table: _Table, disturbances: tuple[Disturbance, ...]) -> int | None:
    if table.first_inject_ns is not None:
        return table.first_inject_ns
    return disturbances[0].start_ns if disturbances else None


def _node_at(table: _Table, low: int, high: int, t_ns: int | None) -> str:
    """The node of the last good operation completed by `t_ns` (None: of all)."""
    served = table.has_node[low:high]
    if t_ns is not None:
        served = served & (table.end[low:high] <= t_ns)
    index = np.flatnonzero(served)
    return table.node[low + int(index[-1])] if len(index) else ""
