"""How busy the node is, for a balancer that sends newcomers to where there is room (HAProxy's agent check).

Every connection is answered with a share in percent and closed: 100 for a node that does nothing, less the busier its
processors are. Measured from the node's own control group, because /proc/loadavg is the whole machine's.
"""

from __future__ import annotations

import os
import socketserver
import threading
import time
from pathlib import Path

__all__ = ["Meter", "cpu_time_ns", "serve_load"]

#: Version 2 and 1 of control groups, as a container sees its own.
_USAGE_V2 = Path("/sys/fs/cgroup/cpu.stat")
_USAGE_V1 = Path("/sys/fs/cgroup/cpuacct/cpuacct.usage")
#: A node that was asked less than this ago is as busy as it said then: two balancers ask, and a share of less than that
#: says nothing.
_LEAST_NS = 500_000_000


def cpu_time_ns(v2: Path = _USAGE_V2, v1: Path = _USAGE_V1) -> int:
    """Processor time that the node has used, in nanoseconds.

    Raises:
        OSError: the kernel shows neither kind of control group.
    """
    if v2.exists():
        for line in v2.read_text(encoding="ascii").splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) * 1000
    return int(v1.read_text(encoding="ascii"))


class Meter:
    """The share of its processors that the node leaves free."""

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._seen_ns, self._used_ns = time.monotonic_ns(), cpu_time_ns()
        self._percent = 100
        self._lock = threading.Lock()

    def percent(self) -> int:
        """From 1, so that a busy node still gets somebody, to 100."""
        with self._lock:
            now_ns = time.monotonic_ns()
            if now_ns - self._seen_ns >= _LEAST_NS:
                used_ns = cpu_time_ns()
                busy_ratio = (used_ns - self._used_ns) / (now_ns - self._seen_ns) / self._cores
                self._seen_ns, self._used_ns = now_ns, used_ns
                self._percent = max(1, min(100, round(100 * (1 - busy_ratio))))
            return self._percent


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve_load(port: int) -> None:
    """Starts answering in a thread of its own."""
    meter = Meter(os.cpu_count() or 1)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(f"{meter.percent()}%\n".encode())

    server = _Server(("0.0.0.0", port), Handler)
    threading.Thread(target=server.serve_forever, name="load", daemon=True).start()
