"""Brings what was measured from the containers into the run's folder, and counts that nothing is missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.components.registry import database_readback, hub_readbacks, readback
from harness.core.clock import Clock, wait_until
from harness.core.history import EventKind, HistoryWriter
from harness.core.names import writer_name
from harness.core.rows import SavedValue
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.core.words import Role, Store
from harness.errors import DeploymentError, HarnessError, RecordError
from harness.run.artifacts import RunFolder
from harness.run.targets import said_to_be
from harness.runtime.base import Deployment

__all__ = ["collect_containers", "collect_rows", "nothing_to_read", "read_back"]

log = logging.getLogger(__name__)
_ROW_FILES = ("operations", "probes", "database_writes", "hub_writes", "balancer")
#: How long to wait for a database that can be read: a run may end in the middle of a failover, of which most is the
#: lease of the dead primary (22 s at `ttl_s: 20`), or right after a server was started again.
_READ_WITHIN_S = 60.0
_POLL_S = 0.5


def collect_rows(
    deployment: Deployment,
    writer: str,
    stopped: Mapping[str, Any],
    folder: RunFolder,
    history: HistoryWriter,
    *,
    names: Sequence[str] = _ROW_FILES,
) -> None:
    """Copy the row files out of the container that wrote them. Raises `RecordError` if a row is missing."""
    for name in names:
        stated = stopped[name]
        arrived, digest = folder.write_rows(name, deployment.read_file(writer, stated["path"]))
        if arrived != stated["rows"]:
            raise RecordError(f"{name}: the {writer} wrote {stated['rows']} rows, {arrived} arrived")
        history.append(EventKind.ROWS, {"name": name, "rows": arrived, "sha256": digest})


def read_back(
    deployment: Deployment,
    topology: Topology,
    folder: RunFolder,
    history: HistoryWriter,
    *,
    clock: Clock,
    prefix: str,
    stand_ins: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Look up every value written by the crowd whose names begin with `prefix`, in homes, in the database and in each
    hub's own database, by readers that did not write it.

    What a container of `stand_ins` holds is found at the place that it took, where people look. Raises `RecordError` if
    one of them can't be read.
    """
    homes = [value for value in _read_homes(deployment, topology, stand_ins) if value.user.startswith(f"{prefix}user")]
    numbers = [value for value in _read_database(deployment, topology, clock) if value.user == writer_name(prefix)]
    tokens = _read_hubs(deployment, topology, clock, stand_ins)
    tokens = [value for value in tokens if value.user.rpartition("-")[0] == writer_name(prefix)]
    values = [*homes, *numbers, *tokens]
    history.append(EventKind.ROWS, {"name": "saved", "rows": len(values), "sha256": folder.write_saved(values)})
    found = {Store.HOME: homes, Store.DATABASE: numbers, Store.HUB: tokens}
    stores = {store.value: len(there) for store, there in found.items()}
    history.append(EventKind.READBACK, {"users": len({v.user for v in homes}), "rows": len(values), "stores": stores})


def nothing_to_read(folder: RunFolder, history: HistoryWriter) -> None:
    """Whoever kept what was written is gone: there are no values, and nobody says that they were looked up."""
    history.append(EventKind.ROWS, {"name": "saved", "rows": 0, "sha256": folder.write_saved([])})


def collect_containers(deployment: Deployment, specs: Sequence[ContainerSpec], folder: RunFolder) -> None:
    """Log, each line with the engine's stamp, and inspection of every container; one that can't be had is noted and
    does not stop the others."""
    for name in [*(spec.name for spec in specs), "agent"]:
        try:
            folder.write_container(name, deployment.log(name, stamped=True), deployment.inspect(name))
        except HarnessError as error:
            log.warning("no log of %s: %s", name, error)


def _read_homes(deployment: Deployment, topology: Topology, stand_ins: Mapping[str, str]) -> list[SavedValue]:
    containers, argv = readback(topology)
    found: list[SavedValue] = []
    for container in containers:
        answer = deployment.execute(stand_ins.get(container, container), argv, timeout_s=60.0)
        if answer.exit_code != 0:
            raise RecordError(f"{container}: the saved values could not be read: {answer.output[-500:]}")
        found += _parse(answer.output, Store.HOME, container)
    return found


def _read_database(deployment: Deployment, topology: Topology, clock: Clock) -> list[SavedValue]:
    argv = database_readback(topology)
    if argv is None:
        return []
    place, output = _ask(deployment, topology, argv, clock, what="the database")
    return _parse(output, Store.DATABASE, place)


def _read_hubs(
    deployment: Deployment, topology: Topology, clock: Clock, stand_ins: Mapping[str, str]
) -> list[SavedValue]:
    """The place of a value is the node whose hub wrote it, where each has a database of its own."""
    found: list[SavedValue] = []
    for node, argv in hub_readbacks(topology).items():
        container = stand_ins.get(node, node) if database_readback(topology) is None else ""
        what = f"the hub's database{node and f' of {node}'}"
        place, output = _ask(deployment, topology, argv, clock, what=what, container=container)
        found += _parse(output, Store.HUB, node or place)
    return found


def _ask(
    deployment: Deployment, topology: Topology, argv: Sequence[str], clock: Clock, *, what: str, container: str = ""
) -> tuple[str, str]:
    """Where the command was run, and its output: in `container`, or in the primary, once there is exactly one and it
    answers: with two nobody knows whose word counts."""
    place, output, seen = container, "", "it was not asked"

    def answers() -> bool:
        nonlocal place, output, seen
        if not container:
            primaries = said_to_be(deployment, topology, Role.DATABASE, "primary")
            if len(primaries) != 1:
                seen = f"{' and '.join(primaries) or 'no member'} said to be the primary, expected one"
                return False
            place = primaries[0]
        try:
            answer = deployment.execute(place, argv, timeout_s=30.0)
        except DeploymentError as error:
            seen = error.message
            return False
        output, seen = answer.output, f"{place}: {answer.output[-500:]}"
        return answer.exit_code == 0

    if not wait_until(answers, clock=clock, timeout_s=_READ_WITHIN_S, interval_s=_POLL_S):
        raise RecordError(f"{what} could not be read back within {_READ_WITHIN_S:g} s: {seen}")
    return place, output


def _parse(output: str, store: Store, place: str) -> list[SavedValue]:
    values = []
    for line in filter(str.strip, output.splitlines()):
        user, _, value = line.partition(",")
        if not value.strip().isdigit():
            raise RecordError(f"not a value written {store.where}: {line!r}")
        values.append(SavedValue(user, int(value), store.value, place))
    return values
