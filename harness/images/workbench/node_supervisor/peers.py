"""Asks the other nodes whether one of them is active, while this one can't ask the database.

A holder that has lost the database does not know whether it is the database that is away (then it keeps its sessions,
which need none) or only the way to it (then somebody else has the lease by now, and two active nodes would share the
people between them). The other nodes know.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Sequence

__all__ = ["PeerWatch"]

#: Between two rounds; a question costs a millisecond.
POLL_S = 0.2
_TIMEOUT_S = 1.0


class PeerWatch(threading.Thread):
    """Asks in its own thread, because a node that is gone answers nobody."""

    def __init__(self, peers: Sequence[str], port: int) -> None:
        super().__init__(name="peers", daemon=True)
        self._peers = tuple(peers)
        self._port = port
        self._wake = threading.Event()
        #: The address of another node that said in the last round that it is active; empty if none did.
        self.active = ""

    def ask(self, wanted: bool) -> None:
        """Whether to ask at all; what was heard before is forgotten where not."""
        if wanted:
            self._wake.set()
        else:
            self._wake.clear()
            self.active = ""

    def run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            found = next((peer for peer in self._peers if self._is_active(peer)), "")
            self.active = found if self._wake.is_set() else ""
            pause.wait(POLL_S)

    def _is_active(self, peer: str) -> bool:
        connection = http.client.HTTPConnection(peer, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/active")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # whoever can't be asked can't be shown to be active
        finally:
            connection.close()
