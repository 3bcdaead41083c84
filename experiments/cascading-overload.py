"""A node dies, and more and more people come to the one that is left until it breaks.

The next group depends on how the last one did, so this is no file with a time line (`n-minus-one` is): a group need not
wait when everybody works, and groups get smaller the longer it takes them to come to work.

Source: Mike Ulrich, "Addressing Cascading Failures" (Beyer and others, "Site Reliability Engineering", 2016, chapter
22): what is left after a failure gets the load of what failed; a load test goes on until the service breaks.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.pytest_plugin.scene import Deployment, Expect, Faults, LoadOfPeople

#: As many as one node must carry, because two of them are there for no more.
USERS = 12
#: A group that is at work so soon is far from what breaks the node; 12 people who start at once on a node that carries
#: them were at work after 3 s (measured, 2 cores, prewarmed).
SOON_S = 6.0
#: What the death did is observed until more people come, and a shorter time has too few probes of start_session.
STEADY_S = 15.0
#: The smallest group, of everybody there: of one below 5% nobody need come to work, and yet 95% of everybody do.
LEAST_RATIO = 0.1


@pytest.mark.topology("active-active")
def test_cascading_overload(deployment: Deployment, load: LoadOfPeople, faults: Faults, expect: Expect) -> None:
    """The busiest of two nodes dies and stays away; once its people are back on the other one more people come, group
    by group, until fewer than 95% of everybody can work."""
    load.start(users=USERS)
    dead = faults.inject("kill", "workbench[busiest]")
    assert load.everybody_works(within_s=60, steady_s=STEADY_S), (
        f"after the death of {dead.targets[0]} not all came back"
    )
    survivors = set(deployment.members("workbench")) - set(dead.targets)
    assert set(load.nodes) == survivors

    group = USERS
    while load.room >= group:
        step = load.overload(group, within_s=20)
        if not step.carried:
            break
        if step.seconds > SOON_S:
            group //= 2
        group = max(group, ceil(LEAST_RATIO * sum(load.users.values())))

    expect.users_carried().at_least(USERS)
    expect.writes_lost().none()
