"""HAProxy's configuration for the load balancer, from the knobs of the topology."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from harness.components import jupyterhub
from harness.core.products import LoadBalancer
from harness.core.tls import SERVED_PATH

__all__ = [
    "MONITOR_PATH",
    "MONITOR_PORT",
    "SERVERS_STATE",
    "STATISTICS_AS_CSV",
    "STATISTICS_PATH",
    "STATISTICS_PORT",
    "WORKER",
    "Server",
    "config",
    "reload_with",
    "seen_down",
    "set_state",
]

#: Where the balancer says what it believes about each node. By plain http, whatever people come by: it is for
#: instruments inside the run's network, and a certificate that expired must not hide what the balancer believes.
STATISTICS_PORT: Final = 8404
STATISTICS_PATH: Final = "/statistics"
#: The form for programs; the only one that is answered.
STATISTICS_AS_CSV: Final = f"{STATISTICS_PATH};csv"
#: Only in a pair: answers 200 while a node can be reached; what decides who of the two holds the address.
MONITOR_PORT: Final = 8405
MONITOR_PATH: Final = "/reaches-a-node"
_PEERS_PORT: Final = 10_000
#: Where it takes orders, from root in its own container.
_ADMIN_SOCKET: Final = "/run/haproxy/admin.sock"

# - `http-reuse never`: a node's proxy closes idle connections after 5 s (Node's default). One that is shared between
#   people may be closed at the moment of reuse; then HAProxy drops the request without an answer, most often on a busy
#   node.
# - `timeout tunnel 1h`: an idle kernel's websocket must not look like an outage.
# - `hard-stop-after`: a stop does not wait for websockets that stay open for hours.
# - the X-Workbench-Node header lets users and probes say which node served them.
# - frontend statistics: read-only, because without `stats admin` nothing can be changed, and only what the instrument
#   asks for is answered. Silent rather than `no log`, which HAProxy warns about beside `option httplog`.
_HEAD: Final = """\
global
  user haproxy
  group haproxy
  stats socket {admin_socket} mode 600 level admin
  log stdout format raw local0
  maxconn 8000
  hard-stop-after 5s{localpeer}

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

frontend statistics
  bind :{statistics_port}
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

#: Its value is a node's name: whoever bears it is led back to that node.
_NODE_COOKIE: Final = "WORKBENCH_NODE"
#: Its value is a random number, which the balancer's table knows the node of.
_PERSON_COOKIE: Final = "WORKBENCH_PERSON"
_NEW_PERSON: Final = f"""\
  http-request set-var(txn.person) req.cook({_PERSON_COOKIE})
  http-request set-var(txn.newcomer) uuid() unless {{ var(txn.person) -m found }}
  http-request set-var(txn.person) var(txn.newcomer) unless {{ var(txn.person) -m found }}
  http-response add-header Set-Cookie "{_PERSON_COOKIE}=%[var(txn.newcomer)]; Path=/; HttpOnly" \
if {{ var(txn.newcomer) -m found }}
"""

#: The way to the hub, and to everything where sessions are not checked apart.
_WORKBENCH: Final = "workbench"
_SESSIONS: Final = "sessions"


@dataclass(frozen=True)
class Server:
    """How the balancer reaches one node: its address, or that of the link in between."""

    name: str
    address: str
    ports: tuple[int, int, int]
    """In the order of `jupyterhub.PORTS`: what people want, the status pages, the load."""
    closed: bool = False
    """Nobody is there yet: it is known, not checked, and gets nothing until `set_state` opens it."""


