"""The command about the instrument itself: `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import JsonOption, Output, QuietOption, catalog, runtime
from harness.errors import UsageError

__all__ = ["calibrate"]


def calibrate(
    repetitions: Annotated[int, typer.Option(help="Outages of each kind and length.")] = 6,
    seconds: Annotated[str, typer.Option(help="Lengths of the outages, with commas between.")] = "0.25,1,3",
    rate: Annotated[float, typer.Option(help="Probes a second of the series that is judged.")] = 100.0,
    under_load: Annotated[int, typer.Option(help="So many processes use a processor each meanwhile.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Repeat the order of another calibration.")] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the results.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Measure outages of known length with the probes of a run, and say how exactly that is done on this machine.

    A small server is killed, stalled and cut off. Exits with 0 if the aims are met (mean error 10 ms, 20 ms for stalls;
    95% of the true values inside the bounds), 1 if not, 2 if it proves nothing (probes too late), 70 if it broke.
    """
    from harness.report.calibration import calibration_line, render_calibration
    from harness.run.calibrate import checked_plan, run_calibration
    from harness.run.experiment import command_line
    from harness.run.live import LiveWatcher

    try:
        durations_s = tuple(float(word) for word in seconds.split(","))
    except ValueError as error:
        raise UsageError(f"--seconds {seconds}: expected numbers with commas between", hint="0.25,1,3") from error
    plan = checked_plan(durations_s=durations_s, repetitions=repetitions, rate=rate, busy_processes=under_load)
    output = Output(as_json=as_json, quiet=quiet)
    engine = runtime(output.say)
    with LiveWatcher(output.screen) as watcher:
        folder, result = run_calibration(
            runtime=engine,
            plan=plan,
            results=results or catalog().root / "results",
            watcher=watcher,
            seed=seed,
            argv=command_line(),
        )
    output.result(
        folder.file,
        verdict=calibration_line(result),
        where=f"calibration: {folder.file}",
        show=lambda screen: render_calibration(result, screen, folder.file),
    )
    return result.outcome.exit_code
