"""What is read from `measures.json` for a comparison, and what is written down about it."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.analysis import analyse
from harness.analysis.comparable import COMPARABLES, readings_of
from harness.core.words import Capability
from tests.unit.analysis_runs import twelve_users


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(analyse(twelve_users()).to_json_dict()))
    return content


@pytest.fixture
def content(measured: dict[str, Any]) -> dict[str, Any]:
    """A copy to change."""
    return copy.deepcopy(measured)


def test_a_run_has_a_value_of_everything_but_growth(content: dict[str, Any]) -> None:
    found = readings_of(content)
    known = {one.key for one in COMPARABLES}
    # nobody grew, nobody looked at the nodes, and there was no disaster
    of_disasters = {"recovery_first_log_in_s", "recovery_all_working_s", "recovery_point_s"}
    assert known - set(found) == {"users_carried", "two_servers", *of_disasters}
    assert found["outage_s.work"].value == pytest.approx(3.5, abs=0.1)
    assert found["longest_outage_s"].value == max(found[f"outage_s.{one}"].value for one in Capability)
    assert found["sessions_restarted"].value == 12
    assert found["recovered_by_design"].value == 1
    assert found["works_without_fault"].value == 1
    assert found["runs_losing_writes"].value == 0
    assert not any(one.at_least for one in found.values())


def test_an_outage_is_as_exact_as_its_bounds(content: dict[str, Any]) -> None:
    (work,) = [one for one in content["outages"] if one["capability"] == "work"]
    width_s = work["seconds_upper"] - work["seconds_lower"]
    assert readings_of(content)["outage_s.work"].error == pytest.approx(width_s / math.sqrt(24))


def test_no_outage_is_as_exact_as_the_time_between_two_probes_of_a_place(content: dict[str, Any]) -> None:
    content["outages"] = []
    found = readings_of(content)
    assert found["outage_s.start_session"].value == 0
    assert found["outage_s.start_session"].error == pytest.approx(2.0 / math.sqrt(12), rel=0.01)
    assert found["outage_s.work"].error == pytest.approx(0.1 / math.sqrt(12), rel=0.01)


def test_the_longest_counts_and_all_of_a_capability_are_summed_beside_it(content: dict[str, Any]) -> None:
    (work,) = [one for one in content["outages"] if one["capability"] == "work"]
    content["outages"].append(work | {"seconds": 1.0, "seconds_lower": 0.9, "seconds_upper": 1.1})
    found = readings_of(content)
    assert found["outage_s.work"].value == pytest.approx(work["seconds"])
    assert found["away_s.work"].value == pytest.approx(work["seconds"] + 1)


def test_what_did_not_end_counts_with_what_was_seen_of_it(content: dict[str, Any]) -> None:
    (work,) = [one for one in content["outages"] if one["capability"] == "work"]
    work |= {"end_s": None, "seconds_upper": None, "seconds_lower": 30.0, "seconds": 30.4}
    content["sessions"][0]["disturbances"][-1]["end_ns"] = None
    found = readings_of(content)
    assert (found["outage_s.work"].value, found["outage_s.work"].at_least) == (30.0, True)
    assert found["longest_outage_s"].at_least
    assert not found["outage_s.log_in"].at_least
    assert found["user_outage_s"].at_least


def test_what_was_not_measured_has_no_value(content: dict[str, Any]) -> None:
    content["facts"]["window"] = None
    content["without_fault"] = {"users": 12}
    content["outages"] = []
    content["user_uptime"] |= dict.fromkeys(("outage_s", "worst_s", "union_s"))
    content["writes"]["lost"] = None
    for one in content["capabilities"]:
        one |= {"samples": 0, "latency_p50_s": None, "period_s": None}
    found = readings_of(content)
    assert {key for key, one in found.items() if key != "database_gap_s"} == {"works_without_fault"}
    assert found["works_without_fault"].value == 0


def test_people_carried_are_at_least_so_many_where_the_limit_was_not_found(content: dict[str, Any]) -> None:
    content["facts"]["growth"] = {"steps": [{"users_before": 12, "users_after": 24}]}
    content |= {"users_carried": 24, "users_carried_is_limit": False}
    found = readings_of(content)["users_carried"]
    assert (found.value, found.at_least) == (24, True)
    assert found.error == pytest.approx(12 / math.sqrt(12))


def test_results_of_an_earlier_version_have_what_they_have(content: dict[str, Any]) -> None:
    for name in ("users_carried", "duplicated_homes", "without_fault"):
        del content[name]
    del content["user_uptime"]["union_s"]
    for one in content["capabilities"]:
        del one["period_s"]
    found = readings_of(content)
    assert "user_union_s" not in found
    assert "outage_s.work" in found


def test_what_is_no_measures_json_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["outages"]
    with pytest.raises(KeyError, match="outages"):
        readings_of(content)
