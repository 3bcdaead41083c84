"""Names and labels by which everything of a run is recognised on an engine."""

from __future__ import annotations

__all__ = [
    "AGENT_ROLE",
    "LABEL_ROLE",
    "LABEL_RUN",
    "LABEL_TOPOLOGY",
    "LINK_ROLE",
    "container_name",
    "link_name",
    "proxy_name",
    "resource_name",
]

_PREFIX = "io.github.workbench-chaos"
#: On every container, network and volume of a run; its value is the run's id.
LABEL_RUN = f"{_PREFIX}.run"
#: The role of a container: one of the topology's, or `client`, or `agent`.
LABEL_ROLE = f"{_PREFIX}.role"
#: The topology's name, for people who look at `docker ps`.
LABEL_TOPOLOGY = f"{_PREFIX}.topology"

AGENT_ROLE = "agent"
#: Of the Toxiproxy between two roles.
LINK_ROLE = "link"


def resource_name(run_id: str) -> str:
    """The name of the run's network and the prefix of its volumes."""
    return f"chaos-{run_id}"


def container_name(run_id: str, name: str) -> str:
    """The engine's name of the run's container `name`."""
    return f"{resource_name(run_id)}-{name}"


def link_name(source: str, target: str) -> str:
    """The container that stands between two roles, of which `source` opens the connections."""
    return f"{LINK_ROLE}-{source}-{target}".replace("_", "-")


def proxy_name(source: str, target: str, port: int) -> str:
    """What the link calls its way from one container to a port of another; no container's name has an underscore."""
    return f"{source}_{target}_{port}"
