"""Commands that break platforms: `run` and `matrix`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import (
    DEFAULT_EXPERIMENTS,
    JsonOption,
    Output,
    QuietOption,
    catalog,
    choose,
    people,
    runtime,
    show_matrix,
)
from harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.run.choice import Chosen, Repetition
    from harness.run.suite import SuiteEntry

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
    mine: Annotated[
        bool, typer.Option("--i-own-this-system", help="An existing system is mine to break, as the plan says.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Run EXPERIMENTS on TOPOLOGY, say what happened to every session, exit with the verdict.

    The default is the standard suite: node-kill, lb-loss, db-failover and partition, one after the other on one
    platform, each with a verdict, then one for the whole. With --trials one experiment is repeated after a control run
    without a fault, and what the trials say together is printed. TOPOLOGY can be an existing system (docs/attach.md).
    """
    files, output = catalog(), Output(as_json=as_json, quiet=quiet)
    if not topology:
        raise UsageError("which topology?", hint="one of: " + ", ".join(files.topologies()))
    if (existing := files.system_path(topology)) is not None:
        from harness.cli.attaching import run_existing

        if trials is not None or until_width is not None:
            raise UsageError("--trials on an existing system: once is what its file allows", hint="leave it out")
        return run_existing(
            existing,
            experiments,
            users=users,
            seed=seed,
            results=results,
            dry_run=dry_run,
            mine=mine,
            output=output,
        )
    chosen = choose(files, topology, experiments, users)
    from harness.run.choice import repetition

    repeated = repetition(trials, until_width, chosen)
    if dry_run:
        output.no_document("--dry-run")
        from harness.run.dry import plan_lines

        for line in plan_lines(chosen.topology, chosen.experiments, chosen.not_applicable):
            output.say(line)
        if repeated is not None:
            from harness.run.trials import dry_lines

            for line in dry_lines(chosen.topology, chosen.experiments[0], repeated, seed):
                output.say(line)
        return 0
    if repeated is not None:
        return _run_trials(chosen, repeated, results or files.root / "results", seed, output)

    from harness.run.experiment import command_line, run_suite
    from harness.run.live import LiveWatcher
    from harness.run.plan import that_fit
    from harness.run.suite import overall

    engine = runtime(output.say)
    root = results or files.root / "results"
    chosen = that_fit(chosen, engine.describe())
    with LiveWatcher(output.screen) as watcher:
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
    _say_what_came_of(chosen.topology.name, entries, root, output)
    return overall(entries).exit_code


def _say_what_came_of(topology: str, entries: Sequence[SuiteEntry], results: Path, output: Output) -> None:
    """One experiment by itself, or several with what they say as a whole."""
    from harness.report.terminal import render, render_suite, render_unprotected, suite_line, verdict_line
    from harness.run.suite import overall, write_suite

    measured = [(one.measures, one.folder) for one in entries if one.measures is not None and one.folder is not None]
    if len(entries) == len(measured) == 1:
        ((measures, folder),) = measured

        def show(screen: Console) -> None:
            render(measures, screen, folder.report)
            render_unprotected(topology, [measures], screen)

        output.result(folder.measures_file, verdict=verdict_line(measures), where=f"report: {folder.report}", show=show)
        return
    path, outcome = write_suite(results, topology, entries), overall(entries)

    def show_all(screen: Console) -> None:
        for measures, folder in measured:
            render(measures, screen, folder.report)
        named = [(entry.experiment, entry.measures or entry.why_not) for entry in entries]
        render_suite(topology, named, outcome, screen, path)

    output.result(path, verdict=suite_line(topology, len(entries), outcome), where=f"suite: {path}", show=show_all)


def _run_trials(chosen: Chosen, repeated: Repetition, results: Path, seed: int | None, output: Output) -> int:
    from harness.report.trials import render_trials, trials_line
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher
    from harness.run.trials import run_trials

    engine = runtime(output.say)
    with LiveWatcher(output.screen) as watcher:
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
    output.result(
        kept.path,
        verdict=trials_line(kept.set),
        where=f"trials: {kept.path}",
        show=lambda screen: render_trials(kept.set, screen, kept.path),
    )
    return kept.set.outcome.exit_code


def matrix(
    topologies: Annotated[
        str, typer.Argument(help="all (the default), a name or path, or several with commas between.")
    ] = "",
    experiments: Annotated[
        str, typer.Argument(help="suite (the default), all, a name or path, or several with commas between.")
    ] = "",
    trials: Annotated[int | None, typer.Option(help="Repeat each cell so many times, after a control run.")] = None,
    users: Annotated[int | None, typer.Option(help="People at work, instead of each experiment's number.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another matrix.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    resume: Annotated[
        str,
        typer.Option(
            metavar="FILE|latest|recent",
            help="Go on with an unfinished matrix. recent: with one of the same plan that began in the last 12 h, else "
            "begin another.",
        ),
    ] = "",
    rates: Annotated[
        Path | None, typer.Option(help="YAML file with rates and repair times: say how many nines the trials allow.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, list the cells, start nothing.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Run EXPERIMENTS on each of TOPOLOGIES; print what was promised against what was measured, and what each topology
    buys; write a page of it.

    Exits with 1 if a promise was broken that is not known to be, or one was kept that is; else with 70 if the harness
    broke, 2 if anything proves nothing, 0. Of several trials the worst one counts.
    """
    from harness.faults.registry import FAULTS, RULES
    from harness.run.matrix import Words, choose_matrix, dry_lines, resumed_words, run_matrix
    from harness.run.matrix_nines import nines_of

    files, output = catalog(), Output(as_json=as_json, quiet=quiet)
    root = results or files.root / "results"
    if trials is not None and trials < 1:
        raise UsageError(f"--trials {trials}: there must be one at least")
    asked = resumed_words(root, resume, Words(topologies, experiments, trials, people(users)))
    rows = choose_matrix(files, asked.topologies, asked.experiments, RULES, users=asked.users)
    allowed = nines_of(rates, rows, files.experiments(), sorted(FAULTS)) if rates else None
    if dry_run:
        output.no_document("--dry-run")
        for line in dry_lines(rows, asked.trials):
            output.say(line)
        return 0

    from harness.report.matrix_words import result_words
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher

    engine = runtime(output.say)
    with LiveWatcher(output.screen) as watcher:
        done = run_matrix(
            runtime=engine,
            rows=rows,
            results=root,
            watcher=watcher,
            asked=asked,
            seed=seed,
            resume=resume,
            nines=allowed,
            argv=command_line(),
            on_result=lambda cell, trial, slot: watcher.note(f"{slot}: {result_words(cell, trial)}"),
        )
    return show_matrix(done, output)
