"""What the upgrade of a database, a balancer or the storage consists of, and the way back. Pure, as `steps`.

One member after the other, and last the one that the others depend on: the primary, or the holder of the address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.core.change import ChangeStep, Upgrade
from harness.run.changes.steps import Step

__all__ = ["member_steps", "members_back"]


def member_steps(upgrade: Upgrade, members: Sequence[str], serving: str, *, hands_over: bool) -> list[Step]:
    """The whole way, in order. `serving` is the primary or the holder, or the only one there is; with `hands_over` it
    is asked to hand over to another one before it goes."""
    kept = [Step(ChangeStep.BACK_UP, (serving,))] if upgrade.component == "database" else []
    return [*kept, *_each(upgrade, members, serving, upgrade.to, hands_over=hands_over)]


def members_back(upgrade: Upgrade, begun: Sequence[Step], serving: str, *, hands_over: bool) -> list[Step]:
    """The same way for those that `begun` came to, the latest first, with what the platform started with. `serving` is
    whoever is the primary or the holder now.

    Data stays as it is: releases that can be exchanged for each other like this read the same.
    """
    touched = dict.fromkeys(
        node for step in begun if step.what in (ChangeStep.RETIRE, ChangeStep.RELOAD) for node in step.nodes
    )
    return list(_each(upgrade, [*reversed(touched)], serving, "", hands_over=hands_over))


def _each(upgrade: Upgrade, members: Sequence[str], serving: str, release: str, *, hands_over: bool) -> Iterator[Step]:
    for name in sorted(members, key=lambda name: name == serving):
        here = (name,)
        if upgrade.strategy == "reload":
            yield Step(ChangeStep.RELOAD, here, release)
        else:
            if hands_over and name == serving:
                yield Step(ChangeStep.SWITCH_OVER, here)
            yield Step(ChangeStep.RETIRE, here)
            yield Step(ChangeStep.START, here, release)
        yield Step(ChangeStep.GATE, here)
