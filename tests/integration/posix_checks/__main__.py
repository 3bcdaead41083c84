"""Carries out all checks and says which failed."""

from __future__ import annotations

import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from . import programs, system_calls
from .expect import SLOW_S

CHECKS = (*system_calls.CHECKS, *programs.CHECKS)


def run_check(check: Callable[[], None], base: Path) -> str | None:
    """Why the check failed, or None."""
    name = check.__name__
    directory = base / name
    started_s = time.monotonic()
    reason = None
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        os.chdir(directory)
        check()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{name}: {Path(where.filename).name}:{where.lineno}: {error!r}"
    os.chdir(base)
    shutil.rmtree(directory, ignore_errors=True)
    if (took_s := time.monotonic() - started_s) > SLOW_S:
        print(f"slow: {name} took {took_s:.1f} s")
    return reason


def main(arguments: list[str]) -> int:
    """Exit code."""
    if len(arguments) != 1:
        print("usage: python3 -m posix_checks DIR", file=sys.stderr)
        return 64
    base = Path(arguments[0]).resolve()
    base.mkdir(parents=True, exist_ok=True)
    failures = [reason for check in CHECKS if (reason := run_check(check, base))]
    print(f"uid {os.getuid()}: {len(CHECKS) - len(failures)} of {len(CHECKS)} checks passed")
    for reason in failures:
        print(f"failed: {reason}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
