"""The platform of one topology, brought up once and used by one experiment after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from harness.components import jupyterhub, patroni
from harness.components.base import generate_secrets
from harness.components.registry import image, plan, serving_nodes
from harness.core.entrances import ENTRANCES_VARIABLE
from harness.core.experiment import Load
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology
from harness.core.words import Role
from harness.run.plan import needed_images
from harness.runtime.base import Deployment, Peer, Progress, Runtime

__all__ = ["CLIENT", "Stage"]

CLIENT = "client"


class Stage:
    """Nothing is made before `open`; `close` removes everything, however far it came."""

    def __init__(
        self,
        runtime: Runtime,
        topology: Topology,
        run_id: str,
        *,
        clock_roles: frozenset[Role] = frozenset(),
        images: Sequence[str] = (),
        released: Role = Role.WORKBENCH,
        release: str = jupyterhub.IMAGE,
    ) -> None:
        """`images` are needed beside the platform's own, `release` is the image that the members of the role `released`
        start with."""
        self.topology = topology
        self.released = released
        self.release = release
        self.clock_roles = clock_roles
        """Whose wall clock can be set; it needs a library that nobody has for nothing."""
        self.run_id = run_id
        """Of the deployment: the label of its containers. Each experiment on it has a run of its own."""
        self.specs: Sequence[ContainerSpec] = ()
        self.unfit_because = ""
        """Why the next experiment can't start on it; empty while it can."""
        self.gone: frozenset[str] = frozenset()
        """Whose machines were lost in a disaster."""
        self.stand_ins: dict[str, str] = {}
        """Of those the ones whose places were taken, and by which container."""
        self._runtime = runtime
        self._deployment: Deployment | None = None
        self._password = ""
        self._context: NodeContext | None = None
        self._images = images
        self._spares: dict[str, ContainerSpec] = {}
        self._experiments = 0
        self._closed = False

    @property
    def deployment(self) -> Deployment | None:
        """The containers, once they were opened."""
        return self._deployment

    @property
    def closed(self) -> bool:
        """Everything was removed."""
        return self._closed

    @property
    def client(self) -> Peer:
        """The load client. Raises `PeerError` before `start`."""
        assert self._deployment is not None, "the stage is open"
        return self._deployment.peer(CLIENT)

    @property
    def prefix(self) -> str:
        """What the names of this experiment's people begin with, so that nobody finds a home of an earlier one."""
        return "" if self._experiments <= 1 else f"x{self._experiments}-"

    def ensure_images(self, progress: Progress) -> Mapping[str, str]:
        """Pull or build what is missing. Raises `ImageError`."""
        needed = dict.fromkeys([*needed_images(self.topology), *self._images])
        return self._runtime.ensure_images(list(needed), progress)

    def open(self) -> Deployment:
        """The agent and the network; what is open stays as it is."""
        if self._deployment is None:
            self._deployment = self._runtime.open(self.run_id, self.topology.name)
        return self._deployment

    def start(self, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Start every container; on a stage that was used before only the client, anew. Raises `DeploymentError`."""
        deployment = self.open()
        self._experiments += 1
        if self.specs:
            deployment.replace(CLIENT, on_ready)
            return
        secrets = generate_secrets()
        self._password = secrets["USER_PASSWORD"]
        self._context = context = NodeContext(
            run_id=self.run_id, subnet_prefix=deployment.subnet_prefix, secrets=secrets
        )
        self.specs = [self._of_release(spec) for spec in plan(self.topology, context, clock_roles=self.clock_roles)]
        self._spares = {spec.name: self._of_release(spec) for spec in jupyterhub.spares(self.topology, context)}
        deployment.start(self.specs, on_ready)

    def node(self, name: str) -> ContainerSpec:
        """How a node is started that is there, or has a place to join."""
        return self._spares.get(name) or next(spec for spec in self.specs if spec.name == name)

    @property
    def spares(self) -> tuple[str, ...]:
        """The names of the nodes that may join."""
        return tuple(self._spares)

    def planned(self, topology: Topology, name: str) -> ContainerSpec:
        """How a container would be started if the platform were this topology: its configuration after a change."""
        assert self._context is not None, "the stage was started"
        specs = plan(topology, self._context, clock_roles=self.clock_roles)
        return next(spec for spec in specs if spec.name == name)

    def _of_release(self, spec: ContainerSpec) -> ContainerSpec:
        # the balancer in front of a database is made from the same image, and is no member of the role
        released = spec.image == image(self.topology, self.released) and spec.role != patroni.PROXY_ROLE
        return replace(spec, image=self.release) if released else spec

    def start_load(self, **load: Any) -> None:
        """Let the people come."""
        client = next(spec for spec in self.specs if spec.name == CLIENT)
        self.client.call(
            "start",
            entrances=client.environment[ENTRANCES_VARIABLE],
            serving_nodes=serving_nodes(self.topology),
            password=self._password,
            prefix=self.prefix,
            **load,
        )

    def let_people_go(self, load: Load) -> None:
        """From now on people come and go, where the load says so; until here all stayed, so that all could be seen at
        work."""
        if load.comes_and_goes:
            stay, day = asdict(load.stay) if load.stay else None, [asdict(point) for point in load.day]
            self.client.call("come_and_go", stay=stay, day=day)

    def unfit(self, users: int, *, grown: bool) -> str:
        """Look whether everybody works, so that the next experiment may start here; says why it may not."""
        if grown:
            self.unfit_because = "it was overloaded on purpose"  # no fair start for anybody
        else:
            people = self.client.call("snapshot", timeout_s=15.0)["users"]
            working = people.get("working", 0) + people.get("away", 0)
            self.unfit_because = "" if working >= users else f"{working} of {users} people worked at the end"
        return self.unfit_because

    def close(self) -> None:
        """Remove everything; a second call does nothing."""
        self._closed = True
        if self._deployment is not None:
            self._deployment.remove()
