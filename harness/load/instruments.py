"""What each probe does and when it was good: one definition for a platform of the harness and an existing system."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from harness.core.words import Capability
from harness.load.deadlines import PROBE_DEADLINE_S
from harness.load.failures import BadAnswer
from harness.load.ladder import Event
from harness.load.open_loop import OpenLoop, Timed, timed
from harness.load.starts import Account, clean, held_by_the_platform, take

__all__ = ["Instruments"]


class Instruments:
    """Carries probes out and writes them down. A client is a `JupyterHubClient` or what can do the same for another
    product; `via` is whose turn it was, where several take turns."""

    def __init__(self, loop: OpenLoop, stop: Event) -> None:
        self._loop = loop
        self._stop = stop

    def measure(
        self, capability: Capability, due_ns: int, client: Any, action: Callable[[], None], via: str = ""
    ) -> bool:
        """One action is one sample; whether it was good."""
        return self._sample(capability, due_ns, timed(action, PROBE_DEADLINE_S[capability]), client.node, via)

    def run_cell(self, due_ns: int, client: Any, number: int, via: str = "") -> bool:
        """Two samples of one connection: the kernel's first reaction is `reconnect`, its answer is `work`. Whether it
        answered."""
        reacted_ns = 0

        def react() -> None:
            nonlocal reacted_ns
            reacted_ns = time.monotonic_ns()

        def run() -> None:
            client.connect()
            if client.run(f"print({number})", on_first=react) != str(number):
                raise BadAnswer(f"a cell that prints {number} printed something else")

        send_ns, end_ns, failure = timed(run, PROBE_DEADLINE_S[Capability.WORK])
        reconnected = (send_ns, reacted_ns, "") if reacted_ns else (send_ns, end_ns, failure)
        self._sample(Capability.RECONNECT, due_ns, reconnected, client.node, via)
        return self._sample(Capability.WORK, due_ns, (send_ns, end_ns, failure), client.node, via)

    def start_session(self, due_ns: int, accounts: Sequence[Account], node: str, via: str = "") -> None:
        """Start a server with a free account, which is stopped again outside the measurement. `node` is where the
        sample belongs if no account is free."""
        account = take(accounts)
        if account is None:
            if held_by_the_platform(accounts):
                now_ns = time.monotonic_ns()
                self._sample(Capability.START_SESSION, due_ns, (now_ns, now_ns, "no free probe account"), node, via)
            return
        client = account.client

        def start() -> None:
            if not client.spawn(self._stop.is_set, self._stop.wait):
                raise BadAnswer("the hub had said that there is no server, and now that it runs")

        self.measure(Capability.START_SESSION, due_ns, client, start, via)
        client.close()
        self._loop.tend(clean, account, self._stop)

    def _sample(self, capability: Capability, due_ns: int, what: Timed, node: str, via: str) -> bool:
        limit_s = PROBE_DEADLINE_S[capability]
        return self._loop.sample(capability.value, due_ns, what, limit_s, node=node, via=via)
