"""The command `harness`. An outcome becomes an exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 70 ERROR; 64 for usage,
69 where no engine can be had.

Heavy packages are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer._click.exceptions import ClickException  # typer does not re-export the base of its usage errors

from harness.errors import EngineUnavailable, HarnessError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.run.choice import Chosen
    from harness.runtime.docker import DockerRuntime
    from harness.spec.catalog import Catalog

EXIT_USAGE = 64  # EX_USAGE of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_ERROR = 70  # EX_SOFTWARE
PLAIN_WIDTH = 120
DEFAULT_EXPERIMENTS = "suite"

app = typer.Typer(
    name="harness",
    help="Finds out how highly available a data-science platform really is: brings it up from real components, puts "
    "live sessions on it, breaks it, and says what happened to each of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

TopologyArgument = Annotated[str, typer.Argument(help="Name of the catalogue, or path of a .yaml file.")]


@app.command()
def run(
    topology: Annotated[str, typer.Argument(help="Name of the catalogue, or path of a .yaml file.")] = "",
    experiments: Annotated[
        str, typer.Argument(help="suite, all, a name or path, or several with commas between.")
    ] = DEFAULT_EXPERIMENTS,
    users: Annotated[int | None, typer.Option(help="People at work, instead of the experiment's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another run.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, print the plan, start nothing.")] = False,
) -> int:
    """Run EXPERIMENTS on TOPOLOGY, say what happened to every session, exit with the verdict.

    The default is the standard suite: node-kill, lb-loss, db-failover and partition, one after the other on one
    platform, each with a verdict, then one for the whole.
    """
    catalog = _catalog()
    if not topology:
        raise UsageError("which topology?", hint="one of: " + ", ".join(catalog.topologies()))
    chosen = _choose(catalog, topology, experiments, users)
    if dry_run:
        from harness.run.dry import plan_lines

        for line in plan_lines(chosen.topology, chosen.experiments, chosen.not_applicable):
            _say(line)
        return 0

    from harness.report.terminal import render, render_suite, render_unprotected
    from harness.run.choice import that_fit
    from harness.run.experiment import command_line, run_suite
    from harness.run.live import LiveWatcher
    from harness.run.suite import overall, write_suite

    console = _console()
    runtime = _runtime()
    root = results or catalog.root / "results"
    chosen = that_fit(chosen, runtime.describe())
    with LiveWatcher(console) as watcher:
        entries = run_suite(
            runtime=runtime,
            topology=chosen.topology,
            experiments=chosen.experiments,
            results=root,
            watcher=watcher,
            seed=seed,
            argv=command_line(),
            on_result=lambda entry: watcher.note(entry.summary),
        )
    entries += chosen.not_applicable
    for entry in entries:
        if entry.measures is not None and entry.folder is not None:
            render(entry.measures, console, entry.folder.report)
    outcome = overall(entries)
    if len(entries) == 1:
        measured = [entry.measures for entry in entries if entry.measures is not None]
        render_unprotected(chosen.topology.name, measured, console)
    else:
        render_suite(
            chosen.topology.name,
            [(entry.experiment, entry.measures or entry.why_not) for entry in entries],
            outcome,
            console,
            write_suite(root, chosen.topology.name, entries),
        )
    return outcome.exit_code


@app.command()
def matrix(
    topologies: Annotated[str, typer.Argument(help="all, a name or path, or several with commas between.")] = "all",
    experiments: Annotated[
        str, typer.Argument(help="suite, all, a name or path, or several with commas between.")
    ] = DEFAULT_EXPERIMENTS,
    users: Annotated[int | None, typer.Option(help="People at work, instead of each experiment's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another matrix.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, list the cells, start nothing.")] = False,
) -> int:
    """Run EXPERIMENTS on each of TOPOLOGIES; print what was promised against what was measured.

    Exits with 1 if a promise was broken that is not known to be, or one was kept that is; else with 70 if the harness
    broke, 2 if anything proves nothing, 0.
    """
    from harness.faults.registry import RULES
    from harness.run.matrix import choose_matrix, dry_lines, run_matrix

    catalog = _catalog()
    rows = choose_matrix(catalog, topologies, experiments, RULES, users=_people(users))
    if dry_run:
        for line in dry_lines(rows):
            _say(line)
        return 0

    from harness.report.matrix import render_matrix
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher

    console = _console()
    runtime = _runtime()
    with LiveWatcher(console) as watcher:
        done = run_matrix(
            runtime=runtime,
            rows=rows,
            results=results or catalog.root / "results",
            watcher=watcher,
            seed=seed,
            argv=command_line(),
            on_result=lambda cell: watcher.note(f"{cell.topology}, {cell.experiment}: {cell.standing.value}"),
        )
    render_matrix(done.cells, console, done.path)
    return done.exit_code


@app.command()
def up(topology: TopologyArgument) -> int:
    """Bring TOPOLOGY up to look at, and print where to log in. It stays until `harness down`."""
    from harness.run.stay import bring_up
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.spec.loader import load_topology

    catalog = _catalog()
    the_topology = load_topology(catalog.topology_path(topology))
    client = ensure_engine(_say)
    place = bring_up(DockerRuntime(client), the_topology, _say)
    _say(f"{the_topology.name} is up as run {place.run_id}")
    _say(f"log in at {place.url} as anybody with the password {place.password}")
    _say(f"take it down with: harness down {place.run_id}")
    return 0


@app.command()
def down(
    which: Annotated[str, typer.Argument(help="A run's id, or a topology's name.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every run on the engine, whoever started it.")] = False,
) -> int:
    """Take down what `harness up` (or a run that goes on) left on the engine."""
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import connect
    from harness.runtime.janitor import end_run, find_remains

    client = connect()
    chosen = [r for r in find_remains(client) if everything or (which and which in (r.run_id, r.topology))]
    if not chosen and not everything:
        there = ", ".join(f"{r.run_id} ({r.topology})" for r in find_remains(client)) or "nothing"
        asked = f"there is no run or topology {which!r} on the engine" if which else "which run?"
        raise UsageError(f"{asked}; on the engine: {there}", hint="--all takes down every one of them")
    images = DockerRuntime(client).ensure_images(["agent"], lambda *_: None)
    for remains in chosen:
        end_run(client, remains, images["agent"])
        _say(f"{remains.topology} (run {remains.run_id}) is gone")
    return 0


@app.command("list")
def list_(
    faults: Annotated[bool, typer.Option("--faults", help="The kinds of faults instead.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="With descriptions and sources in full.")] = False,
) -> int:
    """List the topologies and experiments of the catalogue, or the faults."""
    from harness.faults.registry import FAULTS, RULES
    from harness.report.listing import described
    from harness.spec.loader import load_experiment, load_topology

    catalog = _catalog()
    if faults:
        for kind in FAULTS.values():
            _say(f"{kind.kind:18} {kind.summary}")
        return 0
    _say("topologies")
    for name in catalog.topologies():
        topology = load_topology(catalog.topology_path(name))
        for line in described(name, topology.description, known_broken=topology.known_broken, explain=explain):
            _say(line)
    _say("experiments")
    for name in catalog.experiments():
        experiment = load_experiment(catalog.experiment_path(name), RULES)
        for line in described(name, experiment.description, source=experiment.source, explain=explain):
            _say(line)
    return 0


@app.command()
def validate(
    topology: Annotated[str, typer.Argument(help="Name or path; everything of the catalogue if left out.")] = "",
    experiments: Annotated[str, typer.Argument(help="Names or paths, checked against TOPOLOGY.")] = "all",
) -> int:
    """Check files without starting anything; names every mistake with file and line."""
    catalog = _catalog()
    names = [topology] if topology else catalog.topologies()
    for name in names:
        chosen = _choose(catalog, name, experiments, None)
        for entry in chosen.not_applicable:
            _say(f"{name}: {entry.experiment} is {entry.why_not}")
    _say(
        f"valid: {', '.join(names)} with {', '.join(catalog.experiments() if experiments == 'all' else [experiments])}"
    )
    return 0


@app.command()
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
    the_topology = load_topology(_catalog().topology_path(topology))
    typer.echo(formats[format_](paper_picture(the_topology)), nl=False)
    return 0


@app.command()
def schema(
    folder: Annotated[Path | None, typer.Option(help="Instead of the checkout: write docs/schema below it.")] = None,
) -> int:
    """Write the JSON Schemas of topology and experiment files, which editors complete and check with."""
    from harness.run.documents import schemas, write

    for path in write(folder or _catalog().root, schemas()):
        _say(f"written: {path}")
    return 0


@app.command()
def analyze(folder: Annotated[Path, typer.Argument(help="A run's folder, e.g. results/latest.")]) -> int:
    """Rebuild every number and report of a run from what it recorded; exit with its verdict."""
    from harness.report.terminal import render
    from harness.run.artifacts import RunFolder

    run_folder = RunFolder.existing(folder)
    measures = run_folder.analyse()
    render(measures, _console(), run_folder.report)
    return measures.verdict.outcome.exit_code


@app.command()
def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is left, change nothing.")] = False,
) -> int:
    """Find what dead runs left on the engine (faults, containers, networks, volumes, routes) and heal it.

    With --dry-run the exit code is 1 if anything was found.
    """
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import connect
    from harness.runtime.janitor import describe, find_remains, find_strays, heal

    client = connect()
    remains = find_remains(client)
    for one in (r for r in remains if r.alive):
        _say(f"run {one.run_id} ({one.topology}) is alive: left alone; `harness down {one.run_id}` ends it")
    dead = [r for r in remains if not r.alive]
    for one in dead:
        _say(f"run {one.run_id} ({one.topology}) left:")
        for line in describe(client, one):
            _say(f"  {line}")
    image = DockerRuntime(client).ensure_images(["agent"], lambda what, state: _say(f"{what}: {state}"))["agent"]
    strays = find_strays(client, image, heal=not dry_run)
    for line in strays:
        _say(f"left on the host: {line}")
    if not dead and not strays:
        _say("nothing is left of any dead run")
        return 0
    if dry_run:
        return 1
    for one in dead:
        for line in heal(client, one, image):
            _say(f"  {line}")
    _say("healed")
    return 0


def main() -> None:
    """Entry point: turns exceptions into a message on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)
    except ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)  # noqa: T201 - the message for the person at the terminal
        usage, unavailable = isinstance(error, UsageError), isinstance(error, EngineUnavailable)
        sys.exit(EXIT_USAGE if usage else EXIT_UNAVAILABLE if unavailable else EXIT_ERROR)
    except typer.Abort:
        sys.exit(2)
    except Exception:  # a defect of the harness must not look like a verdict: Python's own code for it is that of FAIL
        traceback.print_exc()
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(2)  # before a run began or after it ended: nothing was concluded
    sys.exit(code if isinstance(code, int) else 0)


