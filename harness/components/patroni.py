"""The database as a cluster: PostgreSQL servers under Patroni, etcd, and an HAProxy that leads to the primary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from harness.components import etcd, postgresql
from harness.components.base import DATABASE_HOST, DATABASE_PROXY_HOST, PATIENT_S, pick
from harness.components.hops import Hop
from harness.core.products import Patroni
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = [
    "API_PORT",
    "CONFIG_PATH",
    "IMAGE",
    "IMAGES",
    "NODE_PROXY_CONFIG_PATH",
    "PORTS",
    "PRIMARY_PROBE",
    "PROXY_NAME",
    "PROXY_ROLE",
    "config",
    "containers",
    "gates",
    "names",
    "node_files",
    "proxy_config",
    "switch_over",
    "url",
]

IMAGE: Final = "patroni"
_PROXY_IMAGE: Final = "load_balancer"
IMAGES: Final = (etcd.IMAGE, IMAGE, _PROXY_IMAGE)
PORTS: Final = postgresql.PORTS
CONFIG_PATH: Final = "/etc/patroni.json"
_PROXY_CONFIG_PATH: Final = "/etc/haproxy/haproxy.cfg"
#: Where the node's supervisor looks for it.
NODE_PROXY_CONFIG_PATH: Final = "/etc/haproxy/database.cfg"
PROXY_NAME: Final = "database-proxy"
#: The HAProxy in front of the servers is a part of the database, but no member of its role.
PROXY_ROLE: Final = "database_proxy"
#: Of Patroni's REST interface, in each server.
API_PORT: Final = 8008
_READY_PORT: Final = 8080
_CLUSTER: Final = "hub"
_VOLUME: Final = "/var/lib/postgresql/data"
#: Making the first server's data takes 4 s, copying it to the others 3 s, on a machine that does nothing else.
_READY_TIMEOUT_S: Final = 120.0

#: Resolves `database[primary]`: run in each server, it exits 0 exactly where Patroni is sure to hold the lease, which
#: is also what the HAProxy asks. urlopen raises for a 503.
PRIMARY_PROBE: Final = (
    "python3",
    "-I",
    "-c",
    f"import urllib.request as r; r.urlopen('http://127.0.0.1:{API_PORT}/primary', timeout=2)",
)

_SWITCH_OVER: Final = f"""\
import json, sys, urllib.error, urllib.request as r
demand = json.dumps({{"leader": sys.argv[1]}}).encode()
try:
    r.urlopen(r.Request("http://127.0.0.1:{API_PORT}/switchover", demand), timeout=30)
except urllib.error.HTTPError as refusal:
    sys.exit(f"{{refusal.code}}: {{refusal.read().decode()}}")
"""

# - `on-marked-down shutdown-sessions`: whoever is connected to a server that is primary no longer must come again.
# - `timeout client`, `timeout server`: a connection that holds a lock is idle for as long as its holder likes.
# - keep-alives and `tcp-ut` on both sides: with a proxy in between neither node nor server sees the other's end.
# - OPTIONS: Patroni answers with the status alone.
_PROXY_IDENTITY: Final = """
  user haproxy
  group haproxy
  stats socket /run/haproxy/admin.sock mode 600 level admin"""
_NODE_IDENTITY: Final = ""
_PROXY_CONFIG: Final = """\
global{identity}
  log stdout format raw local0
  maxconn 2000
  hard-stop-after 5s

defaults
  mode tcp
  log global
  option tcplog
  timeout connect 1s
  timeout client 24h
  timeout server 24h
  retries 2

listen primary
  bind {address}:{port} tcp-ut {user_timeout}
  option clitcpka
  clitcpka-idle {idle}
  clitcpka-intvl {interval}
  clitcpka-cnt {count}
  option srvtcpka
  srvtcpka-idle {idle}
  srvtcpka-intvl {interval}
  srvtcpka-cnt {count}
  option httpchk OPTIONS /primary
  http-check expect status 200
  timeout check {check_timeout}
  default-server port {api_port} inter {check_interval} fall {fall} rise {rise} tcp-ut {user_timeout} \
on-marked-down shutdown-sessions
{servers}

