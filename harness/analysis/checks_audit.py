"""What the balancers believed about the nodes, against what people could do: an audit of their health checks.

The balancer's belief is a step function: what an answer said holds from when it was asked for until the next question,
for `HOLDS_AT_MOST_NS` at the longest. The truth are the outages of `outages.py`. Both are compared within the *span* of
each fault: from its injection to the beginning of its undoing.

A check that says healthy while people can't do something is not wrong by that alone: a node whose database is away may
be better kept, for those who are at work on it. The audit says what was so; whether it is meant to be is a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

from harness.analysis.facts import Facts, FaultFacts, Window
from harness.analysis.intervals import Intervals, common, seconds, union, without
from harness.analysis.outages import Outage
from harness.core.clock import NS_PER_S, to_s
from harness.core.rows import UNREACHABLE

__all__ = [
    "BLIND_FROM_RATIO",
    "NOTICEABLE_S",
    "RIGHT_UP_TO_RATIO",
    "Away",
    "BackendAudit",
    "Belief",
    "CheckVerdict",
    "ChecksAudit",
    "Marked",
    "ServerBelief",
    "StateChange",
    "audit_checks",
    "belief_of",
    "judge_check",
]

#: A balancer is asked every 0.5 s and has 1 s to answer (`load/balancer_watch.py`), so the next question comes after
#: 1.5 s at the latest. After a longer silence nobody knows what it believed: that is no belief.
HOLDS_AT_MOST_NS = 2 * NS_PER_S
#: Shorter times are not judged: a check every 0.5 s that has to fail twice needs 1 s to notice anything.
NOTICEABLE_S = 1.0
#: From this share of the time in which people could not do something, a check that said healthy is blind, unless it
#: took a node out: then it noticed, and another node was healthy before people had their sessions back ...
BLIND_FROM_RATIO = 0.8
#: ... and up to this share it is right: every check needs its time to notice, and the edges of outages have bounds.
RIGHT_UP_TO_RATIO = 0.2


class Belief(StrEnum):
    """What a balancer's word means for people."""

    UP = "up"
    """It would send people there."""
    DOWN = "down"
    """It would not, whether a check said so or somebody did (MAINT, DRAIN)."""
    UNREACHABLE = "unreachable"
    """It did not answer."""


class CheckVerdict(StrEnum):
    """Whether a balancer's checks told the truth about a backend during a fault; see DEFINITIONS."""

    RIGHT = "right"
    PARTLY = "partly"
    BLIND = "blind"
    FALSE_ALARM = "false alarm"
    SILENT = "silent"


@dataclass(frozen=True, kw_only=True)
class Marked:
    """When a belief was seen to change, seconds after the injection; the bounds are the questions around it."""

    seconds: float
    """Middle of the bounds."""
    seconds_lower: float
    """Still as before at this moment, or the injection."""
    seconds_upper: float
    """Seen by then."""


@dataclass(frozen=True, kw_only=True)
class ServerBelief:
    """What a balancer said about one server in the span of a fault. The four seconds add up to the span."""

    server: str
    """Empty where the balancer never named any."""
    up_s: float
    down_s: float
    unreachable_s: float
    """The balancer did not answer."""
    unseen_s: float
    """It was not asked, or did not name this server."""
    marked_down: Marked | None
    """First said down after the injection; None where it was down before, or was not until the next injection."""
    marked_up: Marked | None
    """First said up after it had been down, also after the undoing; None where that was not seen."""


@dataclass(frozen=True, kw_only=True)
class Away:
    """How long a capability was away in the span of a fault: its outages, as far as they lie in it."""

    capability: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class BackendAudit:
    """One fault and one backend of one balancer. A backend is up while any of its servers is."""

    fault: int
    """Index of the fault."""
    balancer: str
    backend: str
    """Empty where the balancer never named any."""
    span_s: float
    up_s: float
    down_s: float
    unreachable_s: float
    unseen_s: float
    away: tuple[Away, ...]
    """Only capabilities that were away."""
    any_away_s: float
    """Seconds in which at least one capability was away."""
    up_while_away_s: float
    down_while_away_s: float
    verdict: CheckVerdict | None
    """None where the span was shorter than `NOTICEABLE_S`: nothing can be said then."""
    servers: tuple[ServerBelief, ...]


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """A balancer said something else about a server than in its answer before."""

    t_ns: int
    """When the answer that said so had arrived."""
    balancer: str
    backend: str
    server: str
    before: str
    """The balancer's word; empty for the first answer in the window."""
    after: str


@dataclass(frozen=True, kw_only=True)
class ChecksAudit:
    """Everything the balancers' statistics say; empty without rows."""

    backends: tuple[BackendAudit, ...]
    """By fault, balancer and backend."""
    changes: tuple[StateChange, ...]
    """In the window, by time."""


