"""Which containers a target means, resolved at the moment of injection."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from harness.components.registry import member_probe, members, other_side
from harness.core.experiment import Target
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import DeploymentError, RunError
from harness.runtime.base import Deployment
from harness.spec.targets import parse_target

__all__ = ["known_beforehand", "lot_of", "resolve", "resolve_peer", "said_to_be"]


def lot_of(seed: int, index: int, target: str) -> random.Random:
    """What decides `any` and shares in a target of the `index`-th fault."""
    return random.Random(f"{seed}/{index}/{target}")  # noqa: S311 - reproducible, not secret


def known_beforehand(topology: Topology, target: str, lot: random.Random) -> tuple[str, ...] | None:
    """The containers that `target` means whenever it is resolved; None for a word such as `active`, which depends on
    what is true at the moment of injection."""
    parsed = parse_target(target)
    names = members(topology, parsed.role)
    if parsed.selector.isdigit():
        return (names[int(parsed.selector)],)
    if parsed.selector == "*":
        return names
    if parsed.selector == "any":
        return (lot.choice(names),)
    if parsed.selector.endswith("%"):
        return tuple(sorted(lot.sample(names, parsed.count(len(names))), key=names.index))
    return None


def resolve(
    deployment: Deployment,
    topology: Topology,
    target: str,
    *,
    sessions: Mapping[str, int],
    lot: random.Random,
) -> tuple[str, ...]:
    """The short names of the containers that `target` means now, in the order of their numbers.

    `sessions` is how many sessions each node has at this moment; `lot` decides `any` and shares. Raises `RunError` if
    nothing is meant, for example because no node is active at this moment.
    """
    known = known_beforehand(topology, target, lot)
    if known is not None:
        return known
    parsed = parse_target(target)
    if parsed.selector == "busiest":
        return (_busiest(members(topology, parsed.role), sessions),)
    return (_one_that_says_so(deployment, topology, parsed, sessions),)


def resolve_peer(
    deployment: Deployment, topology: Topology, peer: str, *, sessions: Mapping[str, int], lot: random.Random
) -> tuple[str, ...]:
    """As `resolve`, for the other side of a fault: who is cut off from all databases is cut off from what leads to them
    too."""
    parsed = parse_target(peer)
    whole = other_side(topology, parsed.role, parsed.selector)
    return whole or resolve(deployment, topology, peer, sessions=sessions, lot=lot)


def said_to_be(deployment: Deployment, topology: Topology, role: Role, word: str) -> tuple[str, ...]:
    """The members of which `word` is true right now, as in `database[primary]`: by the product's own answer, or the
    only one there is.

    Raises `RunError` where several could be meant and nothing tells which.
    """
    names = members(topology, role)
    if len(names) == 1:
        return names
    probe = member_probe(topology, role, word)
    if probe is None:
        raise RunError(f"{role}[{word}]: nothing tells which of {', '.join(names)} that is")
    return tuple(name for name in names if _answers(deployment, name, probe))


def _busiest(names: Sequence[str], sessions: Mapping[str, int]) -> str:
    """The node with the most sessions, the first of several."""
    return min(names, key=lambda name: (-sessions.get(name, 0), names.index(name)))


def _one_that_says_so(deployment: Deployment, topology: Topology, target: Target, sessions: Mapping[str, int]) -> str:
    """The member that answers the product's own question; where several do (all nodes of active/active are active),
    the busiest of them."""
    found = said_to_be(deployment, topology, target.role, target.selector)
    if not found:
        names, probe = members(topology, target.role), member_probe(topology, target.role, target.selector) or ()
        raise RunError(f"{target} must be a container, found none: asked {', '.join(names)} with {' '.join(probe)}")
    return _busiest(found, sessions) if len(found) > 1 else found[0]


def _answers(deployment: Deployment, name: str, probe: Sequence[str]) -> bool:
    try:
        return deployment.execute(name, probe, timeout_s=5.0).exit_code == 0
    except DeploymentError:
        return False  # nothing can be run in a container that is down, so it is not the active one
