"""Removes everything that bears a run's label."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness.core.names import AGENT_ROLE, LABEL_ROLE, LABEL_RUN
from harness.errors import PeerError
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.namespaces import own_namespaces
from harness.faults.agent.processes import RealProcesses, processes_of

__all__ = ["Swept", "remove_self", "sweep"]


@dataclass(frozen=True)
class Swept:
    """What came of a sweep."""

    done: list[str]
    """A line for each removed thing, and for each that could not be removed."""
    stuck: list[str]
    """The names of networks that nobody is in and that the engine refuses to remove all the same."""


def sweep(engine: EngineApi, run_id: str, self_id: str) -> Swept:
    """Remove the run's containers (but this one), then its networks and volumes, which must be free of them first."""
    label = f"{LABEL_RUN}={run_id}"
    mended = _mend(engine, engine.list_labelled("containers/json", label))
    containers = [c for c in engine.list_labelled("containers/json", label) if not c["Id"].startswith(self_id)]
    agents = [c for c in containers if c["Labels"].get(LABEL_ROLE) == AGENT_ROLE]
    done = _remove(engine, [_job(c) for c in containers if c not in agents])
    removed, stuck = _remove_networks(engine, engine.list_labelled("networks", label))
    done += removed
    done += _remove(engine, [("volumes", v["Name"], v["Name"]) for v in engine.list_labelled("volumes", label)])
    # a dead agent goes last: as long as anything is left, somebody may still need its journal
    return Swept(mended + done + _remove(engine, [_job(agent) for agent in agents]), stuck)


def _remove_networks(engine: EngineApi, networks: list[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """A line for each, and the names of those that the engine keeps although nobody is in them.

    An engine that ends many containers at once may lose count of who was in their network, and then holds it for in
    use (moby/moby#42119). Nothing but a new start of the engine counts anew.
    """
    done: list[str] = []
    stuck: list[str] = []
    for network in networks:
        try:
            engine.remove("networks", network["Id"])
            done.append(f"removed network {network['Name']}")
        except PeerError as error:
            if "active endpoints" in error.message and not engine.members(network["Id"]):
                stuck.append(network["Name"])
            else:
                done.append(f"could not remove network {network['Name']}: {error.message}")
    return done, stuck


def _mend(engine: EngineApi, containers: list[Mapping[str, Any]]) -> list[str]:
    """Let hung things go on before they are removed, also those that no journal knows of: a paused container first,
    because a stopped process in it does not show."""
    done = []
    for container in containers:
        _, identifier, name = _job(container)
        if container["State"] == "paused":
            engine.unpause(identifier)
            done.append(f"unpaused container {name}")
        pid = engine.inspect(identifier)["State"]["Pid"]
        # an agent shares the host's PID namespace: what is stopped there is not ours
        for process in processes_of(pid) if pid and own_namespaces(pid) else ():
            if process.state == "T":
                RealProcesses().thaw(process.pid, process.start_ticks)
                done.append(f"let {process.name} of container {name} go on")
    return done


def remove_self(engine: EngineApi, self_id: str) -> None:
    """The last act: the engine kills and removes this container."""
    engine.remove("containers", self_id)


def _job(container: Mapping[str, Any]) -> tuple[str, str, str]:
    return "containers", container["Id"], container["Names"][0].lstrip("/")


def _remove(engine: EngineApi, jobs: list[tuple[str, str, str]]) -> list[str]:
    def one(job: tuple[str, str, str]) -> str:
        kind, identifier, name = job
        try:
            engine.remove(kind, identifier)
        except PeerError as error:
            return f"could not remove {kind[:-1]} {name}: {error.message}"
        return f"removed {kind[:-1]} {name}"

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(one, jobs))
