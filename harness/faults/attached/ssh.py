"""Commands to a machine by the machine's own `ssh`, which knows keys, known hosts and ways in."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Answer", "command_line", "send"]

#: What ssh(1) itself exits with when it did not get through.
_NOT_REACHED = 255
#: Longer than an orderly stop of a service usually takes, shorter than the harness waits for a step (40 s).
_TIMEOUT_S = 30.0
_CONNECT_S = 10
_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """What came of a command."""

    reached: bool
    """Whether the machine was there to carry it out."""
    code: int
    text: str
    """How it ended, and the end of what it wrote."""


def command_line(host: str, command: str, options: Sequence[str] = ()) -> list[str]:
    """The `ssh` that is started: it never asks for anything, because nobody is there to answer."""
    return ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", *options, "--", host, command]


def send(host: str, command: str, *, options: Sequence[str] = ()) -> Answer:
    """Send a command and wait for its end. Never raises."""
    try:
        done = subprocess.run(
            command_line(host, command, options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, -1, f"no end within {_TIMEOUT_S:g} s")
    except OSError as error:
        return Answer(False, -1, f"ssh can't be started: {error.strerror}")
    said = " ".join((done.stdout + done.stderr).split())[-_SHOWN:]
    return Answer(done.returncode != _NOT_REACHED, done.returncode, f"exit {done.returncode}{said and f': {said}'}")
