"""Which containers a target means, resolved at the moment of injection."""

from __future__ import annotations

from collections.abc import Sequence

from harness.components.registry import active_probe, members
from harness.core.model import Topology
from harness.errors import DeploymentError, RunError
from harness.runtime.base import Deployment
from harness.spec.targets import parse_target

__all__ = ["resolve"]


def resolve(deployment: Deployment, topology: Topology, target: str) -> tuple[str, ...]:
    """The short names of the containers that `target` means now.

    Raises `RunError` if none does, for example because no node is active at this moment.
    """
    parsed = parse_target(target)
    names = members(topology, parsed.role)
    if parsed.selector.isdigit():
        return (names[int(parsed.selector)],)
    probe = active_probe(topology)
    active = tuple(name for name in names if _answers(deployment, name, probe))
    if len(active) != 1:
        raise RunError(f"{target} must be one container, found {len(active)}: {', '.join(active) or 'none'} is active")
    return active


def _answers(deployment: Deployment, name: str, probe: Sequence[str]) -> bool:
    try:
        return deployment.execute(name, probe, timeout_s=5.0).exit_code == 0
    except DeploymentError:
        return False  # nothing can be run in a container that is down, so it is not the active one
