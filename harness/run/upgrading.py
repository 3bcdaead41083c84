"""An upgrade that was asked for on the command line: whether it can be had, and what it will do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.components import jupyterhub
from harness.components.registry import image, members
from harness.core.change import CURRENT, Upgrade, is_foreign
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import UsageError
from harness.run.changes.member_steps import member_steps
from harness.run.changes.members import hands_over
from harness.run.changes.steps import Step, upgrade_steps
from harness.run.plan import platform_for
from harness.runtime.images import variants
from harness.spec.changes import why_no_change

__all__ = ["check_upgrade", "upgrade_lines"]

#: What is away while the only member of a role is exchanged.
_AWAY = {
    Role.DATABASE: "nobody logs in or starts a session while the only database is exchanged; who is at work goes on",
    Role.LOAD_BALANCER: "nobody reaches the platform while the only balancer is exchanged",
    Role.STORAGE: "everybody waits for their files while the only server of the homes is exchanged",
}


def check_upgrade(topology: Topology, experiment: Experiment) -> None:
    """Raises `UsageError` where there is no such release, nothing would change, or the topology can't do it so."""
    upgrade = experiment.upgrade
    assert upgrade is not None, "asked for experiments with an upgrade only"
    if upgrade.from_ == upgrade.to:
        raise UsageError(f"from {upgrade.from_} to {upgrade.to}: nothing changes, expected another release")
    if reason := why_no_change(topology, experiment):
        raise UsageError(f"it can't be done to {topology.name}: {reason}")
    component = image(topology, Role(upgrade.component))
    known = (CURRENT, *variants(component))
    for release in (upgrade.from_, *(() if upgrade.strategy == "reload" else (upgrade.to,))):
        if release not in known and not is_foreign(release):
            raise UsageError(
                f"there is no release {release} of {component}, expected one of: {', '.join(known)}",
                hint=f"an image that the engine has or can pull is named with its tag: company/{component}:7",
            )


def upgrade_lines(topology: Topology, experiment: Experiment) -> Iterator[str]:
    """The steps, in order, and what is to be expected of them."""
    upgrade = experiment.upgrade
    assert upgrade is not None, "asked for experiments with an upgrade only"
    platform = platform_for(topology, experiment)
    component = upgrade.component.replace("_", " ")
    yield f"{topology.name}: {component} from {upgrade.from_} to {upgrade.to}, {upgrade.strategy}"
    away, steps = (_nodes if upgrade.component == "workbench" else _members)(platform, upgrade)
    if away:
        yield f"  {away}"
    for step in steps:
        yield f"  {step.what.value.replace('_', ' '):11} {', '.join(step.nodes)}"
    if upgrade.then_back:
        yield "  and the whole way back"


def _nodes(platform: Topology, upgrade: Upgrade) -> tuple[str, list[Step]]:
    """What is away while it lasts, if anything, and the steps."""
    nodes = members(platform, Role.WORKBENCH)
    active = nodes[0] if platform.workbench.mode == "active-passive" else ""
    alone = (len(nodes) == 1 and upgrade.strategy != "blue_green") or upgrade.strategy == "all_at_once"
    away = "everything is away while it lasts: no node serves people meanwhile" if alone else ""
    return away, upgrade_steps(platform, upgrade, nodes, jupyterhub.spare_names(platform), active=active)


def _members(platform: Topology, upgrade: Upgrade) -> tuple[str, list[Step]]:
    role = Role(upgrade.component)
    names = members(platform, role)
    away = _AWAY[role] if len(names) == 1 and upgrade.strategy == "rolling" else ""
    # who serves shows when it runs; as a rule it is the first
    return away, member_steps(upgrade, names, names[0], hands_over=hands_over(platform, role))
