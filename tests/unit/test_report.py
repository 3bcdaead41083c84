"""Reports say what analysis found, load nothing from a network, and treat every text as text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness.analysis import Measures, analyse
from harness.core.history import EventKind
from harness.core.rows import SavedValue
from harness.core.words import Recovery, SessionOutcome, Store
from harness.report import words
from harness.report.checks import check_rows
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.terminal import render
from tests.unit.analysis_runs import (
    PROMISE,
    fault_events,
    grid_probes,
    history,
    op,
    record,
    topology,
    twelve_users,
    views,
)
from tests.unit.page_reader import Page

pytestmark = pytest.mark.drawn

STANDBY = [(-5.0, "DOWN"), (6.8, "UP"), (8.0, "DOWN")]
HOSTILE = "</script><script>alert(1)</script> [bold]&\"'"


@pytest.fixture(scope="module")
def passed() -> Measures:
    return analyse(twelve_users())


@pytest.fixture(scope="module")
def failed() -> Measures:
    return analyse(twelve_users(lose_user=True, promise=replace(PROMISE, session_outcome=SessionOutcome.KEPT)))


@pytest.fixture(scope="module")
def empty() -> Measures:
    return analyse(record(events=history(steady=False, drain=None, readback=None)))


@pytest.fixture(scope="module")
def broken() -> Measures:
    error = (20.0, EventKind.ERROR, {"type": "PeerError", "message": HOSTILE})
    run = twelve_users(events=history(fault_events(5, 30, confirm={"evidence": HOSTILE}), extra=[error]))
    return analyse(replace(run, topology=replace(topology(), name=HOSTILE), run={"versions": {HOSTILE: HOSTILE}}))


Draw = Callable[[Measures], str]


@pytest.fixture(scope="module")
def html_of() -> Draw:
    """Draws each page once: it is mostly Bokeh's script."""
    pages: dict[int, str] = {}

    def draw(measures: Measures) -> str:
        if id(measures) not in pages:  # the measures are fixtures of this module, so an id is not used twice
            pages[id(measures)] = render_html(measures)
        return pages[id(measures)]

    return draw


@pytest.mark.long
@pytest.mark.parametrize("name", ["passed", "failed", "empty", "broken"])
def test_the_page_is_well_formed_and_loads_nothing(name: str, request: pytest.FixtureRequest, html_of: Draw) -> None:
    measures = request.getfixturevalue(name)
    page = Page(html_of(measures))
    assert page.loads == ["data:,", "#verdict"], "an icon that is empty, and a place on the page itself"
    assert page.headings[0] == words.title(measures)
    windows = ["User-uptime by window length"] * bool(measures.user_uptime.windowed)
    said = ["What servers said"] * bool(measures.detections or measures.server_events_missing)
    assert page.headings[1:] == [
        "Timeline", *said, "Promises and objectives", "Capabilities", "Outages", "Sessions", *windows,
        "Acknowledged writes", "Faults and their proof", "Repeat it", "What was real, and how exactly it was measured",
        "Versions and machine",
    ]  # fmt: skip
    assert measures.verdict.outcome.value in page.text


def test_the_page_shows_the_numbers(passed: Measures, html_of: Draw) -> None:
    text = Page(html_of(passed)).text
    assert (
        "PASS Node-kill on workbench-0 with 12 of 12 sessions on it: 12 people lost what was in memory, nobody lost a "
        "saved file, log-in was away 3.0 s, starting a session was away 4.0 s; recovered by itself."
    ) in text
    assert f"All {len(passed.verdict.checks)} promises and objectives were kept." in text
    assert "acknowledged 266 180 45 lost 0 0 0 duplicated 0 0 0 there without acknowledgement 0 0 0" in text
    assert "reordered 0 0 longest time without one 0.25 s 1.00 s" in text
    assert "acknowledged writes lost 0 of 266 in homes 0 of 180 in the database 0 of 45 in the hub's database" in text
    assert "process=gone" in text
    assert "versions.docker 27" in text


def test_texts_from_outside_are_escaped(broken: Measures, passed: Measures, html_of: Draw) -> None:
    assert Page(html_of(broken)).scripts == Page(html_of(passed)).scripts
    assert HOSTILE not in html_of(broken)


