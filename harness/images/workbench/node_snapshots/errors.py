"""Why a snapshot was not taken or not restored."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

__all__ = ["Arguments", "SnapshotError", "complain"]

USAGE = 64


class SnapshotError(Exception):
    """Says what, where, and what was observed against expected; `hint` says what to do."""

    def __init__(self, message: str, *, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        #: What the program exits with: 64 for what it was given (words, a snapshot), 1 for what else was found.
        self.code = code


class Arguments(argparse.ArgumentParser):
    """Exits with 64 where argparse would with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n{self.format_usage()}")


def complain(program: str, error: SnapshotError) -> int:
    """Writes it to standard error; returns the exit code."""
    print(f"{program}: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.code
