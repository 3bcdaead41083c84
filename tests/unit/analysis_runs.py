"""Synthetic runs for the tests of analysis and reports: every number can be worked out by hand.

Times are seconds after the steady state was reached; `ns` turns them into the stamps of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pandas as pd

from harness.analysis import RunRecord
from harness.core.experiment import Experiment, Fault, Load, Objectives
from harness.core.history import Event, EventKind, History
from harness.core.products import Database, LoadBalancer, Storage, Workbench
from harness.core.rows import (
    UNREACHABLE,
    BalancerView,
    DatabaseWrite,
    HubWrite,
    Operation,
    ProbeSample,
    SavedValue,
    ServersSeen,
    columns,
)
from harness.core.topology import Promise, Topology
from harness.core.words import Recovery, SessionOutcome, Store

STEADY_NS = 1_000_000_000_000
CAPABILITIES = ("log_in", "start_session", "work", "save", "reconnect")


def ns(seconds: float) -> int:
    return STEADY_NS + round(seconds * 1e9)


def _frame(rows: Sequence[Any], row_type: Any) -> pd.DataFrame:
    names = [field.name for field in fields(row_type)]
    data = {"seq": list(range(len(rows)))} | {name: [getattr(row, name) for row in rows] for name in names}
    return pd.DataFrame(data, columns=columns(row_type))


def operations_frame(rows: Sequence[Operation] = ()) -> pd.DataFrame:
    return _frame(rows, Operation)


def probes_frame(rows: Sequence[ProbeSample] = ()) -> pd.DataFrame:
    return _frame(rows, ProbeSample)


def saved_frame(rows: Sequence[SavedValue] = ()) -> pd.DataFrame:
    return _frame(rows, SavedValue)


def database_writes_frame(rows: Sequence[DatabaseWrite] = ()) -> pd.DataFrame:
    return _undisturbed_writes().copy() if rows is NUMBERS else _frame(rows, DatabaseWrite)


@cache
def _undisturbed_writes() -> pd.DataFrame:
    """Made once: most runs have it."""
    return _frame(NUMBERS, DatabaseWrite)


def hub_writes_frame(rows: Sequence[HubWrite] = ()) -> pd.DataFrame:
    return _frame(rows, HubWrite)


def balancer_frame(rows: Sequence[BalancerView] = ()) -> pd.DataFrame:
    return _frame(rows, BalancerView)


def servers_frame(rows: Sequence[ServersSeen] = ()) -> pd.DataFrame:
    return _frame(rows, ServersSeen)


def op(send: float, end: float | None = None, **changes: Any) -> Operation:
    """A good `work` of u1; `changes` overrides fields."""
    values: dict[str, Any] = {
        "user": "u1", "session": "s1", "capability": "work", "due_ns": ns(send), "send_ns": ns(send),
        "end_ns": ns(send + 0.05 if end is None else end), "ok": 1, "node": "workbench-0", "kernel": "k1", "rung": "",
        "expected": -1, "found": -1, "detail": "",
    }  # fmt: skip
    return Operation(**(values | changes))


def probe(send: float, end: float | None = None, **changes: Any) -> ProbeSample:
    """A good probe of `work`."""
    values: dict[str, Any] = {
        "capability": "work", "due_ns": ns(send), "send_ns": ns(send),
        "end_ns": ns(send + 0.001 if end is None else end), "ok": 1, "node": "workbench-0", "detail": "",
        "via": "0",
    }  # fmt: skip
    return ProbeSample(**(values | changes))


def number(value: int, send: float, end: float | None = None, **changes: Any) -> DatabaseWrite:
    """A number that the database acknowledged."""
    values: dict[str, Any] = {
        "writer": "writer", "value": value, "due_ns": ns(send), "send_ns": ns(send),
        "end_ns": ns(send + 0.002 if end is None else end), "ok": 1, "server": "192.0.2.20", "detail": "",
    }  # fmt: skip
    return DatabaseWrite(**(values | changes))


#: A database that nothing happened to, four numbers a second.
NUMBERS = tuple(number(index + 1, index / 4 - 5) for index in range(180))


def token(value: int, send: float, end: float | None = None, **changes: Any) -> HubWrite:
    """A number that a hub acknowledged."""
    values: dict[str, Any] = {
        "writer": "writer-0", "value": value, "due_ns": ns(send), "send_ns": ns(send),
        "end_ns": ns(send + 0.02 if end is None else end), "ok": 1, "node": "workbench-0", "detail": "",
    }  # fmt: skip
    return HubWrite(**(values | changes))


#: A hub that nothing happened to, a number a second.
TOKENS = tuple(token(index + 1, index - 5) for index in range(45))


#: So many values of the two instruments are found unless a test says what is.
OF_INSTRUMENTS = len(NUMBERS) + len(TOKENS)


def in_hub(*values: int, place: str = "database", writer: str = "writer-0") -> list[SavedValue]:
    return [SavedValue(writer, value, Store.HUB.value, place) for value in values]


def in_database(*values: int) -> list[SavedValue]:
    return [SavedValue("writer", value, Store.DATABASE.value) for value in values]


def fault_events(
    injected: float,
    undone: float,
    *,
    targets: Sequence[str] = ("workbench-0",),
    index: int = 0,
    **changes: Mapping[str, Any],
) -> list[tuple[float, EventKind, dict[str, Any]]]:
    """The life cycle of a fault; `changes` overrides the data of a step, e.g. `confirm={"ok": False}`."""
    at = {
        "prepare": injected - 1, "inject": injected, "confirm": injected + 0.1, "undo": undone,
        "confirm_recovery": undone + 0.1, "cleanup": undone + 0.2,
    }  # fmt: skip
    events = []
    for step, t in at.items():
        data: dict[str, Any] = {
            "index": index, "fault": "node-kill", "target": "workbench[active]", "step": step, "before_ns": ns(t),
            "after_ns": ns(t + 0.01), "targets": list(targets), "ok": True,
            "evidence": {"process": "gone"} if "confirm" in step else {}, "message": "",
        }  # fmt: skip
        events.append((t, EventKind.FAULT, data | dict(changes.get(step, {}))))
    return events


def history(
    faults: Sequence[tuple[float, EventKind, dict[str, Any]]] = (),
    *,
    steady: bool = True,
    drain: float | None = 40.0,
    readback: int | None = 0,
    extra: Sequence[tuple[float, EventKind, dict[str, Any]]] = (),
) -> History:
    entries: list[tuple[float, EventKind, dict[str, Any]]] = [(-20, EventKind.OPENED, {"schema": 1})]
    reached = {"reached": steady, "seconds": 20, "working": 1 if steady else 0}
    entries.append((0, EventKind.STEADY, {**reached, "reason": "" if steady else "log_in failed for 60 s"}))
    entries += [*faults, *extra]
    if drain is not None:
        entries.append((drain, EventKind.PHASE, {"name": "drain"}))
    if readback is not None:
        entries.append(((drain or 40) + 1, EventKind.READBACK, {"files": 1, "rows": readback}))
    entries.sort(key=lambda entry: entry[0])
    entries.append((entries[-1][0] + 1, EventKind.CLOSED, {}))
    return History(tuple(Event(seq, ns(t), kind, data) for seq, (t, kind, data) in enumerate(entries)))


PROMISE = Promise(
    recovers=Recovery.BY_DESIGN,
    session_outcome=SessionOutcome.RESTARTED,
    log_in_kept=True,
    outage_at_most_s=15.0,
    why="the standby takes the lock",
)


def without_storage(run: RunRecord) -> RunRecord:
    """The same on a topology in which each node has homes of its own."""
    return replace(run, topology=replace(run.topology, storage=None))


def topology(promise: Promise | None = PROMISE) -> Topology:
    return Topology(
        name="active-passive",
        description="Two nodes, one at work.",
        load_balancer=LoadBalancer(),
        workbench=Workbench(),
        database=Database(),
        storage=Storage(),
        promises={} if promise is None else {"node-kill": promise},
    )


def experiment(*, faults: int = 1, users: int = 1, objectives: Objectives | None = None) -> Experiment:
    one = Fault(fault="node-kill", target="workbench[active]", at_s=5, hold_s=20)
    return Experiment(
        name="node-kill",
        description="The active node dies.",
        source="operators' reports",
        faults=(one,) * faults,
        load=Load(users=users),
        objectives=objectives or Objectives(),
    )


def record(
    operations: Sequence[Operation] = (),
    probes: Sequence[ProbeSample] = (),
    saved: Sequence[SavedValue] = (),
    *,
    writes: Sequence[DatabaseWrite] = NUMBERS,
    tokens: Sequence[HubWrite] | None = None,
    balancer: Sequence[BalancerView] = (),
    servers: Sequence[ServersSeen] = (),
    events: History | None = None,
    promise: Promise | None = PROMISE,
    **changes: Any,
) -> RunRecord:
    """What was acknowledged by the database and by the hub is there, unless `saved` says what is. Where a test has
    writes of its own, the hub writes nothing unless it says what."""
    if tokens is None:
        tokens = TOKENS if writes is NUMBERS else ()
    if not any(value.store == Store.HUB for value in saved):
        saved = [*saved, *in_hub(*(write.value for write in tokens if write.ok))]
    if not any(value.store == Store.DATABASE for value in saved):
        saved = [*saved, *in_database(*(write.value for write in writes if write.ok))]
    return RunRecord(
        topology=topology(promise),
        experiment=experiment(**changes),
        history=events or history(fault_events(5, 30), readback=len(saved)),
        operations=operations_frame(operations),
        probes=probes_frame(probes),
        database_writes=database_writes_frame(writes),
        hub_writes=hub_writes_frame(tokens),
        saved=saved_frame(saved),
        balancer=balancer_frame(balancer),
        servers=servers_frame(servers),
        run={"versions": {"harness": "0.1.0", "docker": "27"}, "seed": 7},
    )


def grid_probes(
    down: Mapping[str, tuple[float, float]], *, until: float = 40.0, period: float = 0.1, deadline: float = 0.02
) -> list[ProbeSample]:
    """Every capability on its grid (start_session each 2 s); inside `down` a probe fails after `deadline`."""
    rows = []
    for capability in CAPABILITIES:
        step = 2.0 if capability == "start_session" else period
        for index in range(round(-5 / step), round(until / step)):
            t = index * step
            low, high = down.get(capability, (0.0, 0.0))
            bad = low <= t < high
            rows.append(probe(t, t + (deadline if bad else 0.001), capability=capability, ok=int(not bad)))
    return rows


def views(
    said: Mapping[str, Sequence[tuple[float, str]]], *, silent: tuple[float, float] = (0, 0), balancer: str = "lb"
) -> list[BalancerView]:
    """Answers each 0.5 s from -5 to 40 s. `said`: server -> words, each from its second on; `silent`: no answer."""
    rows = []
    for index in range(-10, 80):
        t = index * 0.5
        common_part = (ns(t), ns(t + 0.01), balancer)
        if silent[0] <= t < silent[1]:
            rows.append(BalancerView(*common_part, "", "", UNREACHABLE, "deadline"))
            continue
        for server, words in said.items():
            word = [word for since, word in words if since <= t]
            if word:
                rows.append(BalancerView(*common_part, "workbench", server, word[-1], "L7OK/200"))
    return rows


def looks(*shown: tuple[float, str, str, int], first: float = -21, until: float = 41) -> list[ServersSeen]:
    """A look each second; each change in `shown`: the second, the person, the node, and how many servers there are."""
    rows, now = [], dict[tuple[str, str], int]()
    for t in range(round(first), round(until)):
        changed = [(node, user, servers) for at, user, node, servers in shown if at == t]
        now |= {(node, user): servers for node, user, servers in changed}
        looked = [("", "", sum(now.values())), *sorted(changed)]
        rows += [ServersSeen(ns(t), ns(t + 0.004), node, user, servers) for node, user, servers in looked]
    return rows


def twelve_users(*, users: int = 12, lose_user: bool = False, **changes: Any) -> RunRecord:
    """A kill at 5 s disturbs everyone for 4 to 12 s; all come back in a new kernel on the other node."""
    operations, probes, saved = _disturbed(users, lose_user)
    return record(operations, probes, saved, users=users, **changes)


@cache
def _disturbed(users: int, lose_user: bool) -> tuple[Sequence[Operation], Sequence[ProbeSample], Sequence[SavedValue]]:
    operations: list[Operation] = []
    saved: list[SavedValue] = []
    for number in range(users):
        user, session = f"u{number:02d}", f"s{number:02d}"
        phase, back = number / users, 9 + 8 * number / max(1, users - 1)
        common: dict[str, Any] = {"user": user, "session": session}
        operations.append(op(-15 + phase, user=user, session="", capability="log_in", kernel=""))
        operations.append(op(-14.5 + phase, capability="start_session", **common))
        memory = 0
        for beat in range(-13, 40):
            t = beat + phase
            lost = lose_user and number == users - 1
            if 5 <= t < back or (lost and t >= 5):
                rung = "" if t < 6 else "websocket"
                capability = "work" if t < 6 else "reconnect"
                operations.append(op(t, t + 0.5, ok=0, capability=capability, rung=rung, detail="refused", **common))
                continue
            after = t >= back
            kernel, node = ("k-new", "workbench-1") if after else ("k-old", "workbench-0")
            if after and t - 1 < back:
                operations.append(
                    op(t - 0.3, t - 0.1, capability="start_session", rung="respawn", node=node, kernel=kernel, **common)
                )
                operations.append(op(t, kernel=kernel, node=node, expected=memory, found=0, **common))
                memory = 0
            else:
                operations.append(op(t, kernel=kernel, node=node, expected=memory, found=memory, **common))
            memory += 1
            if beat % 2 == 0:
                value = beat + 13
                operations.append(
                    op(t + 0.2, capability="save", kernel=kernel, node=node, expected=value, found=value, **common)
                )
                saved.append(SavedValue(user, value))
    down = {
        "log_in": (5.0, 8.0),
        "start_session": (5.0, 9.0),
        "work": (5.0, 8.5),
        "save": (5.0, 8.5),
        "reconnect": (5.0, 8.0),
    }
    return operations, grid_probes(down), saved
