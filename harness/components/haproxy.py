"""The load balancer: HAProxy in front of the Workbench nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.components import jupyterhub
from harness.components.base import LOAD_BALANCER_HOST
from harness.core.model import LoadBalancer, Role, Topology
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe

__all__ = ["CONFIG_PATH", "IMAGE", "NAME", "PORT", "config", "containers", "names"]

IMAGE: Final = "load_balancer"
NAME: Final = "load-balancer"
PORT: Final = 80
CONFIG_PATH: Final = "/etc/haproxy/haproxy.cfg"

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
  bind :{port}
  default_backend workbench

backend workbench
  option httpchk GET {check_path}
  option redispatch 1
  http-reuse never
  http-response set-header X-Workbench-Node %s
  timeout check {timeout}
  default-server port {check_port} inter {interval} fall {fall} rise {rise} on-marked-down shutdown-sessions
{servers}
"""


def config(balancer: LoadBalancer, nodes: Mapping[str, str]) -> str:
    """HAProxy's configuration for `nodes`: name -> IPv4 address.

    Addresses rather than names: HAProxy resolves names at its start and refuses to start where one is missing.
    """
    servers = [f"  server {name} {address}:{jupyterhub.PROXY_PORT} check" for name, address in nodes.items()]
    return _CONFIG.format(
        port=PORT,
        check_path=jupyterhub.ACTIVE_PATH,
        check_port=jupyterhub.ACTIVE_PORT,
        interval=_milliseconds(balancer.check_interval_s),
        timeout=_milliseconds(balancer.check_timeout_s),
        fall=balancer.check_fall,
        rise=balancer.check_rise,
        servers="\n".join(servers),
    )


def names(_topology: Topology) -> tuple[str, ...]:
    """One balancer."""
    return (NAME,)


def containers(topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
    """The balancer; it starts when every node is ready, so that its own readiness is the platform's."""
    nodes = {node.name: context.address(node.host_number) for node in jupyterhub.containers(topology, context)}
    return (
        ContainerSpec(
            name=NAME,
            role=Role.LOAD_BALANCER,
            image=IMAGE,
            host_number=LOAD_BALANCER_HOST,
            files={CONFIG_PATH: config(topology.load_balancer, nodes)},
            depends_on=tuple(nodes),
            ready=ReadyProbe(
                argv=("/usr/local/bin/ready", "/hub/login"), proves="the log-in page comes through the balancer"
            ),
        ),
    )


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