@pytest.mark.long
def test_a_fault_with_a_hostile_name_can_not_leave_the_chart(passed: Measures, html_of: Draw) -> None:
    fault = replace(passed.facts.faults[0], kind=HOSTILE)
    measures = replace(passed, facts=replace(passed.facts, faults=(fault,)))
    text = render_html(measures)
    assert HOSTILE not in text
    assert "<script>alert(1)" not in text
    assert Page(text).scripts == Page(html_of(passed)).scripts


def test_an_empty_run_says_what_is_missing(empty: Measures, html_of: Draw) -> None:
    text = Page(html_of(empty)).text
    assert "INCONCLUSIVE This run proves nothing yet: the steady state was not reached" in text
    assert "Nothing to draw: the steady state was not reached" in text
    assert "100.000%" not in text


def printed(measures: Measures) -> str:
    console = Console(file=StringIO(), width=100)
    render(measures, console, "results/latest/report.html")
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("name", ["passed", "failed", "empty", "broken"])
def test_the_terminal_is_plain_text_of_100_columns(name: str, request: pytest.FixtureRequest) -> None:
    text = printed(request.getfixturevalue(name))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "\x1b" not in text
    assert text.rstrip().endswith("report: results/latest/report.html")
    assert request.getfixturevalue(name).verdict.outcome.value in text


@pytest.mark.long
def test_the_terminal_shows_the_numbers(passed: Measures, failed: Measures) -> None:
    lines = [" ".join(line.split()) for line in printed(passed).splitlines()]
    assert "restarted 12 0" in lines
    assert "work by design 400 91.250% 1.0 ms 1.0 ms 91.250%" in lines
    assert "work -0.05 s 3.50 s (3.40 to 3.60) by design" in lines
    assert "promise: outage of work at most 15 s 3.50 s (3.40 to 3.60) kept" in lines
    lines = [" ".join(line.split()) for line in printed(failed).splitlines()]
    assert "promise: session outcome kept or better lost (1 of 12) BROKEN" in lines
    assert any(
        line.endswith("expected by_design or better, observed not_recovered (people: 1 of 12)") for line in lines
    )
    assert "people recovered: 11 by design, 1 did not recover" in lines
    assert any("for 1 of 12 people it did not come back" in " ".join(lines[i : i + 4]) for i in range(len(lines)))


@pytest.mark.long
def test_an_outage_says_at_how_many_places_it_was(html_of: Draw) -> None:
    probes = [
        replace(row, via=str(index % 2), ok=int(row.ok or index % 2 == 0 or row.capability != "work"))
        for index, row in enumerate(grid_probes({"work": (5.0, 8.0)}))
    ]
    measures = analyse(record([op(t) for t in range(-5, 40)], probes))
    assert [(o.capability, o.places_affected, o.places) for o in measures.outages] == [("work", 1, 2)]
    lines = [" ".join(line.split()) for line in printed(measures).splitlines()]
    assert any(line.startswith("work +0.00 s 3.00 s") and line.endswith("by design, 1 of 2 places") for line in lines)
    assert any("work was away 3.0 s at 1 of 2 places" in " ".join(lines[i : i + 3]) for i in range(len(lines)))
    assert "by design" in Page(html_of(measures)).text
    assert "1 of 2 places" in Page(html_of(measures)).text


@pytest.mark.long
def test_what_faults_did_and_outages_together_are_tables_of_terminal_and_page() -> None:
    probes = [
        replace(row, via=str(index % 2), ok=int(row.ok or index % 2 == 0))
        for index, row in enumerate(grid_probes({"work": (6.0, 9.0)}))
    ]
    run = record([op(t, ok=int(not 6 <= t < 9)) for t in range(-5, 40)], probes)
    measures = analyse(run)
    lines = [" ".join(line.split()) for line in printed(measures).splitlines()]
    for row in (
        "work 1 3.00 s (2.80 to 3.20) 3.00 s 1.50 s",
        "0 node-kill any 1.00 s (0.89 to 1.10) 4.00 s (3.89 to 4.10) by design",
        "user-uptime at least, in any 1 s 0.000%, 2 s 0.000%, 4 s 23.750%, 8 s 61.875%, 16 s 80.937%, 32 s",
    ):
        assert row in lines
    page = Page(render_html(measures)).text
    for cells in ("work 1 3.00 s (2.80 to 3.20) 3.00 s 1.50 s", "0 node-kill any 1.00 s", "1.00 s 0.000% +1.00 s"):
        assert cells in page
    quiet = analyse(replace(run, probes=record((), grid_probes({})).probes))
    assert "0 node-kill no outage seen unaffected" in [" ".join(line.split()) for line in printed(quiet).splitlines()]
    assert "outages together" not in printed(quiet)


