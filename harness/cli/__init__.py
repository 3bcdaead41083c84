"""The command `harness`. An outcome becomes an exit code: 0 PASS, 1 FAIL, 2 INCONCLUSIVE, 70 ERROR; 64 for usage,
69 where no engine can be had.

Heavy packages are imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping

import typer
from typer._click.exceptions import ClickException  # typer does not re-export the base of its usage errors

from harness.cli import (
    calibration,
    catalogue,
    comparing,
    handover,
    nines,
    platforms,
    rebuilding,
    results,
    running,
    upgrading,
)
from harness.cli.common import EXIT_ERROR, EXIT_INCONCLUSIVE, EXIT_UNAVAILABLE, EXIT_USAGE
from harness.errors import EngineUnavailable, HarnessError, RecordOfOtherVersion, UnfinishedRecord, UsageError

__all__ = ["app", "main"]

#: Every command, in the order in which `harness --help` lists them.
COMMANDS: Mapping[str, Callable[..., int]] = {
    "run": running.run,
    "matrix": running.matrix,
    "preupgrade": upgrading.preupgrade,
    "up": platforms.up,
    "down": platforms.down,
    "rebuild": rebuilding.rebuild,
    "list": catalogue.list_,
    "validate": catalogue.validate,
    "draw": catalogue.draw,
    "schema": catalogue.schema,
    "export": handover.export,
    "analyze": results.analyze,
    "nines": nines.nines,
    "compare": comparing.compare,
    "baseline": comparing.baseline,
    "history": comparing.history,
    "prune": comparing.prune,
    "calibrate": calibration.calibrate,
    "doctor": platforms.doctor,
}

app = typer.Typer(
    name="harness",
    help="Finds out how highly available a data-science platform really is: brings it up from real components, puts "
    "live sessions on it, breaks it, and says what happened to each of them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Entry point: turns exceptions into a message on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)
    except ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)  # noqa: T201 - the message for the person at the terminal
        sys.exit(_exit_code(error))
    except typer.Abort:
        sys.exit(EXIT_INCONCLUSIVE)
    except Exception:  # a defect of the harness must not look like a verdict: Python's own code for it is that of FAIL
        traceback.print_exc()
        sys.exit(EXIT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INCONCLUSIVE)  # before a run began or after it ended: nothing was concluded
    sys.exit(code if isinstance(code, int) else 0)


def _exit_code(error: HarnessError) -> int:
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if isinstance(error, EngineUnavailable):
        return EXIT_UNAVAILABLE
    # what a run left proves nothing, and nothing of it is broken
    return EXIT_INCONCLUSIVE if isinstance(error, UnfinishedRecord | RecordOfOtherVersion) else EXIT_ERROR
