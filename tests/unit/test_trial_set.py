"""What trials say together, and the verdict on the set, from runs whose numbers can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from harness.analysis import Measures, analyse
from harness.analysis.estimates import distribution
from harness.analysis.outages import CapabilityMeasures, Outage
from harness.analysis.trial_set import Trial, TrialSet
from harness.analysis.trials import Measure, Summary, narrow_enough, summarise
from harness.core.verdict import Outcome, Verdict
from harness.core.words import Recovery
from harness.report.trials import render_trials
from tests.unit.analysis_runs import ns, twelve_users


@pytest.fixture(scope="module")
def passed() -> Measures:
    return analyse(twelve_users())


@pytest.fixture(scope="module")
def one_person_lost() -> Measures:
    return analyse(twelve_users(lose_user=True))


def with_outage(measures: Measures, seconds: float, *, ended: bool = True, repaired: bool = False) -> Measures:
    """The same with one outage of `work` that began at 5 s, and no other."""
    recovery = Recovery.BY_REPAIR if repaired else Recovery.BY_DESIGN if ended else Recovery.NOT_RECOVERED
    end_ns = ns(5 + seconds)
    outage = Outage(
        capability="work", start_lower_ns=ns(5), start_upper_ns=ns(5), end_lower_ns=end_ns,
        end_upper_ns=end_ns if ended else None, observed_until_ns=ns(100), during_fault=0, recovery=recovery,
        places_affected=1, places=1,
    )  # fmt: skip

    def alone(one: CapabilityMeasures) -> CapabilityMeasures:
        if one.capability == "work":
            return replace(one, outages=(outage,), recovery=recovery)
        return replace(one, outages=(), recovery=Recovery.UNAFFECTED)

    return replace(measures, capabilities=tuple(alone(one) for one in measures.capabilities))


def ended_as(measures: Measures, outcome: Outcome) -> Measures:
    return replace(measures, verdict=Verdict(outcome, (f"it was {outcome.value}",), ()))


def measure(summary: Summary, name: str) -> Measure:
    return next(one for one in summary.measures if one.name == name)


def trial(number: int, measures: Measures | None, why_not: str = "") -> Trial:
    return Trial(
        number=number,
        seed=number,
        offset_s=0.5,
        schedule={},
        schedule_sha256="0",
        measures=measures,
        why_not=why_not,
        deployment="abc",
    )


def set_of(
    control: Measures | None, trials: Sequence[Measures | None], *, width: float | None = None, early: bool = False
) -> TrialSet:
    return TrialSet(
        topology="pair",
        experiment="node-kill",
        seed=7,
        plan_sha256="f00",
        at_most=len(trials),
        until_width_ratio=width,
        control=trial(0, control, "" if control else "not run"),
        trials=[trial(n, one, "" if one else "not run: interrupted") for n, one in enumerate(trials, 1)],
        stopped_early=early,
    )


def printed(the_set: TrialSet) -> str:
    text = StringIO()
    render_trials(the_set, Console(file=text, width=120), "x.json")
    return text.getvalue()


# -- what they say together ------------------------------------------------------------------------------------------


def test_measures_of_one_run(passed: Measures) -> None:
    summary = summarise([passed])
    assert summary.trials == 1
    names = [one.name for one in summary.measures]
    assert names == [
        "longest outage",
        *(f"outage of {name}" for name in ("log_in", "start_session", "work", "save", "reconnect")),
        "user-weighted outage",
        "sessions lost",
        "sessions restarted",
        "writes lost",
    ]
    for name, value in [("outage of log_in", 3.0), ("outage of work", 3.5), ("sessions restarted", 12)]:
        largest = measure(summary, name).over_trials.largest
        assert largest is not None
        assert largest.value == pytest.approx(value, abs=0.15)
    weighted = measure(summary, "user-weighted outage").over_trials
    assert weighted.mean == passed.user_uptime.outage_s
    assert measure(summary, "writes lost").over_trials.mean == 0
    assert measure(summary, "longest outage").over_trials.interval is None, "one trial has no interval"


def test_outages_of_known_length(passed: Measures) -> None:
    summary = summarise([with_outage(passed, seconds) for seconds in (1, 2, 3, 4, 5)])
    longest = summary.longest.over_trials
    assert longest.interval is not None
    assert longest.mean == 3
    assert longest.interval.lower == pytest.approx(1.037, abs=0.001)
    log_in = measure(summary, "outage of log_in").over_trials
    assert (log_in.values, log_in.mean) == (5, 0), "probed, and never away: that is an outage of 0 s"


def test_what_was_not_probed_is_no_outage_of_zero(passed: Measures) -> None:
    unprobed = [replace(one, samples=0, outages=()) for one in passed.capabilities]
    found = measure(summarise([replace(passed, capabilities=tuple(unprobed))]), "outage of work").over_trials
    assert (found.values, found.missing, found.mean) == (0, 1, None)


def test_an_outage_that_did_not_end_counts_apart(passed: Measures) -> None:
    summary = summarise([with_outage(passed, 2), with_outage(passed, 4, ended=False)])
    longest = summary.longest.over_trials
    assert (longest.censored, longest.mean, longest.mean_is_lower_bound) == (1, 3.0, True)
    assert longest.interval is not None
    assert longest.interval.upper is None
    assert summary.recovered_by_design.by_design == 1
    text = printed(set_of(passed, [with_outage(passed, 2), with_outage(passed, 4, ended=False)]))
    assert "at least 3.00 s (from 0.00 s, no upper end)" in text
    assert "1 not ended" in text
    assert "what it touches is a lower bound" in text


def test_a_short_one_without_an_end_next_to_a_longer_one_may_have_become_the_longest(passed: Measures) -> None:
    (ended, open_end) = (with_outage(passed, 9), with_outage(passed, 2, ended=False))
    outages = [one.outages for run in (ended, open_end) for one in run.capabilities if one.capability == "work"]
    both = tuple(outage for some in outages for outage in some)
    run = replace(ended, capabilities=tuple(replace(one, outages=both) for one in ended.capabilities))
    largest = summarise([run]).longest.over_trials.largest
    assert largest is not None
    assert (largest.value, largest.lower_bound) == (9, True)


def test_a_person_who_is_still_down_makes_the_mean_down_time_a_lower_bound(one_person_lost: Measures) -> None:
    found = measure(summarise([one_person_lost]), "user-weighted outage").over_trials
    assert found.mean_is_lower_bound
    assert measure(summarise([one_person_lost]), "sessions lost").over_trials.mean == 1


def test_the_share_that_recovered_by_design(passed: Measures) -> None:
    repaired = with_outage(passed, 20, repaired=True)
    summary = summarise([*[passed] * 9, repaired])
    share = summary.recovered_by_design
    assert (share.by_design, share.trials, share.ratio) == (9, 10, 0.9)
    assert share.interval is not None
    assert share.interval.lower == pytest.approx(0.555, abs=1e-3)
    assert share.interval.upper == pytest.approx(0.9975, abs=1e-4)
    assert share.by_recovery[Recovery.BY_REPAIR] == 1
    assert summary.longest.by_repair == 1
    text = printed(set_of(passed, [*[passed] * 9, repaired]))
    assert "9 of 10 trials, 90.0% (95% Clopper-Pearson 55.5 to 99.7%)" in text
    assert "1 by repair" in text
    assert "as long as the experiment held it" in text


def test_trials_that_prove_nothing_are_in_no_number_and_are_counted(passed: Measures) -> None:
    lame = ended_as(with_outage(passed, 99), Outcome.INCONCLUSIVE)
    broke = ended_as(with_outage(passed, 99), Outcome.ERROR)
    failed = ended_as(with_outage(passed, 7), Outcome.FAIL)
    summary = summarise([with_outage(passed, 3), lame, failed, broke])
    assert (summary.trials, summary.proving_nothing) == (2, 2)
    assert summary.longest.over_trials.mean == 5, "a broken promise is a measurement"


def test_no_trial_at_all_is_no_number(passed: Measures) -> None:
    summary = summarise([ended_as(passed, Outcome.ERROR)])
    assert (summary.recovered_by_design.ratio, summary.recovered_by_design.interval) == (None, None)
    assert all(one.over_trials.mean is None for one in summary.measures)


@given(st.permutations(range(4)))
def test_the_order_of_trials_does_not_matter(passed: Measures, order: list[int]) -> None:
    trials = [with_outage(passed, 1 + number, ended=number != 2) for number in range(4)]
    assert summarise([trials[number] for number in order]) == summarise(trials)


# -- when it is narrow enough ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "width", "enough"),
    [
        ((3, 3.1, 3.2, 3.3), 0.5, False),  # fewer than five
        ((3, 3.1, 3.2, 3.3, 3.4), 0.13, True),  # 2 * 2.776 * 0.158 / sqrt(5) / 3.2 = 12.3%
        ((3, 3.1, 3.2, 3.3, 3.4), 0.12, False),
        ((3, 3, 3, 3, 3), 1.0, False),  # nothing tells how far they vary
        ((0, 0, 0, 0, 0), 1.0, False),
    ],
)
def test_when_an_interval_is_narrow_enough(
    passed: Measures, seconds: Sequence[float], width: float, enough: bool
) -> None:
    assert narrow_enough(summarise([with_outage(passed, one) for one in seconds]), width) is enough


def test_an_interval_without_an_upper_end_is_never_narrow(passed: Measures) -> None:
    trials = [with_outage(passed, 3 + number / 10, ended=number != 4) for number in range(5)]
    assert not narrow_enough(summarise(trials), 1.0)


# -- the verdict on the set ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("control", "trials", "whole"),
    [
        ("PASS", ["PASS", "PASS"], "PASS"),
        ("PASS", ["PASS", "FAIL", "INCONCLUSIVE"], "FAIL"),
        ("PASS", ["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        ("PASS", ["FAIL", "ERROR"], "ERROR"),
        ("PASS", ["PASS", ""], "INCONCLUSIVE"),
        ("PASS", ["FAIL", ""], "FAIL"),
        ("INCONCLUSIVE", ["", ""], "INCONCLUSIVE"),
        ("FAIL", ["", ""], "INCONCLUSIVE"),
        ("FAIL", ["PASS", "PASS"], "INCONCLUSIVE"),
        ("ERROR", ["", ""], "ERROR"),
        ("", ["", ""], "INCONCLUSIVE"),
    ],
)
def test_the_verdict(passed: Measures, control: str, trials: list[str], whole: str) -> None:
    """An empty word stands for a run that was not done."""
    runs = [ended_as(passed, Outcome(word)) if word else None for word in trials]
    assert set_of(ended_as(passed, Outcome(control)) if control else None, runs).outcome is Outcome(whole)


def test_each_trial_that_is_no_pass_is_told(passed: Measures) -> None:
    the_set = set_of(
        passed, [passed, ended_as(passed, Outcome.INCONCLUSIVE), ended_as(passed, Outcome.FAIL), None, None]
    )
    assert the_set.reasons == (
        "trial 2: INCONCLUSIVE: it was INCONCLUSIVE",
        "trial 3: FAIL: it was FAIL",
        "trials 4 to 5: not run: interrupted",
    )
    text = printed(the_set)
    assert all(f"  - {reason}" in text for reason in the_set.reasons)
    assert "1 trial(s) prove nothing and are in no number above" in text
    assert text.count("not run") == 3
    content = the_set.to_json_dict()
    nothing = "INCONCLUSIVE"
    assert [one["outcome"] for one in content["trials"]] == ["PASS", nothing, "FAIL", nothing, nothing]
    assert content["summary"]["trials"] == 2


def test_known_broken_promises_are_said(passed: Measures) -> None:
    failed = replace(ended_as(passed, Outcome.FAIL), known_broken="the check is blind")
    assert "the check is blind" in printed(set_of(passed, [failed]))


def test_twenty_trials_have_a_p95(passed: Measures) -> None:
    runs = [with_outage(passed, number) for number in range(1, 21)]
    text = " ".join(printed(set_of(passed, runs)).split())
    assert "longest outage 10.50 s 19.00 s 20.00 s 10.50 s (7.73 to 13.27 s)" in text
    assert "p95: not available" not in text


def test_the_mean_of_a_distribution_is_of_trials(passed: Measures) -> None:
    """n is trials: two outages in one trial are one value."""
    twice = with_outage(passed, 4)
    work = next(one for one in twice.capabilities if one.capability == "work")
    doubled = replace(work, outages=(*work.outages, *work.outages))
    capabilities = tuple(doubled if one.capability == "work" else one for one in twice.capabilities)
    found = summarise([replace(twice, capabilities=capabilities)]).longest.over_trials
    assert (found.values, found.mean) == (1, 4)
    assert distribution([]).values == 0