frontend readiness
  mode http
  option httplog
  bind 127.0.0.1:{ready_port}
  timeout client 5s
  monitor-uri /ready
  monitor fail if {{ nbsrv(primary) lt 1 }}
"""


def url(topology: Topology, context: NodeContext, node: int, name: str) -> str:
    """How the hub of a node reaches its database `name` on the primary; holds the password."""
    if _settings(topology).proxy == "per-node":
        return postgresql.url(topology, context, node, name, Hop("127.0.0.1", 0, PORTS[0]))
    return postgresql.url(topology, context, node, name, Hop(PROXY_NAME, DATABASE_PROXY_HOST, PORTS[0]))


def names(topology: Topology) -> tuple[str, ...]:
    """`database-0` and so on."""
    return tuple(f"database-{index}" for index in range(_settings(topology).nodes))


def gates(topology: Topology) -> tuple[str, ...]:
    """The containers that the nodes of the platform connect to."""
    return names(topology) if _settings(topology).proxy == "per-node" else (PROXY_NAME,)


def switch_over(leader: str) -> tuple[str, ...]:
    """Run in the primary, which is called `leader`: it hands over to a replica that has everything, and becomes one.

    Exits with another code than 0, and Patroni's reason, where that is refused.
    """
    return ("python3", "-I", "-c", _SWITCH_OVER, leader)


def node_files(topology: Topology, context: NodeContext) -> dict[str, str]:
    """The configuration of the HAProxy on every Workbench node, where each has one of its own."""
    database = _settings(topology)
    if database.proxy == "shared":
        return {}
    return {NODE_PROXY_CONFIG_PATH: proxy_config(database, _servers(topology, context), on_node=True)}


def _servers(topology: Topology, context: NodeContext) -> dict[str, str]:
    return {name: context.address(DATABASE_HOST + index) for index, name in enumerate(names(topology))}


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """etcd, the servers, all alike (who is primary is decided at run time), and the HAProxy."""
    database = _settings(topology)
    servers = _servers(topology, context)
    nodes = tuple(_server(topology, context, index, servers) for index in range(database.nodes))
    members = (*etcd.containers(database.etcd_nodes, context), *nodes)
    if database.proxy == "per-node":
        return members
    proxy = ContainerSpec(
        name=PROXY_NAME,
        role=PROXY_ROLE,
        image=_PROXY_IMAGE,
        host_number=DATABASE_PROXY_HOST,
        files={_PROXY_CONFIG_PATH: proxy_config(database, servers)},
        depends_on=tuple(servers),
        ready=ReadyProbe(
            argv=("/usr/local/bin/ready", "/ready", "200", str(_READY_PORT)), proves="there is a primary behind it"
        ),
    )
    return (*members, proxy)


def config(database: Patroni, name: str, servers: Mapping[str, str], etcd_addresses: tuple[str, ...]) -> str:
    """Patroni's configuration for one of `servers` (name -> IPv4 address), without passwords: they come by environment.

    What is below `bootstrap` becomes the cluster's own, in etcd, when its first server is made.
    """
    address = servers[name]
    timeout_ms = database.replica_timeout_s * 1000
    whole: dict[str, Any] = {
        "scope": _CLUSTER,
        "name": name,
        "restapi": {
            "listen": f"0.0.0.0:{API_PORT}",
            "connect_address": f"{address}:{API_PORT}",
            # everybody may ask; only the machine itself and the other servers may demand something (failsafe_mode)
            "allowlist": ["127.0.0.1", *servers.values()],
        },
        "etcd3": {"hosts": list(etcd_addresses)},
        "bootstrap": {
            "dcs": {
                "ttl": database.ttl_s,
                "loop_wait": database.loop_wait_s,
                "retry_timeout": database.retry_timeout_s,
                "maximum_lag_on_failover": database.maximum_lag_kb * 1024,
                "primary_start_timeout": database.primary_start_timeout_s,
                "synchronous_mode": database.synchronous,
                "synchronous_mode_strict": database.synchronous_strict,
                "failsafe_mode": database.failsafe_mode,
                "postgresql": {
                    "use_pg_rewind": True,
                    "use_slots": True,
                    "parameters": {
                        "max_connections": postgresql.MAX_CONNECTIONS,
                        "wal_keep_size": "256MB",
                        # a replica that stays away must not fill the primary's disk
                        "max_slot_wal_keep_size": "512MB",
                    },
                },
            },
            # pg_rewind needs checksums (or wal_log_hints); no-sync, because post-init syncs the whole disk once
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums", "no-sync"],
            "post_init": "/usr/local/bin/post-init",
        },
        "postgresql": {
            "listen": f"0.0.0.0:{PORTS[0]}",
            "connect_address": f"{address}:{PORTS[0]}",
            "data_dir": f"{_VOLUME}/cluster",
            "bin_dir": "/usr/lib/postgresql/15/bin",
            "pgpass": "/run/postgresql/pgpass",
            "use_unix_socket": True,
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": "replicator"},
                "rewind": {"username": "rewinder"},
            },
            # a copy begins at a checkpoint, which by default takes its time
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {
                **postgresql.parameters(database),
                "unix_socket_directories": "/run/postgresql",
                "wal_sender_timeout": timeout_ms,
                "wal_receiver_timeout": timeout_ms,
                "log_destination": "stderr",
                "logging_collector": "off",
            },
            "pg_hba": [
                "local all postgres peer",
                "local all all scram-sha-256",
                "host replication replicator all scram-sha-256",
                "host all all all scram-sha-256",
            ],
        },
        # there is no watchdog device in a container: a primary that was frozen steps down when it is thawed
        "watchdog": {"mode": "off"},
    }
    return json.dumps(whole, indent=1) + "\n"


def proxy_config(database: Patroni, servers: Mapping[str, str], *, on_node: bool = False) -> str:
    """HAProxy's configuration for `servers` (name -> IPv4 address): for a machine of its own, or for a Workbench node,
    where it is the node's unprivileged user and takes connections of the node only."""
    return _PROXY_CONFIG.format(
        identity=_NODE_IDENTITY if on_node else _PROXY_IDENTITY,
        address="127.0.0.1" if on_node else "",
        port=PORTS[0],
        ready_port=_READY_PORT,
        api_port=API_PORT,
        user_timeout=f"{database.user_timeout_s}s",
        idle=f"{database.keepalives_idle_s}s",
        interval=f"{database.keepalives_interval_s}s",
        count=database.keepalives_count,
        check_interval=f"{round(database.check_interval_s * 1000)}ms",
        check_timeout=f"{round(database.check_timeout_s * 1000)}ms",
        fall=database.check_fall,
        rise=database.check_rise,
        servers="\n".join(f"  server {name} {address}:{PORTS[0]} check" for name, address in servers.items()),
    )


