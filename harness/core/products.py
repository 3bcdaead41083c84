"""The frozen model of the products that fill the roles of a topology, with every knob that decides availability.

Every field has a default that a careful administrator would choose, or none where only the user can know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from harness.core.constraints import Bounds, Count, Period, Positive, Seconds

__all__ = [
    "STRICT",
    "Autoscale",
    "Backup",
    "Check",
    "Database",
    "LoadBalancer",
    "Patroni",
    "PostgresServer",
    "Storage",
    "Workbench",
]

#: Keys that the model does not know are mistakes.
STRICT: dict[str, object] = {"extra": "forbid"}


#: What a health check can ask of a node, from shallow to deep; `docs/topologies.md` has what each can't see.
Check = Literal["tcp", "proxy", "hub", "active", "log_in"]


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """HAProxy in front of the Workbench nodes: one, or a pair of which one holds a virtual address (keepalived)."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: Literal["haproxy"] = "haproxy"
    nodes: Annotated[int, Bounds(1, 2)] = 1
    """Two need `vip: true`: people know one address only."""
    vip: bool = False
    """Whether people come to a virtual address, which the one of the pair holds that is up and reaches a node (VRRPv3
    by keepalived). Without it the death of the balancer is the end until somebody repairs it."""
    vrrp_interval_s: Annotated[float, Bounds(0.1, 10)] = 0.2
    """How often the holder says that it is there; after three silent intervals the other one takes the address.
    Measured: 0.6 to 1.0 s at 0.2 s, 3.1 to 3.9 s at 1 s."""
    balance: Literal["roundrobin", "leastconn", "load"] = "leastconn"
    """To which node somebody new goes: to each in turn, to the one with the fewest connections, or, with `load`, in
    turn by weights that the nodes themselves give once a second by how busy their processors are (agent check)."""
    stickiness: Literal["cookie", "table", "none"] = "cookie"
    """How somebody is led back to their node: by a cookie with its name, by a table in the balancer's memory (shared by
    a pair, lost by a single one), or not at all."""
    redispatch: bool = True
    """Whether people of a node that is down are sent to another one. Without it they wait for theirs (HAProxy's
    `option persist`): right only where nobody else could serve them."""
    check: Check = "active"
    """What the health check of a node asks. tcp: does its port accept; proxy: does its proxy answer; hub: does its hub
    answer (/hub/health); active: has its hub answered within 15 s, so that a hub's restart is ridden over, and does it
    hold the lease in active-passive; log_in: the same, and did its database answer within 3 s."""
    session_check: Literal["same", "tcp", "proxy", "hub", "active", "log_in"] = "same"
    """What the check for the way to running sessions (/user/...) asks, if that is to be checked apart from the way to
    the hub. `proxy` is right: a session needs no hub. Apart, people are never moved away from a session that lives."""
    check_interval_s: Period = 0.5
    """How often each node's health check runs."""
    check_timeout_s: Period = 1.0
    """A check without an answer for this long has failed. Too short, and a node that is only busy (everybody starts a
    session at once) is taken out; too long, and a dead one stays in."""
    check_fall: Positive = 2
    """Failed checks in a row until the node gets no more requests. Where the way to sessions is checked apart this is
    for the way to the hub, and should ride over the hub's restart."""
    check_rise: Positive = 1
    """Good checks in a row until the node gets requests again."""
    tls: bool = False
    """Whether people come by https, on port 443 instead of 80, with a certificate of an authority that is made for each
    run. It costs the balancer the handshakes, and a certificate can expire; nodes get plain http all the same."""


