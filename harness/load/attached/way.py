"""The way into an existing system: where it is, by which product people work, and with which accounts.

It comes from the harness over a pipe, because accounts may stand in no file and on no command line. People and probes
have names of their own (`user-000`); only these are ever written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.attach import HttpSession, Request, Token
from harness.core.words import Capability
from harness.load.attached.http_session import HttpClient, PlainSession
from harness.load.attached.posit import PositClient
from harness.load.jupyterhub import JupyterHubClient
from harness.load.ladder import Event
from harness.load.session import Session

__all__ = ["KEEPER", "LOG_IN", "Way", "start_name", "way_from"]

#: Whose session the probes of work, reconnect and save use.
KEEPER = "probe-session-0"
#: Who only logs in.
LOG_IN = "probe-log-in"


def start_name(number: int) -> str:
    """Who has sessions started by an instrument."""
    return f"probe-start-{number}"


@dataclass(frozen=True, kw_only=True)
class Way:
    """How everybody comes in."""

    url: str
    product: str
    described: Mapping[str, Any]
    """Of a session that the file describes."""
    accounts: Mapping[str, Sequence[str]] = field(repr=False)
    """Name of a person or a probe -> account and password."""
    saves: str
    """The file in the homes that people save to; nobody else's, so that it can be removed."""
    capabilities: tuple[Capability, ...]

    def client(self, name: str) -> Any:
        """A browser without cookies: a `JupyterHubClient` or what can do the same for another product."""
        user, password = self.accounts[name]
        if self.product == "jupyterhub":
            return JupyterHubClient(self.url, user, password)
        if self.product == "posit-workbench":
            return PositClient(self.url, user, password)
        return HttpClient(self.url, user, password, _http(self.described))

    def session(self, name: str, stop: Event) -> Any:
        """What somebody has there: a `Session` or what can do the same for another product."""
        client = self.client(name)
        return Session(client, stop, saves=self.saves) if self.product == "jupyterhub" else PlainSession(client)


def way_from(told: Mapping[str, Any]) -> Way:
    """As it came over the pipe."""
    capabilities = tuple(Capability(word) for word in told["capabilities"])
    return Way(**{**told, "capabilities": capabilities})


def _http(described: Mapping[str, Any]) -> HttpSession:
    token = described["token"]
    return HttpSession(
        token=Token(**token) if token else None,
        log_in=Request(**described["log_in"]),
        heartbeat=Request(**described["heartbeat"]),
    )
