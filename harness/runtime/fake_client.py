"""The simulated load client: people and probes, worked out at the end from what the platform went through."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.attendance import DayPoint, moves
from harness.core.clock import to_ns
from harness.core.names import hub_writer_name, writer_name
from harness.core.rows import UNREACHABLE, BalancerView, DatabaseWrite, HubWrite, Operation, ProbeSample, RowWriter
from harness.core.words import LEAVE, Capability
from harness.errors import PeerError
from harness.runtime.fake_platform import Behaviour, FakePlatform

__all__ = ["FakeClient"]


class FakeClient:
    """People and probes, worked out at the end from what the platform went through."""

    def __init__(
        self, platform: FakePlatform, behaviour: Behaviour, folder: Path, saved: list[tuple[str, str, int]]
    ) -> None:
        """`saved` is what is in the homes already: the node that wrote it, whose it is, and the value."""
        self._platform = platform
        self._behaviour = behaviour
        self._folder = folder
        self._plan: Mapping[str, Any] = {}
        self._start_ns = 0
        self._arrivals_ns: list[int] = []
        self._leaves_ns: dict[int, int] = {}
        self._visited: Mapping[str, Any] = {}
        self.saved = saved

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the protocol's
        now_ns = self._platform.clock.now_ns()
        if op == "start":
            self._plan, self._start_ns = args, now_ns
            self._platform.people_seed = args["seed"]
        if op in ("start", "grow"):
            self._arrivals_ns += [now_ns] * args["users"]
            return {}
        if op == "come_and_go":
            self._follow([DayPoint(**point) for point in args["day"]], now_ns)
            return {}
        if op == "snapshot":
            if self._behaviour.on_sleep:
                self._behaviour.on_sleep(now_ns)
            return self._snapshot(now_ns)
        if op == "visit":
            releases = self._platform.releases
            met = [releases[args["node"]]] if args["node"] else releases.values()
            unusable = any(release in self._behaviour.unusable_images for release in met)
            self._visited = {"over": True, "why_not": "log_in: NotLoggedIn" if unusable else ""}
            return {}
        if op == "visited":
            return self._visited
        if op == "stop":
            return self._write(now_ns)
        raise PeerError(f"unknown request {op!r}")

    def _follow(self, day: Sequence[DayPoint], now_ns: int) -> None:
        """The first who came are the first who go; those of whom `stay` speaks stay here."""
        there = list(range(len(self._arrivals_ns)))
        for at_s, move in moves(len(there), day):
            if move > 0:
                there.append(len(self._arrivals_ns))
                self._arrivals_ns.append(now_ns + to_ns(at_s))
            else:
                self._leaves_ns[there.pop(0)] = now_ns + to_ns(at_s)

    def _there(self, index: int, t_ns: int) -> bool:
        """Whether somebody has come and not gone."""
        return self._arrivals_ns[index] <= t_ns < self._leaves_ns.get(index, t_ns + 1)

    def _working(self, t_ns: int) -> bool:
        """Whether a person's session works: somebody serves, for long enough to have started a session there."""
        if not self._behaviour.steady:
            return False
        return self._platform.active_at(t_ns) != "" and t_ns >= self._good_since_ns(t_ns)

    def _good_since_ns(self, t_ns: int) -> int:
        """From when sessions work with whoever serves at `t_ns`; not before the load began."""
        since_ns = self._platform.serving_since(t_ns)
        return self._start_ns if since_ns < self._start_ns else since_ns + to_ns(self._behaviour.restart_s)

    def working_at(self, t_ns: int) -> list[str]:
        """Who has a session that works."""
        there = [index for index in range(len(self._arrivals_ns)) if self._there(index, t_ns) and self._carried(index)]
        return [self._name(index) for index in there] if self._working(t_ns) else []

    def _name(self, index: int) -> str:
        return f"{self._plan['prefix']}user{index}"

    def _carried(self, index: int) -> bool:
        """Whether the platform has room for the person who came as the `index`-th."""
        return self._behaviour.carries is None or index < self._behaviour.carries

    def _overloaded(self, t_ns: int) -> bool:
        """Whether more people have come by then than the platform carries."""
        carries = self._behaviour.carries
        return carries is not None and sum(came_ns <= t_ns for came_ns in self._arrivals_ns) > carries

    def _snapshot(self, now_ns: int) -> Mapping[str, Any]:
        works = self._working(now_ns)
        there = [index for index in range(len(self._arrivals_ns)) if self._there(index, now_ns)]
        users, away = len(there), len(self._arrivals_ns) - len(there)
        working = sum(map(self._carried, there)) if works else 0
        since_ns = self._good_since_ns(now_ns) if works else None
        good = {"samples": 9, "good_since_ns": since_ns, "last_ok": works, "last_detail": ""}
        return {
            "t_ns": now_ns,
            "users": {"working": working, "recovering": users - working, "away": away},
            "nodes": {self._platform.active_at(now_ns): working} if works else {},
            "capabilities": {capability.value: dict(good) for capability in Capability},
        }

    def _write(self, end_ns: int) -> Mapping[str, Any]:
        operations, probes = self._folder / "operations.csv", self._folder / "probes.csv"
        operation_writer = RowWriter(operations, Operation)
        for index, came_ns in enumerate(self._arrivals_ns):
            for operation in self._operations_of(index, came_ns, end_ns):
                operation_writer.write(operation)
        operation_writer.close()
        probe_writer = RowWriter(probes, ProbeSample)
        for sample in self._probe_samples(end_ns):
            probe_writer.write(sample)
        probe_writer.close()
        number_writer = RowWriter(self._folder / "database_writes.csv", DatabaseWrite)
        for write in self._database_writes(end_ns) if self._platform.database else ():
            number_writer.write(write)
        number_writer.close()
        token_writer = RowWriter(self._folder / "hub_writes.csv", HubWrite)
        for token in self._hub_writes(end_ns):
            token_writer.write(token)
        token_writer.close()
        view_writer = RowWriter(self._folder / "balancer.csv", BalancerView)
        for view in self._balancer_views(end_ns):
            view_writer.write(view)
        view_writer.close()
        if self._behaviour.lose_save:
            self.saved.pop()
        if self._behaviour.lose_row:
            lines = operations.read_text().splitlines(keepends=True)
            operations.write_text("".join(lines[:5] + lines[6:]))
        return {
            "operations": {"path": "/data/operations.csv", "rows": operation_writer.rows},
            "probes": {"path": "/data/probes.csv", "rows": probe_writer.rows},
            "database_writes": {"path": "/data/database_writes.csv", "rows": number_writer.rows},
            "hub_writes": {"path": "/data/hub_writes.csv", "rows": token_writer.rows},
            "balancer": {"path": "/data/balancer.csv", "rows": view_writer.rows},
            "probe_scheduler": "fake",
        }

    def _database_writes(self, end_ns: int) -> Iterator[DatabaseWrite]:
        return self._platform.database.write(
            writer_name(self._plan["prefix"]),
            self._start_ns,
            end_ns,
            latency_ns=to_ns(self._behaviour.latency_s),
            lose=self._behaviour.lose_database_writes,
            lose_from_ns=self._platform.first_broken_ns,
        )

    def _hub_writes(self, end_ns: int) -> Iterator[HubWrite]:
        return self._platform.hubs.write(
            hub_writer_name(writer_name(self._plan["prefix"]), 0),
            self._start_ns,
            end_ns,
            self._platform.hub_writes_at,
            latency_ns=to_ns(self._behaviour.latency_s),
            lose=self._behaviour.lose_hub_writes,
            lose_from_ns=self._platform.first_broken_ns,
        )

    def _operations_of(self, index: int, came_ns: int, end_ns: int) -> list[Operation]:
        plan, platform = self._plan, self._platform
        user, beat_ns = self._name(index), to_ns(plan["beat_s"])
        due_ns = came_ns + random.Random(plan["seed"] + index).randrange(beat_ns)  # noqa: S311 - a phase
        rows, counter, saves, beat = list[Operation](), 0, 0, 0
        node, session_began_ns = platform.active_at(due_ns), platform.serving_since(due_ns)
        while due_ns < end_ns:
            if not self._there(index, due_ns):
                gone = Operation(user, f"{user}-1", LEAVE, due_ns, due_ns, due_ns, 1, node, "", "", -1, -1, "")
                return [*rows, gone]
            beat += 1
            works = self._working(due_ns) and self._carried(index)
            saving = beat % plan["save_every"] == 0
            expected = saves + 1 if saving else counter + 1
            found = -1
            if works and platform.serving_since(due_ns) != session_began_ns:
                node, session_began_ns = platform.active_at(due_ns), platform.serving_since(due_ns)
                counter, saving, found = 0, False, 1  # the first cell in a new kernel shows that the memory is gone
            elif works:
                found = expected
            if saving:
                saves += 1
                if works and not self._lost(due_ns):
                    self.saved.append((node, user, saves))
            elif works:
                counter = found
            rows.append(
                Operation(
                    user=user,
                    session=f"{user}-1",
                    capability=(Capability.SAVE if saving else Capability.WORK).value,
                    due_ns=due_ns,
                    send_ns=due_ns,
                    end_ns=due_ns + to_ns(self._behaviour.latency_s),
                    ok=int(works),
                    node=node,
                    kernel=f"{user}-{session_began_ns}",
                    rung="",
                    expected=expected,
                    found=found,
                    detail="" if works else self._behaviour.refusal,
                )
            )
            due_ns += beat_ns
        return rows

    def _lost(self, t_ns: int) -> bool:
        """Whether what was saved then came after the snapshot with which the platform went on."""
        broken_ns = self._platform.first_broken_ns
        return broken_ns is not None and broken_ns - to_ns(self._behaviour.snapshot_age_s) <= t_ns < broken_ns

    def _probe_samples(self, end_ns: int) -> list[ProbeSample]:
        step_ns, samples = to_ns(1 / self._behaviour.probe_rate_hz), []
        for capability in Capability:
            needs_session = capability in {Capability.WORK, Capability.RECONNECT, Capability.SAVE}
            for due_ns in range(self._start_ns, end_ns, step_ns):
                ok = self._working(due_ns) if needs_session else self._platform.active_at(due_ns) != ""
                ok = ok and not self._overloaded(due_ns)
                answered_ns = due_ns + to_ns(self._behaviour.latency_s)
                node = self._platform.active_at(due_ns)
                detail, via = "" if ok else self._behaviour.refusal, "0" if needs_session else ""
                samples.append(ProbeSample(capability.value, due_ns, due_ns, answered_ns, int(ok), node, detail, via))
        return samples

    def _balancer_views(self, end_ns: int) -> Iterator[BalancerView]:
        for name in self._platform.balancers():
            for send_ns in range(self._start_ns, end_ns, to_ns(0.5)):
                said = [("", "", UNREACHABLE, "ConnectionError: ECONNREFUSED")]
                if self._platform.well_at(name, send_ns):
                    said = [("workbench", node, *self._check(node, send_ns)) for node in self._platform.nodes()]
                for words in said:
                    yield BalancerView(send_ns, send_ns + to_ns(0.001), name, *words)

    def _check(self, node: str, t_ns: int) -> tuple[str, str]:
        up = self._behaviour.checks == "blind" or self._platform.active_at(t_ns) == node
        return ("UP", "L7OK/200") if up else ("DOWN", "L7STS/503")
