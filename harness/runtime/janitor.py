"""Finds what runs left on an engine, and has an agent heal it."""

from __future__ import annotations

import io
import secrets
import tarfile
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

import docker
from docker.errors import APIError, NotFound

from harness.core.names import AGENT_ROLE, LABEL_ROLE, LABEL_RUN, LABEL_TOPOLOGY, container_name, resource_name
from harness.errors import RunError
from harness.faults.journal import parse_entries
from harness.faults.registry import FAULTS
from harness.runtime.agent import JOURNAL_PATH, start_agent
from harness.runtime.engine import ADDRESS_POOL

__all__ = ["STUCK_NETWORK", "Healed", "Remains", "describe", "end_run", "find_remains", "find_strays", "heal"]

#: Why a network may stay although everything of its run is gone (moby/moby#42119).
STUCK_NETWORK = (
    "the engine holds it for in use although nobody is in it; it does no harm, and can be removed after the engine was "
    "started anew"
)
_GONE_TIMEOUT_S = 60.0
#: The engine makes a network in about 0.1 s.
_BEING_MADE_S = 2.0


@dataclass(frozen=True)
class Healed:
    """What was done about the remains of a run."""

    done: list[str]
    """A line for each thing."""
    stuck: list[str]
    """The names of networks that stay: see `STUCK_NETWORK`."""


@dataclass
class Remains:
    """What bears the label of one run."""

    run_id: str
    topology: str = ""
    agent: str = ""
    """The id of its running agent: the run goes on, or was brought up to stay, or is being cleaned right now."""
    containers: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    """Those of the containers that are paused."""
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Somebody looks after it."""
        return bool(self.agent)

    def names(self) -> list[str]:
        """Everything, for people."""
        return self.containers + self.networks + self.volumes


def find_remains(client: docker.DockerClient) -> list[Remains]:
    """Every run of which anything is on the engine, in the order of their ids."""
    found: dict[str, Remains] = {}

    def note(labels: dict[str, str] | None) -> Remains:
        labels = labels or {}
        remains = found.setdefault(labels[LABEL_RUN], Remains(labels[LABEL_RUN]))
        remains.topology = labels.get(LABEL_TOPOLOGY, remains.topology)
        return remains

    filters: dict[str, str | list[str] | bool] = {"label": LABEL_RUN}
    # ignore_removed: another run may be taking its containers away at this very moment
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        remains = note(container.labels)
        remains.containers.append(container.name or "")
        if container.status == "paused":
            remains.paused.append(container.name or "")
        if container.labels.get(LABEL_ROLE) == AGENT_ROLE and container.status == "running":
            remains.agent = container.id or ""
    for network in client.networks.list(filters=filters):
        note((network.attrs or {}).get("Labels")).networks.append(network.name or "")
    for volume in client.volumes.list(filters=filters):
        note((volume.attrs or {}).get("Labels")).volumes.append(volume.name or "")
    return [found[run_id] for run_id in sorted(found)]


def describe(client: docker.DockerClient, remains: Remains) -> list[str]:
    """What a dead run left, a line for each: acts of faults that nobody undid, then containers, networks, volumes.

    Changes nothing.
    """
    acts = [
        f"{FAULTS[entry.fault].leaves}: {entry.fault} on {entry.state.get('container', entry.id)} was not undone"
        for entry in parse_entries(_left_journal(client, remains.run_id))
        if entry.open
    ]
    paused = [
        f"container {name} (paused)" if name in remains.paused else f"container {name}" for name in remains.containers
    ]
    networks = [f"network {name}" for name in remains.networks]
    return [*acts, *paused, *networks, *(f"volume {name}" for name in remains.volumes)]


def heal(client: docker.DockerClient, remains: Remains, agent_image: str) -> Healed:
    """Undo what the dead agent's journal says and remove whatever bears the run's label, through a fresh agent.

    Raises `RunError` if something else than a stuck network could not be removed.
    """
    labels = {LABEL_RUN: remains.run_id, LABEL_TOPOLOGY: remains.topology}
    name = f"{resource_name(remains.run_id)}-healer"
    agent = start_agent(client, agent_image, name, labels, journal=_left_journal(client, remains.run_id))
    try:
        answer = agent.call("clean", timeout_s=_GONE_TIMEOUT_S)
    finally:
        agent.close()
    _wait_until_gone(client, remains.run_id, but=answer["stuck"])
    return Healed([*answer["undone"], *answer["removed"]], answer["stuck"])


def find_strays(client: docker.DockerClient, agent_image: str, *, heal: bool) -> list[str]:
    """A line for each bridge of the harness's pool, with its route, that no network of the engine stands behind: what
    is left where an engine lost its state. With `heal` they are removed.

    Raises `DeploymentError` or `PeerError` if the look through a short-lived agent fails.
    """
    run_id = secrets.token_hex(3)
    labels = {LABEL_RUN: run_id, LABEL_TOPOLOGY: "none"}
    agent = start_agent(client, agent_image, f"{resource_name(run_id)}-looker", labels)
    try:
        found = set(agent.call("strays", pool=ADDRESS_POOL, heal=False)["strays"])
        if found:
            # a network that is being made has its bridge a moment before the engine lists it
            time.sleep(_BEING_MADE_S)
            found &= set(agent.call("strays", pool=ADDRESS_POOL, heal=False)["strays"])
        if found and heal:
            agent.call("strays", pool=ADDRESS_POOL, heal=True)
    finally:
        agent.close()
        _wait_until_gone(client, run_id)
    return sorted(found)


def end_run(client: docker.DockerClient, remains: Remains, agent_image: str) -> None:
    """End a run that is still there: its agent undoes and removes everything. Raises `RunError` if it does not."""
    if not remains.alive:
        heal(client, remains, agent_image)
        return
    with suppress(NotFound):  # it may be finishing by itself at this moment
        client.containers.get(remains.agent).kill("SIGTERM")
    # the agent goes last: a network that is still there then is one that the engine holds
    _wait_until_gone(client, remains.run_id, but=remains.networks)


def _left_journal(client: docker.DockerClient, run_id: str) -> str:
    try:
        chunks, _ = client.containers.get(container_name(run_id, AGENT_ROLE)).get_archive(JOURNAL_PATH)
    except NotFound:
        return ""  # the agent's container is gone or it died before it wrote anything
    except APIError as error:
        raise RunError(f"the journal of run {run_id} could not be read: {error.explanation}") from error
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile(tar.getmembers()[0])
        return member.read().decode() if member else ""


def _wait_until_gone(client: docker.DockerClient, run_id: str, *, but: Collection[str] = ()) -> None:
    """`but` names what stays. Raises `RunError` for anything else that is still there after a while."""
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while left := [name for r in find_remains(client) if r.run_id == run_id for name in r.names() if name not in but]:
        if time.monotonic() > deadline:
            raise RunError(f"these of run {run_id} are still there: {', '.join(left)}")
        time.sleep(0.1)
