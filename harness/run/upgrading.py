"""An upgrade that was asked for on the command line: whether it can be had, and what it will do."""

from __future__ import annotations

from collections.abc import Iterator

from harness.components import jupyterhub
from harness.components.registry import members
from harness.core.change import CURRENT, is_foreign
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import UsageError
from harness.run.changes.steps import upgrade_steps
from harness.run.plan import platform_for
from harness.runtime.images import variants
from harness.spec.changes import why_no_change

__all__ = ["check_upgrade", "upgrade_lines"]


def check_upgrade(topology: Topology, experiment: Experiment) -> None:
    """Raises `UsageError` where there is no such release, nothing would change, or the topology can't do it so."""
    upgrade = experiment.upgrade
    assert upgrade is not None, "asked for experiments with an upgrade only"
    if upgrade.from_ == upgrade.to:
        raise UsageError(f"from {upgrade.from_} to {upgrade.to}: nothing changes, expected another release")
    known = (CURRENT, *variants(jupyterhub.IMAGE))
    for release in (upgrade.from_, upgrade.to):
        if release not in known and not is_foreign(release):
            raise UsageError(
                f"there is no release {release}, expected one of: {', '.join(known)}",
                hint="an image that the engine has or can pull is named with its tag: company/workbench:7",
            )
    if reason := why_no_change(topology, experiment):
        raise UsageError(f"it can't be done to {topology.name}: {reason}")


def upgrade_lines(topology: Topology, experiment: Experiment) -> Iterator[str]:
    """The steps, in order, and what is to be expected of them."""
    upgrade = experiment.upgrade
    assert upgrade is not None, "asked for experiments with an upgrade only"
    platform = platform_for(topology, experiment)
    nodes = members(platform, Role.WORKBENCH)
    active = nodes[0] if platform.workbench.mode == "active-passive" else ""
    yield f"{topology.name}: {upgrade.component} from {upgrade.from_} to {upgrade.to}, {upgrade.strategy}"
    if (len(nodes) == 1 and upgrade.strategy != "blue_green") or upgrade.strategy == "all_at_once":
        yield "  everything is away while it lasts: no node serves people meanwhile"
    for step in upgrade_steps(platform, upgrade, nodes, jupyterhub.spare_names(platform), active=active):
        yield f"  {step.what.value.replace('_', ' '):9} {', '.join(step.nodes)}"
    if upgrade.then_back:
        yield "  and the whole way back"
