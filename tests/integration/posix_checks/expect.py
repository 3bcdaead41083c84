"""What checks share."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

SLOW_S = 3.0
"""A check that takes longer is worth a line: a timeout may be hidden in it."""


def expect_errno(code: int, action: Callable[..., object], *args: object) -> None:
    """The action fails with exactly this error."""
    try:
        action(*args)
    except OSError as error:
        assert error.errno == code, f"{errno.errorcode[error.errno or 0]}, expected {errno.errorcode[code]}"
    else:
        raise AssertionError(f"no error, expected {errno.errorcode[code]}")


def names(directory: str = ".") -> list[str]:
    """What the directory holds, sorted."""
    return sorted(os.listdir(directory))


def mode(path: str) -> int:
    """Permission bits."""
    return stat.S_IMODE(Path(path).stat().st_mode)


def shell(script: str, **environment: str) -> bytes:
    """Run a script that must succeed; what it prints."""
    done = subprocess.run(["bash", "-euc", script], env={**os.environ, **environment}, capture_output=True, check=False)
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
    return done.stdout
