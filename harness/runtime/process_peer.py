"""The conversation with a program on this machine, over its standard input and output.

When this process ends, however it ends, the program sees the end of its input; that is how it knows.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import harness
from harness.core.conversation import answered_number, parse_answer, request
from harness.errors import PeerError

__all__ = ["ProcessPeer"]

#: What a program may know of this process's environment. Whatever else is there may be a secret.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSH_AUTH_SOCK", "USER", "LOGNAME")
#: The programs end what they began before they go: an open fault, a session.
_END_S = 60.0


class ProcessPeer:
    """One request at a time. The program is in a session of its own, so that a Ctrl-C does not reach it."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `python -m module` with what it says on standard error in `log`."""
        self._name = name
        self._lock = threading.Lock()
        self._number = 0
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._broken = ""
        root = str(Path(harness.__file__).resolve().parents[1])
        passed_on = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        with log.open("wb") as error:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                env={**passed_on, "PYTHONPATH": root, **(environment or {})},
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True, name=f"peer-{name}").start()

    @property
    def pid(self) -> int:
        """Of the program."""
        return self._process.pid

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:
        """See `harness.runtime.base.Peer`."""
        with self._lock:
            if self._broken:
                raise PeerError(f"{self._name} can't be asked for {op}: {self._broken}")
            self._number += 1
            assert self._process.stdin is not None, "it was opened with a pipe"
            try:
                self._process.stdin.write(request(self._number, op, args))
                self._process.stdin.flush()
                line = self._answer_to(self._number, timeout_s)
            except queue.Empty:
                raise PeerError(f"{self._name}: {op} was not answered within {timeout_s:g} s") from None
            except (OSError, ValueError) as error:  # a pipe that is closed already is a ValueError
                self._broken = f"the connection broke: {error}"
                raise PeerError(f"{self._name}: {self._broken}") from error
            if line is None:
                self._broken = f"it ended while {op} was asked for"
                raise PeerError(f"{self._name}: {self._broken}")
            return parse_answer(line, self._number, self._name)

    def close(self, *, or_kill: bool = True) -> None:
        """End the conversation and wait until the program has gone. Raises `PeerError` where it does not, after that it
        was killed; else it goes on."""
        self._broken = self._broken or "the conversation is over"
        with suppress(OSError):
            assert self._process.stdin is not None, "it was opened with a pipe"
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            if or_kill:
                self._process.kill()
            state = "was killed" if or_kill else f"goes on as process {self._process.pid}"
            raise PeerError(f"{self._name} did not end within {_END_S:g} s and {state}") from None

    def _answer_to(self, number: int, timeout_s: float) -> str | None:
        """The answer to this request; late ones to requests that were given up are passed over."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            if line is None or answered_number(line) >= number:
                return line

    def _read(self) -> None:
        assert self._process.stdout is not None, "it was opened with a pipe"
        with self._process.stdout as lines:
            for line in lines:
                self._answers.put(line)
        self._answers.put(None)