def test_the_first_example_of_each_kind_of_mistake_is_named() -> None:
    operations = [op(t, capability="save", expected=t, found=t) for t in (1, 2, 3, 4)]
    there = [SavedValue("u1", value, Store.HOME.value, "storage") for value in (1, 3, 2, 2)]
    measures = analyse(record(operations, saved=there))
    lines = [" ".join(line.split()) for line in printed(measures).splitlines()]
    page = Page(render_html(measures)).text
    for what in (
        "the first lost: value 4 of u1 (session s1)",
        "the first there twice: value 2 of u1 in homes",
        "the first in the wrong order: value 2 of u1 in homes, after value 3",
    ):
        assert what in lines
        assert what.replace("first ", "first that was ").capitalize() + "." in page
    assert "reordered 1 0" in lines
    assert "recovery point 0.95 s" in lines


def test_people_are_told_of_where_no_probe_saw_anything() -> None:
    working = [op(t) for t in range(-5, 40) if not 5 <= t < 32]
    measures = analyse(record([*working, *(op(t, ok=0) for t in range(5, 32))], grid_probes({})))
    assert measures.capabilities[2].recovery is Recovery.UNAFFECTED
    assert measures.worst_recovery is Recovery.BY_REPAIR
    assert words.plain_sentence(measures) == (
        "Node-kill on workbench-0 with 1 of 1 sessions on it: 1 person could not work for up to 27.1 s and kept "
        "everything, nobody lost a saved file, no probe found anything away; for 1 of 1 people it came back only after "
        "the repair."
    )
    assert "1 of 1 people could not work until it was repaired" in words.unprotected(measures)


@pytest.mark.long
def test_every_report_names_what_was_lost_in_each_store() -> None:
    run = twelve_users()
    measures = analyse(replace(run, saved=run.saved.iloc[1:-2], history=history(fault_events(5, 30), readback=488)))
    lost = "1 of 266 in homes, 2 of 180 in the database, 0 of 45 in the hub's database"
    observed = f"{lost}, the first: value 1 of u00 (session s00)"
    lines = [" ".join(line.split()) for line in printed(measures).splitlines()]
    assert "in homes in the database in the hub's database" in lines
    assert "lost 1 2 0" in lines
    page = Page(render_html(measures)).text
    assert observed in page
    assert "The first that was lost: value 1 of u00 (session s00)." in page
    failures = [failure.get("message", "") for failure in ET.fromstring(render_junit(measures)).iter("failure")]
    assert f"expected at most 0, observed {observed}" in failures
    assert words.unprotected(measures)[-2:] == [
        "1 acknowledged writes lost in homes",
        "2 acknowledged writes lost in the database",
    ]


def test_what_was_not_read_back_is_not_shown_as_a_number() -> None:
    run = twelve_users()
    text = printed(analyse(replace(run, history=history(fault_events(5, 30), readback=None))))
    assert "lost not read back not read back not read back" in [" ".join(line.split()) for line in text.splitlines()]


