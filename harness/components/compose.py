"""A platform as a Compose project: the very specs that a run starts, in the words of the Compose specification.

Secrets are left open. The plan is made twice, with two different marks in place of each secret; where a mark stands
there will be a variable of Compose, and what differs otherwise was derived from a secret and is made anew by whoever
runs the platform. So nothing that a secret went into can be in an exported file unnoticed.

The file keeps to what Compose 1.29 knows too: no `name`, no `start_interval`, no `configs` with files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from harness.components import backup, jupyterhub
from harness.components.base import LOAD_BALANCER_VIP_HOST, SECRETS, STORAGE_VIP_HOST
from harness.components.haproxy import NAME as BALANCER
from harness.components.registry import entrances
from harness.core.compose import ComposeProject, Disk, Door, Variable
from harness.core.specs import ContainerSpec, Mount, NodeContext, ReadyProbe
from harness.core.tls import AUTHORITY_PATH, EXPIRED_PATH, SERVED_PATH
from harness.core.topology import Topology
from harness.core.words import Role

__all__ = ["BASE_VARIABLE", "CERTIFICATES", "HEALTH_INTERVAL_S", "NETWORK", "compose_project"]

NETWORK: Final = "platform"
#: The folder for what `make-certificates` makes.
CERTIFICATES: Final = "certificates"
BASE_VARIABLE: Final = "PLATFORM_BASE_IMAGE"
_RESTART_VARIABLE: Final = "PLATFORM_RESTART"
_PORT_VARIABLE: Final = "PLATFORM_PORT"
#: A run asks every 0.3 to 1 s, until a container is ready. An engine goes on asking for ever, and each time costs 50 to
#: 100 ms of a processor: of fifteen containers that would be more than one processor.
HEALTH_INTERVAL_S: Final = 10
_HEALTH_TIMEOUT_S: Final = 10
_HEALTH_RETRIES: Final = 3
_FIRST_PORTS: Final[Mapping[str, int]] = {"http": 8080, "https": 8443}
#: Only a fault needs it: a platform that serves has no use for a certificate that has expired.
_NEVER_EXPORTED: Final = frozenset({EXPIRED_PATH})
_MADE_THERE: Final[Mapping[str, str]] = {
    SERVED_PATH: f"{CERTIFICATES}/platform.pem",
    AUTHORITY_PATH: f"{CERTIFICATES}/authority.pem",
}
_ABOUT: Final[Mapping[str, str]] = {
    "HUB_COOKIE_SECRET": "signs the log-in cookies; exactly 64 hexadecimal digits",
    "CONFIGPROXY_AUTH_TOKEN": "between a node's hub, its proxy and its supervisor",
    "DB_PASSWORD": "the hubs' password for the database; letters and digits only, it stands in a URL",
    "DB_ADMIN_PASSWORD": "of the database's superuser",
    "DB_REPLICATION_PASSWORD": "between the database's servers",
    "USER_PASSWORD": "the one password of everybody who logs in; at least 8 characters",
}

#: What a value is with one set of marks, and with the other.
_Both = tuple[str, str]
_MARKS: Final = ("first", "second")


class _Variables:
    """Which variables the file needs, in the order in which it does."""

    def __init__(self) -> None:
        self.needed: dict[str, Variable] = {}
        self._derived: dict[str, str] = {}

    def text(self, both: _Both) -> str:
        """A text of the plan as Compose reads it. Raises `ValueError` for one that was derived from a secret."""
        opened = self._opened(both)
        if opened is None:
            raise ValueError(f"a text that was derived from a secret can't be exported: {both[0][:40]!r}")
        return opened

    def secret(self, service: str, name: str, both: _Both) -> str:
        """A value of a container's environment; one that was derived from a secret becomes a variable of its own, the
        same one wherever the value is the same."""
        opened = self._opened(both)
        if opened is not None:
            return opened
        variable = self._derived.setdefault(both[0], f"{name}_{service}".replace("-", "_").upper())
        return self._reference(variable, _ABOUT[name])

    def _opened(self, both: _Both) -> str | None:
        first, second = (_escaped(text) for text in both)
        for name in SECRETS:
            if _mark(0, name) in first:
                reference = self._reference(name, _ABOUT[name])
                first = first.replace(_mark(0, name), reference)
                second = second.replace(_mark(1, name), reference)
        return first if first == second else None

    def _reference(self, name: str, about: str) -> str:
        self.needed.setdefault(name, Variable(name, about))
        return f"${{{name}:?fill it in, or run ./make-secrets}}"


def compose_project(
    topology: Topology,
    planned: Callable[[NodeContext], Sequence[ContainerSpec]],
    images: Mapping[str, str],
    *,
    name: str,
    subnet_prefix: str,
    base_image: str,
) -> ComposeProject:
    """The project that starts what `planned` plans. A pure function.

    `images` has the reference of each image by the name of its folder, which is `images/NAME` below the project's.
    `name` is the project's. `subnet_prefix` is the first three octets of its network (a /24): configuration files name
    addresses. `base_image` is what images start from unless `.env` says something else.

    Raises `ValueError` if a secret went into a command or a file.
    """
    contexts = [
        NodeContext(
            run_id=name, subnet_prefix=subnet_prefix, secrets={secret: _mark(number, secret) for secret in SECRETS}
        )
        for number in range(len(_MARKS))
    ]
    pairs = list(zip(*(planned(context) for context in contexts), strict=True))
    specs = [first for first, _ in pairs]
    variables, doors, disks = _Variables(), _doors(topology, specs), _disks(topology, specs)
    files: dict[str, str] = {}
    services: dict[str, Any] = {}
    for spec, twin in pairs:
        files |= {_config_path(spec, path): text for path, text in _configuration(spec, twin)}
        services[spec.name] = {
            "image": images[spec.image],
            "build": {
                "context": f"./images/{spec.image}",
                "args": {"BASE_IMAGE": _with_default(BASE_VARIABLE, base_image)},
            },
            "hostname": spec.name,
            "restart": _with_default(_RESTART_VARIABLE, "unless-stopped"),
            **_service(spec, twin, variables, {each.name for each in specs if each.ready}),
            "networks": {NETWORK: {"ipv4_address": contexts[0].address(spec.host_number)}},
            **_some("ports", _ports(spec, doors, topology)),
            **_some("volumes", [*_volumes(spec), *_binds(spec)]),
        }
    has_tls = any(SERVED_PATH in spec.files for spec in specs)
    virtual = [contexts[0].address(host) for host in _virtual_hosts(topology)]
    return ComposeProject(
        name=name,
        subnet=f"{subnet_prefix}.0/24",
        document={
            "services": services,
            "networks": {NETWORK: {"driver": "bridge", "ipam": {"config": [{"subnet": f"{subnet_prefix}.0/24"}]}}},
            **({"volumes": {disk.volume: {} for disk in disks}} if disks else {}),
        },
        files=files,
        variables=(*_settings(doors, base_image, name), *variables.needed.values()),
        doors=doors,
        disks=disks,
        certificate_names=tuple(_certificate_names(topology, specs, contexts[0], virtual)) if has_tls else (),
        virtual_addresses=tuple(virtual),
        standby=next((spec.name for spec in specs if spec.role == jupyterhub.STANDBY_ROLE), ""),
        first_restored=backup.lost_in_a_disaster(topology)[0] if topology.backup else (),
    )


# -- a service -----------------------------------------------------------------------------------------------------


def _service(
    spec: ContainerSpec, twin: ContainerSpec, variables: _Variables, probed: Collection[str]
) -> dict[str, Any]:
    environment = {
        name: variables.secret(spec.name, name, (value, {**twin.environment, **twin.secrets}[name]))
        for name, value in {**spec.environment, **spec.secrets}.items()
    }
    command = [variables.text(both) for both in zip(spec.command, twin.command, strict=True)]
    # a container without a probe is waited for until it runs, as in a run
    conditions = {True: "service_healthy", False: "service_started"}
    waits = {name: {"condition": conditions[name in probed]} for name in spec.depends_on}
    return {
        **_some("depends_on", waits),
        **_some("command", command),
        **_some("environment", environment),
        **_some("cap_add", list(spec.capabilities)),
        **_some("devices", [f"{device}:{device}" for device in spec.devices]),
        **_some("security_opt", list(spec.security_options)),
        **_some("cpu_shares", spec.cpu_shares),
        **({"healthcheck": _health(spec.ready)} if spec.ready else {}),
    }


def _health(probe: ReadyProbe) -> dict[str, Any]:
    """The probe's own limit is the time in which failures do not count."""
    return {
        "test": ["CMD", *(_escaped(word) for word in probe.argv)],
        "interval": f"{HEALTH_INTERVAL_S}s",
        "timeout": f"{_HEALTH_TIMEOUT_S}s",
        "retries": _HEALTH_RETRIES,
        "start_period": f"{math.ceil(probe.timeout_s)}s",
    }


