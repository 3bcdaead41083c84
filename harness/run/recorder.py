"""Brings what was measured from the containers into the run's folder, and counts that nothing is missing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from harness.components.registry import readback
from harness.core.history import EventKind, HistoryWriter
from harness.core.rows import SavedValue
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.errors import HarnessError, RecordError
from harness.run.artifacts import RunFolder
from harness.runtime.base import Deployment

__all__ = ["collect_containers", "collect_rows", "read_back"]

log = logging.getLogger(__name__)
_ROW_FILES = ("operations", "probes", "balancer")


def collect_rows(
    deployment: Deployment, client: str, stopped: Mapping[str, Any], folder: RunFolder, history: HistoryWriter
) -> None:
    """Copy the row files out of the client. Raises `RecordError` if a row is missing."""
    for name in _ROW_FILES:
        stated = stopped[name]
        arrived, digest = folder.write_rows(name, deployment.read_file(client, stated["path"]))
        if arrived != stated["rows"]:
            raise RecordError(f"{name}: the client wrote {stated['rows']} rows, {arrived} arrived")
        history.append(EventKind.ROWS, {"name": name, "rows": arrived, "sha256": digest})


def read_back(
    deployment: Deployment, topology: Topology, folder: RunFolder, history: HistoryWriter, prefix: str
) -> None:
    """Look up every value saved by the people whose names begin with `prefix`, by a reader that did not write it.

    Raises `RecordError` if it can't be read.
    """
    container, argv = readback(topology)
    answer = deployment.execute(container, argv, timeout_s=60.0)
    if answer.exit_code != 0:
        raise RecordError(f"{container}: the saved values could not be read: {answer.output[-500:]}")
    every = [_parse(line) for line in answer.output.splitlines() if line.strip()]
    values = [value for value in every if value.user.startswith(f"{prefix}user")]
    history.append(EventKind.ROWS, {"name": "saved", "rows": len(values), "sha256": folder.write_saved(values)})
    history.append(EventKind.READBACK, {"users": len({v.user for v in values}), "rows": len(values)})


def collect_containers(deployment: Deployment, specs: Sequence[ContainerSpec], folder: RunFolder) -> None:
    """Log and inspection of every container; one that can't be had is noted and does not stop the others."""
    for name in [*(spec.name for spec in specs), "agent"]:
        try:
            folder.write_container(name, deployment.log(name), deployment.inspect(name))
        except HarnessError as error:
            log.warning("no log of %s: %s", name, error)


def _parse(line: str) -> SavedValue:
    user, _, value = line.partition(",")
    if not value.strip().isdigit():
        raise RecordError(f"not a saved value: {line!r}")
    return SavedValue(user, int(value))
