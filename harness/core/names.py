"""Names and labels by which everything of a run is recognised, on an engine and in the database."""

from __future__ import annotations

__all__ = [
    "AGENT_ROLE",
    "HUB_NOTE_PATTERN",
    "LABEL_FILES",
    "LABEL_ROLE",
    "LABEL_RUN",
    "LABEL_TOPOLOGY",
    "LINK_ROLE",
    "WRITES_TABLE",
    "container_name",
    "hub_note",
    "hub_writer_name",
    "link_name",
    "proxy_name",
    "resource_name",
    "role_of",
    "writer_name",
]

_PREFIX = "io.github.workbench-chaos"
#: On every container, network and volume of a run; its value is the run's id.
LABEL_RUN = f"{_PREFIX}.run"
#: The role of a container: one of the topology's, or `client`, or `agent`.
LABEL_ROLE = f"{_PREFIX}.role"
#: On a container with files of its own: their fingerprints by path, as JSON.
LABEL_FILES = f"{_PREFIX}.files"
#: The topology's name, for people who look at `docker ps`.
LABEL_TOPOLOGY = f"{_PREFIX}.topology"

AGENT_ROLE = "agent"
#: Of the Toxiproxy between two roles.
LINK_ROLE = "link"
#: In the hub's database: columns `writer` and `value`, and no key, so that a number that is there twice shows.
WRITES_TABLE = "harness_writes"
#: What `hub_note` looks like, as a regular expression that Python and PostgreSQL read alike; none of JupyterHub's own
#: notes does.
HUB_NOTE_PATTERN = "^[a-z0-9-]*writer-[0-9]+/[0-9]+$"


def resource_name(run_id: str) -> str:
    """The name of the run's network and the prefix of its volumes."""
    return f"chaos-{run_id}"


def container_name(run_id: str, name: str) -> str:
    """The engine's name of the run's container `name`."""
    return f"{resource_name(run_id)}-{name}"


def role_of(container: str) -> str:
    """The role that a container's short name stands for: `load-balancer-1` is one of `load_balancer`."""
    name, dash, number = container.rpartition("-")
    return (name if dash and number.isdigit() else container).replace("-", "_")


def link_name(source: str, target: str) -> str:
    """The container that stands between two roles, of which `source` opens the connections."""
    return f"{LINK_ROLE}-{source}-{target}".replace("_", "-")


def proxy_name(source: str, target: str, port: int) -> str:
    """What the link calls its way from one container to a port of another; no container's name has an underscore."""
    return f"{source}_{target}_{port}"


def writer_name(prefix: str) -> str:
    """Whose numbers in `WRITES_TABLE` belong to the crowd whose names begin with `prefix`."""
    return f"{prefix}writer"


def hub_writer_name(writer: str, place: int) -> str:
    """Whose numbers in a hub's own database come from the place (`core.entrances.places`) with this number; `writer` as
    of `writer_name`."""
    return f"{writer}-{place}"


def hub_note(writer: str, value: int) -> str:
    """The note of the API token that stands for one number of a writer in a hub's own database."""
    return f"{writer}/{value}"