def _ports(spec: ContainerSpec, doors: Sequence[Door], topology: Topology) -> list[str]:
    port = entrances(topology)[0][2]
    return [
        f"127.0.0.1:{_with_default(door.variable, str(door.default_port))}:{port}"
        for door in doors
        if door.service == spec.name
    ]


# -- files and volumes ---------------------------------------------------------------------------------------------


def _configuration(spec: ContainerSpec, twin: ContainerSpec) -> Iterator[tuple[str, str]]:
    """Path in the container and text of every file that is handed over as it is.

    Raises `ValueError` for one that a secret went into and that is not made there.
    """
    for path, text in spec.files.items():
        if path in _NEVER_EXPORTED or path in _MADE_THERE:
            continue
        if text != twin.files[path]:
            raise ValueError(f"{spec.name}: {path} holds a secret, so it can't be exported")
        yield path, text


def _config_path(spec: ContainerSpec, path: str) -> str:
    return f"config/{spec.name}{path}"


def _binds(spec: ContainerSpec) -> Iterator[dict[str, Any]]:
    """The long form: with the short one an engine makes a folder where a file is missing."""
    for path in spec.files:
        if path in _NEVER_EXPORTED:
            continue
        made = _MADE_THERE.get(path)
        bind = {"type": "bind", "source": f"./{made or _config_path(spec, path)}", "target": path}
        # the balancer's entrypoint takes everybody else's permissions from what holds a key
        yield bind if made else {**bind, "read_only": True}


