"""The load balancer: HAProxy in front of the Workbench nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.components import jupyterhub
from harness.components.base import LOAD_BALANCER_HOST
from harness.components.certificates import certificates
from harness.components.hops import Hop, hop, link_containers
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe
from harness.core.tls import AUTHORITY_PATH, EXPIRED_PATH, SERVED_PATH, TLS_PORT
from harness.core.topology import LoadBalancer, Topology
from harness.core.words import Role

__all__ = [
    "CONFIG_PATH",
    "IMAGE",
    "IMAGES",
    "NAME",
    "PORT",
    "STATISTICS_PATH",
    "STATISTICS_PORT",
    "authority",
    "config",
    "containers",
    "entrance",
    "names",
    "statistics_url",
]

IMAGE: Final = "load_balancer"
IMAGES: Final = (IMAGE,)
NAME: Final = "load-balancer"
PORT: Final = 80
CONFIG_PATH: Final = "/etc/haproxy/haproxy.cfg"
#: Where the balancer says what it believes about each node. By plain http, whatever people come by: it is for
#: instruments inside the run's network, and a certificate that expired must not hide what the balancer believes.
STATISTICS_PORT: Final = 8404
STATISTICS_PATH: Final = "/statistics"
#: The form for programs; the only one that is answered.
_STATISTICS_AS_CSV: Final = f"{STATISTICS_PATH};csv"

# Requests go to whichever node's check succeeds: in active-passive that is the active one alone.
# - `option redispatch 1`: a connection that its node refuses is tried elsewhere at the first retry, not the last.
# - `http-reuse never`: a node's proxy closes idle connections after 5 s (Node's default). One that is shared between
#   people may be closed at the moment of reuse; then HAProxy drops the request without an answer, most often on a busy
#   node.
# - `on-marked-down shutdown-sessions`: a websocket to a dead node ends when the check fails, not after the tunnel's
#   time-out.
# - `timeout tunnel 1h`: an idle kernel's websocket must not look like an outage.
# - `hard-stop-after`: a stop does not wait for websockets that stay open for hours.
# - the X-Workbench-Node header lets users and probes say which node served them.
# - frontend statistics: read-only, because without `stats admin` nothing can be changed, and only what the instrument
#   asks for is answered. Silent rather than `no log`, which HAProxy warns about beside `option httplog`.
_CONFIG: Final = """\
global
  user haproxy
  group haproxy
  stats socket /run/haproxy/admin.sock mode 600 level admin
  log stdout format raw local0
  maxconn 8000
  hard-stop-after 5s

defaults
  mode http
  log global
  option httplog
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  timeout queue 5s
  retries 2

frontend platform
  bind :{port}{tls}
  default_backend workbench

backend workbench
  option httpchk GET {check_path}
  option redispatch 1
  http-reuse never
  http-response set-header X-Workbench-Node %s
  timeout check {timeout}
  default-server port {check_port} inter {interval} fall {fall} rise {rise} on-marked-down shutdown-sessions
{servers}

frontend statistics
  bind :{statistics_port}
  mode http
  timeout client 5s
  http-request set-log-level silent
  http-request deny unless METH_GET {{ path {statistics_as_csv} }}
  stats enable
  stats uri {statistics_path}
"""

# Only http/1.1: with http/2, which HAProxy 2.6 offers nobody by itself either, a websocket is a stream among others and
# no connection of its own. Nodes learn from the header what browsers speak; but their own proxy appends what it speaks,
# and by that the hub goes, so most cookies come without the mark that keeps them from plain connections: it is added.
_TLS: Final = rf""" ssl crt {SERVED_PATH} ssl-min-ver TLSv1.2 alpn http/1.1
  http-request set-header X-Forwarded-Proto https
  http-response replace-header Set-Cookie '^((?:(?!; *[Ss]ecure).)+)$' '\1; Secure'"""


def config(balancer: LoadBalancer, nodes: Mapping[str, str], checks: Mapping[str, str] | None = None) -> str:
    """HAProxy's configuration for `nodes`: name -> IPv4 address, with a port where it is not the proxy's own.

    `checks` has the port of a node's health check where that is not the product's own. Addresses rather than names:
    HAProxy resolves names at its start and refuses to start where one is missing.
    """
    wholes = {name: way if ":" in way else f"{way}:{jupyterhub.PROXY_PORT}" for name, way in nodes.items()}
    ports = {name: f" port {port}" for name, port in (checks or {}).items()}
    servers = [f"  server {name} {way} check{ports.get(name, '')}" for name, way in wholes.items()]
    return _CONFIG.format(
        port=entrance(balancer)[1],
        tls=_TLS if balancer.tls else "",
        check_path=jupyterhub.ACTIVE_PATH,
        check_port=jupyterhub.ACTIVE_PORT,
        interval=_milliseconds(balancer.check_interval_s),
        timeout=_milliseconds(balancer.check_timeout_s),
        fall=balancer.check_fall,
        rise=balancer.check_rise,
        servers="\n".join(servers),
        statistics_port=STATISTICS_PORT,
        statistics_path=STATISTICS_PATH,
        statistics_as_csv=_STATISTICS_AS_CSV,
    )


def entrance(balancer: LoadBalancer) -> tuple[str, int]:
    """The scheme by which people come, and the port; it is the scheme's own, so no address has to name it."""
    return ("https", TLS_PORT) if balancer.tls else ("http", PORT)


def statistics_url(name: str, address: str) -> str:
    """Where the balancer `name` at `address` says what it believes about its nodes, as CSV.

    The fragment is its name, for whoever reads what it said; it is never sent.
    """
    return f"http://{address}:{STATISTICS_PORT}{_STATISTICS_AS_CSV}#{name}"


def authority(topology: Topology, context: NodeContext) -> str:
    """What clients verify the balancer with, as text in PEM; empty where it does not speak TLS."""
    return _certificate_files(topology, context).get(AUTHORITY_PATH, "")


def names(_topology: Topology) -> tuple[str, ...]:
    """One balancer."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The balancer; it starts when every node is ready, so that its own readiness is the platform's."""
    nodes, checks = dict[str, str](), dict[str, str]()
    for number, node in enumerate(jupyterhub.containers(topology, context)):
        direct = [Hop(node.name, node.host_number, port) for port in jupyterhub.PORTS]
        ends = (Role.LOAD_BALANCER, 0), (Role.WORKBENCH, number)
        ways = [hop(topology, *ends, hop_, service) for service, hop_ in enumerate(direct)]
        nodes[node.name] = context.address(ways[0].host_number)
        if ways != direct:
            nodes[node.name] += f":{ways[0].port}"
            checks[node.name] = str(ways[1].port)
    return (
        ContainerSpec(
            name=NAME,
            role=Role.LOAD_BALANCER,
            image=IMAGE,
            host_number=LOAD_BALANCER_HOST,
            files={
                CONFIG_PATH: config(topology.load_balancer, nodes, checks),
                **_certificate_files(topology, context),
            },
            depends_on=(*nodes, *link_containers(topology, Role.LOAD_BALANCER, Role.WORKBENCH)),
            ready=ReadyProbe(
                argv=("/usr/local/bin/ready", "/hub/login"), proves="the log-in page comes through the balancer"
            ),
        ),
    )


def _certificate_files(topology: Topology, context: NodeContext) -> dict[str, str]:
    """The expired one too, so that a fault needs no key of its own."""
    if not topology.load_balancer.tls:
        return {}
    made = certificates(context, context.address(LOAD_BALANCER_HOST), NAME)
    return {SERVED_PATH: made.served, EXPIRED_PATH: made.expired, AUTHORITY_PATH: made.authority}


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
