"""A person's session: the kernel, the counter in its memory, and each way back to it."""

from __future__ import annotations

from typing import Protocol

from harness.core.words import Capability
from harness.load.failures import BadAnswer, KernelGone, NotLoggedIn, Refused
from harness.load.jupyterhub import JupyterHubClient, ServerState
from harness.load.ladder import Event, Finding, Rung

__all__ = ["Action", "Perform", "Session"]

_WORK = "n += 1\nprint(n)"
_READ_BACK = "print(globals().get('n', -1))"
# the number is printed after close, which is when an NFS client reports what it could not write
_SAVE = """\
import os
with open(os.path.expanduser("~/{saves}"), "a") as saves:
    saves.write("{number}\\n")
    saves.flush()
    os.fsync(saves.fileno())
print({number})"""
# also removes it: whoever lent a home gets it back as it was
_TAKE = """\
import os
path = os.path.expanduser("~/{saves}")
if os.path.exists(path):
    with open(path) as saves:
        print(saves.read())
    os.remove(path)"""

_FOUND_BY_RUNG = {
    Rung.WEBSOCKET: Finding.WORKS,
    Rung.OAUTH: Finding.ENTERED,
    Rung.FIND_KERNEL: Finding.KERNEL_ALIVE,
    Rung.RESPAWN: Finding.WORKS,
}
_CAPABILITY_BY_RUNG = {Rung.RESPAWN: Capability.START_SESSION}


class Action(Protocol):
    """One operation; returns the number it found, -1 where there is none."""

    def __call__(self) -> int: ...


class Perform(Protocol):
    """Carries out an action within its deadline and, where that is its job, writes the row; returns the failure."""

    def __call__(self, capability: Capability, action: Action, *, rung: Rung) -> Exception | None: ...


class Session:
    """What a person has on the platform. `known` is the counter that the kernel's memory held when last seen."""

    def __init__(self, client: JupyterHubClient, stop: Event, *, saves: str = "saves.log") -> None:
        """`saves` is the file in the home that numbers are appended to."""
        self.client = client
        self._stop = stop
        self._saves = saves
        self.known = 0

    def log_in(self) -> int:
        """Log in, and renew the cookie that the hub's API wants."""
        self.client.log_in()
        if not self.client.logged_in():
            raise NotLoggedIn("the hub does not honour a log-in it just accepted")
        return -1

    def start(self) -> int:
        """Start server and kernel, connect, and define the counter."""
        self._spawn()
        return self._new_kernel()

    def work(self) -> int:
        """Add one to the counter and return it."""
        self.known = self.client.run_number(_WORK)
        return self.known

    def save(self, number: int) -> int:
        """Append `number` to a file in the home, fsync'ed, and return the number acknowledged."""
        found = self.client.run_number(_SAVE.format(saves=self._saves, number=number))
        if found != number:
            raise BadAnswer(f"acknowledged {found}, expected {number}")
        return found

    def take_saves(self) -> list[int]:
        """Read in a kernel that wrote none of them what is in the file of saves, and remove it."""
        self.client.start_kernel()
        self.client.connect()
        lines = self.client.run(_TAKE.format(saves=self._saves)).split()
        if not all(line.isdigit() for line in lines):
            raise BadAnswer("something that is not a number is in the file of saves")
        return [int(line) for line in lines]

    def attempt(self, rung: Rung, perform: Perform) -> Finding:
        """Try one rung of the ladder by means of `perform`, and say what it showed."""
        if rung is Rung.LOG_IN:
            return self._check_log_in(perform)
        actions: dict[Rung, Action] = {
            Rung.WEBSOCKET: self._reopen,
            Rung.OAUTH: self._enter,
            Rung.FIND_KERNEL: self._find_kernel,
            Rung.RESPAWN: self._respawn,
        }
        failure = perform(_CAPABILITY_BY_RUNG.get(rung, Capability.RECONNECT), actions[rung], rung=rung)
        if failure is None:
            return _FOUND_BY_RUNG[rung]
        return Finding.KERNEL_GONE if isinstance(failure, KernelGone) else Finding.FAILED

    def _check_log_in(self, perform: Perform) -> Finding:
        """Log in again only if the hub says that it is needed; the question has a row and a label of its own, because
        a hub that does not answer it is not one that asks for a log-in."""
        finding: Finding | None = None

        def check() -> int:
            nonlocal finding
            finding = self._ask_for_server() if self.client.logged_in() else None
            return -1

        if perform(Capability.RECONNECT, check, rung=Rung.CHECK_LOG_IN) is not None:
            return Finding.FAILED
        if finding is not None:
            return finding
        failure = perform(Capability.LOG_IN, self.log_in, rung=Rung.LOG_IN)
        return Finding.FAILED if failure else Finding.LOGGED_IN_AGAIN

    def _ask_for_server(self) -> Finding:
        return Finding.SERVER_GONE if self.client.server() is ServerState.GONE else Finding.SERVER_THERE

    def _reopen(self) -> int:
        """Reopen the websocket and read the counter back.

        A cell whose answer was lost may still have run, so the counter may be ahead of what is known: that is memory
        kept. Behind it, the memory is gone (Jupyter restarts a dead kernel under the same id): what is known stays, so
        that the next cell shows the loss.
        """
        self.client.connect()
        counter = self.client.run_number(_READ_BACK)
        if counter >= self.known:
            self.known = counter
        elif counter < 0:
            self.client.run("n = 0")
        return -1

    def _enter(self) -> int:
        self.client.enter()
        return -1

    def _find_kernel(self) -> int:
        if not self.client.kernel_alive():
            raise KernelGone("the server has no such kernel")
        return -1

    def _respawn(self) -> int:
        """A new kernel, in a new server if need be; but back to the old kernel if that turns up meanwhile."""
        try:
            alive = self.client.kernel_alive()
        except (Refused, OSError, BadAnswer):  # requests' errors are OSErrors
            self._spawn()
            alive = self.client.kernel_alive()
        return self._reopen() if alive else self._new_kernel()

    def _spawn(self) -> None:
        self.client.spawn(self._stop.is_set, self._stop.wait)
        self.client.enter()

    def _new_kernel(self) -> int:
        self.client.start_kernel()
        self.client.connect()
        self.client.run("n = 0")
        return -1
