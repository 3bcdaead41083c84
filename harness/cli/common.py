"""What the commands share: exit codes, what they print with, the files and the engine they work on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from harness.core.experiment import Experiment
    from harness.run.choice import Chosen
    from harness.run.matrix import Matrix
    from harness.runtime.docker import DockerRuntime
    from harness.spec.catalog import Catalog

__all__ = [
    "DEFAULT_EXPERIMENTS",
    "EXIT_ERROR",
    "EXIT_INCONCLUSIVE",
    "EXIT_UNAVAILABLE",
    "EXIT_USAGE",
    "JsonOption",
    "Output",
    "QuietOption",
    "TopologyArgument",
    "catalog",
    "choose",
    "console",
    "people",
    "runtime",
    "say",
    "show_matrix",
]

EXIT_INCONCLUSIVE = 2
EXIT_USAGE = 64  # EX_USAGE of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_ERROR = 70  # EX_SOFTWARE
PLAIN_WIDTH = 120
DEFAULT_EXPERIMENTS = "suite"

TopologyArgument = Annotated[str, typer.Argument(help="Name of the catalogue, or path of a .yaml file.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document and nothing else; progress goes to standard error.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print only the verdict, and where the report is.")]


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, quiet=quiet)
    # a pipe or a CI log has no width of its own; tables want this much
    if console.is_terminal:
        return console
    return Console(stderr=stderr, quiet=quiet, width=max(console.width, PLAIN_WIDTH))


class Output:
    """Where a command's words go: progress to `screen`, and what came of it to whoever reads it.

    That is a person, a machine (`--json`: standard output is exactly one document, everything else goes to standard
    error) or a script (`--quiet`: nothing but the verdict and where the report is). The exit code is the same.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self.screen = console(stderr=as_json, quiet=quiet)

    def say(self, text: str) -> None:
        """As `say`, where progress goes."""
        self.screen.print(text, markup=False, highlight=False, soft_wrap=True)

    def no_document(self, option: str) -> None:
        """Raises `UsageError` where a document was asked for and `option` gives none."""
        if self._as_json:
            raise UsageError(f"--json with {option}: there are no results to print", hint="leave one of them out")

    def result(
        self, document: Path | Mapping[str, Any], *, verdict: Text, where: str, show: Callable[[Console], None]
    ) -> None:
        """Print what came of the command.

        `document` is the same as in the results folder: the file itself, or what is in no file. `show` prints the
        whole report, `verdict` and `where` (`report: PATH`; empty where there is no file) are its last words.
        """
        if self._as_json:
            text = (
                document.read_text(encoding="utf-8") if isinstance(document, Path) else json.dumps(document, indent=1)
            )
            typer.echo(text.rstrip("\n"))
        elif not self._quiet:
            show(self.screen)
            return
        last = self.screen if self._as_json else console()
        for line in (verdict, where):
            if line:
                last.print(line, markup=False, highlight=False, soft_wrap=True)


def show_matrix(matrix: Matrix, output: Output) -> int:
    """Print what came of a matrix, new or analysed again; returns the exit code."""
    from rich.text import Text

    from harness.report.matrix import render_matrix
    from harness.report.matrix_words import headline

    path = matrix.file.path
    output.result(
        path,
        verdict=Text(headline(matrix.result)),
        where=f"matrix: {path}",
        show=lambda screen: render_matrix(matrix.result, screen, path),
    )
    return matrix.exit_code


def say(text: str) -> None:
    """A line for people and pipes alike: no markup (targets have brackets), never wrapped."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def catalog() -> Catalog:
    """The files beside the package (a checkout), or of the current folder where there are some."""
    from harness.spec.catalog import Catalog

    here = Path.cwd()
    return Catalog(here if (here / "topologies").is_dir() else Path(__file__).resolve().parents[2])


def runtime(say: Callable[[str], None] = say) -> DockerRuntime:
    """An engine that answers, started where it may be; says what dead runs left on it."""
    from harness.core.words import counted
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.runtime.janitor import find_remains

    client = ensure_engine(say)
    for remains in find_remains(client):
        if not remains.alive:
            things = counted(len(remains.names()), "thing")
            say(f"run {remains.run_id} died and left {things}: `harness doctor` removes them")
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
