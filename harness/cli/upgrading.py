"""Commands about planned changes: `preupgrade`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from harness.cli.common import JsonOption, Output, QuietOption, TopologyArgument, catalog, choose, runtime
from harness.core.change import Afterwards, Strategy
from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.core.experiment import Experiment
    from harness.run.suite import SuiteEntry

__all__ = ["preupgrade"]

#: What is done but for releases and strategy is written there.
_EXPERIMENT = "rolling-upgrade"
_STRATEGIES: tuple[str, ...] = get_args(Strategy)


def preupgrade(
    topology: TopologyArgument,
    from_: Annotated[str, typer.Option("--from", help="The release that is there: previous, current, or an image.")],
    to: Annotated[str, typer.Option("--to", help="The release that is to come.")],
    strategy: Annotated[
        str, typer.Option(help=f"One of {', '.join(_STRATEGIES)}; several with commas between are set side by side.")
    ] = "rolling",
    drain_s: Annotated[float | None, typer.Option(help="How long people of a node may stay there.")] = None,
    database: Annotated[str, typer.Option(help="On the way back: restore the hub's database, or keep it.")] = "restore",
    back: Annotated[bool, typer.Option("--back", help="Take the way back after an upgrade that went well.")] = False,
    users: Annotated[int | None, typer.Option(help="People at work.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat what was drawn by lot in another run.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, print the steps, start nothing.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Upgrade TOPOLOGY with people at work on it, and say go, no-go or can't tell.

    Exits with 0, 1 or 2. A gate that stays shut takes the upgrade back.
    """
    files, output = catalog(), Output(as_json=as_json, quiet=quiet)
    chosen = choose(files, topology, _EXPERIMENT, users)
    (experiment,) = chosen.experiments
    ask = partial(_asked, experiment, from_=from_, to=to, drain_s=drain_s, database=database, back=back)
    asked = [ask(strategy=word) for word in dict.fromkeys(strategy.split(","))]
    from harness.run.upgrading import check_upgrade, upgrade_lines

    for one in asked:
        check_upgrade(chosen.topology, one)
    for one in asked:
        for line in upgrade_lines(chosen.topology, one):
            output.say(line)
    if dry_run:
        output.no_document("--dry-run")
        output.say("nothing was started, nothing was changed")
        return 0

    from harness.run.experiment import command_line, run_suite
    from harness.run.live import LiveWatcher
    from harness.run.suite import overall

    engine = runtime(output.say)
    root = results or files.root / "results"
    with LiveWatcher(output.screen) as watcher:
        entries = run_suite(
            runtime=engine,
            topology=chosen.topology,
            experiments=asked,
            results=root,
            watcher=watcher,
            seed=seed,
            argv=command_line(),
            on_result=lambda entry: watcher.note(entry.summary),
        )
    _say_what_came_of(chosen.topology.name, entries, root, output)
    return overall(entries).exit_code


def _say_what_came_of(topology: str, entries: Sequence[SuiteEntry], results: Path, output: Output) -> None:
    """One upgrade by itself, or the same by several strategies side by side."""
    from harness.report.terminal import render, suite_line, verdict_line
    from harness.report.upgrades import render_side_by_side
    from harness.run.suite import overall, write_suite

    ran = [(entry.measures, entry.folder) for entry in entries if entry.measures is not None and entry.folder]
    if len(entries) == 1:
        ((measures, folder),) = ran
        output.result(
            folder.measures_file,
            verdict=verdict_line(measures),
            where=f"report: {folder.report}",
            show=lambda screen: render(measures, screen, folder.report),
        )
        return
    path, outcome = write_suite(results, topology, entries), overall(entries)

    def show(screen: Console) -> None:
        for measures, folder in ran:
            render(measures, screen, folder.report)
        render_side_by_side(topology, [measures for measures, _ in ran], screen)
        for line in (suite_line(topology, len(entries), outcome), f"suite: {path}"):
            screen.print(line, soft_wrap=True)

    output.result(path, verdict=suite_line(topology, len(entries), outcome), where=f"suite: {path}", show=show)


def _asked(
    experiment: Experiment, *, from_: str, to: str, strategy: str, drain_s: float | None, database: str, back: bool
) -> Experiment:
    """The catalogue's upgrade with other releases. Raises `UsageError` for words that it does not know."""
    upgrade = experiment.upgrade
    assert upgrade is not None, f"{_EXPERIMENT} is one"
    for option, word, words in (("--strategy", strategy, _STRATEGIES), ("--database", database, get_args(Afterwards))):
        if word not in words:
            raise UsageError(f"{option} {word}, expected one of: {', '.join(words)}")
    if drain_s is not None and drain_s < 0:
        raise UsageError(f"--drain-s {drain_s:g}, expected 0 or more")
    return replace(
        experiment,
        upgrade=replace(
            upgrade,
            from_=from_,
            to=to,
            strategy=cast(Strategy, strategy),
            database=cast(Afterwards, database),
            drain_s=upgrade.drain_s if drain_s is None else drain_s,
            then_back=back,
        ),
    )
