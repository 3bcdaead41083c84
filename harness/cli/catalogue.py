"""Commands about files: `list`, `validate`, `draw` and `schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import TopologyArgument, catalog, choose, say
from harness.errors import UsageError

__all__ = ["draw", "list_", "schema", "validate"]


def list_(
    faults: Annotated[bool, typer.Option("--faults", help="The kinds of faults instead.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="With descriptions and sources in full.")] = False,
) -> int:
    """List the topologies and experiments of the catalogue, or the faults."""
    import ast

    from harness.faults.registry import FAULTS, RULES
    from harness.report.listing import described
    from harness.spec.loader import load_experiment, load_topology

    files = catalog()
    if faults:
        for kind in FAULTS.values():
            say(f"{kind.kind:18} {kind.summary}")
        return 0
    say("topologies")
    for name in files.topologies():
        topology = load_topology(files.topology_path(name))
        for line in described(name, topology.description, known_broken=topology.known_broken, explain=explain):
            say(line)
    say("experiments")
    for name in files.experiments():
        experiment = load_experiment(files.experiment_path(name), RULES)
        for line in described(name, experiment.description, source=experiment.source, explain=explain):
            say(line)
    for script in files.scripts():
        told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        description, _, source = told.partition("\n\nSource: ")
        for line in described(script.stem, description, source=source, explain=explain):
            say(line if explain else f"{line} (pytest experiments/{script.name})")
    return 0


def validate(
    topology: Annotated[str, typer.Argument(help="Name or path; everything of the catalogue if left out.")] = "",
    experiments: Annotated[str, typer.Argument(help="Names or paths, checked against TOPOLOGY.")] = "all",
) -> int:
    """Check files without starting anything; names every mistake with file and line."""
    from functools import cache, partial

    from harness.faults.registry import RULES
    from harness.spec.loader import load_experiment

    files = catalog()
    systems = [topology] if topology and files.system_path(topology) else map(str, [] if topology else files.systems())
    for path in systems:
        _validate_system(path)
    if topology and files.system_path(topology):
        return 0
    names = [topology] if topology else files.topologies()
    read = cache(partial(load_experiment, rules=RULES))  # each file once, not once for each topology
    for name in names:
        chosen = choose(files, name, experiments, None, read)
        for entry in chosen.not_applicable:
            say(f"{name}: {entry.experiment} is {entry.why_not}")
    say(f"valid: {', '.join(names)} with {', '.join(files.experiments() if experiments == 'all' else [experiments])}")
    return 0


def _validate_system(name: str) -> None:
    """An existing system's file, by itself: which experiments may be done to it is said when one is asked for."""
    from harness.faults.registry import RULES
    from harness.spec.attach import load_system
    from harness.spec.loader import check_promises

    files = catalog()
    path = files.system_path(name)
    assert path is not None, "it was found before"
    check_promises(load_system(path, RULES), path, files.experiments())
    say(f"valid: {path}, an existing system")


def draw(
    topology: TopologyArgument,
    format_: Annotated[str, typer.Option("--format", help="mermaid (for Markdown) or svg.")] = "mermaid",
) -> int:
    """Print a picture of TOPOLOGY: who talks to whom, by which protocol, with which health check."""
    from harness.report.mermaid import render_mermaid
    from harness.report.svg import render_svg
    from harness.run.paper import paper_picture
    from harness.spec.loader import load_topology

    formats = {"mermaid": render_mermaid, "svg": render_svg}
    if format_ not in formats:
        raise UsageError(f"--format {format_}: there is no such format", hint=f"one of: {', '.join(formats)}")
    the_topology = load_topology(catalog().topology_path(topology))
    typer.echo(formats[format_](paper_picture(the_topology)), nl=False)
    return 0


def schema(
    folder: Annotated[Path | None, typer.Option(help="Instead of the checkout: write docs/schema below it.")] = None,
) -> int:
    """Write the JSON Schemas of topology and experiment files, which editors complete and check with, and of a
    calibration."""
    from harness.run.documents import schemas, write

    for path in write(folder or catalog().root, schemas()):
        say(f"written: {path}")
    return 0