def _volumes(spec: ContainerSpec) -> list[str]:
    return [f"{mount.volume}:{mount.path}" for mount in spec.mounts]


def _disks(topology: Topology, specs: Sequence[ContainerSpec]) -> tuple[Disk, ...]:
    """The volumes of the plan, as each service has them."""
    found: dict[Mount, tuple[str, ...]] = {}
    for spec in specs:
        for mount in spec.mounts:
            found[mount] = (*found.get(mount, ()), spec.name)
    own = jupyterhub.own_disk(topology)
    return tuple(
        Disk(mount.volume, mount.path, users, mount.size_mb, own_disk=mount.path in own.values())
        for mount, users in found.items()
    )


# -- the project ---------------------------------------------------------------------------------------------------


def _doors(topology: Topology, specs: Sequence[ContainerSpec]) -> tuple[Door, ...]:
    """Every balancer or, without one, every node; and the standby, which serves once it was promoted."""
    standbys = [spec.name for spec in specs if spec.role == jupyterhub.STANDBY_ROLE]
    ways = list(entrances(topology))
    scheme, _, port, path = ways[0]
    ways += [(scheme, standby, port, path) for standby in standbys]
    first = _FIRST_PORTS[scheme]
    return tuple(
        Door(name, scheme, path, _PORT_VARIABLE if number == 0 else f"{_PORT_VARIABLE}_{number + 1}", first + number)
        for number, (_, name, _, _) in enumerate(ways)
    )


def _settings(doors: Sequence[Door], base_image: str, name: str) -> Iterator[Variable]:
    yield Variable("COMPOSE_PROJECT_NAME", "the prefix of everything on the engine", name)
    yield Variable(BASE_VARIABLE, "what images start from: Debian 12, wherever your engine finds it", base_image)
    yield Variable(
        _RESTART_VARIABLE, "what the engine does with a container that ended; no: as in a run", "unless-stopped"
    )
    for door in doors:
        yield Variable(door.variable, f"{door.service}, on 127.0.0.1", str(door.default_port))


def _virtual_hosts(topology: Topology) -> Iterator[int]:
    if topology.load_balancer is not None and topology.load_balancer.vip:
        yield LOAD_BALANCER_VIP_HOST
    if topology.storage is not None and topology.storage.vip:
        yield STORAGE_VIP_HOST


def _certificate_names(
    topology: Topology, specs: Sequence[ContainerSpec], context: NodeContext, virtual: Sequence[str]
) -> Iterator[str]:
    """As `certificates.certificates` has them."""
    addresses = [context.address(spec.host_number) for spec in specs if spec.role == Role.LOAD_BALANCER]
    if topology.load_balancer is not None and topology.load_balancer.vip:
        addresses = [virtual[0], *addresses]
    yield from (f"IP:{address}" for address in (*addresses, "127.0.0.1"))
    yield from (f"DNS:{name}" for name in (BALANCER, "localhost"))


# -- texts ---------------------------------------------------------------------------------------------------------


def _mark(number: int, secret: str) -> str:
    return f"<{_MARKS[number]} {secret}>"


def _escaped(text: str) -> str:
    """As Compose reads it back: it takes `$` for the beginning of a variable."""
    return text.replace("$", "$$")


def _with_default(variable: str, default: str) -> str:
    return f"${{{variable}:-{default}}}"


def _some(key: str, value: Any) -> dict[str, Any]:
    """Nothing where there is nothing to say."""
    return {key: value} if value else {}