def _server(topology: Topology, context: NodeContext, index: int, servers: Mapping[str, str]) -> ContainerSpec:
    database = _settings(topology)
    name = list(servers)[index]
    synchronous = ("synchronous",) if database.synchronous else ()
    return ContainerSpec(
        name=name,
        role=Role.DATABASE,
        image=IMAGE,
        host_number=DATABASE_HOST + index,
        environment={"DB_NAMES": " ".join(postgresql.every_database(topology)), "DB_USER": postgresql.USER},
        secrets={
            **pick(context.secrets, "DB_PASSWORD"),
            "PATRONI_SUPERUSER_PASSWORD": context.secrets["DB_ADMIN_PASSWORD"],
            "PATRONI_REPLICATION_PASSWORD": context.secrets["DB_REPLICATION_PASSWORD"],
            "PATRONI_REWIND_PASSWORD": context.secrets["DB_REPLICATION_PASSWORD"],
        },
        files={CONFIG_PATH: config(database, name, servers, etcd.addresses(database.etcd_nodes, context))},
        mounts=(Mount(volume=name, path=_VOLUME, size_mb=database.size_mb),),
        depends_on=etcd.names(database.etcd_nodes),
        ready=ReadyProbe(
            argv=("/usr/local/bin/ready", *synchronous),
            proves="it is the primary and takes writes, or a replica and streams",
            timeout_s=_READY_TIMEOUT_S,
            interval_s=PATIENT_S,
        ),
    )


def _settings(topology: Topology) -> Patroni:
    assert isinstance(topology.database, Patroni), "the registry asks this module for product patroni only"
    return topology.database
