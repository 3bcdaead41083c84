"""The steps of a change, each done to real nodes and balancers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from harness.components import databases, haproxy, haproxy_config, jupyterhub, postgresql
from harness.components.registry import members
from harness.core.change import ChangeStep, Scale, Upgrade
from harness.core.clock import Clock, to_ns, to_s
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import ChangeFailed, RunError
from harness.run.changes.hands import Hands
from harness.run.changes.steps import Step
from harness.run.interrupts import Interrupts
from harness.run.plan import release_image
from harness.run.stage import Stage
from harness.run.targets import said_to_be
from harness.runtime.base import Deployment

__all__ = ["Nodes"]

#: Between two looks at who is still there.
_LOOK_S = 0.5


class Nodes:
    """The nodes of a platform that runs, and what can be done to them."""

    def __init__(
        self,
        stage: Stage,
        clock: Clock,
        *,
        interrupts: Interrupts,
        watch_until: Callable[[int], None],
        sessions: Callable[[], Mapping[str, int]],
        keep_log: Callable[[str, str], None],
    ) -> None:
        """`sessions` says how many people work on which node, as of the last look; `keep_log` gets the log of a
        container that is about to go."""
        self.hands = Hands(stage, clock, interrupts=interrupts, watch_until=watch_until, keep_log=keep_log)
        self._stage = stage
        self._clock = clock
        self._watch_until = watch_until
        self._sessions = sessions
        self._there: list[str] | None = None

    @property
    def _deployment(self) -> Deployment:
        return self.hands.deployment

    @property
    def topology(self) -> Topology:
        """What was built."""
        return self._stage.topology

    @property
    def there(self) -> tuple[str, ...]:
        """Who belongs to the platform now."""
        if self._there is None:
            self._there = list(members(self.topology, Role.WORKBENCH))
        return tuple(self._there)

    @property
    def free(self) -> tuple[str, ...]:
        """The places for those who may join, also those of nodes that went."""
        return tuple(name for name in self._places if name not in self.there)

    @property
    def joined(self) -> tuple[str, ...]:
        """Those who are there and were not from the beginning."""
        return tuple(name for name in self.there if name in self._stage.spares)

    @property
    def _places(self) -> tuple[str, ...]:
        return (*members(self.topology, Role.WORKBENCH), *self._stage.spares)

    def holder(self) -> str:
        """The node that holds the lease; empty where there is none, or nobody holds it right now."""
        if self.topology.workbench.mode != "active-passive":
            return ""
        with suppress(RunError):
            return next(iter(said_to_be(self._deployment, self.topology, Role.WORKBENCH, "active")), "")
        return ""

    def take(self, step: Step, change: Upgrade | Scale, *, back: bool) -> str:
        """Carry out one step; returns what was seen. Raises `ChangeFailed` where it does not come out as it must."""
        nodes = step.nodes
        acts: Mapping[ChangeStep, Callable[[], str]] = {
            ChangeStep.DRAIN: lambda: self._tell_balancers(nodes, "drain"),
            ChangeStep.WAIT: lambda: self._wait(nodes, change.drain_s),
            ChangeStep.CLOSE: lambda: self._tell_balancers(nodes, "maint"),
            ChangeStep.OPEN: lambda: self._open(nodes, change.gate_s),
            ChangeStep.START: lambda: self._start(step, change, back=back),
            ChangeStep.GATE: lambda: self.gate(nodes[0], change.gate_s),
            ChangeStep.RETIRE: lambda: self._retire(nodes),
            ChangeStep.BACK_UP: lambda: self._copy(nodes, restore=False),
            ChangeStep.RESTORE: lambda: self._copy(nodes, restore=True),
        }
        return acts[step.what]()

    def give_up_beyond(self, nodes: int) -> None:
        """Those who were to join and did not get through go again."""
        for name in self.there[nodes:]:
            self._tell_balancers((name,), "maint")
            self._retire((name,))

    # -- the balancers ---------------------------------------------------------------------------------------------

    def _tell_balancers(self, nodes: tuple[str, ...], state: Literal["ready", "drain", "maint"]) -> str:
        balancer = self.topology.load_balancer
        assert balancer is not None, "without a balancer there is no such step"
        for name in haproxy.names(self.topology):
            for node in nodes:
                said = self.hands.execute(name, haproxy_config.set_state(balancer, node, state))
                if said:
                    raise ChangeFailed(f"{name} objects: {said}")
        names = haproxy.names(self.topology)
        return f"{' and '.join(names)} {'says' if len(names) == 1 else 'say'} {state}"

    def _open(self, nodes: tuple[str, ...], limit_s: float) -> str:
        """To those that stand by nobody may be led. HAProxy takes a server that leaves `maint` for healthy until its
        next check (`srv_update_status`: "start OK but check immediately"), so they are only drained until it has seen
        them down."""
        standing_by = self._standing_by(nodes)
        if not standing_by:
            return self._tell_balancers(nodes, "ready")
        self._tell_balancers(standing_by, "drain")
        seconds = self.hands.wait(lambda: self._not_seen_down(standing_by), limit_s=limit_s)
        return f"seen to stand by after {seconds:.1f} s, then {self._tell_balancers(nodes, 'ready')}"

    def _standing_by(self, nodes: tuple[str, ...]) -> tuple[str, ...]:
        holder = self.holder()
        return tuple(node for node in nodes if self.topology.workbench.mode == "active-passive" and node != holder)

    def _not_seen_down(self, nodes: tuple[str, ...]) -> str:
        """Who of those that stand by is not yet down for a balancer, and for which; empty if nobody."""
        balancer = self.topology.load_balancer
        assert balancer is not None, "without a balancer there is no such step"
        for name in haproxy.names(self.topology):
            down = haproxy_config.seen_down(balancer, self.hands.execute(name, haproxy_config.SERVERS_STATE))
            if left := [node for node in self._standing_by(nodes) if node not in down]:
                return f"{name} does not say that {', '.join(left)} is down, which stands by"
        return ""

    def _wait(self, nodes: tuple[str, ...], limit_s: float) -> str:
        began_ns = self._clock.now_ns()
        while True:
            self._watch_until(self._clock.now_ns() + to_ns(_LOOK_S))
            left = sum(self._sessions().get(node, 0) for node in nodes)
            waited_s = to_s(self._clock.now_ns() - began_ns)
            if not left or waited_s >= limit_s:
                return f"{left} people still there after {waited_s:.1f} s"

    # -- the nodes -------------------------------------------------------------------------------------------------

    def _start(self, step: Step, change: Upgrade | Scale, *, back: bool) -> str:
        image = release_image(self.topology, Role.WORKBENCH, step.release) if step.release else self._stage.release
        specs = [self._spec(name, image, change, upgrade=bool(step.release), back=back) for name in step.nodes]
        self._there = list(dict.fromkeys([*self.there, *step.nodes]))
        seen = self.hands.start(specs)
        for name in step.nodes:  # another container than before, if there was one
            self.hands.deployment.agent.call("watch_servers_of", node=name)
        return seen

    def _spec(self, name: str, image: str, change: Upgrade | Scale, *, upgrade: bool, back: bool) -> ContainerSpec:
        spec = self._stage.node(name)
        environment = dict(spec.environment)
        if upgrade:
            environment["HUB_UPGRADE"] = "yes"
        if back and isinstance(change, Upgrade) and change.database == "restore" and not self._database(name):
            environment |= databases.PUT_BACK_FILE
        assert spec.ready is not None, "a node has a probe of its own"
        ready = replace(spec.ready, timeout_s=min(spec.ready.timeout_s, change.gate_s))
        return replace(spec, image=image, environment=environment, ready=ready)

    def _retire(self, nodes: tuple[str, ...]) -> str:
        for name in nodes:
            self.hands.retire(name)
        self._there = [name for name in self.there if name not in nodes]
        return ""

    def gate(self, node: str, limit_s: float) -> str:
        """Healthy it is; now somebody comes, past the balancer, and tries everything, as often as time allows."""
        if self.topology.workbench.mode == "active-passive" and self._first_holder(limit_s) != node:
            return "it stands by: nobody can try it before it serves"
        spec = self._stage.node(node)
        url = f"http://{self._deployment.subnet_prefix}.{spec.host_number}:{jupyterhub.PROXY_PORT}"
        return self.hands.visit(url, node, limit_s=limit_s, where=f"on {node}")

    def _first_holder(self, limit_s: float) -> str:
        """Who holds the lease as soon as somebody does. Raises `ChangeFailed` if nobody takes it in time."""
        until_ns = self._clock.now_ns() + to_ns(limit_s)
        while not (holder := self.holder()):
            if self._clock.now_ns() > until_ns:
                raise ChangeFailed(f"no node has taken the lease within {limit_s:g} s")
            self._watch_until(self._clock.now_ns() + to_ns(_LOOK_S))
        return holder

    # -- the hubs' databases ---------------------------------------------------------------------------------------

    def _database(self, node: str) -> str:
        return databases.hub_database(self.topology, self._places.index(node))

    def _copy(self, nodes: tuple[str, ...], *, restore: bool) -> str:
        names = list(dict.fromkeys(self._database(node) for node in nodes))
        if not all(names):  # each has a file, which the node itself puts back as it starts
            for node in () if restore else nodes:
                self.hands.execute(node, databases.BACK_UP_FILE)
            return "the hub's file"
        primary = said_to_be(self._deployment, self.topology, Role.DATABASE, "primary")[0]
        for name in names:
            self.hands.execute(primary, postgresql.put_back(name) if restore else postgresql.back_up(name))
        return f"database {', '.join(names)} in {primary}"
