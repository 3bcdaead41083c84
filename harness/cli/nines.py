"""The command about what a year would be like: `nines`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import JsonOption, Output, QuietOption, catalog
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.analysis.nines import Question

__all__ = ["nines"]


def nines(
    results: Annotated[
        list[Path], typer.Argument(help="Runs, folders with runs in them, or JSON files of suites and matrices.")
    ],
    rates: Annotated[
        Path | None, typer.Option(help="YAML file with rates and repair times; adds to the published ones.")
    ] = None,
    target: Annotated[float, typer.Option(help="Percent of a year.")] = 99.9,
    by: Annotated[str, typer.Option(help="Whose downtime the target is about: total or users.")] = "total",
    capabilities: Annotated[
        str, typer.Option(help="The platform is down while any of these is away; commas between.")
    ] = "work,log_in",
    users: Annotated[int, typer.Option(help="How many people the platform has.")] = 2000,
    cost_per_hour: Annotated[float, typer.Option(help="Dollars that an hour of one person costs.")] = 50.0,
    draws: Annotated[int, typer.Option(help="How many years are drawn.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Of the draws: the same gives the same numbers.")] = 1,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Say what the measured outages mean for a year, under stated rates of failures.

    Exits with 0 if the downtime is within the budget of --target with 95% probability, 1 if not, 2 if that can't be
    told.
    """
    from harness.faults.registry import FAULTS
    from harness.report.nines import nines_line, render_nines
    from harness.run.nines import answer

    output = Output(as_json=as_json, quiet=quiet)
    question = _question(target, by, capabilities, users, cost_per_hour, draws, seed)
    with output.screen.status("reading runs") as status:
        found = answer(
            results,
            question,
            rates_file=rates,
            experiments=catalog().experiments(),
            faults=sorted(FAULTS),
            on_run=lambda name: status.update(f"reading {name}"),
        )
    output.result(
        found.to_json_dict(), verdict=nines_line(found), where="", show=lambda screen: render_nines(found, screen)
    )
    return found.exit_code


def _question(
    target: float, by: str, capabilities: str, users: int, cost_per_hour: float, draws: int, seed: int
) -> Question:
    """The options as a question. Raises `UsageError` for values that mean nothing."""
    from harness.analysis.nines import Question
    from harness.core.words import Capability
    from harness.spec.schema import did_you_mean, listed

    words = tuple(dict.fromkeys(word.strip() for word in capabilities.split(",") if word.strip()))
    for word in words or ("",):
        if word not in list(Capability):
            near = did_you_mean(word, Capability)
            raise UsageError(f"--capabilities {word!r}, expected some of: {', '.join(Capability)}{near}")
    if by not in ("total", "users"):
        raise UsageError(f"--by {by!r}, expected {listed(('total', 'users'))}{did_you_mean(by, ('total', 'users'))}")
    for option, value, right, expected in (
        ("target", target, 0 < target < 100, "more than 0 and less than 100 percent"),
        ("users", users, users >= 1, "1 or more"),
        ("cost-per-hour", cost_per_hour, 0 <= cost_per_hour < float("inf"), "0 or more"),
        ("draws", draws, 1000 <= draws <= 10_000_000, "1000 to 10000000"),
        ("seed", seed, seed >= 0, "0 or more"),
    ):
        if not right:
            raise UsageError(f"--{option} {value:g}, expected {expected}")
    return Question(
        target_percent=target,
        by="total" if by == "total" else "users",
        capabilities=words,
        users=users,
        cost_per_hour=cost_per_hour,
        draws=draws,
        seed=seed,
    )
