"""Waiting until a container proves by its own probe that it serves."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from docker.errors import APIError
from testcontainers.core.wait_strategies import WaitStrategy, WaitStrategyTarget

from harness.core.specs import ReadyProbe

__all__ = ["Serves"]


class Serves(WaitStrategy):
    """Runs the probe's command in the container until it exits 0.

    Unlike testcontainers' own ExecWaitStrategy it gives up at once when the container has ended, and says what the
    probe wrote last. Raises TimeoutError, which testcontainers expects.
    """

    def __init__(self, name: str, probe: ReadyProbe, cancelled: threading.Event) -> None:
        super().__init__()
        self._name = name
        self._probe = probe
        self._cancelled = cancelled
        self.with_startup_timeout(timedelta(seconds=probe.timeout_s)).with_poll_interval(probe.interval_s)

    def wait_until_ready(self, container: WaitStrategyTarget) -> None:
        wrapped = container.get_wrapped_container()
        deadline = time.monotonic() + self._probe.timeout_s
        last = "the probe was never answered"
        while True:
            wrapped.reload()
            if wrapped.status not in {"created", "running"}:
                code = wrapped.attrs["State"]["ExitCode"]
                raise TimeoutError(f"{self._name} ended with exit code {code} before it was ready")
            try:
                result = wrapped.exec_run(list(self._probe.argv))
            except APIError as error:  # it ended between the look and the command: the next look says so
                last = str(error.explanation)
            else:
                if result.exit_code == 0:
                    return
                last = f"exit code {result.exit_code}: {result.output.decode(errors='replace').strip()[-300:]}"
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self._name} was not ready after {self._probe.timeout_s:g} s; looked for: {self._probe.proves}; "
                    f"last answer of `{' '.join(self._probe.argv)}`: {last}"
                )
            if self._cancelled.wait(self._probe.interval_s):
                raise TimeoutError(f"{self._name}: the wait was given up because another container failed")
