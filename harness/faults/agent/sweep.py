"""Removes everything that bears a run's label."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.core.names import AGENT_ROLE, LABEL_ROLE, LABEL_RUN
from harness.errors import PeerError
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.namespaces import own_namespaces
from harness.faults.agent.processes import RealProcesses, processes_of

__all__ = ["remove_self", "sweep"]


def sweep(engine: EngineApi, run_id: str, self_id: str) -> list[str]:
    """Remove the run's containers (but this one), then its networks and volumes, which must be free of them first.

    Returns a line for each removed thing and for each that could not be removed.
    """
    label = f"{LABEL_RUN}={run_id}"
    mended = _mend(engine, engine.list_labelled("containers/json", label))
    containers = [c for c in engine.list_labelled("containers/json", label) if not c["Id"].startswith(self_id)]
    agents = [c for c in containers if c["Labels"].get(LABEL_ROLE) == AGENT_ROLE]
    done = _remove(engine, [_job(c) for c in containers if c not in agents])
    networks = [("networks", n["Id"], n["Name"]) for n in engine.list_labelled("networks", label)]
    volumes = [("volumes", v["Name"], v["Name"]) for v in engine.list_labelled("volumes", label)]
    done += _remove(engine, networks + volumes)
    # a dead agent goes last: as long as anything is left, somebody may still need its journal
    return mended + done + _remove(engine, [_job(agent) for agent in agents])


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
