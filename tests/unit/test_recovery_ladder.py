"""How a person of the load comes back after a failure: the ladder, and what each rung finds out about the session."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from harness.core.words import Capability
from harness.load.failures import KernelGone
from harness.load.jupyterhub import JupyterHubClient, ServerState
from harness.load.ladder import PATIENT_ROUNDS, Finding, Rung, Step, climb, next_rung
from harness.load.session import Session

# -- ladder --------------------------------------------------------------------------------------------------------

F, R = Finding, Rung
WEBSOCKET_FAILED = Step(R.WEBSOCKET, F.FAILED)
NOT_ENTERED = Step(R.OAUTH, F.FAILED)
NOT_FOUND = Step(R.FIND_KERNEL, F.FAILED)
UNREACHABLE = [WEBSOCKET_FAILED, NOT_ENTERED, NOT_FOUND]


@pytest.mark.parametrize(
    ("steps", "rounds", "expected"),
    [
        ([], 0, R.WEBSOCKET),
        ([Step(R.WEBSOCKET, F.WORKS)], 0, None),
        ([WEBSOCKET_FAILED], 0, R.OAUTH),
        ([WEBSOCKET_FAILED, NOT_ENTERED], 0, R.FIND_KERNEL),
        ([WEBSOCKET_FAILED, Step(R.OAUTH, F.ENTERED)], 0, R.WEBSOCKET),
        ([WEBSOCKET_FAILED, Step(R.OAUTH, F.ENTERED), WEBSOCKET_FAILED], 0, R.FIND_KERNEL),
        ([WEBSOCKET_FAILED, NOT_ENTERED, Step(R.FIND_KERNEL, F.KERNEL_ALIVE)], 9, None),
        ([WEBSOCKET_FAILED, NOT_ENTERED, Step(R.FIND_KERNEL, F.KERNEL_GONE)], 0, R.RESPAWN),
        (UNREACHABLE, 0, R.LOG_IN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.FAILED)], 9, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_GONE)], 0, R.RESPAWN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_THERE)], 0, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_THERE)], PATIENT_ROUNDS, R.RESPAWN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN)], 9, R.OAUTH),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN), NOT_ENTERED, NOT_FOUND], 0, R.LOG_IN),
        ([*UNREACHABLE, Step(R.LOG_IN, F.LOGGED_IN_AGAIN), *[Step(R.LOG_IN, F.LOGGED_IN_AGAIN)]], 0, None),
        ([*UNREACHABLE, Step(R.LOG_IN, F.SERVER_GONE), Step(R.RESPAWN, F.FAILED)], 9, None),
    ],
)
def test_next_rung(steps: list[Step], rounds: int, expected: Rung | None) -> None:
    assert next_rung(steps, rounds) is expected


def test_no_respawn_without_authority() -> None:
    """However long a server stays out of reach: as long as the hub does not answer, nobody starts a second one."""
    for rounds in range(50):
        steps: list[Step] = []
        while rung := next_rung(steps, rounds):
            assert rung is not Rung.RESPAWN
            steps.append(Step(rung, Finding.FAILED))


def test_climb_reports_success_and_tries_no_more() -> None:
    answers = iter([F.FAILED, F.ENTERED, F.WORKS])
    tried: list[Rung] = []

    def attempt(rung: Rung) -> Finding:
        tried.append(rung)
        return next(answers)

    assert climb(attempt, threading.Event())
    assert tried == [R.WEBSOCKET, R.OAUTH, R.WEBSOCKET]


def test_climb_ends_with_the_run() -> None:
    stop = threading.Event()
    tried: list[Rung] = []

    def attempt(rung: Rung) -> Finding:
        tried.append(rung)
        if len(tried) == 6:
            stop.set()
        return F.FAILED

    assert not climb(attempt, stop)
    assert tried == [R.WEBSOCKET, R.OAUTH, R.FIND_KERNEL, R.LOG_IN, R.WEBSOCKET, R.OAUTH]


# -- session -------------------------------------------------------------------------------------------------------


class _Kernel(JupyterHubClient):
    """A client whose kernel is a counter."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "ada", "x")
        self.counter = -1
        self.alive = True
        self.valid = True
        self.started: list[str] = []

    def connect(self) -> None:
        pass

    def enter(self) -> None:
        pass

    def log_in(self) -> None:
        self.valid = True

    def logged_in(self) -> bool:
        return self.valid

    def server(self) -> ServerState:
        return ServerState.READY

    def kernel_alive(self) -> bool:
        return self.alive

    def start_kernel(self) -> None:
        self.started.append("kernel")

    def spawn(self, ending: object, pause: object) -> bool:
        self.started.append("server")
        return True

    def run(self, code: str, on_first: object = None) -> str:
        if code == "n = 0":
            self.counter = 0
        elif code.startswith("n += 1"):
            self.counter += 1
        return str(self.counter)


class _Performer:
    def __init__(self) -> None:
        self.rows: list[tuple[Capability, Rung]] = []

    def __call__(self, capability: Capability, action: Callable[[], object], *, rung: Rung) -> Exception | None:
        try:
            action()
        except KernelGone as error:
            self.rows.append((capability, rung))
            return error
        self.rows.append((capability, rung))
        return None


def _session(known: int, counter: int) -> tuple[Session, _Kernel]:
    kernel = _Kernel()
    kernel.counter = counter
    session = Session(kernel, threading.Event())
    session.known = known
    return session, kernel


@pytest.mark.parametrize(
    ("known", "counter", "known_after", "next_found"),
    [(5, 5, 5, 6), (5, 6, 6, 7), (5, -1, 5, 1), (5, 0, 5, 1)],
    ids=["kept", "kept, an unanswered cell ran", "memory gone", "memory gone and defined anew"],
)
def test_reopening_tells_kept_from_lost(known: int, counter: int, known_after: int, next_found: int) -> None:
    session, _ = _session(known, counter)
    assert session.attempt(Rung.WEBSOCKET, _Performer()) is Finding.WORKS
    assert session.known == known_after
    assert session.work() == next_found


def test_respawn_goes_back_to_a_kernel_that_turns_up() -> None:
    session, kernel = _session(5, 5)
    assert session.attempt(Rung.RESPAWN, _Performer()) is Finding.WORKS
    assert (kernel.started, session.work()) == ([], 6)


def test_respawn_in_a_server_that_lives_starts_a_kernel_only() -> None:
    session, kernel = _session(5, 5)
    kernel.alive = False
    assert session.attempt(Rung.FIND_KERNEL, _Performer()) is Finding.KERNEL_GONE
    assert session.attempt(Rung.RESPAWN, _Performer()) is Finding.WORKS
    assert (kernel.started, session.known, session.work()) == (["kernel"], 5, 1)


def test_only_a_log_in_that_was_needed_is_a_log_in() -> None:
    session, kernel = _session(5, 5)
    performer = _Performer()
    assert session.attempt(Rung.LOG_IN, performer) is Finding.SERVER_THERE
    assert performer.rows == [(Capability.RECONNECT, Rung.CHECK_LOG_IN)]
    kernel.valid = False
    assert session.attempt(Rung.LOG_IN, performer) is Finding.LOGGED_IN_AGAIN
    assert performer.rows[1:] == [(Capability.RECONNECT, Rung.CHECK_LOG_IN), (Capability.LOG_IN, Rung.LOG_IN)]