def config(balancer: LoadBalancer, port: int, servers: Sequence[Server], peers: Mapping[str, str], name: str) -> str:
    """The configuration of the balancer called `name`, which listens for people on `port`.

    `peers` has the addresses of all balancers of a pair by name; empty for a single one. Addresses rather than names:
    HAProxy resolves names at its start and refuses to start where one is missing.
    """
    apart = balancer.session_check != "same"
    parts = [
        _HEAD.format(
            admin_socket=_ADMIN_SOCKET,
            localpeer=f"\n  localpeer {name}" if peers else "",
            statistics_port=STATISTICS_PORT,
            statistics_path=STATISTICS_PATH,
            statistics_as_csv=STATISTICS_AS_CSV,
        ),
        *_shared(balancer, peers),
        f"frontend platform\n  bind :{port}{_TLS if balancer.tls else ''}\n",
        _NEW_PERSON if balancer.stickiness == "table" else "",
        f"  use_backend {_SESSIONS} if {{ path_beg /user/ }}\n" if apart else "",
        f"  default_backend {_WORKBENCH}\n\n",
        *_main(balancer, servers, peers, apart=apart),
    ]
    if apart:
        parts += ["\n", *_sessions(balancer, servers)]
    return "".join(parts)


def _shared(balancer: LoadBalancer, peers: Mapping[str, str]) -> Iterator[str]:
    """What only a pair has: the table of persons in both memories, and a word for who decides who holds the address."""
    if not peers:
        return
    if balancer.stickiness == "table":
        yield "peers balancers\n"
        yield from (f"  peer {peer} {address}:{_PEERS_PORT}\n" for peer, address in peers.items())
        yield "\n"
    yield (
        f"frontend monitor\n  bind :{MONITOR_PORT}\n  monitor-uri {MONITOR_PATH}\n"
        f"  monitor fail if {{ nbsrv({_WORKBENCH}) lt 1 }}\n  http-request set-log-level silent\n\n"
    )


def _main(balancer: LoadBalancer, servers: Sequence[Server], peers: Mapping[str, str], *, apart: bool) -> Iterator[str]:
    """Who goes where, and where back to."""
    rules = ["balance leastconn" if balancer.balance == "leastconn" else "balance roundrobin"]
    if balancer.stickiness == "cookie":
        secure = " secure" if balancer.tls else ""
        rules.append(f"cookie {_NODE_COOKIE} insert indirect nocache httponly{secure}")
    if balancer.stickiness == "table":
        shared = " peers balancers" if peers else ""
        rules += [f"stick-table type string len 40 size 100k expire 8h{shared}", "stick on var(txn.person)"]
    # redispatch 1: a connection that its node refuses is tried elsewhere at the first retry, not the last
    rules.append("option redispatch 1" if balancer.redispatch else "option persist")
    # together: a websocket to a dead node ends when the check fails, not after the tunnel's time-out
    limits = f"fall {balancer.check_fall}{'' if apart else ' on-marked-down shutdown-sessions'}"
    yield from _backend(_WORKBENCH, balancer, servers, check=balancer.check, limits=limits, rules=rules)


def _sessions(balancer: LoadBalancer, servers: Sequence[Server]) -> Iterator[str]:
    """The way to sessions that run: whoever has a node goes there, whatever a check says of it, because nobody else has
    their session. A node that was wrongly taken for dead then costs nobody anything; a dead one is left by way of the
    hub."""
    # one retry: who asks for a dead node shall learn it soon (each try waits for timeout connect) and look elsewhere
    rules = ["balance leastconn", "retries 1"]
    if balancer.stickiness == "cookie":
        rules += [
            f"cookie {_NODE_COOKIE} indirect nocache",
            f"force-persist if {{ req.cook({_NODE_COOKIE}) -m found }}",
        ]
    if balancer.stickiness == "table":
        rules += [f"stick match var(txn.person) table {_WORKBENCH}", "option persist"]
    yield from _backend(_SESSIONS, balancer, servers, check=balancer.session_check, limits="fall 2", rules=rules)


