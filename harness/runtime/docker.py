"""Deployments on a real engine: testcontainers for containers, networks and waits, the docker SDK for the rest."""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import tarfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from harness.core.drift import fingerprint_of
from harness.core.names import (
    AGENT_ROLE,
    LABEL_FILES,
    LABEL_ROLE,
    LABEL_RUN,
    LABEL_TOPOLOGY,
    container_name,
    resource_name,
)
from harness.core.specs import ContainerSpec, Mount
from harness.errors import DeploymentError, RunError
from harness.runtime.agent import start_agent, talk
from harness.runtime.base import ExecResult, Progress
from harness.runtime.engine import ADDRESS_POOL
from harness.runtime.images import ImageBuilder
from harness.runtime.janitor import STUCK_NETWORK
from harness.runtime.peer import AttachedPeer
from harness.runtime.readiness import Serves

__all__ = ["DockerDeployment", "DockerRuntime"]

log = logging.getLogger(__name__)

_API_VERSION = "1.41"  # of endpoint settings: they have not changed since
_PARALLEL_STARTS = 8
_STOP_AGENT_TIMEOUT_S = 30.0
_MAKE_VOLUME_TIMEOUT_S = 60.0
#: The engine's own default: who has not ended by then is killed.
_SHUT_DOWN_S = 10
_LOG_TAIL_LINES = 40


class DockerRuntime:
    """One engine."""

    def __init__(self, client: docker.DockerClient, images: Mapping[str, str] | None = None) -> None:
        """`images` are references that are on the engine already, by the name under which specs ask for them."""
        self._client = client
        self._images = dict(images or {})

    def describe(self) -> Mapping[str, Any]:
        info = self._client.info()
        return {
            "engine_version": info["ServerVersion"],
            "kernel": info["KernelVersion"],
            "os": info["OperatingSystem"],
            "cores": info["NCPU"],
            "memory_bytes": info["MemTotal"],
            "cgroup_version": info.get("CgroupVersion", "1"),
            "storage_driver": info["Driver"],
        }

    def ensure_images(
        self, names: Sequence[str], progress: Progress, *, anew: Collection[str] = ()
    ) -> Mapping[str, str]:
        """Those in `anew` are built without what the engine remembers of earlier builds."""
        self._images.update(ImageBuilder(self._client, anew=anew).ensure(names, progress))
        return dict(self._images)

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> DockerDeployment:
        return DockerDeployment(self._client, run_id, topology, self._images, keep=keep)


