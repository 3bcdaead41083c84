"""The simulated platform: how it is told to behave, and who was up and active when."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.core.clock import FakeClock, to_ns
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import FaultKind
from harness.faults.registry import FAULTS
from harness.faults.rehearsal import RehearsalHost
from harness.runtime.fake_database import FakeDatabase, FakeHubs

__all__ = ["Behaviour", "FakePlatform"]


@dataclass
class Behaviour:
    """How the simulated platform and harness behave, and what goes wrong with them."""

    takeover_s: float = 3.0
    """From the death of the active node until the standby serves."""
    takeover_spread_s: float = 0.0
    """Each crowd of people meets a take-over that is longer by up to so much, drawn from their seed."""
    boot_s: float = 4.0
    """From the start of a node until it could serve."""
    restart_s: float = 2.0
    """From the moment somebody serves again until a person's session works again."""
    probe_rate_hz: float = 10.0
    latency_s: float = 0.02
    never_ready: str = ""
    """The name of a container that never gets ready."""
    steady: bool = True
    """Whether people ever work; if not, whatever needs a session fails."""
    unhealthy_images: tuple[str, ...] = ("workbench@never-healthy",)
    """Images of which no container ever gets ready."""
    missing_images: tuple[str, ...] = ()
    """Images that the engine neither has nor can pull."""
    unusable_images: tuple[str, ...] = ("workbench@broken",)
    """Images of nodes that say that they are healthy, and where nobody can log in."""
    refusal: str = "refused"
    """What is said of an operation or probe that failed."""
    carries: int | None = None
    """How many people the platform carries: whoever comes beyond that never works, and every probe fails from then on.
    None: as many as come."""
    lose_save: bool = False
    """The last acknowledged write of one user is missing afterwards."""
    lose_database_writes: int = 0
    """So many of the writes that the database acknowledged first after something broke are missing afterwards."""
    lose_hub_writes: int = 0
    """The same of those that a hub acknowledged."""
    standby_refuses: str = ""
    """What the standby says to a restore that it refuses; empty: it restores."""
    snapshot_age_s: float = 0.0
    """What was saved in this time before the platform was lost is missing afterwards."""
    lose_row: bool = False
    """A row of the operations is missing from the file."""
    checks: Literal["follow", "blind"] = "follow"
    """What the balancer believes: that the node is up which is active, or that every node is always up."""
    faults: Mapping[str, FaultKind] = field(default_factory=lambda: FAULTS)
    on_sleep: Callable[[int], None] | None = None
    """Called with the time at every snapshot, to make something happen in mid-run."""


