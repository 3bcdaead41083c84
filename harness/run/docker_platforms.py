"""The platforms of one topology on a Docker engine, for `harness rebuild`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager

import docker
from docker.errors import APIError, NotFound

from harness.components.base import generate_secrets
from harness.core.drift import Drift
from harness.core.names import AGENT_ROLE, resource_name
from harness.core.specs import NodeContext
from harness.core.topology import Topology
from harness.errors import RunError, UsageError
from harness.run.rebuild import Standing
from harness.run.stay import Place, bring_up, stay_images, stay_specs
from harness.runtime.docker import DockerRuntime
from harness.runtime.drift import Declared, find_drift, fingerprints
from harness.runtime.images import ImageBuilder, machine_lock
from harness.runtime.janitor import Remains, end_run, find_remains

__all__ = ["DockerPlatforms"]


class DockerPlatforms:
    """See `harness.run.rebuild.Platforms`."""

    def __init__(self, client: docker.DockerClient, topology: Topology, say: Callable[[str], None]) -> None:
        self._client = client
        self._topology = topology
        self._say = say
        self._runtime = DockerRuntime(client)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else on this machine rebuilds the topology meanwhile. Raises `UsageError` where somebody does."""
        with ExitStack() as stack:
            try:
                stack.enter_context(machine_lock(f"rebuild {self._topology.name}", wait=False))
            except BlockingIOError as error:
                raise UsageError(
                    f"a rebuild of {self._topology.name} goes on already",
                    hint="wait for its end, or end it with Ctrl-C",
                ) from error
            yield

    def standing(self) -> list[Standing]:
        return [Standing(one.run_id, len(one.names())) for one in self._remains() if self._is_to_stay(one)]

    def left(self) -> list[str]:
        """The ids of all runs of the topology of which anything is there."""
        return [one.run_id for one in self._remains()]

    def drift(self, run_id: str, *, disks: bool = True) -> list[Drift]:
        prefix = self._subnet_prefix(run_id)
        # what two sets of secrets leave alike has none in it
        specs, again = (
            stay_specs(self._topology, NodeContext(run_id=run_id, subnet_prefix=prefix, secrets=generate_secrets()))
            for _ in range(2)
        )
        there = ImageBuilder(self._client).there(sorted({spec.image for spec in specs}))
        declared = Declared(specs=specs, images=there, known_files=fingerprints(specs, again))
        return find_drift(self._client, run_id, declared, disks=disks)

    def take_down(self, run_id: str) -> None:
        agent = self._runtime.ensure_images([AGENT_ROLE], self._progress)[AGENT_ROLE]
        for one in self._remains():
            if one.run_id == run_id:
                end_run(self._client, one, agent)

    def remove_images(self) -> list[str]:
        return ImageBuilder(self._client).remove(stay_images(self._topology), self._progress)

    def bring_up(self, anew: Collection[str]) -> Place:
        return bring_up(self._runtime, self._topology, self._say, anew=anew)

    def _remains(self) -> list[Remains]:
        return [one for one in find_remains(self._client) if one.topology == self._topology.name]

    def _is_to_stay(self, remains: Remains) -> bool:
        """Its agent was told to outlive the command that started it; that of a run was not."""
        if not remains.alive:
            return False
        try:
            environment = self._client.containers.get(remains.agent).attrs["Config"]["Env"]
        except NotFound:
            return False  # it went at this moment
        return "KEEP=1" in environment

    def _subnet_prefix(self, run_id: str) -> str:
        try:
            config = self._client.api.inspect_network(resource_name(run_id))["IPAM"]["Config"]
        except APIError as error:
            raise RunError(f"the network of run {run_id} could not be looked at: {error.explanation}") from error
        return str(config[0]["Subnet"]).rsplit(".", 1)[0]

    def _progress(self, what: str, state: str) -> None:
        self._say(f"image {what}: {state}")
