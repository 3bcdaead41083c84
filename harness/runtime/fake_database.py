"""The simulated platform's databases: which server takes writes when, what is in it, and what the hubs wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.core.clock import to_ns
from harness.core.rows import DatabaseWrite, HubWrite

__all__ = ["FakeDatabase", "FakeHubs"]

#: As often as the real writers.
_PERIOD_NS = to_ns(0.05)
_HUB_PERIOD_NS = to_ns(1.0)


class FakeDatabase:
    """Its servers share their data, and one that serves takes the writes: the one that was handed over to at last, or
    the first."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int]] = []
        """Writer and number of everything that is in it."""
        self._servers: dict[str, list[tuple[int, bool]]] = {}
        """When each began and ceased to serve."""
        self._heirs: list[tuple[int, str]] = []
        """When whom was handed over to."""

    def add(self, name: str) -> None:
        """A server, which does not serve yet."""
        self._servers[name] = []

    def has(self, name: str) -> bool:
        """Whether it is one of its servers."""
        return name in self._servers

    def __bool__(self) -> bool:
        """Whether the platform has one at all."""
        return bool(self._servers)

    def changed(self, name: str, t_ns: int, *, serves: bool) -> None:
        """A machine of the platform, which may be one of its servers, serves or ceases to."""
        if name in self._servers:
            self._servers[name].append((t_ns, serves))

    def primary_at(self, t_ns: int) -> str:
        """The server that takes writes at that moment, or nothing."""
        heirs = [name for since_ns, name in self._heirs if since_ns <= t_ns][-1:]
        for name in (*heirs, *self._servers):
            changes = self._servers[name]
            states = [serves for since_ns, serves in changes if since_ns <= t_ns]
            if states and states[-1]:
                return name
        return ""

    def switch_over(self, t_ns: int) -> None:
        """The one that takes writes hands over to another one that serves."""
        leader = self.primary_at(t_ns)
        serving = [name for name, changes in self._servers.items() if changes and changes[-1][1] and name != leader]
        self._heirs.append((t_ns, serving[0]))

    def write(
        self, writer: str, start_ns: int, end_ns: int, *, latency_ns: int, lose: int, lose_from_ns: int | None
    ) -> Iterator[DatabaseWrite]:
        """A number at each point of the grid. Those acknowledged are in it afterwards, but for `lose` of them: the
        first that were acknowledged from `lose_from_ns` on."""
        for value, due_ns in enumerate(range(start_ns, end_ns, _PERIOD_NS), start=1):
            server = self.primary_at(due_ns)
            if server and lose and lose_from_ns is not None and due_ns >= lose_from_ns:
                lose -= 1
            elif server:
                self.written.append((writer, value))
            ok, detail = (1, "") if server else (0, "refused")
            yield DatabaseWrite(writer, value, due_ns, due_ns, due_ns + latency_ns, ok, server, detail)


class FakeHubs:
    """What the hubs wrote into databases of their own, or into the one that all of them have."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, int]] = []
        """The node whose hub wrote it, the writer and the number."""

    def write(
        self,
        writer: str,
        start_ns: int,
        end_ns: int,
        serving_at: Callable[[int], str],
        *,
        latency_ns: int,
        lose: int,
        lose_from_ns: int | None,
    ) -> Iterator[HubWrite]:
        """A number at each point of the grid, by the hub of the node that `serving_at` says, or nothing. Those
        acknowledged are there afterwards, but for `lose` of them: the first that were acknowledged from `lose_from_ns`
        on."""
        for value, due_ns in enumerate(range(start_ns, end_ns, _HUB_PERIOD_NS), start=1):
            node = serving_at(due_ns)
            if node and lose and lose_from_ns is not None and due_ns >= lose_from_ns:
                lose -= 1
            elif node:
                self.written.append((node, writer, value))
            ok, detail = (1, "") if node else (0, "refused")
            yield HubWrite(writer, value, due_ns, due_ns, due_ns + latency_ns, ok, node, detail)

    def found(self, nodes: Sequence[str]) -> list[tuple[str, int]]:
        """Writer and number of everything that the hubs of these nodes wrote."""
        return [(writer, value) for node, writer, value in self.written if node in nodes]
