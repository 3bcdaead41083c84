"""What the node says about itself over HTTP, always: /active and /log-in for balancers, /ready for who starts it."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Board", "Snapshot", "serve"]

#: The supervisor looks ten times a second; when it has not for so long, the whole node was frozen.
STALL_NS = 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The last decision, as others may see it."""

    looked_ns: int
    phase: str
    serving: bool
    log_in: bool
    """Whether somebody could log in, as far as the node can tell."""
    ready: bool
    reason: str
    since_ns: int | None


class Board:
    """Where the supervisor leaves the latest snapshot; assignment is atomic."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.latest = Snapshot(
            looked_ns=time.monotonic_ns(),
            phase="standby",
            serving=False,
            log_in=False,
            ready=False,
            reason="starting",
            since_ns=None,
        )

    def page(self, path: str) -> tuple[int, dict[str, object]]:
        """Status and content of a page."""
        seen = self.latest
        stalled = time.monotonic_ns() - seen.looked_ns > STALL_NS
        reason = "the supervisor was frozen" if stalled else seen.reason
        if path in ("/active", "/log-in"):
            if not stalled and seen.serving and (seen.log_in or path == "/active"):
                return 200, {"node": self.node, "active": True, "since_monotonic_ns": seen.since_ns}
            if seen.serving and not seen.log_in:
                reason = f"the database does not answer; {reason}"
            return 503, {"node": self.node, "active": False, "phase": seen.phase, "reason": reason}
        if path == "/ready":
            good = seen.ready and not stalled
            return 200 if good else 503, {
                "node": self.node,
                "ready": good,
                "phase": seen.phase,
                "reason": reason,
            }
        return 404, {"node": self.node, "reason": f"no page {path}; expected /active, /log-in or /ready"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Balancers reset the connection once they have the status: not worth a traceback each."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(board: Board, port: int) -> None:
    """Starts answering in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            status, content = board.page(self.path.partition("?")[0])
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Checks come several times a second: not worth a line each."""

    server = _Server(("0.0.0.0", port), Handler)
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