@dataclass(frozen=True, kw_only=True)
class Autoscale:
    """A policy that changes the number of nodes by how many people are at work. It is in force in experiments with
    `load.day` only, so that no other shows what two causes did."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    sessions_per_node: Positive
    """How many sessions a node should have: there shall be as many nodes as that takes, rounded up."""
    nodes_at_least: Annotated[int, Bounds(1, 9)] = 1
    """Fewer it never leaves."""
    nodes_at_most: Annotated[int, Bounds(1, 9)]
    """More it never starts; there is a place for each."""
    cool_down_s: Seconds = 15.0
    """After a change, from its end on, nothing is changed for so long."""
    drain: bool = True
    """Whether a node that goes is drained first. Without it, it goes as an autoscaler takes servers that keep
    nothing."""
    drain_s: Seconds = 20.0
    """How long people of a drained node may stay there. Whoever is still there then is cut off."""

    def wanted(self, sessions: int) -> int:
        """How many nodes there should be for so many sessions."""
        return min(self.nodes_at_most, max(self.nodes_at_least, -(-sessions // self.sessions_per_node)))


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """JupyterHub nodes with live notebook kernels."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: Literal["jupyterhub"] = "jupyterhub"
    nodes: Annotated[int, Bounds(1, 9)] = 2
    """Nine at most: the run's subnet keeps nine addresses for them (`harness.components.base`)."""
    spare_nodes: Annotated[int, Bounds(0, 8)] = 0
    """Places for nodes that join later, without anything being started again: the balancers have a closed place for
    each and the database an empty one. Nobody is there before an experiment's `scale` or `upgrade` brings somebody;
    with the nodes at most nine."""
    autoscale: Autoscale | None = None
    """A policy by which the number of nodes follows a day's curve of people. Without it that number is fixed."""
    mode: Literal["single", "separate", "active-active", "active-passive"] = "active-passive"
    """single: one node. separate: each node is a team's own, and nothing is shared. active-active: every node runs a
    hub of its own with a database of its own, and people stay on the node they came to (JupyterHub's hubs can't share a
    database, so a log-in is worth nothing on another node). active-passive: one hub database, the hub runs where the
    advisory lock is held, the others stand by."""
    supervised: bool = True
    """Whether a process of a node (hub, proxy, fork server) that ended is started again at once, as systemd with
    Restart=always does. Without it only a restart of the machine brings it back."""
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
    hub_start: Literal["cold", "prewarmed"] = "prewarmed"
    """cold: the hub executes a fresh interpreter, as stock JupyterHub does: some 3 s until it answers after a crash.
    prewarmed: it is forked from a warm parent that has imported everything, and answers within 1 s."""
    homes_client: Literal["auto", "kernel", "fuse"] = "auto"
    """The NFS client in each node: the kernel's where there is one, else the FUSE client. Without `storage` there is
    none, and homes are on each node's own disk."""
    snapshot_every_s: Count = 0
    """How often a snapshot of what is on the node's own disk, the hub's database file and all homes, is written to the
    backup disk; 0: never. It bounds what a disaster loses: all that came since the last one. Nightly in the world
    outside, much oftener here, so that a run sees one."""
    standby: Literal["none", "cold", "warm"] = "none"
    """cold: a second machine with the software installed and nothing running, on which the latest snapshot can be
    restored. warm: to which the hub's database file and all homes are copied every `copy_every_s`, so that nothing must
    be restored. It decides how long a disaster lasts: without it there is no machine to go on with."""
    copy_every_s: Period = 2.0
    """Only for `standby: warm`: how often what has changed is copied. It bounds what a disaster loses. What somebody
    deleted, or a broken program wrote, is copied too: a warm standby replaces no snapshots."""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """What there is to choose for a PostgreSQL server, be it alone or one of several."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: str
    keepalives_idle_s: Positive = 2
    """Idle seconds before a silent connection is probed; this and the three below are set on both sides, server and
    nodes. With PostgreSQL's own default (the kernel's 2 h) neither notices for hours that the other was cut off."""
    keepalives_interval_s: Positive = 1
    """Seconds between two probes of a silent connection."""
    keepalives_count: Positive = 3
    """Probes without an answer until the connection is given up."""
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
    proxy: Literal["shared", "per-node"] = "shared"
    """Where the HAProxy is that leads to the primary: one machine of its own, which is a single point of failure, or
    one on every Workbench node, which dies with its node only."""
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
    """NFS-Ganesha that exports the users' homes: one server, or a pair with a virtual address on the same disk."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    product: Literal["nfs-ganesha"] = "nfs-ganesha"
    nodes: Annotated[int, Bounds(1, 2)] = 1
    """Two need `vip: true`: clients know one address only. Both have the same disk, as two heads of one array have."""
    vip: bool = False
    """Whether clients mount from a virtual address, which the one of the pair holds whose server runs (keepalived)."""
    vrrp_interval_s: Annotated[float, Bounds(0.1, 10)] = 0.2
    """As the load balancer's."""
    mount: Literal["hard", "soft"] = "hard"
    """What a node does while the server does not answer. hard: everybody waits, and nothing is lost. soft: after
    `soft_timeout_s` programs get an error (EIO), which few handle, so that data may be lost."""
    soft_timeout_s: Positive = 10
    """Only for `mount: soft`."""
    grace_period_s: Count = 15
    """Seconds after a restart in which new state is refused so that NFSv4 clients can reclaim their locks. It costs
    nothing where no client held any (the FUSE client): then the server lifts it at once. 0 never grants it."""
    size_mb: Count = 1024
    """Size of the homes' disk in MiB: a file system of its own, which takes only the space that is used. 0: no disk of
    its own, and disk faults are refused."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A machine that writes snapshots of every hub's database (pg_dump) and of all homes to a disk elsewhere, and on
    which the newest can be restored after a disaster. For a platform with database and storage; a node that keeps all
    on its own disk has `snapshot_every_s`."""

    __pydantic_config__: ClassVar[dict[str, object]] = STRICT

    every_s: Positive = 30
    """How often. It bounds what a disaster loses: all that came since the last one. Nightly in the world outside, much
    oftener here, so that a run sees one."""
