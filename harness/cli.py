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

    from harness.core.model import Experiment, Topology
    from harness.spec.catalog import Catalog

EXIT_USAGE = 64  # EX_USAGE of sysexits.h
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE
EXIT_ERROR = 70  # EX_SOFTWARE
PLAIN_WIDTH = 120
DEFAULT_EXPERIMENT = "node-kill"

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
    experiment: Annotated[str, typer.Argument(help="Name of the catalogue, or path.")] = DEFAULT_EXPERIMENT,
    users: Annotated[int | None, typer.Option(help="People at work, instead of the experiment's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another run.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, print the plan, start nothing.")] = False,
) -> int:
    """Run EXPERIMENT on TOPOLOGY, say what happened to every session, exit with the verdict."""
    catalog = _catalog()
    if not topology:
        raise UsageError("which topology?", hint="one of: " + ", ".join(catalog.topologies()))
    the_topology, the_experiment = _load_pair(catalog, topology, experiment, users)
    if dry_run:
        _print_plan(the_topology, the_experiment)
        return 0

    from harness.report.terminal import render
    from harness.run.experiment import command_line, run_experiment
    from harness.run.live import LiveWatcher
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.runtime.janitor import find_remains

    console = _console()
    client = ensure_engine(_say)
    for remains in find_remains(client):
        if not remains.alive:
            _say(f"run {remains.run_id} died and left {len(remains.names())} things: `harness doctor` removes them")
    with LiveWatcher(console) as watcher:
        folder, measures = run_experiment(
            runtime=DockerRuntime(client),
            topology=the_topology,
            experiment=the_experiment,
            results=results or catalog.root / "results",
            watcher=watcher,
            seed=seed,
            argv=command_line(),
        )
    render(measures, console, folder.report)
    return measures.verdict.outcome.exit_code


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
def list_(faults: Annotated[bool, typer.Option("--faults", help="The kinds of faults instead.")] = False) -> int:
    """List the topologies and experiments of the catalogue, or the faults."""
    catalog = _catalog()
    if faults:
        from harness.faults.registry import FAULTS

        for kind in FAULTS.values():
            _say(f"{kind.kind:16} {kind.summary}")
        return 0
    from harness.faults.registry import RULES
    from harness.spec.loader import load_experiment, load_topology

    _say("topologies")
    for name in catalog.topologies():
        _say(f"  {name:24} {_first_sentence(load_topology(catalog.topology_path(name)).description)}")
    _say("experiments")
    for name in catalog.experiments():
        experiment = load_experiment(catalog.experiment_path(name), RULES)
        _say(f"  {name:24} {_first_sentence(experiment.description)}")
    return 0


@app.command()
def validate(
    topology: Annotated[str, typer.Argument(help="Name or path; everything of the catalogue if left out.")] = "",
    experiment: Annotated[str, typer.Argument(help="Name or path, checked against TOPOLOGY.")] = DEFAULT_EXPERIMENT,
) -> int:
    """Check files without starting anything; names every mistake with file and line."""
    catalog = _catalog()
    names = [topology] if topology else catalog.topologies()
    experiments = [experiment] if topology else catalog.experiments()
    for name in names:
        for one in experiments:
            _load_pair(catalog, name, one, None)
    _say(f"valid: {', '.join(names)} with {', '.join(experiments)}")
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
    """Find what dead runs left on the engine (containers, networks, volumes, faults) and heal it.

    With --dry-run the exit code is 1 if anything was found.
    """
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import connect
    from harness.runtime.janitor import find_remains, heal

    client = connect()
    remains = find_remains(client)
    for one in (r for r in remains if r.alive):
        _say(f"run {one.run_id} ({one.topology}) is alive: left alone; `harness down {one.run_id}` ends it")
    dead = [r for r in remains if not r.alive]
    if not dead:
        _say("nothing is left of any dead run")
        return 0
    for one in dead:
        _say(f"run {one.run_id} ({one.topology}) left: {', '.join(one.names())}")
    if dry_run:
        return 1
    image = DockerRuntime(client).ensure_images(["agent"], lambda what, state: _say(f"{what}: {state}"))["agent"]
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


def _load_pair(catalog: Catalog, topology: str, experiment: str, users: int | None) -> tuple[Topology, Experiment]:
    from dataclasses import replace

    from harness.faults.registry import RULES
    from harness.spec.loader import check_pair, check_promises, load_experiment, load_topology

    topology_path, experiment_path = catalog.topology_path(topology), catalog.experiment_path(experiment)
    the_topology = load_topology(topology_path)
    the_experiment = load_experiment(experiment_path, RULES)
    check_pair(the_topology, the_experiment, topology_path, experiment_path, RULES)
    check_promises(the_topology, topology_path, [*catalog.experiments(), the_experiment.name])
    if users is not None:
        if users < 1:
            raise UsageError(f"--users {users}: there must be one at least")
        the_experiment = replace(the_experiment, load=replace(the_experiment.load, users=users))
    return the_topology, the_experiment


def _print_plan(topology: Topology, experiment: Experiment) -> None:
    from harness.components.registry import images, members
    from harness.core.model import Role
    from harness.run.plan import time_line

    _say(f"{topology.name} x {experiment.name}: {experiment.load.users} people")
    for role in Role:
        _say(f"  {role.value:14} {', '.join(members(topology, role))}")
    _say(f"  images         agent, {', '.join(images(topology))}")
    for act in time_line(experiment):
        fault = experiment.faults[act.index]
        verb = "undo" if act.undo else "inject"
        _say(f"  {act.at_s:6.1f} s  {verb} {fault.fault} on {fault.target}")
    _say(f"  then watch for {experiment.settle_s:g} s; nothing was started")


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0].rstrip(".")