class FakePlatform:
    """Who is up and who is active, now and at any moment before.

    A machine with which anything at all is wrong serves nobody.
    """

    def __init__(self, clock: FakeClock, topology: Topology, behaviour: Behaviour, run_id: str) -> None:
        self.clock = clock
        self._topology = topology
        self._behaviour = behaviour
        self.host = RehearsalHost(clock.now_ns, run_id, self._changed)
        self._names: list[str] = []
        self._serving: set[str] = set()
        self._well: dict[str, list[tuple[int, bool]]] = {}
        """Since when anything, or nothing, is wrong with each machine."""
        self._lives: dict[str, list[tuple[int, int]]] = {}
        """The process that each machine was at what time; 0 while it was off."""
        self._changes_ns: list[int] = []
        self._active: list[str] = []
        self.releases: dict[str, str] = {}
        """The image that each machine was started from at last."""
        self.database = FakeDatabase()
        self.hubs = FakeHubs()
        self.first_broken_ns: int | None = None
        self.people_seed = 0

    def boot(self, name: str, role: str = "") -> None:
        """A machine starts, for the first time or in the place of one that was taken away."""
        if name in self._names:
            self.host.paper.mend("down", name)
            return
        self._names.append(name)
        self._well[name], self._lives[name] = [], []
        if role == Role.DATABASE:
            self.database.add(name)
        self.host.machines.look(name)
        self._changed(name)

    def runs(self, name: str) -> bool:
        """Whether a command can be run in it."""
        return name in self._names and not self.host.paper.is_wrong("down", name)

    def holder(self, name: str) -> str:
        """Who of the pair that a machine belongs to holds the address: the first that runs."""
        pair = name.rpartition("-")[0]
        return next((one for one in self._names if one.rpartition("-")[0] == pair and self.runs(one)), "")

    def _changed(self, name: str) -> None:
        if name not in self._names:
            return
        serves = not any(where == name for _, where in self.host.paper.wrong)
        self._well[name].append((self.clock.now_ns(), serves))
        self._lives[name].append((self.clock.now_ns(), self.host.machines.look(name).pid))
        if serves == (name in self._serving):
            return
        self.database.changed(name, self.clock.now_ns(), serves=serves)
        if serves:
            self._serving.add(name)
            self._offer(name)
        else:
            self.first_broken_ns = self.first_broken_ns or self.clock.now_ns()
            self._serving.remove(name)
            self._leave(name)

    def _leave(self, name: str) -> None:
        now_ns = self.clock.now_ns()
        if self.active_at(now_ns) != name:
            return
        self._change(now_ns, "")
        heirs = [n for n in self.nodes() if n in self._serving]
        if heirs and self._topology.workbench.takeover == "automatic":
            lot = random.Random(f"take-over/{self.people_seed}")  # noqa: S311 - reproducible, not secret
            takeover_s = self._behaviour.takeover_s + self._behaviour.takeover_spread_s * lot.random()
            self._change(now_ns + to_ns(takeover_s), heirs[0])

    def _offer(self, name: str) -> None:
        """The node becomes active after its boot, if nobody is and the topology lets it."""
        if not name.startswith("workbench") or self.active_at(self.clock.now_ns() + to_ns(3600)) != "":
            return
        first_holder = self._topology.workbench.takeover == "first-holder" and self._active
        if not first_holder or name == self._active[0]:
            boot_s = self._behaviour.boot_s if self._active else 0.0
            self._change(self.clock.now_ns() + to_ns(boot_s), name)

    def hub_writes_at(self, t_ns: int) -> str:
        """The node whose hub can write at that moment, or nothing: a hub needs the database, where there is one."""
        return self.active_at(t_ns) if not self.database or self.database.primary_at(t_ns) else ""

    def in_hubs_database(self, name: str) -> list[tuple[str, int]]:
        """What is in the database of this name on the server (`hub`, `hub_1` ...), or in a node's own file."""
        if name in self.nodes():
            return self.hubs.found([name])
        if self._topology.workbench.mode == "active-passive":
            return self.hubs.found(self.nodes())
        return self.hubs.found([self.nodes()[int(name.partition("_")[2] or 0)]])

    def nodes(self) -> list[str]:
        """The Workbench nodes."""
        return [name for name in self._names if name.startswith("workbench") and name[-1].isdigit()]

    def balancers(self) -> list[str]:
        """The load balancers; none in a topology without one."""
        return [name for name in self._names if name.startswith("load-balancer")]

    def well_at(self, name: str, t_ns: int) -> bool:
        """Whether nothing was wrong with a machine at that moment."""
        return next((well for since_ns, well in reversed(self._well[name]) if since_ns <= t_ns), False)

    def life_at(self, name: str, t_ns: int) -> int:
        """Which life of a machine that moment was in; 0 while it was off."""
        return next((life for since_ns, life in reversed(self._lives[name]) if since_ns <= t_ns), 0)

    def fenced_at(self, name: str, t_ns: int) -> bool:
        """Whether a machine that does not serve knows by then that another one does, and has ended people's servers:
        nothing is wrong with it, and a lease says who serves."""
        return self._topology.workbench.mode == "active-passive" and self.well_at(name, t_ns)

    def active_at(self, t_ns: int) -> str:
        """The node that serves at that moment, or nothing."""
        index = bisect_right(self._changes_ns, t_ns) - 1
        return self._active[index] if index >= 0 else ""

    def serving_since(self, t_ns: int) -> int:
        """When the state of that moment began."""
        index = bisect_right(self._changes_ns, t_ns) - 1
        return self._changes_ns[index] if index >= 0 else 0

    def _change(self, t_ns: int, name: str) -> None:
        self._changes_ns.append(t_ns)
        self._active.append(name)
