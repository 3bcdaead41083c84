"""What the simulated agent sees of people's servers on the simulated nodes, worked out at the end.

A person has a server on every node on which they have come to work. It lives until the machine goes off; on a node that
is cut off or frozen it lives on. Where a lease decides who serves, a node ends its servers when nothing is wrong with
it any more and another one serves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.clock import to_ns
from harness.core.rows import RowWriter, ServersSeen
from harness.errors import PeerError
from harness.runtime.fake_client import FakeClient
from harness.runtime.fake_platform import FakePlatform

__all__ = ["FakeServersWatch"]

_PERIOD_NS = to_ns(1.0)
_LOOK_NS = to_ns(0.001)


class FakeServersWatch:
    """The three requests of the agent that are about servers."""

    def __init__(self, platform: FakePlatform, client: Callable[[], FakeClient], folder: Path) -> None:
        self._platform = platform
        self._client = client
        self._folder = folder
        self._nodes: Sequence[str] = ()
        self._since_ns: int | None = None
        self._watches = 0

    def begin(self, nodes: Sequence[str]) -> Mapping[str, Any]:
        self._nodes, self._since_ns = nodes, self._platform.clock.now_ns()
        self._watches += 1
        return {}

    def began(self, node: str) -> Mapping[str, Any]:
        self._nodes = [*dict.fromkeys([*self._nodes, node])]
        return {}

    def end(self) -> Mapping[str, Any]:
        if self._since_ns is None:
            raise PeerError("the servers of nodes are not watched")
        path = self._folder / f"servers-{self._watches}.csv"
        writer = RowWriter(path, ServersSeen)
        servers: set[tuple[str, int, str]] = set()
        last: Counter[tuple[str, str]] = Counter()
        for at_ns in range(self._since_ns, self._platform.clock.now_ns(), _PERIOD_NS):
            servers = self._now(servers, at_ns)
            seen = Counter((node, user) for node, _, user in servers)
            writer.write(ServersSeen(at_ns, at_ns + _LOOK_NS, "", "", seen.total()))
            for node, user in sorted(seen.keys() | last.keys()):
                if seen[node, user] != last[node, user]:
                    writer.write(ServersSeen(at_ns, at_ns + _LOOK_NS, node, user, seen[node, user]))
            last = seen
        writer.close()
        self._since_ns = None
        return {"servers": {"path": f"/data/{path.name}", "rows": writer.rows}, "failed": 0, "why": ""}

    def _now(self, before: set[tuple[str, int, str]], at_ns: int) -> set[tuple[str, int, str]]:
        """Node, life of its machine, and person of each server at that moment."""
        platform = self._platform
        serving = platform.active_at(at_ns)
        left = {
            (node, life, user)
            for node, life, user in before
            if platform.life_at(node, at_ns) == life
            and not (serving not in {"", node} and platform.fenced_at(node, at_ns))
        }
        if serving not in self._nodes:
            return left
        life = platform.life_at(serving, at_ns)
        return left | {(serving, life, user) for user in self._client().working_at(at_ns)}