class DockerDeployment:
    """One run's containers. The agent is the first thing made, so that whatever comes after it is cleaned up."""

    def __init__(
        self,
        client: docker.DockerClient,
        run_id: str,
        topology: str,
        images: Mapping[str, str],
        *,
        keep: bool = False,
    ) -> None:
        self.run_id = run_id
        self._client = client
        self._images = images
        self._labels = {LABEL_RUN: run_id, LABEL_TOPOLOGY: topology}
        self._peers: dict[str, AttachedPeer] = {}
        self._specs: dict[str, ContainerSpec] = {}
        self._addresses: dict[str, str] = {}
        self._volumes: set[str] = set()
        self._volume_lock = threading.Lock()
        self._removed = False
        self._cancelled = threading.Event()
        name = self.container_name(AGENT_ROLE)
        self._agent = start_agent(client, images[AGENT_ROLE], name, self._labels, keep=keep)
        try:
            self._network, self.subnet_prefix = self._make_network()
        except BaseException:
            self.remove()
            raise

    @property
    def agent(self) -> AttachedPeer:
        return self._agent

    def container_name(self, name: str) -> str:
        return container_name(self.run_id, name)

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        self._specs.update({spec.name: spec for spec in specs})
        ready: dict[str, Future[None]] = {}
        # a thread waits for each container, so there must be as many as containers
        pool = ThreadPoolExecutor(max_workers=max(_PARALLEL_STARTS, len(specs)))
        try:
            for spec in _in_dependency_order(specs):
                waits = [ready[name] for name in spec.depends_on if name in ready]
                ready[spec.name] = pool.submit(self._start_one, spec, waits, on_ready)
            for future in as_completed(ready.values()):
                future.result()  # the first failure ends the start of the others
        finally:
            self._cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._cancelled.clear()

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        if name in self._peers:
            self._peers.pop(name).close()
        try:
            self._container(name).remove(force=True, v=True)
        except APIError as error:
            raise DeploymentError(f"{name} could not be removed: {error.explanation}") from error
        self._start_one(self._specs[name], (), on_ready)

    def retire(self, name: str) -> None:
        container = self._container(name)
        try:
            container.stop(timeout=_SHUT_DOWN_S)
            container.remove(force=True, v=True)
        except APIError as error:
            raise DeploymentError(f"{name} could not be shut down and removed: {error.explanation}") from error

    def destroy(self, names: Sequence[str], last_look: Callable[[str], None]) -> Sequence[str]:
        containers = [self._container(name) for name in names]
        with ThreadPoolExecutor(max_workers=len(containers)) as pool:
            list(pool.map(_kill, containers))
            for name in names:
                last_look(name)
            list(pool.map(_remove_at_once, containers))
        with self._volume_lock:
            kept = {mount.volume for spec in self._specs.values() if spec.name not in names for mount in spec.mounts}
            mounts = [mount for name in names for mount in self._specs[name].mounts]
            lost = {mount.volume for mount in mounts if not mount.elsewhere} - kept
            for volume in sorted(lost):
                self._remove_volume(f"{resource_name(self.run_id)}-{volume}")
        for name in names:
            del self._specs[name]
        return sorted(lost)

    def take_place(self, name: str, of: str) -> None:
        container, network = self._container(name), self._network.name
        try:
            found = self._client.networks.get(network)
            found.disconnect(container)
            found.connect(container, aliases=[name, of], ipv4_address=self._addresses[of])
        except APIError as error:
            raise DeploymentError(f"{name} could not get the address of {of}: {error.explanation}") from error

    def peer(self, name: str) -> AttachedPeer:
        return self._peers[name]

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        try:
            argv = ["timeout", "--signal=KILL", str(timeout_s), *argv]  # the API knows no time limit for a command
            result = self._container(name).exec_run(argv, demux=False)
        except APIError as error:
            raise DeploymentError(f"{name}: {' '.join(argv)} could not be run: {error.explanation}") from error
        return ExecResult(result.exit_code, result.output.decode(errors="replace"))

    def published_port(self, name: str, port: int) -> int:
        """The port of 127.0.0.1 on which the engine publishes `port` of a container."""
        published = self._container(name).attrs["NetworkSettings"]["Ports"][f"{port}/tcp"]
        return int(published[0]["HostPort"])

    def read_file(self, name: str, path: str) -> bytes:
        try:
            chunks, _ = self._container(name).get_archive(path)
        except APIError as error:
            raise DeploymentError(f"{name}:{path} could not be read: {error.explanation}") from error
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            if member is None:
                raise DeploymentError(f"{name}:{path} is not a file")
            return member.read()

    def log(self, name: str, *, stamped: bool = False) -> str:
        text: str = self._container(name).logs(timestamps=stamped).decode(errors="replace")
        return text

    def inspect(self, name: str) -> Mapping[str, Any]:
        container = self._container(name)
        found: dict[str, Any] = dict(container.attrs)
        secret = set(self._specs[name].secrets) if name in self._specs else set()
        config = dict(found["Config"])
        config["Env"] = [entry for entry in config.get("Env") or [] if entry.split("=", 1)[0] not in secret]
        found["Config"] = config
        return found

    def usage(self, name: str) -> Mapping[str, Any]:
        """The engine's accounting of a container's processor and memory, as of now."""
        found: Mapping[str, Any] = self._container(name).stats(stream=False)
        return found

    def remove(self) -> None:
        if self._removed:
            return
        self._removed = True
        for peer in self._peers.values():
            peer.close()
        try:
            self._agent.call("clean", timeout_s=_STOP_AGENT_TIMEOUT_S)
        finally:
            self._agent.close()  # the end of its input makes it remove itself, and what is left
            self._wait_until_agent_is_gone()
            for network in self._client.networks.list(filters={"label": f"{LABEL_RUN}={self.run_id}"}):
                log.warning("network %s is still there: %s", network.name, STUCK_NETWORK)

    def stop_keeping(self) -> None:
        """End a deployment that was opened with `keep`: its agent removes everything when it is stopped."""
        self._container(AGENT_ROLE).kill("SIGTERM")
        self._wait_until_agent_is_gone()

    # -- pieces ----------------------------------------------------------------------------------------------------

    def _container(self, name: str) -> Any:
        try:
            return self._client.containers.get(self.container_name(name))
        except NotFound as error:
            raise DeploymentError(f"container {self.container_name(name)} is not there any more") from error

    def _make_network(self) -> tuple[Network, str]:
        """A network with a /24 subnet of its own out of the pool: the engine refuses one that is taken, also by
        another run at the same moment, so the first that it accepts is ours."""
        pool = ipaddress.IPv4Network(ADDRESS_POOL)
        subnets = list(pool.subnets(new_prefix=24))[:-1]  # the last is the default bridge's
        offset = int(self.run_id, 16) % len(subnets)  # runs that start together try different ones first
        refusal = ""
        for subnet in subnets[offset:] + subnets[:offset]:
            ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=str(subnet))])
            network = Network(docker_network_kw={"driver": "bridge", "ipam": ipam, "labels": self._labels})
            network.name = resource_name(self.run_id)
            try:
                network.create()
            except APIError as error:  # engines of different ages refuse a taken subnet with different codes
                refusal = str(error.explanation)
                continue
            return network, str(subnet.network_address).rsplit(".", 1)[0]
        raise RunError(
            f"no network could be made in any /24 of {ADDRESS_POOL}; the engine said at last: {refusal}",
            hint="`harness doctor` removes what dead runs left; HARNESS_ADDRESS_POOL names another pool",
        )

    def _make_volume(self, mount: Mount) -> str:
        """A file system of its own where the mount asks for one and the agent can make it, else a plain volume."""
        full = f"{resource_name(self.run_id)}-{mount.volume}"
        with self._volume_lock:
            if full not in self._volumes:
                options = self._own_file_system(full, mount.size_mb) if mount.size_mb else {}
                self._client.volumes.create(full, labels=self._labels, driver="local", driver_opts=options)
                self._volumes.add(full)
        return full

    def _remove_volume(self, full: str) -> None:
        try:
            self._client.volumes.get(full).remove()
        except APIError as error:
            raise DeploymentError(f"volume {full} could not be removed: {error.explanation}") from error
        self._agent.call("drop_volume", volume=full, timeout_s=_MAKE_VOLUME_TIMEOUT_S)
        self._volumes.discard(full)

    def _own_file_system(self, volume: str, size_mb: int) -> dict[str, str]:
        made = self._agent.call("make_volume", volume=volume, size_mb=size_mb, timeout_s=_MAKE_VOLUME_TIMEOUT_S)
        if not made["device"]:
            log.warning("volume %s is a plain one, so disk faults are refused: %s", volume, made["why"])
            return {}
        return {"type": "ext4", "device": made["device"]}

    def _start_one(
        self, spec: ContainerSpec, waits: Sequence[Future[None]], on_ready: Callable[[ContainerSpec, float], None]
    ) -> None:
        for wait in waits:
            wait.result()
        started = time.monotonic()
        container = self._describe(spec)
        try:
            if spec.conversation:
                self._peers[spec.name] = talk(container, spec.name)
            else:
                container.start()
        except TimeoutError as error:
            raise DeploymentError(str(error), detail=self._log_tail(spec.name)) from error
        except APIError as error:
            raise DeploymentError(f"{spec.name} did not start: {error.explanation}") from error
        on_ready(spec, time.monotonic() - started)

    def _describe(self, spec: ContainerSpec) -> DockerContainer:
        address = f"{self.subnet_prefix}.{spec.host_number}"
        self._addresses[spec.name] = address
        endpoint = EndpointConfig(_API_VERSION, aliases=[spec.name], ipv4_address=address)
        container = DockerContainer(self._images[spec.image])
        container.with_name(self.container_name(spec.name))
        container.with_envs(**spec.environment, **spec.secrets)
        if spec.command:
            container.with_command(list(spec.command))
        for mount in spec.mounts:
            container.with_volume_mapping(self._make_volume(mount), mount.path, "rw")
        for path, text in spec.files.items():
            container.with_copy_into_container(text.encode(), path)
        ports: dict[str, Any] = container.ports  # its own type knows the port only; the SDK takes an address too
        ports |= {f"{port}/tcp": ("127.0.0.1", None) for port in spec.publish}
        if spec.ready:
            container.waiting_for(Serves(spec.name, spec.ready, self._cancelled))
        return container.with_kwargs(
            labels={**self._labels, LABEL_ROLE: spec.role, **_fingerprints(spec)},
            hostname=spec.name,
            network=self._network.name,
            networking_config={self._network.name: endpoint},
            cap_add=list(spec.capabilities),
            cpu_shares=spec.cpu_shares,
            devices=list(spec.devices),
            security_opt=list(spec.security_options),
            stdin_open=spec.conversation,
        )

    def _log_tail(self, name: str) -> str:
        with suppress(RunError, APIError):
            lines = self.log(name).splitlines()[-_LOG_TAIL_LINES:]
            return f"the end of the log of {name}:\n" + "\n".join(f"    {line}" for line in lines)
        return f"{name} left no log"

    def _wait_until_agent_is_gone(self) -> None:
        deadline = time.monotonic() + _STOP_AGENT_TIMEOUT_S
        with suppress(DeploymentError):
            while self._container(AGENT_ROLE):
                if time.monotonic() > deadline:
                    raise RunError("the agent did not remove itself", hint="`harness doctor` removes what is left")
                time.sleep(0.05)


def _kill(container: Any) -> None:
    try:
        if container.status == "running":
            container.kill()
    except APIError as error:
        raise DeploymentError(f"{container.name} could not be killed: {error.explanation}") from error


def _remove_at_once(container: Any) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        raise DeploymentError(f"{container.name} could not be removed: {error.explanation}") from error


def _fingerprints(spec: ContainerSpec) -> dict[str, str]:
    """By which a file that was changed by hand is found later; what is in the files may be secret."""
    found = {path: fingerprint_of(text.encode()) for path, text in spec.files.items()}
    return {LABEL_FILES: json.dumps(found, sort_keys=True)} if found else {}


def _in_dependency_order(specs: Iterable[ContainerSpec]) -> list[ContainerSpec]:
    """Every container after the ones it depends on."""
    waiting, done, order = list(specs), set[str](), list[ContainerSpec]()
    names = {spec.name for spec in waiting}
    while waiting:
        free = [spec for spec in waiting if set(spec.depends_on) & names <= done]
        if not free:
            raise DeploymentError(f"these containers wait for each other: {', '.join(spec.name for spec in waiting)}")
        order += free
        done |= {spec.name for spec in free}
        waiting = [spec for spec in waiting if spec.name not in done]
    return order
