"""The watch on what runs on the nodes: from before the first person comes until the load has stopped.

The agent looks by itself, so that a step of a fault that takes long leaves no gap.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from harness.core.history import HistoryWriter
from harness.core.names import AGENT_ROLE
from harness.core.specs import ContainerSpec
from harness.core.words import Role
from harness.run.artifacts import RunFolder
from harness.run.recorder import collect_rows
from harness.runtime.base import Deployment

__all__ = ["begin_servers_watch", "end_servers_watch"]

log = logging.getLogger(__name__)


def begin_servers_watch(deployment: Deployment, specs: Sequence[ContainerSpec]) -> None:
    """Have the agent look whose servers run on which node, from now on."""
    nodes = [spec.name for spec in specs if spec.role == Role.WORKBENCH]
    deployment.agent.call("watch_servers", nodes=nodes)


def end_servers_watch(deployment: Deployment, folder: RunFolder, history: HistoryWriter) -> None:
    """Collect what it has seen. Raises `PeerError` if the watch broke, `RecordError` if a row is missing."""
    stated = deployment.agent.call("end_servers_watch")
    if stated["failed"]:
        log.warning("%d looks at the nodes' processes failed, the first: %s", stated["failed"], stated["why"])
    collect_rows(deployment, AGENT_ROLE, stated, folder, history, names=("servers",))