CHECKS = [
    "fault", "backend", "node", "check said", "people could not", "check was",
    "0 node-kill", "workbench", "workbench-0", "up 25.0 s",
    "log_in 3.0 s, reconnect 3.0 s, save 3.5 s, start_session 4.0 s, work 3.5 s", "blind",
    "", "", "workbench-1", "up 1.0 s, down 24.0 s, up after 1.8 s (1.5 to 2.0)", "", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def audited() -> Measures:
    return analyse(twelve_users(balancer=views({"workbench-0": [(-5, "UP")], "workbench-1": STANDBY})))


@pytest.mark.long
def test_the_checks_are_a_table_on_the_page(audited: Measures, passed: Measures, html_of: Draw) -> None:
    page = Page(html_of(audited))
    assert "The balancer's checks against the truth" in page.headings
    assert " ".join(word for word in CHECKS if word) in page.text
    assert "The balancer's checks" not in " ".join(Page(html_of(passed)).headings), "a table without rows says nothing"


def test_the_checks_are_a_table_in_the_terminal(audited: Measures, passed: Measures) -> None:
    text = printed(audited)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "the balancer's checks against the truth (from each injection to its undoing)" in lines
    assert any(line.startswith("0 node-kill workbench workbench-0 up 25.0 s") for line in lines)
    assert any(line.endswith("blind") for line in lines)
    assert any(line.startswith("blind: It said healthy for at least 80% of the time") for line in lines)
    assert not any(line.startswith("silent:") for line in lines), "only words that are in the table"
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "the balancer's checks" not in printed(passed)


def test_a_control_run_has_no_table_of_checks(audited: Measures) -> None:
    assert check_rows(analyse(record(balancer=views({"a": STANDBY}), events=history(), faults=0))) == []
    assert [word for row in check_rows(audited) for word in row] == CHECKS[6:]


def test_two_balancers_are_told_apart_and_one_that_never_answered_is_named() -> None:
    rows = views({"a": STANDBY}, balancer="lb-0") + views({}, silent=(-5, 40), balancer="lb-1")
    first, second = check_rows(analyse(record(balancer=rows)))
    assert (first.backend, first.server) == ("lb-0 / workbench", "a")
    assert (second.backend, second.server, second.said, second.verdict) == ("lb-1", "all", "no answer 25.0 s", "silent")


def test_a_long_path_is_not_wrapped(passed: Measures) -> None:
    console = Console(file=StringIO(), width=60)
    path = "results/" + "x" * 90 + "/report.html"
    render(passed, console, path)
    assert isinstance(console.file, StringIO)
    assert f"report: {path}\n" in console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "failures", "errors"), [("passed", 0, 0), ("failed", 4, 0), ("empty", 0, 1), ("broken", 0, 1)]
)
def test_junit_has_a_case_for_each_check_and_the_verdict(
    name: str, failures: int, errors: int, request: pytest.FixtureRequest
) -> None:
    measures = request.getfixturevalue(name)
    suite = ET.fromstring(render_junit(measures))
    cases = suite.findall("testcase")
    assert len(cases) == len(measures.verdict.checks) + 1 == int(suite.get("tests", ""))
    assert len(suite.findall("testcase/failure")) == int(suite.get("failures", ""))
    assert len(suite.findall("testcase/error")) == errors == int(suite.get("errors", ""))
    assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped", ""))
    assert cases[-1].find("skipped") is None
    assert cases[-1].get("name") == "verdict"
    assert int(suite.get("failures", "")) == failures


def test_junit_survives_characters_that_xml_does_not_know(passed: Measures) -> None:
    verdict = replace(passed.verdict, reasons=("a\x00b\x1b[1m",))
    assert "a\ufffdb" in (ET.fromstring(render_junit(replace(passed, verdict=verdict))).findtext(".//system-out") or "")


@pytest.mark.long
def test_a_promise_that_is_known_to_be_broken_is_said_beside_the_verdict(
    passed: Measures, failed: Measures, empty: Measures
) -> None:
    why = "<b>the  standby\nsleeps"
    assert words.known_broken(passed) == ""
    for measures, said in (
        (failed, "known broken: <b>the standby sleeps"),
        (passed, "expected to break, but the promise was kept"),
        (empty, "expected to break, but this run proves nothing: <b>the standby sleeps"),
    ):
        known = replace(measures, known_broken=why)
        assert known.verdict == measures.verdict, "it excuses nothing"
        assert said in words.known_broken(known)
        assert said in " ".join(printed(known).split())
        page = render_html(known)
        assert "<b>the" not in page
        assert said in Page(page).text


def test_ratios_are_never_rounded_up() -> None:
    assert [words.percent(r) for r in (1.0, 0.999999, 0.99995, 0.0, None)] == [
        "100.000%", "99.999%", "99.995%", "0.000%", "not measured",
    ]  # fmt: skip


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, harness.report; sys.exit(any(m in sys.modules for m in ('bokeh', 'jinja2', 'rich', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
