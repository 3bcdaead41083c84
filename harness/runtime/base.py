"""The narrow protocols between a run and whatever carries its containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.core.specs import ContainerSpec

__all__ = ["Deployment", "ExecResult", "Peer", "Progress", "Runtime"]

#: Says one short thing to the person who waits: (what, state).
Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class ExecResult:
    """What a command in a container answered."""

    exit_code: int
    output: str


class Peer(Protocol):
    """A program beside the containers (agent, load client) that answers requests one at a time."""

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:
        """Ask for `op` and wait for its answer.

        Raises `PeerError` if it broke, took longer than `timeout_s` or answered with an error.
        """
        ...


class Deployment(Protocol):
    """Containers of one run on their own network, and the agent next to them."""

    run_id: str
    subnet_prefix: str

    @property
    def agent(self) -> Peer:
        """The agent: faults, the engine host's clock, clean-up when the harness is gone."""
        ...

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Start containers in dependency order and wait until each one's own probe proves that it serves.

        `on_ready` gets the spec and the seconds since its start. Raises `DeploymentError` with the tail of the log.
        """
        ...

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Remove one of the started containers and start it anew, as `start` does."""
        ...

    def retire(self, name: str) -> None:
        """Shut a container down in an orderly way and remove it."""
        ...

    def destroy(self, names: Sequence[str], last_look: Callable[[str], None]) -> Sequence[str]:
        """Containers are killed at once, and are gone with every volume that is not elsewhere and that nobody else has.

        `last_look` gets each name when all are dead. Returns the volumes' names.
        """
        ...

    def take_place(self, name: str, of: str) -> None:
        """A container that runs gets the address, and also the name on the network, of one that was destroyed."""
        ...

    def peer(self, name: str) -> Peer:
        """The conversation with a container whose spec has `conversation`."""
        ...

    def container_name(self, name: str) -> str:
        """The engine's name for one of the run's containers."""
        ...

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        """Run a command in a running container."""
        ...

    def read_file(self, name: str, path: str) -> bytes:
        """A file from a container, running or not."""
        ...

    def log(self, name: str, *, stamped: bool = False) -> str:
        """Everything a container wrote to its standard output and error.

        With `stamped` each line begins with when the engine got it, by the wall clock of the engine's host (RFC 3339,
        nanoseconds), and a space.
        """
        ...

    def inspect(self, name: str) -> Mapping[str, Any]:
        """The engine's description of a container, without secrets."""
        ...

    def remove(self) -> None:
        """Remove everything of this run; a second call does nothing."""
        ...


class Runtime(Protocol):
    """Makes deployments."""

    def describe(self) -> Mapping[str, Any]:
        """The engine: version, kernel, cores, memory in bytes; for run.json and the memory check."""
        ...

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        """Pull or build what is missing; returns the image id of each name. Raises `ImageError`."""
        ...

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> Deployment:
        """The run's agent and network, before any other container. With `keep` it outlives this process."""
        ...
