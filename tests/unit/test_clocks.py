"""Wall clocks that can be set: whose, when, and by how much."""

from __future__ import annotations

import pytest

from harness.components import plan
from harness.core.clock import FakeClock
from harness.core.experiment import Experiment, Fault
from harness.core.preload import CLOCK_ENVIRONMENT, CLOCK_IMAGES
from harness.core.words import Role
from harness.faults.base import Aim
from harness.faults.host import GuardError
from harness.faults.kinds.clocks import ClockSkew
from harness.faults.rehearsal import RehearsalHost
from harness.run.plan import clock_roles
from harness.runtime.images import context_files
from tests.unit.pair import CONTEXT, TOPOLOGY

KILL = Fault(fault="kill", target="workbench[active]", at_s=5, hold_s=20)
SKEW = Fault(fault="clock_skew", target="database[0]", options={"offset_s": 60}, at_s=5, hold_s=20)


def experiment(*faults: Fault) -> Experiment:
    return Experiment(description="d", source="s", faults=faults)


def test_an_experiment_asks_for_the_clocks_that_it_sets() -> None:
    assert clock_roles(experiment(KILL)) == frozenset()
    assert clock_roles(experiment(KILL, SKEW)) == {Role.DATABASE}


def test_only_whom_an_experiment_needs_has_the_library() -> None:
    def preloaded(*roles: Role) -> set[str]:
        specs = plan(TOPOLOGY, CONTEXT, clock_roles=roles)
        return {spec.name for spec in specs if CLOCK_ENVIRONMENT.items() <= spec.environment.items()}

    assert preloaded() == set()
    assert preloaded(Role.DATABASE) == {"database"}
    assert preloaded(*Role) == {"database", "load-balancer", "storage", "workbench-0", "workbench-1"}


@pytest.mark.parametrize("image", sorted(CLOCK_IMAGES))
def test_the_images_build_the_library(image: str) -> None:
    files = context_files(image)
    assert "package/harness/images/own_clock.c" in files
    assert b"/usr/local/lib/own_clock.so" in files["Dockerfile"]


@pytest.mark.parametrize(("offset_s", "refused"), [(-5, False), (5, False), (4.9, True), (-1, True), (0, True)])
def test_an_offset_that_nobody_could_tell_is_refused(offset_s: float, refused: bool) -> None:
    fault = Fault(fault="clock_skew", target="database[0]", options={"offset_s": offset_s}, at_s=5, hold_s=20)
    assert bool(ClockSkew().refusal(TOPOLOGY, fault)) is refused


def test_a_clock_that_is_wrong_already_is_not_set_again() -> None:
    host = RehearsalHost(FakeClock().now_ns, "abc123")
    aim = Aim(target="database", tag="chaos-abc123-0", options=ClockSkew.Options(offset_s=-60))
    state = ClockSkew().prepare(host, aim)
    ClockSkew().inject(host, state)
    assert ClockSkew().confirm(host, state).text == "date in the container is -60.000 s off the host's, -60 expected"
    with pytest.raises(GuardError, match=r"its clock is -60.0 s off even now"):
        ClockSkew().prepare(host, aim)


def test_a_machine_on_which_somebody_sees_the_hosts_clock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    host = RehearsalHost(FakeClock().now_ns, "abc123")
    monkeypatch.setattr(host.clocks, "deaf", lambda _pid: ["etcd", "etcd"])
    aim = Aim(target="database", tag="chaos-abc123-0", options=ClockSkew.Options(offset_s=60))
    with pytest.raises(GuardError, match="the clock of etcd can't be set"):
        ClockSkew().prepare(host, aim)
