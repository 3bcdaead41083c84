"""Accounts for the start_session probes. A server is started, measured, and stopped again outside the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.words import Capability
from harness.load.deadlines import DEADLINE_S, START_PROBE_DEADLINE_S, deadline
from harness.load.failures import FAILURES
from harness.load.jupyterhub import JupyterHubClient, ServerState
from harness.load.ladder import Event, patiently

__all__ = ["Account", "accounts_needed", "clean", "held_by_the_platform", "take"]


@dataclass
class Account:
    """One account of the pool; never two probes at once."""

    client: JupyterHubClient
    free: bool = False
    """Logged in, and the hub said that it has no server."""
    blocked: bool = False
    """The last try to make it free failed on the platform's side."""


def accounts_needed(period_s: float) -> int:
    """How many accounts carry a start in each `period_s`: as many as can be in flight until the deadline, and one that
    is being cleaned up."""
    return int(START_PROBE_DEADLINE_S / period_s) + 1


def take(accounts: Sequence[Account]) -> Account | None:
    """A free account, no longer free; None if there is none."""
    for account in accounts:
        if account.free:
            account.free = False
            return account
    return None


def held_by_the_platform(accounts: Sequence[Account]) -> bool:
    """Whether it is the platform's doing that no account is free.

    Nobody could have started a session if the hub refuses to clean up. If it does so right now, only slower than the
    probes come, that is the probes' own doing: then there is no sample, which is neither good nor bad.
    """
    return any(account.blocked for account in accounts)


def clean(account: Account, stop: Event) -> None:
    """Make an account free again, however long the platform takes."""
    client = account.client

    def gone() -> bool:
        try:
            with deadline(DEADLINE_S[Capability.LOG_IN]):
                if not client.logged_in():
                    client.log_in()
                    client.logged_in()  # renews the cookie that the hub's API wants
                state = client.server()
                if state is ServerState.READY:
                    client.stop_server()
        except FAILURES:
            account.blocked = True
            client.close()
            return False
        account.blocked = False
        return state is ServerState.GONE

    account.free = patiently(gone, stop)
