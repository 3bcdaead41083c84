"""The recovery ladder: what a person tries after a failure, mildest first.

1. reopen the websocket to the same kernel, and see that a cell runs
2. the OAuth hop, then the websocket again: after its cache of 300 s the single-user server wants the hub's word anew
3. ask the single-user server for the *same kernel id*
4. is the log-in still valid at the hub? if not, log in, then try 2 and 3 with it
5. only then start the server again, and a new kernel

Skipping a rung reports a loss that did not happen. So rung 5 needs authority: the single-user server itself said that
the kernel is gone, or the hub said that the server is. Where the hub believes in a server that can't be reached, the
request to start one makes it look (JupyterHub polls the server first and refuses with 400 if it lives), so that is
asked too, but only after whole rounds without success, and `Session` starts no kernel while the old one answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from tenacity import RetryCallState, Retrying, retry_if_result, wait_random_exponential

__all__ = ["PATIENT_ROUNDS", "Event", "Finding", "Rung", "Step", "climb", "next_rung", "patiently"]

#: Whole rounds in vain before a server that the hub believes in is asked to start.
PATIENT_ROUNDS = 2
#: Between two rounds: soon enough that a second of outage shows as one, random so that the users don't come as a herd.
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 1.0


class Rung(StrEnum):
    """One thing to try."""

    WEBSOCKET = "websocket"
    OAUTH = "oauth"
    FIND_KERNEL = "find_kernel"
    CHECK_LOG_IN = "check_log_in"
    """Labels the first half of `LOG_IN`: is the log-in still valid? Never chosen on its own."""
    LOG_IN = "log_in"
    RESPAWN = "respawn"


class Finding(StrEnum):
    """What trying a rung showed."""

    WORKS = "works"  # websocket, respawn: a cell ran
    ENTERED = "entered"  # oauth: the single-user server let us in
    KERNEL_ALIVE = "kernel_alive"  # find_kernel
    KERNEL_GONE = "kernel_gone"  # find_kernel: the single-user server says so
    SERVER_THERE = "server_there"  # log_in: still valid; the hub believes in the server, or does not say
    SERVER_GONE = "server_gone"  # log_in: still valid; the hub says that the server is gone
    LOGGED_IN_AGAIN = "logged_in_again"  # log_in: it was needed; nothing is known about the server yet
    FAILED = "failed"  # anything: no answer, or one without authority


class Step(NamedTuple):
    """A rung that was tried."""

    rung: Rung
    finding: Finding


class Event(Protocol):
    """What `threading.Event` and gevent's share."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


def next_rung(steps: Sequence[Step], rounds: int) -> Rung | None:
    """The rung after the `steps` of this round; None ends the round, with success if the last step works.

    `rounds` is the number of whole rounds before this one. A round ends in vain where the next plausible thing is to
    wait a moment and to reopen the websocket.
    """
    if not steps:
        return Rung.WEBSOCKET
    rung, finding = steps[-1]
    if finding is Finding.WORKS or rung is Rung.RESPAWN:
        return None
    tried = [step.rung for step in steps]
    times_logged_in = sum(step.finding is Finding.LOGGED_IN_AGAIN for step in steps)
    following: Rung | None = None
    match rung:
        case Rung.WEBSOCKET:
            following = Rung.FIND_KERNEL if Rung.OAUTH in tried else Rung.OAUTH
        case Rung.OAUTH:
            following = Rung.WEBSOCKET if finding is Finding.ENTERED else Rung.FIND_KERNEL
        case Rung.FIND_KERNEL if finding is Finding.KERNEL_GONE:
            following = Rung.RESPAWN
        case Rung.FIND_KERNEL if finding is not Finding.KERNEL_ALIVE:
            following = Rung.LOG_IN
        case Rung.LOG_IN if finding is Finding.LOGGED_IN_AGAIN:
            # once a round: a hub that forgets at once helps nobody
            following = Rung.OAUTH if times_logged_in == 1 else None
        case Rung.LOG_IN if finding is Finding.SERVER_GONE:
            following = Rung.RESPAWN
        case Rung.LOG_IN if finding is Finding.SERVER_THERE and rounds >= PATIENT_ROUNDS:
            following = Rung.RESPAWN
    return following


def climb(attempt: Callable[[Rung], Finding], stop: Event) -> bool:
    """Try rungs until one works or the run ends; returns whether it works."""
    rounds = 0

    def one_round() -> bool:
        nonlocal rounds
        steps: list[Step] = []
        while not stop.is_set() and (rung := next_rung(steps, rounds)):
            steps.append(Step(rung, attempt(rung)))
        rounds += 1
        return bool(steps) and steps[-1].finding is Finding.WORKS

    return patiently(one_round, stop)


def patiently(attempt: Callable[[], bool], stop: Event) -> bool:
    """Repeat `attempt` with short random pauses until it returns True or the run ends; returns the last answer."""

    def give_up(_: RetryCallState) -> bool:
        return stop.is_set()

    def pause(seconds: float) -> None:
        stop.wait(seconds)

    def last(state: RetryCallState) -> bool:
        return bool(state.outcome and state.outcome.result())

    retrying = Retrying(
        retry=retry_if_result(lambda works: not works),
        wait=wait_random_exponential(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S, min=FIRST_PAUSE_S / 2),
        stop=give_up,
        sleep=pause,
        retry_error_callback=last,
    )
    return bool(retrying(attempt))
