"""The steps of an upgrade of a database, a balancer or the storage, each done to real containers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.components import haproxy, haproxy_config, patroni, postgresql
from harness.components.registry import members, version
from harness.core.change import ChangeStep, Upgrade
from harness.core.entrances import ENTRANCES_VARIABLE, parse_entrances
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import ChangeFailed
from harness.run.changes.hands import Hands
from harness.run.changes.member_steps import member_steps, members_back
from harness.run.changes.steps import Step
from harness.run.plan import release_image
from harness.run.stage import CLIENT
from harness.run.targets import said_to_be
from harness.spec.reloading import with_knob

__all__ = ["Members", "hands_over"]

#: The word of a target for the one that the others depend on.
_SERVING: Mapping[Role, str] = {
    Role.DATABASE: "primary",
    Role.LOAD_BALANCER: "holder",
    Role.STORAGE: "active",
}
_VERSION = re.compile(r"\d+\.\d[\w.+~-]*")


def hands_over(topology: Topology, role: Role) -> bool:
    """Whether the members of a role can be asked to let another one serve: a cluster of databases can. Of a pair the
    address moves by itself when its holder is shut down."""
    return role is Role.DATABASE and topology.size(role) > 1


class Members:
    """Those of a role that no people have a session on."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._stage = hands.stage
        self._versions: dict[str, str] = {}

    def way(self, change: Upgrade) -> list[Step]:
        """What is to be done. Raises `ChangeFailed` where nobody serves who could be upgraded last."""
        role, topology = Role(change.component), self._stage.topology
        serving = self._serving(role, change.gate_s)
        return member_steps(change, members(topology, role), serving, hands_over=hands_over(topology, role))

    def way_back(self, change: Upgrade, begun: Sequence[Step]) -> list[Step]:
        """As `way`, from as far as `begun` came."""
        role = Role(change.component)
        serving = self._serving(role, change.gate_s)
        return members_back(change, begun, serving, hands_over=hands_over(self._stage.topology, role))

    def take(self, step: Step, change: Upgrade) -> str:
        """Carry out one step; returns what was seen. Raises `ChangeFailed` where it does not come out as it must."""
        (name,) = step.nodes
        acts: Mapping[ChangeStep, Callable[[], str]] = {
            ChangeStep.BACK_UP: lambda: self._back_up(name),
            ChangeStep.SWITCH_OVER: lambda: self._switch_over(name, change.gate_s),
            ChangeStep.RETIRE: lambda: self._retire(Role(change.component), name),
            ChangeStep.START: lambda: self._start(step, change),
            ChangeStep.RELOAD: lambda: self._reload(name, step.release, change.gate_s),
            ChangeStep.GATE: lambda: self._gate(Role(change.component), name, change.gate_s),
        }
        return acts[step.what]()

    def _serving(self, role: Role, limit_s: float) -> str:
        """The one that the others depend on, as soon as there is exactly one."""
        said: tuple[str, ...] = ()

        def look() -> str:
            nonlocal said
            said = said_to_be(self._hands.deployment, self._stage.topology, role, _SERVING[role])
            return "" if len(said) == 1 else f"{' and '.join(said) or 'nobody'} said to be {role}[{_SERVING[role]}]"

        self._hands.wait(look, limit_s=limit_s)
        return said[0]

    # -- databases -------------------------------------------------------------------------------------------------

    def _back_up(self, primary: str) -> str:
        names = postgresql.every_database(self._stage.topology)
        for name in names:
            self._hands.execute(primary, postgresql.back_up(name))
        return f"database {', '.join(names)} in {primary}"

    def _switch_over(self, leader: str, limit_s: float) -> str:
        """Until a replica has become the primary, and does a primary's part."""
        self._hands.execute(leader, patroni.switch_over(leader))
        heir = ""

        def look() -> str:
            nonlocal heir
            heir = self._serving(Role.DATABASE, limit_s)
            return f"{leader} is still the primary" if heir == leader else self._not_ready(heir)

        seconds = self._hands.wait(look, limit_s=limit_s)
        return f"{heir} is the primary, and takes durable writes, {seconds:.1f} s after {leader} had handed over"

    # -- balancers -------------------------------------------------------------------------------------------------

    def _reload(self, name: str, knob: str, limit_s: float) -> str:
        topology = self._stage.topology
        text = self._stage.planned(with_knob(topology, knob) if knob else topology, name).files[haproxy.CONFIG_PATH]
        before = self._hands.execute(name, haproxy_config.WORKER)
        self._hands.execute(name, haproxy_config.reload_with(haproxy.CONFIG_PATH, text))

        def look() -> str:
            now = self._hands.execute(name, haproxy_config.WORKER)
            return self._not_ready(name) if now not in ("", before) else f"process {before} of {name} still serves"

        seconds = self._hands.wait(look, limit_s=limit_s)
        return f"{knob or 'the configuration before'}: a new process serves after {seconds:.1f} s"

    # -- all -------------------------------------------------------------------------------------------------------

    def _retire(self, role: Role, name: str) -> str:
        self._versions[name] = self._version(role, name)
        self._hands.retire(name)
        return ""

    def _start(self, step: Step, change: Upgrade) -> str:
        (name,), role = step.nodes, Role(change.component)
        spec = self._stage.node(name)
        assert spec.ready is not None, "each of them has a probe of its own"
        image = release_image(self._stage.topology, role, step.release) if step.release else self._stage.release
        ready = replace(spec.ready, timeout_s=min(spec.ready.timeout_s, change.gate_s))
        seen = self._hands.start([replace(spec, image=image, ready=ready)])
        now, before = self._version(role, name), self._versions.get(name, "")
        was = "the same as before" if now == before else f"before {before or 'unknown'}"
        return f"{seen}, version {now}, {was}" if now else seen

    def _version(self, role: Role, name: str) -> str:
        """Of its program, by its own word; empty where it does not run, or says none."""
        try:
            said = self._hands.execute(name, version(self._stage.topology, role))
        except ChangeFailed:
            return ""
        found = _VERSION.search(said)
        return found[0] if found else ""

    def _gate(self, role: Role, name: str, limit_s: float) -> str:
        """Its own probe went well; now somebody comes to the platform, of a pair of balancers through this one."""
        client = next(spec for spec in self._stage.specs if spec.name == CLIENT)
        entrance = parse_entrances(client.environment[ENTRANCES_VARIABLE])[0]
        balancer = self._stage.topology.load_balancer
        url, node = entrance.url, entrance.node
        if role is Role.LOAD_BALANCER and balancer is not None:
            host = self._stage.node(name).host_number
            url = f"{haproxy.entrance(balancer)[0]}://{self._hands.deployment.subnet_prefix}.{host}"
        return self._hands.visit(url, node, limit_s=limit_s, where=f"with {name}")

    def _not_ready(self, name: str) -> str:
        """What its own probe misses; empty where nothing."""
        ready = self._stage.node(name).ready
        assert ready is not None, "each of them has a probe of its own"
        try:
            self._hands.execute(name, ready.argv)
        except ChangeFailed as failed:
            return failed.message
        return ""
