"""The frozen model of what is built. `spec` reads YAML into these classes.

Every field has a default that a careful administrator would choose, or none where only the user can know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds, ByProduct, Count, Period, Positive, Seconds
from harness.core.words import Recovery, Role, SessionOutcome

__all__ = [
    "Database",
    "Link",
    "LoadBalancer",
    "Patroni",
    "PostgresServer",
    "Promise",
    "Storage",
    "Topology",
    "Workbench",
]

#: Keys that the model does not know are mistakes.
_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """HAProxy in front of the Workbench nodes."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    product: Literal["haproxy"] = "haproxy"
    check_interval_s: Period = 0.5
    """How often each node's health check runs."""
    check_timeout_s: Period = 1.0
    """A check without an answer for this long has failed. Too short, and a node that is only busy (everybody starts a
    session at once) is taken out; too long, and a dead one stays in."""
    check_fall: Positive = 2
    """Failed checks in a row until the node gets no more requests."""
    check_rise: Positive = 1
    """Good checks in a row until the node gets requests again."""
    tls: bool = False
    """Whether people come by https, on port 443 instead of 80, with a certificate of an authority that is made for each
    run. It costs the balancer the handshakes, and a certificate can expire; nodes get plain http all the same."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """JupyterHub nodes with live notebook kernels."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    product: Literal["jupyterhub"] = "jupyterhub"
    nodes: Annotated[int, Bounds(1, 9)] = 2
    """Nine at most: the run's subnet keeps nine addresses for them (`harness.components.base`)."""
    mode: Literal["active-passive"] = "active-passive"
    """active-passive: one hub database, the hub runs where the advisory lock is held, the others stand by."""
    takeover: Literal["automatic", "first-holder"] = "automatic"
    """Who may take the lock: any standby, or only the node that held it first (a standby that never takes over)."""
    standby_poll_s: Period = 0.5
    """How often a standby tries to take the lock."""
    lease_ttl_s: Annotated[float, Bounds(3)] = 3.0
    """A holder that the database has not heard for this long loses the lock, even if its kernel still answers the
    keepalives of a hung node; at least six of its half-second heartbeats."""
    session_start: Literal["cold", "prewarmed"] = "prewarmed"
    """cold: every server and kernel executes a fresh interpreter, as stock JupyterHub does. prewarmed: they are forked
    from one warm parent a node, which has imported everything, as platforms with a session pool do. It decides how much
    time and processor a node needs until everybody is back after a failure, and how many people fit into its memory."""
    homes_client: Literal["auto", "kernel", "fuse"] = "auto"
    """The NFS client in each node: the kernel's where there is one, else the FUSE client."""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """What there is to choose for a PostgreSQL server, be it alone or one of several."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    product: str
    keepalives_idle_s: Positive = 2
    """Idle seconds before a silent connection is probed; this and the three below are set on both sides, server and
    nodes. With PostgreSQL's own default (the kernel's 2 h) neither notices for hours that the other was cut off."""
    keepalives_interval_s: Positive = 1
    keepalives_count: Positive = 3
    user_timeout_s: Positive = 3
    """Unacknowledged data for this long ends a connection (tcp_user_timeout)."""
    size_mb: Count = 2048
    """Size of its disk in MiB: a file system of its own, which takes only the space that is used. PostgreSQL may keep
    1 GiB of write-ahead log (max_wal_size). 0: no disk of its own, and disk faults are refused."""


@dataclass(frozen=True, kw_only=True)
class Database(PostgresServer):
    """One PostgreSQL server."""

    product: Literal["postgresql"] = "postgresql"


@dataclass(frozen=True, kw_only=True)
class Patroni(PostgresServer):
    """Several PostgreSQL servers, of which Patroni keeps exactly one the primary, with etcd as its memory; an HAProxy
    in front of them leads to the primary."""

    product: Literal["patroni"] = "patroni"
    nodes: Annotated[int, Bounds(1, 5)] = 3
    """Servers with the data. Two survive the loss of one; with three there still is a replica while one is repaired.
    Five at most: the run's subnet keeps five addresses for them (`harness.components.base`)."""
    etcd_nodes: Literal[1, 3, 5] = 3
    """Members of etcd, of which more than half must be alive to decide who is primary: 3 survive the loss of one."""
    synchronous: bool = True
    """Whether a write is acknowledged only when a replica has it too, and only such a replica may become primary. It
    decides whether a failover loses acknowledged writes (measured under a partition: none, against 292), and costs
    every write a round trip. Without any replica left writes go on all the same, unless it is strict."""
    synchronous_strict: bool = False
    """Whether writes wait, for ever if need be, while there is no replica to have them too."""
    failsafe_mode: bool = True
    """Whether the primary goes on without etcd for as long as it reaches every replica. Without it, all writes fail a
    few seconds after etcd lost its majority, or the primary its way there."""
    ttl_s: Annotated[int, Bounds(20)] = 20
    """A primary that has not renewed its lease in etcd for this long is replaced: nearly all of the outage when it dies
    or hangs. 20, 1 and 3 are the shortest that Patroni accepts (its own defaults are 30, 10 and 10); measured: 22 s
    against 29 s until the next write after the primary was killed."""
    loop_wait_s: Annotated[int, Bounds(1)] = 1
    """How often each server looks after its state: it adds to every failover and switchover."""
    retry_timeout_s: Annotated[int, Bounds(3)] = 3
    """How long the primary tries to reach etcd before it steps down. Longer rides over short losses of etcd; at most
    half of what `loop_wait_s` leaves of `ttl_s`, so that it has stepped down before another takes its place."""
    primary_start_timeout_s: Count = 300
    """How long a primary whose server process crashed may take to start again before a replica takes its place; 0: a
    replica takes its place at once. Patroni's own default."""
    maximum_lag_kb: Count = 1024
    """A replica that is further behind does not become primary: without `synchronous`, this much of what was
    acknowledged may be lost, plus what was written after the last look. Patroni's own default."""
    replica_timeout_s: Positive = 5
    """A replica, or a primary, that the other has not heard for this long is taken for dead (wal_sender_timeout and
    wal_receiver_timeout). With `synchronous` every write waits for that long when the replica hangs; PostgreSQL's own
    default is 60 s."""
    check_interval_s: Period = 0.5
    """How often the HAProxy asks each server whether it is the primary; it adds to every failover and switchover."""
    check_timeout_s: Period = 1.0
    """A check without an answer for this long has failed."""
    check_fall: Positive = 2
    """Failed checks in a row until connections to a server are cut and no more are made."""
    check_rise: Positive = 1
    """Good checks in a row until connections are made to a server."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """One NFS-Ganesha server that exports the users' homes."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    product: Literal["nfs-ganesha"] = "nfs-ganesha"
    grace_period_s: Count = 15
    """Seconds after a restart in which new state is refused so that NFSv4 clients can reclaim their locks. It costs
    nothing where no client held any (the FUSE client): then the server lifts it at once. 0 never grants it."""
    size_mb: Count = 1024
    """Size of the homes' disk in MiB: a file system of its own, which takes only the space that is used. 0: no disk of
    its own, and disk faults are refused."""


