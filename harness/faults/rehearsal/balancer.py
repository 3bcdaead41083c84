"""The rehearsal's load balancer."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.tls import EXPIRED_PATH, SERVED_PATH
from harness.faults.host.balancer import EXPIRED, VERIFIED
from harness.faults.rehearsal.paper import Paper

__all__ = ["PaperBalancer"]


class PaperBalancer:
    """See `harness.faults.host.balancer.Balancer`."""

    def __init__(self, paper: Paper, machine_of: Callable[[int], str]) -> None:
        self._paper = paper
        self._machine_of = machine_of

    def serve_certificate(self, pid: int, path: str) -> None:
        machine = self._machine_of(pid)
        talk = f"socat - UNIX:<root of {machine}>/run/haproxy/admin.sock"
        if not machine or not self._paper.do(
            f"printf 'prompt\\nset ssl cert {SERVED_PATH} <<\\n%s\\n\\ncommit ssl cert {SERVED_PATH}\\nquit\\n' "
            f'"$(cat <root of {machine}>{path})" | {talk}'
        ):
            return
        if path == EXPIRED_PATH:
            self._paper.break_("certificate expired", machine, until_restart=True)
        else:
            self._paper.mend("certificate expired", machine)

    def handshake(self, pid: int, address: str) -> str:  # noqa: ARG002 - its own address is right
        return EXPIRED if self._paper.is_wrong("certificate expired", self._machine_of(pid)) else VERIFIED
