"""Faults of certificates."""

from __future__ import annotations

from typing import ClassVar

from harness.core.experiment import Fault
from harness.core.tls import EXPIRED_PATH, SERVED_PATH
from harness.core.topology import Topology
from harness.core.words import Role
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host
from harness.faults.host.balancer import EXPIRED, VERIFIED
from harness.faults.kinds.machines import guard_own_machine, machine_state

__all__ = ["CertificateExpiry"]


class CertificateExpiry(FaultKind):
    """Nobody renewed the platform's certificate: from now on new connections are shown one that has expired.

    Same key, names and authority, so that nothing but the date is wrong. Connections that are open go on, as they do
    in life: browsers look at a certificate when they connect.
    """

    kind: ClassVar[str] = "certificate_expiry"
    summary: ClassVar[str] = "the platform's certificate has expired: new https connections fail until undone"
    leaves: ClassVar[str] = "a load balancer that serves an expired certificate"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.LOAD_BALANCER})

    def refusal(self, topology: Topology, fault: Fault) -> str:  # noqa: ARG002 - it has no options
        if topology.load_balancer is None or topology.load_balancer.tls:
            return ""
        return "the load balancer speaks plain http and has no certificate: say `load_balancer: {tls: true}`"

    def prepare(self, host: Host, aim: Aim) -> State:
        container = host.machines.look(aim.target)
        guard_own_machine(container)
        found = host.balancer.handshake(container.pid, container.address)
        if found != VERIFIED:
            raise GuardError(
                f"{aim.target}: the certificate is not right even now: {found}",
                hint="is another fault on this machine still in effect?",
            )
        return {**machine_state(container), "address": container.address}

    def inject(self, host: Host, state: State) -> None:
        host.balancer.serve_certificate(state["pid"], EXPIRED_PATH)

    def confirm(self, host: Host, state: State) -> Evidence:
        if not _is_there(host, state):
            return Evidence(False, "the machine has gone since")
        found = host.balancer.handshake(state["pid"], state["address"])
        return Evidence(found == EXPIRED, f"a handshake from inside the machine: {found}")

    def undo(self, host: Host, state: State) -> None:
        # one that was started anew has read the right certificate from its file
        if _is_there(host, state):
            host.balancer.serve_certificate(state["pid"], SERVED_PATH)

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        container = host.machines.there(state["container"])
        if container is None or not container.running:
            return Evidence(True, "the machine has gone since, and what it served with it")
        found = host.balancer.handshake(container.pid, container.address)
        return Evidence(found == VERIFIED, f"a handshake from inside the machine: {found}")


def _is_there(host: Host, state: State) -> bool:
    return host.processes.alive(state["pid"], state["start_ticks"])