def _without_underscore(field_name: str) -> str:
    return field_name.rstrip("_")


@dataclass(frozen=True, kw_only=True)
class Link:
    """A Toxiproxy through which one role reaches another, so that latency, bandwidth and broken connections can be had
    on any kernel. In the file: `links: [{from: workbench, to: database}]`."""

    # `from` is a word of Python's own
    __pydantic_config__: ClassVar[dict[str, object]] = {**_STRICT, "alias_generator": _without_underscore}

    product: Literal["toxiproxy"] = "toxiproxy"
    from_: Role
    """The role that opens the connections."""
    to: Role
    """The role that accepts them."""

    POSSIBLE: ClassVar[tuple[tuple[Role, Role], ...]] = (
        (Role.LOAD_BALANCER, Role.WORKBENCH),
        (Role.WORKBENCH, Role.DATABASE),
        (Role.WORKBENCH, Role.STORAGE),
    )
    """Who talks to whom, over TCP throughout."""


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What whoever builds a topology believes about one experiment; a run keeps or breaks it."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    recovers: Literal[Recovery.UNAFFECTED, Recovery.BY_DESIGN, Recovery.BY_REPAIR]
    """The worst way of recovering that is still as promised."""
    session_outcome: SessionOutcome
    """The worst outcome of any session that is still as promised."""
    log_in_kept: bool
    """Nobody has to log in again."""
    outage_at_most_s: Seconds
    """Upper bound of the outage of every capability, and of every person's disturbance, that a repair does not end."""
    writes_lost_at_most: Count = 0
    """Acknowledged writes that may be missing afterwards."""
    why: str
    """The mechanism that the promise rests on."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """A platform, described by its roles."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    description: str
    load_balancer: LoadBalancer
    workbench: Workbench
    database: Annotated[Database | Patroni, ByProduct()]
    storage: Storage
    links: tuple[Link, ...] = ()
    """Between which roles a Toxiproxy stands."""
    promises: Mapping[str, Promise] = field(default_factory=dict)
    """Keyed by the experiment's name."""
    name: str = ""
    """The file's name without its ending; not a key of the file."""

    def roles(self) -> tuple[Role, ...]:
        """The roles this topology has."""
        return tuple(Role)

    def link(self, source: Role, target: Role) -> Link | None:
        """The link by which `source` reaches `target`, if there is one."""
        return next((link for link in self.links if (link.from_, link.to) == (source, target)), None)

    def size(self, role: Role) -> int:
        """How many members a role has."""
        if role is Role.DATABASE and isinstance(self.database, Patroni):
            return self.database.nodes
        return self.workbench.nodes if role is Role.WORKBENCH else 1
