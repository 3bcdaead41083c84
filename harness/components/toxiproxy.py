"""A link: one Toxiproxy between two roles, with a listener for every pair of their members and every port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from harness.components.hops import link_host, listen_port
from harness.core.names import LINK_ROLE, link_name, proxy_name
from harness.core.specs import ContainerSpec, NodeContext, ReadyProbe
from harness.core.topology import Link

__all__ = ["CONFIG_PATH", "IMAGE", "container"]

IMAGE: Final = "toxiproxy"
CONFIG_PATH: Final = "/etc/toxiproxy.json"
_NUMBER: Final = re.compile(r"-(\d+)$")


def container(link: Link, context: NodeContext, specs: Iterable[ContainerSpec], ports: Sequence[int]) -> ContainerSpec:
    """The link's container; `specs` are the platform's, `ports` those on which the link's target is reached.

    It depends on nothing: who connects before the target is there is cut off, as by a target that refuses. Its API
    listens on 127.0.0.1 only; the agent enters its network namespace.
    """
    by_role = list(specs)
    proxies = [
        {
            "name": proxy_name(source.name, target.name, port),
            "listen": f"0.0.0.0:{listen_port(_number(source), _number(target), service)}",
            "upstream": f"{context.address(target.host_number)}:{port}",
            "enabled": True,
        }
        for source in by_role
        if source.role == link.from_
        for target in by_role
        if target.role == link.to
        for service, port in enumerate(ports)
    ]
    return ContainerSpec(
        name=link_name(link.from_, link.to),
        role=LINK_ROLE,
        image=IMAGE,
        host_number=link_host(link),
        command=("-host", "127.0.0.1", "-config", CONFIG_PATH),
        files={CONFIG_PATH: json.dumps(proxies, indent=1) + "\n"},
        ready=ReadyProbe(
            argv=("/usr/local/bin/ready", *(str(proxy["name"]) for proxy in proxies)),
            proves="the link listens for every pair of its members",
        ),
    )


def _number(spec: ContainerSpec) -> int:
    """Which member of its role it is."""
    found = _NUMBER.search(spec.name)
    return int(found.group(1)) if found else 0
