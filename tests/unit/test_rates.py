"""Rates files: every number has a source, and every mistake its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis.nines import Missing
from harness.core.rates import Rates
from harness.errors import SpecError
from harness.faults.registry import FAULTS
from harness.report.nines import template
from harness.spec.rates import DEFAULT_RATES, load_rates, merged, shipped_rates

EXPERIMENTS = ("node-kill", "lb-loss")
GOOD = """\
rates:
  node-kill:
    events: 3
    exposure_years: 12.5
    source: our own records, 2021 to 2024
  lb-loss:
    not_counted: there are two of them
manual_repair:
  median_s: 3600
  p95_s: 14400
  source: our on-call records
"""


def load(path: Path, text: str) -> Rates:
    path = path / "rates.yaml"
    path.write_text(text)
    return load_rates(path, experiments=EXPERIMENTS, faults=sorted(FAULTS))


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    rates = load(tmp_path, GOOD)
    assert rates.rates["node-kill"].mean_per_year == pytest.approx(0.24)
    assert rates.rates["lb-loss"].not_counted == "there are two of them"
    assert rates.manual_repair is not None
    assert rates.manual_repair.median_s == 3600


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("node-kill:", "node-kil:", 2, "did you mean node-kill?"),
        ("node-kill:", "kil on workbench:", 2, "did you mean kill on workbench?"),
        ("events: 3", "event: 3", 3, "did you mean events?"),
        ("events: 3", "events: 0", 3, "rates.node-kill.events is 0, expected a whole number of at least 1"),
        ("    events: 3\n", "", 3, "exposure_years is given without events, expected both"),
        ("events: 3", "per_year: 3", 2, "has exposure_years and per_year, expected one of: events with exposure_years"),
        ("    events: 3\n    exposure_years: 12.5\n", "", 2, "rates.node-kill has no number, expected one of: events"),
        ("    source: our own records, 2021 to 2024\n", "", 2, "rates.node-kill has no source, expected where"),
        ("source: our own records, 2021 to 2024", "source: ' '", 5, "rates.node-kill.source is ' ', expected where"),
        ("source: our own records, 2021 to 2024", "source: ...", 5, "rates.node-kill.source is '...', expected where"),
        ("not_counted: there are two of them", "not_counted: ''", 7, "rates.lb-loss.not_counted is '', expected why"),
        ("not_counted: there", "per: platform\n    not_counted: there", 8, "is given with per, expected either"),
        ("median_s: 3600", "median_s: ...", 9, "manual_repair.median_s is '...', expected a number of at least 1"),
        ("p95_s: 14400", "p95_s: 3600", 10, "manual_repair.p95_s is 3600, expected more than median_s, which is 3600"),
        ("p95_s: 14400", "most_s: 14400", 8, "has median_s and most_s, expected one of: median_s with p95_s"),
        ("  source: our on-call records\n", "", 8, "manual_repair has no source, expected where"),
        ("rates:\n", "machine: {per_year: 1, uncertainty_percent: 10}\nrates:\n", 1, "machine has no source"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    found = [problem for problem in caught.value.problems if expected in problem]
    assert found, caught.value.problems
    assert f"rates.yaml:{line}: " in found[0]


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD.replace("node-kill:", "node-kil:").replace("p95_s: 14400", "p95_s: 1"))
    assert len(caught.value.problems) == 2


def test_a_spread_repair_has_two_bounds(tmp_path: Path) -> None:
    rates = load(tmp_path, "manual_repair: {least_s: 600, most_s: 600, source: contract}\n")
    assert rates.manual_repair is not None
    assert (rates.manual_repair.mean_s, rates.manual_repair.deviation_s) == (600.0, 0.0)
    with pytest.raises(SpecError, match="most_s is 5, expected at least least_s, which is 600"):
        load(tmp_path, "manual_repair: {least_s: 600, most_s: 5, source: contract}\n")


def test_the_shipped_rates_are_those_that_somebody_published() -> None:
    rates = shipped_rates(sorted(FAULTS))
    assert {name: rate.mean_per_year for name, rate in rates.rates.items()} == {
        "kill on workbench": pytest.approx(0.56),
        "read_only on storage": pytest.approx(0.0157),
    }
    assert rates.machine is not None
    assert rates.machine.mean_per_year == pytest.approx(0.56)
    assert rates.manual_repair is None, "no source was found for somebody else's repairs"
    for one in (*rates.rates.values(), rates.machine):
        assert any(name in one.source for name in ("Dean", "Backblaze"))


def test_an_own_file_adds_to_the_shipped_one_and_replaces_it(tmp_path: Path) -> None:
    own = load(tmp_path, GOOD + "machine: {per_year: 2, uncertainty_percent: 10, source: ours}\n")
    rates = merged(shipped_rates(sorted(FAULTS)), own)
    assert set(rates.rates) == {"kill on workbench", "read_only on storage", "node-kill", "lb-loss"}
    assert rates.machine is not None
    assert rates.machine.mean_per_year == pytest.approx(2.0)


def test_what_is_printed_to_fill_in_is_read_back_once_it_is_filled_in(tmp_path: Path) -> None:
    missing = [Missing(name="node-kill", what="kill on workbench[active]"), Missing(name="lb-loss", per_machine=False)]
    text = "\n".join(template([*missing, Missing(name="", what="how long a repair takes")])) + "\n"
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    assert len(caught.value.problems) == 9, "every gap is named"
    for gap, value in (
        ("per_year: ...", "per_year: 1"),
        ("percent: ...", "percent: 50"),
        ("source: ...", "source: ours"),
    ):
        text = text.replace(gap, value)
    filled = load(tmp_path, text.replace("median_s: ...", "median_s: 60").replace("p95_s: ...", "p95_s: 90"))
    assert (filled.rates["node-kill"].per, filled.rates["lb-loss"].per) == ("machine", "platform")


def test_the_shipped_file_is_part_of_the_package() -> None:
    assert DEFAULT_RATES.parts[-3:] == ("harness", "data", "rates.yaml")
    text = (DEFAULT_RATES.parents[2] / "pyproject.toml").read_text()
    assert '"data/*"' in text
