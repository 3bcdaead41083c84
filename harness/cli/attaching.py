"""Commands about a system that exists already: `watch`, and what `run` does where it is given one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import JsonOption, Output, QuietOption, catalog, people
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.core.attach import AttachedSystem
    from harness.core.experiment import Experiment

__all__ = ["run_existing", "watch"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


def watch(
    system: Annotated[str, typer.Argument(help="Name or path of a file with `attach`.")],
    for_: Annotated[str, typer.Option("--for", help="How long, e.g. 90s, 30m or 2h. Ctrl-C ends it earlier.")] = "30m",
    users: Annotated[int | None, typer.Option(help="People at work, instead of the file's number.")] = None,
    target: Annotated[
        float | None, typer.Option(help="Percent of the time in which everything must be there, e.g. 99.9.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file, print the plan, send nothing.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Observe an existing SYSTEM: what users see of it, in a maintenance window for example. Breaks nothing.

    Passes or fails by --target alone; without one it exits with 2, because nothing was said to judge by.
    """
    output = Output(as_json=as_json, quiet=quiet)
    seconds = _seconds(for_)
    if target is not None and not 0 < target <= 100:
        raise UsageError(f"--target {target:g}, expected a percentage above 0 and up to 100")
    existing = _load(system, users)
    from harness.run.attached import watch_experiment

    return _run(existing, watch_experiment(existing, seconds, target), results, output, seed=None, dry_run=dry_run)


def run_existing(
    path: Path,
    experiment: str,
    *,
    users: int | None,
    seed: int | None,
    results: Path | None,
    dry_run: bool,
    mine: bool,
    output: Output,
) -> int:
    """One experiment on the existing system in the file. Raises `UsageError` before anything is sent."""
    from harness.faults.registry import RULES
    from harness.run.attached import as_attached
    from harness.run.attached_plan import refuse_unbreakable
    from harness.spec.loader import check_promises, load_experiment

    existing, files = _load(str(path), users), catalog()
    if "," in experiment or experiment in ("suite", "all"):
        raise UsageError(f"{existing.name} is an existing system: which one experiment?", hint="name exactly one")
    asked = load_experiment(files.experiment_path(experiment), RULES)
    check_promises(existing, path, [*files.experiments(), asked.name])
    refuse_unbreakable(existing, asked)
    asked = as_attached(existing, asked)
    return _run(existing, asked, results, output, seed=seed, dry_run=dry_run, mine=mine)


def _load(name: str, users: int | None) -> AttachedSystem:
    from harness.faults.registry import RULES
    from harness.spec.attach import load_system

    files = catalog()
    path = files.system_path(name)
    if path is None:
        files.topology_path(name)  # says what there is, where it is nothing at all
        raise UsageError(f"{name} is a topology to build, expected an existing system", hint="docs/attach.md")
    system = load_system(path, RULES)
    if users is None:
        return system
    people(users)
    load = replace(system.attach.load, users=users)
    return replace(system, attach=replace(system.attach, load=load))


def _run(
    system: AttachedSystem,
    experiment: Experiment,
    results: Path | None,
    output: Output,
    *,
    seed: int | None,
    dry_run: bool,
    mine: bool = True,
) -> int:
    import random

    from harness.run.attached_plan import attached_lines

    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    for line in attached_lines(system, experiment, seed):
        output.say(line)
    if dry_run:
        output.no_document("--dry-run")
        output.say("nothing was sent, nothing was changed")
        return 0
    if not mine:
        raise UsageError(
            f"{experiment.name} breaks {system.name}, which is somebody's",
            hint="if it is yours to break, and the plan above is what you want, say --i-own-this-system",
        )
    from harness.report.terminal import render, verdict_line
    from harness.run.attached import run_attached
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher
    from harness.spec.attach import read_accounts

    accounts = read_accounts(system.attach.users)
    with LiveWatcher(output.screen) as watcher:
        entry = run_attached(
            system=system,
            experiment=experiment,
            accounts=accounts,
            results=results or catalog().root / "results",
            watcher=watcher,
            seed=seed,
            argv=command_line(),
        )
    folder, measures = entry.folder, entry.measures
    assert folder is not None, "it was run"
    assert measures is not None, "what was run is analysed"
    output.result(
        folder.measures_file,
        verdict=verdict_line(measures),
        where=f"report: {folder.report}",
        show=lambda screen: render(measures, screen, folder.report),
    )
    return measures.verdict.outcome.exit_code


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text.strip())
    if found is None or float(found[1]) <= 0:
        raise UsageError(f"--for {text}, expected a number with s, m or h, such as 90s or 30m")
    return float(found[1]) * _UNIT_S[found[2]]
