"""What a change consists of, and the way back from as far as it came. Pure: nothing is done here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.components import backup, jupyterhub
from harness.core.change import ChangeStep, Scale, Upgrade
from harness.core.topology import Topology

__all__ = ["Step", "disaster_steps", "scale_steps", "upgrade_steps", "way_back"]

#: What only a balancer can do.
_BALANCER = frozenset({ChangeStep.DRAIN, ChangeStep.WAIT, ChangeStep.CLOSE, ChangeStep.OPEN})


@dataclass(frozen=True)
class Step:
    """One step, on one node or on several at the same time."""

    what: ChangeStep
    nodes: tuple[str, ...]
    release: str = ""
    """Of `START`: which release; empty for the one that the platform started with."""


def upgrade_steps(
    topology: Topology, upgrade: Upgrade, nodes: Sequence[str], spares: Sequence[str], *, active: str = ""
) -> list[Step]:
    """The whole way, in order. `active` is the node that holds the lease, where there is one: it comes last, so that
    people move once."""
    if upgrade.strategy == "blue_green":
        green = tuple(spares[: len(nodes)])
        return _possible(topology, [*_come(green, upgrade.to), *_leave(topology, tuple(nodes))])
    order = [*(node for node in nodes if node != active), *(node for node in nodes if node == active)]
    groups = [tuple(order)] if upgrade.strategy == "all_at_once" else [(node,) for node in order]
    steps: list[Step] = []
    for group in groups:
        drained = upgrade.strategy != "all_at_once"
        steps += _leave(topology, group, drained=drained, back_up=_has_hub(group, active))
        steps.append(Step(ChangeStep.START, group, upgrade.to))
        if active and active in group:
            # the others' turn to serve came when the one that served went
            steps += _each([node for node in order if node not in group], ChangeStep.GATE)
        steps += _each(group, ChangeStep.GATE, ChangeStep.OPEN)
    return _possible(topology, steps)


def scale_steps(
    topology: Topology, scale: Scale, nodes: Sequence[str], spares: Sequence[str], *, active: str = ""
) -> list[Step]:
    """From `nodes` to as many as are wanted; the next of `spares` come, the last of `nodes` go. The `active` one stays
    where care is taken (`drain`): nobody works on one that stands by."""
    if scale.to >= len(nodes):
        new = tuple(spares[: scale.to - len(nodes)])
        steps = _come(new) if new else []
    else:
        order = sorted(nodes, key=lambda node: node != active) if scale.drain and active in nodes else nodes
        steps = _leave(topology, tuple(order[scale.to :]), drained=scale.drain)
    return _possible(topology, steps)


def disaster_steps(topology: Topology) -> tuple[list[Step], list[Step]]:
    """What is lost at once, and how the platform comes back: by what the plan has kept, on the standby or on new
    machines in the same places."""
    if topology.backup:
        first, then = backup.lost_in_a_disaster(topology)
        nodes = jupyterhub.names(topology)
        # the storage is started with the homes on its disk: a server would not look again at what it has seen
        back = [Step(ChangeStep.START, first), Step(ChangeStep.RESTORE, backup.names(topology))]
        return [Step(ChangeStep.DESTROY, (*first, *then))], [
            *back,
            Step(ChangeStep.START, then),
            *_each(nodes, ChangeStep.GATE),
        ]
    (node,), standby = jupyterhub.names(topology), jupyterhub.STANDBY
    back = [Step(ChangeStep.RESTORE, (standby,))] if topology.workbench.standby == "cold" else []
    back += [Step(ChangeStep.PROMOTE, (standby, node)), Step(ChangeStep.GATE, (node,))]
    return [Step(ChangeStep.DESTROY, (node,))], back


def way_back(topology: Topology, upgrade: Upgrade, begun: Sequence[Step], *, drained: bool) -> list[Step]:
    """From as far as `begun` came to where it was: the latest first, with the release that the platform started with.

    `drained` says whether people of a node may stay there for a while, as on the way; not where it is broken.
    """
    gone = _groups(begun, ChangeStep.RETIRE)
    if upgrade.strategy == "blue_green":
        steps = [step for group in gone for step in _come(group)]
        left = {} if gone else dict.fromkeys(_nodes(begun, ChangeStep.DRAIN, ChangeStep.CLOSE))
        steps += [Step(ChangeStep.OPEN, (node,)) for node in left]
        opened = set(_nodes(begun, ChangeStep.OPEN))
        for group in _groups(begun, ChangeStep.START):
            steps += _leave(topology, group, drained=drained and set(group) <= opened)
        return _possible(topology, steps)
    if topology.workbench.mode == "active-passive" and gone:
        # one database for all: while a node of the new release serves, it can't be put back
        gone = [tuple(node for group in gone for node in group)]
    started, kept = set(_nodes(begun, ChangeStep.START)), set(_nodes(begun, ChangeStep.BACK_UP))
    opened = set(_nodes(begun, ChangeStep.OPEN))
    steps = []
    for group in reversed(gone):
        if there := tuple(node for node in group if node in started):
            steps += _leave(topology, there, drained=drained and set(there) <= opened)
        if upgrade.database == "restore" and (to_restore := tuple(node for node in group if node in kept)):
            steps.append(Step(ChangeStep.RESTORE, to_restore))
        steps += _come(group)
    touched = {node for group in gone for node in group}
    shut = dict.fromkeys(_nodes(begun, ChangeStep.DRAIN, ChangeStep.CLOSE))
    steps += [Step(ChangeStep.OPEN, (node,)) for node in shut if node not in touched]
    return _possible(topology, steps)


def _groups(steps: Sequence[Step], what: ChangeStep) -> list[tuple[str, ...]]:
    return [step.nodes for step in steps if step.what is what]


def _nodes(steps: Sequence[Step], *what: ChangeStep) -> list[str]:
    return [node for step in steps if step.what in what for node in step.nodes]


def _come(group: tuple[str, ...], release: str = "") -> list[Step]:
    return [Step(ChangeStep.START, group, release), *_each(group, ChangeStep.GATE, ChangeStep.OPEN)]


def _has_hub(group: Iterable[str], active: str) -> bool:
    """Whether a hub's database must be kept before these nodes go: a standby has none."""
    return not active or active in group


def _leave(topology: Topology, group: tuple[str, ...], *, drained: bool = True, back_up: bool = False) -> list[Step]:
    words = [ChangeStep.DRAIN, ChangeStep.WAIT] if drained else []
    if topology.workbench.mode == "active-passive":
        words = []  # the balancer follows the lease: there is nobody else to send people to
    words += [ChangeStep.CLOSE, *([ChangeStep.BACK_UP] if back_up else []), ChangeStep.RETIRE]
    return [Step(word, group) for word in words]


def _each(nodes: Iterable[str], *words: ChangeStep) -> list[Step]:
    return [Step(word, (node,)) for node in nodes for word in words]


def _possible(topology: Topology, steps: Iterable[Step]) -> list[Step]:
    """Without a balancer people go to the node itself, and nobody sends them elsewhere."""
    return [step for step in steps if topology.load_balancer is not None or step.what not in _BALANCER]
