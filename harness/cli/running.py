"""Commands that break platforms: `run` and `matrix`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import DEFAULT_EXPERIMENTS, catalog, choose, console, people, runtime, say
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.run.choice import Chosen, Repetition

__all__ = ["matrix", "run"]


def run(
    topology: Annotated[str, typer.Argument(help="Name of the catalogue, or path of a .yaml file.")] = "",
    experiments: Annotated[
        str, typer.Argument(help="suite, all, a name or path, or several with commas between.")
    ] = DEFAULT_EXPERIMENTS,
    users: Annotated[int | None, typer.Option(help="People at work, instead of the experiment's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another run.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, print the plan, start nothing.")] = False,
    trials: Annotated[int | None, typer.Option(help="Repeat one experiment so many times, on one platform.")] = None,
    until_width: Annotated[
        str | None, typer.Option(help="Stop earlier, once the interval for the mean outage is so narrow, e.g. 20%.")
    ] = None,
) -> int:
    """Run EXPERIMENTS on TOPOLOGY, say what happened to every session, exit with the verdict.

    The default is the standard suite: node-kill, lb-loss, db-failover and partition, one after the other on one
    platform, each with a verdict, then one for the whole. With --trials one experiment is repeated after a control run
    without a fault, and what the trials say together is printed.
    """
    files = catalog()
    if not topology:
        raise UsageError("which topology?", hint="one of: " + ", ".join(files.topologies()))
    chosen = choose(files, topology, experiments, users)
    from harness.run.choice import repetition

    repeated = repetition(trials, until_width, chosen)
    if dry_run:
        from harness.run.dry import plan_lines

        for line in plan_lines(chosen.topology, chosen.experiments, chosen.not_applicable):
            say(line)
        if repeated is not None:
            from harness.run.trials import dry_lines

            for line in dry_lines(chosen.topology, chosen.experiments[0], repeated, seed):
                say(line)
        return 0
    if repeated is not None:
        return _run_trials(chosen, repeated, results or files.root / "results", seed)

    from harness.report.terminal import render, render_suite, render_unprotected
    from harness.run.experiment import command_line, run_suite
    from harness.run.live import LiveWatcher
    from harness.run.plan import that_fit
    from harness.run.suite import overall, write_suite

    screen = console()
    engine = runtime()
    root = results or files.root / "results"
    chosen = that_fit(chosen, engine.describe())
    with LiveWatcher(screen) as watcher:
        entries = run_suite(
            runtime=engine,
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
            render(entry.measures, screen, entry.folder.report)
    outcome = overall(entries)
    if len(entries) == 1:
        measured = [entry.measures for entry in entries if entry.measures is not None]
        render_unprotected(chosen.topology.name, measured, screen)
    else:
        render_suite(
            chosen.topology.name,
            [(entry.experiment, entry.measures or entry.why_not) for entry in entries],
            outcome,
            screen,
            write_suite(root, chosen.topology.name, entries),
        )
    return outcome.exit_code


def _run_trials(chosen: Chosen, repeated: Repetition, results: Path, seed: int | None) -> int:
    from harness.report.trials import render_trials
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher
    from harness.run.trials import run_trials

    screen, engine = console(), runtime()
    with LiveWatcher(screen) as watcher:
        kept = run_trials(
            runtime=engine,
            topology=chosen.topology,
            experiment=chosen.experiments[0],
            repetition=repeated,
            results=results,
            watcher=watcher,
            seed=seed,
            argv=command_line(),
            on_result=lambda trial: watcher.note(f"{trial.label}: {trial.outcome.value}: {trial.reason}"),
        )
    render_trials(kept.set, screen, kept.path)
    return kept.set.outcome.exit_code


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

    files = catalog()
    rows = choose_matrix(files, topologies, experiments, RULES, users=people(users))
    if dry_run:
        for line in dry_lines(rows):
            say(line)
        return 0

    from harness.report.matrix import render_matrix
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher

    screen = console()
    engine = runtime()
    with LiveWatcher(screen) as watcher:
        done = run_matrix(
            runtime=engine,
            rows=rows,
            results=results or files.root / "results",
            watcher=watcher,
            seed=seed,
            argv=command_line(),
            on_result=lambda cell: watcher.note(f"{cell.topology}, {cell.experiment}: {cell.standing.value}"),
        )
    render_matrix(done.cells, screen, done.path)
    return done.exit_code