def _console() -> Console:
    from rich.console import Console

    console = Console()
    # a pipe or a CI log has no width of its own; tables want this much
    return console if console.is_terminal else Console(width=max(console.width, PLAIN_WIDTH))


def _say(text: str) -> None:
    """A line for people and pipes alike: no markup (targets have brackets), never wrapped."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _catalog() -> Catalog:
    """The files beside the package (a checkout), or of the current folder where there are some."""
    from harness.spec.catalog import Catalog

    here = Path.cwd()
    return Catalog(here if (here / "topologies").is_dir() else Path(__file__).resolve().parents[1])


def _runtime() -> DockerRuntime:
    """An engine that answers, started where it may be; says what dead runs left on it."""
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.runtime.janitor import find_remains

    client = ensure_engine(_say)
    for remains in find_remains(client):
        if not remains.alive:
            _say(f"run {remains.run_id} died and left {len(remains.names())} things: `harness doctor` removes them")
    return DockerRuntime(client)


def _people(users: int | None) -> int | None:
    if users is not None and users < 1:
        raise UsageError(f"--users {users}: there must be one at least")
    return users


def _choose(catalog: Catalog, topology: str, experiments: str, users: int | None) -> Chosen:
    """Load what the words mean. Of several experiments those that do not apply to the topology are set aside; one that
    was asked for by its name must apply."""
    from harness.faults.registry import RULES
    from harness.run.choice import choose

    return choose(catalog, topology, experiments, RULES, users=_people(users))
