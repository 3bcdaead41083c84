"""Reports say what analysis found, load nothing from a network, and treat every text as text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from harness.analysis import Measures, analyse
from harness.core.history import EventKind
from harness.core.words import SessionOutcome
from harness.report import words
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.terminal import render
from tests.unit.analysis_runs import PROMISE, fault_events, history, record, topology, twelve_users

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


class Page(HTMLParser):
    """What a page would load, its headings, its scripts, and whether every element is closed."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.headings: list[str] = []
        self.words: list[str] = []
        self.scripts = 0
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.loads += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action") and value]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("h1", "h2"):
            self.headings.append(data)
        if "script" not in self._open and "style" not in self._open:
            self.words.append(data)
        if "style" in self._open:
            assert "url(" not in data
            assert "@import" not in data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


Draw = Callable[[Measures], str]


@pytest.fixture(scope="module")
def html_of() -> Draw:
    """Draws each page once: it is mostly Bokeh's 4 MB."""
    pages: dict[int, str] = {}

    def draw(measures: Measures) -> str:
        if id(measures) not in pages:  # the measures are fixtures of this module, so an id is not used twice
            pages[id(measures)] = render_html(measures)
        return pages[id(measures)]

    return draw


@pytest.mark.parametrize("name", ["passed", "failed", "empty", "broken"])
def test_the_page_is_well_formed_and_loads_nothing(name: str, request: pytest.FixtureRequest, html_of: Draw) -> None:
    measures = request.getfixturevalue(name)
    page = Page(html_of(measures))
    assert page.loads == ["data:,"]
    assert page.headings[0] == words.title(measures)
    assert page.headings[1:] == [
        "Timeline", "Promises and objectives", "Capabilities", "Outages", "Sessions", "Faults and their proof",
        "Versions and machine",
    ]  # fmt: skip
    assert measures.verdict.outcome.value in page.text


def test_the_page_shows_the_numbers(passed: Measures, html_of: Draw) -> None:
    text = Page(html_of(passed)).text
    assert "PASS The platform came back by itself, the longest outage (start_session) took 4.00 s" in text
    assert "of 12 sessions 12 restarted, 0 lost; 0 of 266 acknowledged writes were lost" in text
    assert "process=gone" in text
    assert "versions.docker 27" in text


def test_texts_from_outside_are_escaped(broken: Measures, passed: Measures, html_of: Draw) -> None:
    assert Page(html_of(broken)).scripts == Page(html_of(passed)).scripts
    assert HOSTILE not in html_of(broken)


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


def test_the_terminal_shows_the_numbers(passed: Measures, failed: Measures) -> None:
    lines = [" ".join(line.split()) for line in printed(passed).splitlines()]
    assert "restarted 12 0" in lines
    assert "work by design 400 91.250% 1.0 ms 1.0 ms 91.250%" in lines
    assert "work -0.05 s 3.50 s (3.40 to 3.60) by design" in lines
    assert "promise: outage of work at most 10 s 3.50 s (3.40 to 3.60) kept" in lines
    lines = [" ".join(line.split()) for line in printed(failed).splitlines()]
    assert "promise: session outcome kept or better lost (1 of 12) BROKEN" in lines


def test_a_long_path_is_not_wrapped(passed: Measures) -> None:
    console = Console(file=StringIO(), width=60)
    path = "results/" + "x" * 90 + "/report.html"
    render(passed, console, path)
    assert isinstance(console.file, StringIO)
    assert f"report: {path}\n" in console.file.getvalue()


@pytest.mark.parametrize(
    ("name", "failures", "errors"), [("passed", 0, 0), ("failed", 2, 0), ("empty", 0, 1), ("broken", 0, 1)]
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
