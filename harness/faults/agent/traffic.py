"""Delays, rates and broken connections: toxics, tc(8), and exchanges that show what they do."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from harness.faults.agent.namespaces import in_network_of, run_in_network_of
from harness.faults.agent.toxiproxy import RealToxiproxies
from harness.faults.host.traffic import Ended, Exchange
from harness.faults.scripts.questions import Question, question

__all__ = ["RealTraffic"]

T = TypeVar("T")
#: The longest delay that can be asked for, and time for a busy machine.
_EXCHANGE_TIMEOUT_S = 5.0
#: The discard port (RFC 863): nobody listens there.
_NOBODYS_PORT = 9
_DATAGRAM_BYTES = 1_400
_RECEIVE_BYTES = 65_536
_TRIAL_TIMEOUT_S = 10.0


class RealTraffic(RealToxiproxies):
    """See `harness.faults.host.traffic.Traffic`. Needs CAP_SYS_ADMIN and CAP_NET_ADMIN, and the program `tc`."""

    def exchange(
        self, pid: int, address: str, port: int, service: int, *, padding_bytes: int = 0, count: int = 1
    ) -> Sequence[Exchange]:
        asked = question(service, padding_bytes)
        return in_network_of(pid, lambda: _at_once(count, lambda: _exchange(address, port, asked)))

    def hang_up(self, pid: int, address: str, port: int) -> Exchange:
        return in_network_of(pid, lambda: _exchange(address, port, None))

    def why_not_shape(self, device: str, script: str) -> str:
        # in a namespace of its own, which ends with the command, on its loopback device: nobody else's is touched
        shell = 'ip link set lo name "$1" && exec tc -batch -'
        argv = ["unshare", "--net", "sh", "-c", shell, "sh", device]
        done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=_TRIAL_TIMEOUT_S)
        return "" if done.returncode == 0 else " ".join(done.stderr.split())

    def shape(self, pid: int, script: str) -> None:
        run_in_network_of(pid, ["tc", "-batch", "-"], text=script)

    def unshape(self, pid: int, device: str, handle: str) -> None:
        if self.handle(pid, device) == handle:
            run_in_network_of(pid, ["tc", "qdisc", "del", "dev", device, "root", "handle", handle])

    def handle(self, pid: int, device: str) -> str:
        shown = json.loads(run_in_network_of(pid, ["tc", "-json", "qdisc", "show", "dev", device]) or "[]")
        roots = [found["handle"] for found in shown if found.get("root") and found["kind"] != "noqueue"]
        return next((handle for handle in roots if handle != "0:"), "")

    def knock_s(self, pid: int, address: str, *, load_bytes: int = 0, count: int = 1) -> Sequence[float]:
        times = in_network_of(pid, lambda: _at_once(count, lambda: _knock_s(address, load_bytes)))
        return [took_s for took_s in times if took_s is not None]


def _at_once(count: int, action: Callable[[], T]) -> list[T]:
    """Threads that are started here are in the namespace of the thread that starts them."""
    if count == 1:
        return [action()]
    with ThreadPoolExecutor(max_workers=count) as pool:
        return [future.result() for future in [pool.submit(action) for _ in range(count)]]


def _exchange(address: str, port: int, asked: Question | None) -> Exchange:
    """Without a question: hang up at once."""
    started = time.monotonic()
    answer = b""
    ended = Ended.SILENT
    try:
        with socket.create_connection((address, port), timeout=_EXCHANGE_TIMEOUT_S) as connection:
            if asked is None:
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.sendall(asked.data)
            while ended is Ended.SILENT:
                connection.settimeout(max(0.001, started + _EXCHANGE_TIMEOUT_S - time.monotonic()))
                data = connection.recv(_RECEIVE_BYTES)
                answer += data
                ended = _state(answer, asked, closed=not data)
    except TimeoutError:
        pass
    except (ConnectionResetError, BrokenPipeError):
        ended = Ended.RESET
    except OSError:  # refused: nobody is there
        ended = Ended.CLOSED
    sent = len(asked.data) if asked else 0
    return Exchange(ended=ended, took_s=time.monotonic() - started, sent_bytes=sent, received_bytes=len(answer))


def _state(answer: bytes, asked: Question | None, *, closed: bool) -> Ended:
    if asked is not None and (asked.whole(answer) or (closed and asked.ends_with_close and answer)):
        return Ended.ANSWERED
    return Ended.CLOSED if closed else Ended.SILENT


def _knock_s(address: str, load_bytes: int) -> float | None:
    started = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.settimeout(_EXCHANGE_TIMEOUT_S)
        for at in range(0, load_bytes, _DATAGRAM_BYTES):
            out.sendto(bytes(min(_DATAGRAM_BYTES, load_bytes - at)), (address, _NOBODYS_PORT))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(_EXCHANGE_TIMEOUT_S)
        try:
            attempt.connect((address, _NOBODYS_PORT))
        except ConnectionRefusedError:
            return time.monotonic() - started
        except OSError:
            return None
    return time.monotonic() - started
