"""The node's contract with its environment."""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Mode", "SessionStart", "Settings", "SettingsError", "Takeover"]

#: A node notices after 2 s that it was frozen; it must do so before the database can have ended its lease.
MIN_LEASE_TTL_S = 3.0

_E = TypeVar("_E", bound=enum.Enum)


class SettingsError(ValueError):
    """A variable is missing or holds something else than was expected."""


class Mode(enum.Enum):
    """Who of several nodes serves."""

    #: Whoever holds the lease in the hub's database.
    ACTIVE_PASSIVE = "active-passive"
    #: Every one of them, with a hub and a database of its own.
    ACTIVE_ACTIVE = "active-active"
    #: The same for one node alone, and for one of several that share nothing.
    SINGLE = "single"
    SEPARATE = "separate"


class Takeover(enum.Enum):
    """Who may take the lease."""

    AUTOMATIC = "automatic"
    #: Only the node that held it last, or the first one ever: wrong on purpose, the standby never helps.
    FIRST_HOLDER = "first-holder"


class SessionStart(enum.Enum):
    """How a person's single-user server and kernels are started, or the hub."""

    #: A new interpreter for each, as stock JupyterHub does.
    COLD = "cold"
    #: Forked from a warm parent, which the supervisor keeps.
    PREWARMED = "prewarmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the node reads from its environment; durations in seconds."""

    node_name: str
    mode: Mode
    #: Whether a process of the node that ended is started again.
    supervised: bool
    database_url: str
    cookie_secret: str
    proxy_token: str
    takeover: Takeover
    session_start: SessionStart
    hub_start: SessionStart
    #: Addresses of the other nodes, to be asked where the database can't be.
    peers: tuple[str, ...]
    standby_poll_s: float
    heartbeat_s: float
    #: The database ends a holder's connection that was silent for so long; 0 is off. A frozen node still
    #: acknowledges TCP, so nothing else would end it.
    lease_ttl_s: float
    #: A hub that answered within this time counts as answering: its restart takes 2 s, and while it waits for
    #: a database it answers nobody; to leave the node then would cut the sessions, which need no hub.
    hub_grace_s: float
    connect_timeout_s: int
    keepalives_idle_s: int
    keepalives_interval_s: int
    keepalives_count: int
    tcp_user_timeout_ms: int
    #: How often a snapshot is written to the backup disk; 0 is never.
    snapshot_every_s: float = 0.0
    #: How often what has changed is copied to the warm standby; 0 is never.
    copy_every_s: float = 0.0
    proxy_port: int = 8000
    proxy_api_port: int = 8001
    status_port: int = 8002
    load_port: int = 8003
    hub_port: int = 8081

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads and checks.

        Raises:
            SettingsError: names the variable, what was expected and what was found.
        """
        secret = _text(environment, "HUB_COOKIE_SECRET")
        lease_ttl_s = _number(environment, "LEASE_TTL_S", 3.0)
        if 0 < lease_ttl_s < MIN_LEASE_TTL_S:
            raise SettingsError(f"LEASE_TTL_S: expected 0 or at least {MIN_LEASE_TTL_S}, found {lease_ttl_s}")
        try:
            bytes.fromhex(secret)
        except ValueError:
            raise SettingsError("HUB_COOKIE_SECRET: expected an even number of hexadecimal digits") from None
        return cls(
            node_name=_text(environment, "NODE_NAME"),
            mode=_word(environment, "HUB_MODE", Mode.ACTIVE_PASSIVE),
            supervised=_yes(environment, "SUPERVISED"),
            database_url=_text(environment, "HUB_DB_URL"),
            cookie_secret=secret,
            proxy_token=_text(environment, "CONFIGPROXY_AUTH_TOKEN"),
            takeover=_word(environment, "TAKEOVER", Takeover.AUTOMATIC),
            session_start=_word(environment, "SESSION_START", SessionStart.PREWARMED),
            hub_start=_word(environment, "HUB_START", SessionStart.PREWARMED),
            peers=tuple(environment.get("PEERS", "").split()),
            standby_poll_s=_number(environment, "STANDBY_POLL_S", 0.5),
            heartbeat_s=_number(environment, "HEARTBEAT_S", 0.5),
            lease_ttl_s=lease_ttl_s,
            hub_grace_s=_number(environment, "HUB_GRACE_S", 15.0),
            connect_timeout_s=int(_number(environment, "DB_CONNECT_TIMEOUT_S", 2)),
            keepalives_idle_s=int(_number(environment, "DB_KEEPALIVES_IDLE_S", 2)),
            keepalives_interval_s=int(_number(environment, "DB_KEEPALIVES_INTERVAL_S", 1)),
            keepalives_count=int(_number(environment, "DB_KEEPALIVES_COUNT", 3)),
            tcp_user_timeout_ms=int(_number(environment, "DB_TCP_USER_TIMEOUT_MS", 3000)),
            snapshot_every_s=_number(environment, "SNAPSHOT_EVERY_S", 0.0),
            copy_every_s=_number(environment, "COPY_EVERY_S", 0.0),
        )

    @property
    def has_server(self) -> bool:
        """Whether the database is a server's, and not a file of the node's own."""
        return not self.database_url.startswith("sqlite:")

    @property
    def sqlalchemy_url(self) -> str:
        """The database's address for SQLAlchemy, which wants the driver's name in the scheme."""
        if not self.has_server:
            return self.database_url
        return urlunsplit(urlsplit(self.database_url)._replace(scheme="postgresql+psycopg"))

    @property
    def connect_arguments(self) -> dict[str, Any]:
        """libpq's time-outs; without them a lost packet keeps a connection for hours."""
        return {
            "connect_timeout": self.connect_timeout_s,
            "keepalives_idle": self.keepalives_idle_s,
            "keepalives_interval": self.keepalives_interval_s,
            "keepalives_count": self.keepalives_count,
            "tcp_user_timeout": self.tcp_user_timeout_ms,
        }

    @property
    def service_token(self) -> str:
        """The supervisor's own credential at the hub, the same on all nodes that share the cookie secret."""
        return hmac.new(bytes.fromhex(self.cookie_secret), b"node-supervisor", hashlib.sha256).hexdigest()


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name}: expected a value, found nothing")
    return value


def _word(environment: Mapping[str, str], name: str, default: _E) -> _E:
    text = environment.get(name, "")
    if not text:
        return default
    kind = type(default)
    try:
        return kind(text)
    except ValueError:
        words = ", ".join(word.value for word in kind)
        raise SettingsError(f"{name}: expected one of {words}, found {text!r}") from None


def _yes(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "") or "yes"
    if text not in {"yes", "no"}:
        raise SettingsError(f"{name}: expected yes or no, found {text!r}")
    return text == "yes"


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name}: expected a number not below 0, found {text!r}")
    return value
