"""What a run says about one event, which runs are counted together, and which rate is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis import analyse
from harness.analysis.nines import Evidence, Misfit, difference, match, trial_of, why_left_out
from harness.analysis.nines.exposure import one_machine
from harness.core.experiment import Experiment, Fault
from harness.core.products import LoadBalancer, Patroni, Workbench
from harness.core.rates import ManualRepair, Rate, Rates
from harness.core.topology import Link, Topology
from harness.core.verdict import Outcome, Verdict
from harness.core.words import Recovery, Role, SessionOutcome
from tests.unit.analysis_runs import (
    experiment,
    grid_probes,
    history,
    op,
    probes_frame,
    record,
    topology,
    twelve_users,
)
from tests.unit.nines_samples import AN_HOUR, rate, trial


def test_the_outage_of_a_trial_is_the_union_of_what_counts() -> None:
    # log_in is away from 4.9505 to 7.9505 s, work to 8.4505 s; start_session longer, but it does not count
    measures = analyse(twelve_users())
    assert why_left_out(measures) == ""
    found = trial_of(measures, "node-kill/1")
    assert found.recovery is Recovery.BY_DESIGN
    assert found.outage_s == pytest.approx(3.5)
    assert trial_of(measures, "node-kill/1", ("log_in",)).outage_s == pytest.approx(3.0)
    assert found.user_outage_s == measures.user_uptime.outage_s
    assert (found.restarted_ratio, found.lost_ratio, found.waiting_ratio) == (1.0, 0.0, 0.0)


def test_outages_one_after_the_other_add_up() -> None:
    down = {"log_in": (5.0, 8.0), "work": (10.0, 12.0)}
    run = twelve_users()
    measures = analyse(replace(run, probes=probes_frame(grid_probes(down))))
    assert trial_of(measures, "x").outage_s == pytest.approx(5.0)


def test_whoever_could_work_only_after_the_repair_waited_for_it() -> None:
    # of two people one is back after 2 s, the other one after the undoing at 30 s
    rows = [op(t, user=u, session=u) for u in ("a", "b") for t in range(-5, 40) if not 5 <= t < {"a": 7, "b": 32}[u]]
    rows += [op(t, user=u, session=u, ok=0) for u in ("a", "b") for t in range(5, {"a": 7, "b": 32}[u])]
    measures = analyse(record(sorted(rows, key=lambda row: row.send_ns), grid_probes({"work": (5.0, 6.0)}), users=2))
    found = trial_of(measures, "x")
    assert found.recovery is Recovery.BY_REPAIR
    assert found.waiting_ratio == 0.5
    # a's disturbance, from 5 s to the end of the work at 7 s, divided by two people
    assert found.others_outage_s == pytest.approx(2.05 / 2)
    assert trial_of(measures, "x", ("log_in",)).recovery is Recovery.UNAFFECTED


@pytest.mark.long
@pytest.mark.parametrize("outcome", [Outcome.ERROR, Outcome.INCONCLUSIVE])
def test_a_run_that_proves_nothing_is_left_out_with_its_reason(outcome: Outcome) -> None:
    measures = replace(analyse(twelve_users()), verdict=Verdict(outcome, ("the disk was full",), ()))
    assert why_left_out(measures) == f"{outcome.value}: the disk was full"


def test_a_control_run_is_left_out() -> None:
    run = record([op(t) for t in range(-5, 40)], grid_probes({}), faults=0, events=history(readback=180))
    measures = analyse(run)
    assert why_left_out(measures).startswith("control run")
    judged = replace(measures, verdict=Verdict(Outcome.PASS, ("fine",), ()))
    assert why_left_out(judged) == "control run: nothing was injected"


def test_a_platform_that_did_not_work_before_any_fault_is_no_trial() -> None:
    measures = analyse(record(events=history(steady=False)))
    judged = replace(measures, verdict=Verdict(Outcome.FAIL, ("it refused",), ()))
    assert why_left_out(judged) == "the platform did not work before anything was injected"


def evidence(run: str = "1", **changes: Any) -> Evidence:
    on, what = changes.get("on", topology()), changes.get("what", experiment())
    return Evidence(trial=trial(run=run), topology=on, experiment=what)


def test_the_same_platform_and_experiment_may_be_counted_together() -> None:
    other_words = replace(topology(promise=None), description="said differently")
    other_source = replace(experiment(), source="elsewhere")
    assert difference([evidence(), evidence("2", on=other_words), evidence("3", what=other_source)]) == ""
    assert difference([]) == ""


def test_a_knob_that_differs_is_named_with_both_values() -> None:
    other = replace(topology(), workbench=Workbench(takeover="first-holder"))
    assert difference([evidence(), evidence("2", on=other)]) == (
        "topology.workbench.takeover is first-holder in 2 and automatic in 1, expected the same in all runs that are "
        "counted together"
    )
    without = replace(topology(), storage=None)
    assert "topology.storage" in difference([evidence(), evidence("2", on=without)])


def test_an_experiment_that_was_done_differently_is_named() -> None:
    text = difference([evidence(), evidence("2", what=experiment(users=3))])
    assert text.startswith("experiment.load.users is 3 in 2 and 1 in 1")
    longer = replace(experiment(), faults=(replace(experiment().faults[0], hold_s=99),))
    assert "experiment.faults[0].hold_s is 99" in difference([evidence(), evidence("2", what=longer)])
    # another experiment may be another
    assert difference([evidence(), evidence("2", what=replace(longer, name="node-kill-long"))]) == ""


def test_trials_of_a_set_come_later_each_and_are_still_the_same() -> None:
    one, other = experiment().faults[0], replace(experiment().faults[0], at_s=experiment().faults[0].at_s + 7)
    pair = replace(experiment(), faults=(one, other))
    later = replace(pair, faults=tuple(replace(fault, at_s=fault.at_s + 1.234) for fault in pair.faults))
    assert difference([evidence("1", what=pair), evidence("2", what=later)]) == ""
    apart = replace(pair, faults=(one, replace(other, at_s=other.at_s + 1)))
    assert "experiment.faults[1].at_s is 8" in difference([evidence("1", what=pair), evidence("2", what=apart)])


def test_a_link_that_an_experiment_brings_along_is_no_other_platform() -> None:
    link = Link(from_=Role.WORKBENCH, to=Role.DATABASE)
    slow = replace(experiment(), name="slow-database", links=(link,))
    linked = topology().with_links([link])
    assert difference([evidence(), evidence("2", on=linked, what=slow)]) == ""
    assert "topology.links" in difference([evidence(), evidence("2", on=linked)])


def doing(name: str, *faults: tuple[str, str]) -> Experiment:
    many = tuple(Fault(fault=fault, target=target, at_s=5, hold_s=20) for fault, target in faults)
    return replace(experiment(), name=name, faults=many)


CLUSTER = replace(topology(), workbench=Workbench(nodes=3, mode="active-active"), database=Patroni())


@pytest.mark.parametrize(
    ("on", "target", "expected"),
    [
        (topology(), "workbench[active]", (Role.WORKBENCH, 1)),
        (topology(), "workbench[busiest]", (Role.WORKBENCH, 1)),
        (topology(), "workbench[any]", (Role.WORKBENCH, 2)),
        (CLUSTER, "workbench[active]", (Role.WORKBENCH, 3)),
        (CLUSTER, "workbench[0]", (Role.WORKBENCH, 3)),
        (CLUSTER, "database[primary]", (Role.DATABASE, 1)),
        (CLUSTER, "database[any]", (Role.DATABASE, 3)),
        (CLUSTER, "load_balancer[holder]", (Role.LOAD_BALANCER, 1)),
        (CLUSTER, "workbench[*]", None),
        (CLUSTER, "workbench[50%]", None),
    ],
)
def test_a_rate_holds_for_the_machines_that_the_target_may_mean(
    on: Topology, target: str, expected: tuple[Role, int] | None
) -> None:
    assert one_machine(on, doing("x", ("kill", target))) == expected


def test_several_faults_are_no_single_machine() -> None:
    assert one_machine(CLUSTER, doing("x", ("kill", "workbench[0]"), ("kill", "workbench[0]"))) is None


def rates(repair: ManualRepair | None = AN_HOUR, **by_name: Rate) -> Rates:
    return Rates(
        manual_repair=repair, rates={name.replace("_on_", " on ").replace("__", "-"): r for name, r in by_name.items()}
    )


KILL = doing("node-kill", ("kill", "workbench[active]"))
GROWN = doing("n-minus-one", ("kill", "workbench[busiest]"))


def names(found: Sequence[Any]) -> list[str]:
    return [one.name for one in found]


def test_a_rate_by_name_goes_before_one_by_fault() -> None:
    found = match(rates(kill_on_workbench=rate(), node__kill=rate(events=9)), CLUSTER, [KILL])
    (one,) = found.exposed
    assert (one.rate.events, one.machines, one.role) == (9, 3, Role.WORKBENCH)
    assert found.without_trials == ("kill on workbench",)
    (by_fault,) = match(rates(kill_on_workbench=rate()), CLUSTER, [KILL]).exposed
    assert by_fault.rate_name == "kill on workbench"


def test_a_rate_by_fault_is_not_counted_twice() -> None:
    found = match(rates(kill_on_workbench=rate()), CLUSTER, [KILL, GROWN])
    assert names(found.missing) == ["node-kill", "n-minus-one"]
    assert found.missing[0].why == "'kill on workbench' is also the fault of n-minus-one"
    half = match(rates(kill_on_workbench=rate(), node__kill=rate()), CLUSTER, [KILL, GROWN])
    assert names(half.missing) == ["n-minus-one"]
    aside = Rate(not_counted="as node-kill")
    settled = match(rates(kill_on_workbench=rate(), n__minus__one=aside), CLUSTER, [KILL, GROWN])
    assert (settled.missing, settled.not_counted) == ((), {"n-minus-one": "as node-kill"})
    assert [one.experiment for one in settled.exposed] == ["node-kill"]


def test_what_is_missing_is_said_once_for_all() -> None:
    found = match(rates(None, node__kill=rate()), CLUSTER, [KILL, doing("lb-loss", ("kill", "load_balancer[holder]"))])
    assert names(found.missing) == ["lb-loss", ""]
    assert found.missing[0].what == "kill on load_balancer[holder]"
    own = Rate(events=1, exposure_years=1, source="x", manual_repair=AN_HOUR)
    assert match(rates(None, node__kill=own), CLUSTER, [KILL]).missing == ()


def test_a_rate_per_machine_needs_a_machine() -> None:
    storm = doing("log-in-storm", ("kill", "workbench[*]"))
    found = match(rates(log__in__storm=rate()), CLUSTER, [storm])
    (misfit,) = found.misfits
    assert isinstance(misfit, Misfit)
    assert misfit.expected.startswith("per: platform, because kill on workbench[*] is more than one")
    (one,) = match(rates(log__in__storm=rate(per="platform")), CLUSTER, [storm]).exposed
    assert (one.machines, one.role) == (1, None)
    # a rate by fault is one machine's
    assert names(match(rates(kill_on_workbench=rate()), CLUSTER, [storm]).missing) == ["log-in-storm"]


def test_sessions_that_were_lost_are_counted_with_the_trial() -> None:
    measures = analyse(twelve_users(lose_user=True))
    found = trial_of(measures, "x")
    assert found.lost_ratio == pytest.approx(1 / 12)
    assert found.recovery is Recovery.NOT_RECOVERED
    assert {row.outcome for row in measures.sessions} == {SessionOutcome.RESTARTED, SessionOutcome.LOST}


def test_a_pair_with_a_virtual_address_has_one_holder() -> None:
    pair = replace(CLUSTER, load_balancer=LoadBalancer(nodes=2, vip=True))
    assert one_machine(pair, doing("x", ("kill", "load_balancer[holder]"))) == (Role.LOAD_BALANCER, 1)
    assert one_machine(pair, doing("x", ("kill", "load_balancer[any]"))) == (Role.LOAD_BALANCER, 2)