class _Said(NamedTuple):
    """One word about one server, or about a backend as a whole."""

    send_ns: int
    end_ns: int
    until_ns: int
    """How long it holds."""
    word: str

    @property
    def belief(self) -> Belief:
        return belief_of(self.word)


class _Moments(NamedTuple):
    """One fault on the clock."""

    fault: int
    inject_ns: int
    undo_ns: int
    """When the undoing began; the end of the window where it did not."""
    until_ns: int
    """The next injection, or the end of the window: what is said later is not said about this fault."""


_Server = tuple[str, str]


def belief_of(word: str) -> Belief:
    """The meaning of a balancer's word. While checks fail or come back HAProxy counts them: "UP 1/2", "DOWN 1/3"."""
    if word == UNREACHABLE:
        return Belief.UNREACHABLE
    # "no check": nobody asks the server, so people are sent there whatever it does
    return Belief.UP if word == "no check" or word.partition(" ")[0] == "UP" else Belief.DOWN


def audit_checks(balancer: pd.DataFrame, outages: Sequence[Outage], facts: Facts) -> ChecksAudit:
    """Compare what the balancers said (`balancer` as from `balancer_of`) with the outages of people's capabilities."""
    window = facts.window
    if window is None or balancer.empty:
        return ChecksAudit(backends=(), changes=())
    backends: list[BackendAudit] = []
    changes: list[StateChange] = []
    for name, rows in balancer.groupby("balancer", observed=True):
        said = _said(rows)
        changes += _changes(str(name), said, window)
        for moments in _moments(facts.faults, window):
            backends += _audit(str(name), said, outages, moments)
    return ChecksAudit(
        backends=tuple(sorted(backends, key=lambda one: (one.fault, one.balancer, one.backend))),
        changes=tuple(sorted(changes, key=lambda one: (one.t_ns, one.balancer, one.backend, one.server))),
    )


def judge_check(
    *, span_s: float, up_s: float, down_s: float, up_away_s: float, down_away_s: float, took_out: bool
) -> CheckVerdict | None:
    """The word for a backend, from the seconds of its span and, of those, the ones in which a capability was away.

    `took_out`: whether any of its servers was marked down meanwhile.
    """
    if span_s < NOTICEABLE_S:
        return None
    if up_s + down_s < span_s / 2:
        return CheckVerdict.SILENT
    false_s = down_s - down_away_s
    if false_s >= NOTICEABLE_S and false_s > down_away_s:
        return CheckVerdict.FALSE_ALARM
    away_s = up_away_s + down_away_s
    if away_s < NOTICEABLE_S or up_away_s <= RIGHT_UP_TO_RATIO * away_s:
        return CheckVerdict.RIGHT
    blind = up_away_s >= BLIND_FROM_RATIO * away_s and not took_out
    return CheckVerdict.BLIND if blind else CheckVerdict.PARTLY


# -- what was said -------------------------------------------------------------------------------------------------


def _said(rows: pd.DataFrame) -> dict[_Server, list[_Said]]:
    """Everything one balancer said about each server. Where it did not answer, that counts for all of them."""
    answers: dict[tuple[int, int], dict[_Server, str]] = {}
    columns = [rows[name].tolist() for name in ("send_ns", "end_ns", "backend", "server", "status")]
    for send_ns, end_ns, backend, server, status in zip(*columns, strict=True):
        answers.setdefault((send_ns, end_ns), {})[backend, server] = status
    servers = sorted({server for answer in answers.values() for server in answer if server != ("", "")})
    said: dict[_Server, list[_Said]] = {server: [] for server in servers or [("", "")]}
    asked = list(answers)
    for (send_ns, end_ns), following in zip(asked, [*asked[1:], None], strict=True):
        holds_ns = send_ns + HOLDS_AT_MOST_NS
        until_ns = holds_ns if following is None else min(holds_ns, following[0])
        answer = answers[send_ns, end_ns]
        for server, words in said.items():
            word = answer.get(server, answer.get(("", "")))
            if word is not None:
                words.append(_Said(send_ns, end_ns, until_ns, word))
    return said


def _changes(balancer: str, said: dict[_Server, list[_Said]], window: Window) -> Iterator[StateChange]:
    for (backend, server), words in said.items():
        before = ""
        for one in words:
            if window.start_ns <= one.end_ns < window.end_ns and one.word != before:
                yield StateChange(
                    t_ns=one.end_ns, balancer=balancer, backend=backend, server=server, before=before, after=one.word
                )
                before = one.word


# -- one fault -----------------------------------------------------------------------------------------------------