def _backend(
    name: str, balancer: LoadBalancer, servers: Sequence[Server], *, check: str, limits: str, rules: Iterable[str]
) -> Iterator[str]:
    yield f"backend {name}\n"
    yield from (f"  {rule}\n" for rule in rules)
    path, service = _CHECKS[check]
    if path:
        yield f"  option httpchk GET {path}\n"
    yield "  http-reuse never\n"
    yield "  http-response set-header X-Workbench-Node %s\n"
    yield f"  timeout check {_milliseconds(balancer.check_timeout_s)}\n"
    interval = _milliseconds(balancer.check_interval_s)
    yield f"  default-server inter {interval} rise {balancer.check_rise} {limits}\n"
    for server in servers:
        words = [f"  server {server.name} {server.address}:{server.ports[0]} check port {server.ports[service]}"]
        if balancer.stickiness == "cookie":
            words.append(f"cookie {server.name}")
        if balancer.balance == "load":
            words.append(f"weight 100 agent-check agent-port {server.ports[2]} agent-inter 1s")
        if server.closed:
            words.append("disabled")
        yield " ".join(words) + "\n"


def set_state(balancer: LoadBalancer, server: str, state: Literal["ready", "drain", "maint"]) -> tuple[str, ...]:
    """The command that, run in the balancer, opens a server (`ready`), lets nobody new in (`drain`), or closes it
    (`maint`), on every way to it. It prints what the balancer objects, and nothing if it does not.

    Management guide 9.3, "set server <b>/<s> state".
    """
    orders = "; ".join(f"set server {backend}/{server} state {state}" for backend in _ways(balancer))
    return ("sh", "-c", f"echo '{orders}' | socat - {_ADMIN_SOCKET}")


#: Run in the balancer: prints how it takes each server, for `seen_down`.
SERVERS_STATE: Final = ("sh", "-c", f"echo 'show servers state' | socat - {_ADMIN_SOCKET}")


def seen_down(balancer: LoadBalancer, printed: str) -> frozenset[str]:
    """The servers that are down on every way by what `SERVERS_STATE` printed; nobody of whom it says nothing.

    Management guide 9.3, "show servers state": the columns are named in the line that begins with #, and 0 as
    srv_op_state is a server that is down.
    """
    lines = [line.split() for line in printed.splitlines()]
    names = next((line[1:] for line in lines if line[:1] == ["#"]), [])
    rows = [dict(zip(names, line, strict=False)) for line in lines if len(line) >= len(names) > 0 and line[0] != "#"]
    down = {(row["be_name"], row["srv_name"]) for row in rows if row["srv_op_state"] == "0"}
    return frozenset(name for _, name in down if all((way, name) in down for way in _ways(balancer)))


def _ways(balancer: LoadBalancer) -> tuple[str, ...]:
    return (_WORKBENCH,) if balancer.session_check == "same" else (_WORKBENCH, _SESSIONS)


def reload_with(path: str, text: str) -> tuple[str, ...]:
    """The command that, run in the balancer, has it serve by the configuration `text` from now on: a new worker takes
    the open ports from the old one, which ends with the last of its connections, after `hard-stop-after` at the latest.

    Exits with another code than 0, with nothing changed, where HAProxy finds a mistake in it. Management guide 4,
    "Stopping and restarting HAProxy": SIGUSR2 to the master, which is the container's first process or is told by it.
    """
    script = 'printf %s "$2" >"$1.new" && haproxy -c -q -f "$1.new" && mv "$1.new" "$1" && kill -USR2 1'
    return ("sh", "-c", script, "sh", path, text)


#: Run in the balancer: prints the number of the process that serves, another one after each reload.
WORKER: Final = ("sh", "-c", f"echo 'show info' | socat - {_ADMIN_SOCKET} | sed -n 's/^Pid: //p'")

#: What a check asks: a path (nothing: does the port accept) and the place of the port in `jupyterhub.PORTS`.
_CHECKS: Final[Mapping[str, tuple[str, int]]] = {
    "tcp": ("", 0),
    "proxy": (jupyterhub.PROXY_HEALTH_PATH, 0),
    "hub": (jupyterhub.HUB_HEALTH_PATH, 0),
    "active": (jupyterhub.ACTIVE_PATH, 1),
    "log_in": (jupyterhub.LOG_IN_CHECK_PATH, 1),
}


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
