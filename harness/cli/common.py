"""What the commands share: exit codes, what they print with, the files and the engine they work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.core.experiment import Experiment
    from harness.run.choice import Chosen
    from harness.runtime.docker import DockerRuntime
    from harness.spec.catalog import Catalog

__all__ = [
    "DEFAULT_EXPERIMENTS",
    "EXIT_ERROR",
    "EXIT_UNAVAILABLE",
    "EXIT_USAGE",
    "TopologyArgument",
    "catalog",
    "choose",
    "console",
    "people",
    "runtime",
    "say",
]

EXIT_USAGE = 64  # EX_USAGE of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_ERROR = 70  # EX_SOFTWARE
PLAIN_WIDTH = 120
DEFAULT_EXPERIMENTS = "suite"

TopologyArgument = Annotated[str, typer.Argument(help="Name of the catalogue, or path of a .yaml file.")]


def console() -> Console:
    from rich.console import Console

    console = Console()
    # a pipe or a CI log has no width of its own; tables want this much
    return console if console.is_terminal else Console(width=max(console.width, PLAIN_WIDTH))


def say(text: str) -> None:
    """A line for people and pipes alike: no markup (targets have brackets), never wrapped."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def catalog() -> Catalog:
    """The files beside the package (a checkout), or of the current folder where there are some."""
    from harness.spec.catalog import Catalog

    here = Path.cwd()
    return Catalog(here if (here / "topologies").is_dir() else Path(__file__).resolve().parents[2])


def runtime() -> DockerRuntime:
    """An engine that answers, started where it may be; says what dead runs left on it."""
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.runtime.janitor import find_remains

    client = ensure_engine(say)
    for remains in find_remains(client):
        if not remains.alive:
            say(f"run {remains.run_id} died and left {len(remains.names())} things: `harness doctor` removes them")
    return DockerRuntime(client)


def people(users: int | None) -> int | None:
    if users is not None and users < 1:
        raise UsageError(f"--users {users}: there must be one at least")
    return users


def choose(
    catalog: Catalog,
    topology: str,
    experiments: str,
    users: int | None,
    read: Callable[[Path], Experiment] | None = None,
) -> Chosen:
    """Load what the words mean. Of several experiments those that do not apply to the topology are set aside; one that
    was asked for by its name must apply. `read` is what reads an experiment's file."""
    from harness.faults.registry import RULES
    from harness.run import choice

    return choice.choose(catalog, topology, experiments, RULES, users=people(users), read=read)