def _audit(
    balancer: str, said: dict[_Server, list[_Said]], outages: Sequence[Outage], moments: _Moments
) -> Iterator[BackendAudit]:
    span = [(moments.inject_ns, moments.undo_ns)]
    away = _away(outages, span)
    anything_away = union(part for parts in away.values() for part in parts)
    for backend in sorted({name for name, _ in said}):
        members = {server: words for (name, server), words in said.items() if name == backend}
        servers = tuple(_server(server, words, moments) for server, words in sorted(members.items()))
        every = [word for words in members.values() for word in words]
        up = common(_held(every, Belief.UP), span)
        down = without(common(_held(every, Belief.DOWN), span), up)
        span_s, up_s, down_s = seconds(span), seconds(up), seconds(down)
        unreachable_s = seconds(common(_held(every, Belief.UNREACHABLE), span))
        up_away_s, down_away_s = seconds(common(up, anything_away)), seconds(common(down, anything_away))
        yield BackendAudit(
            fault=moments.fault,
            balancer=balancer,
            backend=backend,
            span_s=span_s,
            up_s=up_s,
            down_s=down_s,
            unreachable_s=unreachable_s,
            unseen_s=max(0.0, span_s - up_s - down_s - unreachable_s),
            away=tuple(Away(capability=name, seconds=seconds(parts)) for name, parts in away.items()),
            any_away_s=seconds(anything_away),
            up_while_away_s=up_away_s,
            down_while_away_s=down_away_s,
            verdict=judge_check(
                span_s=span_s,
                up_s=up_s,
                down_s=down_s,
                up_away_s=up_away_s,
                down_away_s=down_away_s,
                took_out=any(one.marked_down and one.marked_down.seconds_upper <= span_s for one in servers),
            ),
            servers=servers,
        )


def _moments(faults: Sequence[FaultFacts], window: Window) -> Iterator[_Moments]:
    """Of every fault that was injected."""
    injected = [(fault, fault.inject_before_ns) for fault in faults if fault.inject_before_ns is not None]
    for fault, inject_ns in injected:
        ends = [window.end_ns, *([] if fault.undo_before_ns is None else [fault.undo_before_ns])]
        later = [later_ns for _, later_ns in injected if later_ns > inject_ns]
        yield _Moments(fault.index, inject_ns, max(inject_ns, min(ends)), min([window.end_ns, *later]))


def _away(outages: Sequence[Outage], span: Intervals) -> dict[str, Intervals]:
    """When each capability was away in the span, by the point estimates; only those that were."""
    found: dict[str, Intervals] = {}
    for outage in outages:
        if parts := common([(outage.start_ns, outage.end_ns)], span):
            found[outage.capability] = union([*found.get(outage.capability, []), *parts])
    return dict(sorted(found.items()))


def _server(server: str, words: list[_Said], moments: _Moments) -> ServerBelief:
    span = [(moments.inject_ns, moments.undo_ns)]
    up_s, down_s, unreachable_s = (seconds(common(_held(words, belief), span)) for belief in Belief)
    before = [one for one in words if one.send_ns < moments.inject_ns and one.belief is not Belief.UNREACHABLE]
    after = [one for one in words if moments.inject_ns <= one.send_ns < moments.until_ns]
    was_down = bool(before) and before[-1].belief is Belief.DOWN
    down = None if was_down else _first(after, Belief.DOWN)
    since_ns = moments.inject_ns if was_down else moments.until_ns if down is None else down.end_ns
    up = _first([one for one in after if one.send_ns >= since_ns], Belief.UP)
    return ServerBelief(
        server=server,
        up_s=up_s,
        down_s=down_s,
        unreachable_s=unreachable_s,
        unseen_s=max(0.0, seconds(span) - up_s - down_s - unreachable_s),
        marked_down=None if down is None else _marked(down, words, Belief.UP, moments.inject_ns),
        marked_up=None if up is None else _marked(up, words, Belief.DOWN, moments.inject_ns),
    )


def _first(words: Iterable[_Said], belief: Belief) -> _Said | None:
    return next((one for one in words if one.belief is belief), None)


def _marked(seen: _Said, words: list[_Said], before: Belief, inject_ns: int) -> Marked:
    """The change to `seen` lies between the last question that was answered as before and this answer."""
    earlier = [one.send_ns for one in words if one.send_ns < seen.send_ns and one.belief is before]
    lower_ns = max([inject_ns, *earlier[-1:]])
    return Marked(
        seconds=to_s((lower_ns + seen.end_ns) // 2 - inject_ns),
        seconds_lower=to_s(lower_ns - inject_ns),
        seconds_upper=to_s(seen.end_ns - inject_ns),
    )


def _held(words: Iterable[_Said], belief: Belief) -> Intervals:
    return union((one.send_ns, one.until_ns) for one in words if one.belief is belief)
