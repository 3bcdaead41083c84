"""What all components share: names, fixed addresses, secrets, and what a component is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final, Protocol

from harness.core.specs import ContainerSpec, NodeContext
from harness.core.topology import Topology

__all__ = [
    "BACKUP_HOST",
    "CLIENT_HOST",
    "DATABASE_HOST",
    "DATABASE_PROXY_HOST",
    "ETCD_FIRST_HOST",
    "LOAD_BALANCER_HOST",
    "LOAD_BALANCER_VIP_HOST",
    "PATIENT_S",
    "SECRETS",
    "STORAGE_HOST",
    "STORAGE_VIP_HOST",
    "WORKBENCH_FIRST_HOST",
    "WORKBENCH_STANDBY_HOST",
    "Component",
    "generate_secrets",
    "pick",
]

# Last octets in the run's /24. Fixed, so that a container that was killed and started again is where its peers look
# for it, and so that faults and captures can be read without a table.
LOAD_BALANCER_VIP_HOST: Final = 4
LOAD_BALANCER_HOST: Final = 5
"""The only one, or the first of a pair: `core.products.LoadBalancer.nodes` has the same bound."""
WORKBENCH_STANDBY_HOST: Final = 10
"""The cold standby."""
WORKBENCH_FIRST_HOST: Final = 11
"""Node i is at 11 + i, up to nine of them: `core.products.Workbench.nodes` has the same bound."""
DATABASE_HOST: Final = 20
"""The only server, or the first of up to five: `core.products.Patroni.nodes` has the same bound."""
DATABASE_PROXY_HOST: Final = 25
STORAGE_VIP_HOST: Final = 29
STORAGE_HOST: Final = 30
"""The only server, or the first of a pair."""
BACKUP_HOST: Final = 35
ETCD_FIRST_HOST: Final = 50
CLIENT_HOST: Final = 100

#: Between two looks at a container that takes its time: fifteen containers asked five times a second took more of two
#: cores than their own start.
PATIENT_S: Final = 1.0

#: Names of the secrets that are generated for each run.
SECRETS: Final = (
    "HUB_COOKIE_SECRET",
    "CONFIGPROXY_AUTH_TOKEN",
    "DB_PASSWORD",
    "DB_ADMIN_PASSWORD",
    "DB_REPLICATION_PASSWORD",
    "USER_PASSWORD",
    "TLS_SECRET",
)


def generate_secrets() -> dict[str, str]:
    """A fresh value for each of `SECRETS`: 64 hexadecimal digits.

    Hexadecimal because the hub's cookie secret must be, and because a password of such digits needs no quoting in a
    URL, a shell or SQL.
    """
    return {name: secrets.token_hex(32) for name in SECRETS}


class Component(Protocol):
    """What a module of this package offers for its product."""

    @property
    def IMAGE(self) -> str:  # noqa: N802 - a constant of the module
        """The one of them that its members are made from."""
        ...

    @property
    def IMAGES(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """The folders in `harness/images`."""
        ...

    def names(self, topology: Topology) -> tuple[str, ...]:
        """The containers' names, member 0 first."""
        ...

    def containers(self, topology: Topology, context: NodeContext) -> tuple[ContainerSpec, ...]:
        """The containers, in the order of `names`. A pure function."""
        ...


def pick(values: Mapping[str, str], *names: str) -> dict[str, str]:
    """Only the named values: a container gets no secret that it has no use for."""
    return {name: values[name] for name in names}
