"""The page of a run: its first sentence, what stands beside the measures, and what a click shows."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from functools import cache

import pytest

from harness.analysis import Measures, RunRecord, analyse
from harness.analysis.course import course_of
from harness.analysis.nines.one_run import OneRun, beside_budgets
from harness.analysis.server_events import ServerEvent
from harness.core.history import EventKind
from harness.core.products import LoadBalancer
from harness.core.words import Recovery, ServerEventKind, SessionOutcome
from harness.faults.registry import FAULTS
from harness.report import page_words
from harness.report.html import Background, render_html
from harness.report.sentence import FAULT_PHRASES, plain_sentence
from harness.run.paper import paper_picture
from tests.unit.analysis_runs import PROMISE, fault_events, grid_probes, history, op, record, topology, twelve_users
from tests.unit.page_reader import Page

pytestmark = pytest.mark.drawn

MEBIBYTE = 2**20


def said(at_s: float, source: str, kind: ServerEventKind, text: str) -> ServerEvent:
    return ServerEvent(
        at_s=at_s, source=source, kind=kind, text=text, about="", at_lower_s=at_s - 0.1, at_upper_s=at_s + 0.1
    )


def kill(run: RunRecord) -> RunRecord:
    """The same with a fault of the catalogue."""
    events = [
        replace(event, data={**event.data, "fault": "kill"}) if event.kind is EventKind.FAULT else event
        for event in run.history.events
    ]
    return replace(run, history=replace(run.history, events=tuple(events)))


def page_of(run: RunRecord, *events: ServerEvent) -> str:
    measures = replace(analyse(run), server_events=events)
    return render_html(
        measures,
        Background(
            topology=run.topology,
            experiment=run.experiment,
            course=course_of(run, measures),
            picture=paper_picture(run.topology),
        ),
    )


@cache
def whole() -> str:
    return page_of(
        kill(twelve_users()),
        said(0.4, "load-balancer", ServerEventKind.NODE_DOWN, "workbench-0 is DOWN"),
        said(1.5, "database", ServerEventKind.PROMOTED, "<b>me"),
    )


def with_error() -> RunRecord:
    error = (20.0, EventKind.ERROR, {"type": "PeerError", "message": "the client is gone"})
    return twelve_users(events=history(fault_events(5, 30), extra=[error]))


@pytest.mark.long
@pytest.mark.parametrize(
    ("run", "first", "then"),
    [
        (
            kill(twelve_users()),
            "PASS Workbench-0 died with 12 of 12 sessions on it: 12 people lost what was in memory, nobody lost a "
            "saved file, log-in was away 3.0 s, starting a session was away 4.0 s; recovered by itself.",
            "promises and objectives were kept.",
        ),
        (
            kill(twelve_users(lose_user=True, promise=replace(PROMISE, session_outcome=SessionOutcome.KEPT))),
            "FAIL Workbench-0 died with 12 of 12 sessions on it: 1 person could not work again, 11 people lost what "
            "was in memory, nobody lost a saved file, log-in was away 3.0 s, starting a session was away 4.0 s; for 1 "
            "of 12 people it did not come back.",
            "promises and objectives were missed:",
        ),
        (
            record(events=history(steady=False, drain=None, readback=None)),
            "INCONCLUSIVE This run proves nothing yet: the steady state was not reached: log_in failed for 60 s.",
            "Nothing could be judged.",
        ),
        (
            with_error(),
            "ERROR The harness broke during this run, so it says nothing about the platform.",
            "not judged. PeerError: the client is gone",
        ),
    ],
    ids=["PASS", "FAIL", "INCONCLUSIVE", "ERROR"],
)
def test_the_first_sentence_says_what_happened(run: RunRecord, first: str, then: str) -> None:
    text = Page(page_of(run)).text
    assert first in text
    assert then in text
    assert text.index(first) < text.index(then) < text.index("user-uptime")


def test_every_kind_of_fault_has_words_for_people() -> None:
    assert set(FAULT_PHRASES) == {*FAULTS, "upgrade", "reload", "scale", "disaster"}
    assert all(phrase.count("{}") == 1 for phrase in FAULT_PHRASES.values())


@pytest.mark.long
def test_several_faults_are_said_in_their_order_and_many_machines_by_their_number() -> None:
    measures = analyse(kill(twelve_users()))
    (fault,) = measures.facts.faults
    names = tuple(f"database-{index}" for index in range(5))
    second = replace(fault, kind="pause", target="database[*]", targets=names)
    both = replace(measures, facts=replace(measures.facts, faults=(fault, second)))
    assert plain_sentence(both).startswith(
        "Workbench-0 died, then 5 machines (database-0 to database-4) hung: 12 people"
    )


def test_the_only_machine_of_a_role_has_an_article() -> None:
    measures = analyse(
        kill(twelve_users(events=history(fault_events(5, 30, targets=("load-balancer",)), readback=491)))
    )
    assert plain_sentence(measures).startswith("The load-balancer died: 12 people")


def test_nobody_disturbed_is_said_and_a_control_run_too() -> None:
    quiet = analyse(record([op(t) for t in range(-5, 40)], grid_probes({})))
    assert ": nobody at work was disturbed, nobody lost a saved file, no probe found anything away; " in plain_sentence(
        quiet
    )
    control = replace(quiet, facts=replace(quiet.facts, faults=()))
    assert plain_sentence(control).startswith("Nothing was broken, a control run: ")


# -- budgets ---------------------------------------------------------------------------------------------------------


def test_an_outage_that_ended_by_itself_is_so_many_of_a_budget() -> None:
    found = beside_budgets(analyse(twelve_users()))
    assert isinstance(found, OneRun)
    # work and log_in were away together, for 3.5 s
    assert found.by_design
    assert found.outage_s == pytest.approx(3.5, abs=0.01)
    assert found.lines[-1].events == pytest.approx(315.576 / found.outage_s)
    assert [cells[:2] for cells in page_words.budget_cells(found)] == [
        ("90%", "36.52 d"), ("99%", "3.653 d"), ("99.9%", "8.77 h"), ("99.95%", "4.38 h"), ("99.99%", "52.6 min"),
        ("99.999%", "5.26 min"),
    ]  # fmt: skip
    assert page_words.budget_cells(found)[-1][2] == "90"
    assert "no run can tell" in page_words.nines_line(found)


def test_an_outage_that_a_repair_ended_is_no_number_of_a_budget() -> None:
    working = [op(t) for t in range(-5, 40) if not 5 <= t < 32]
    found = beside_budgets(analyse(record([*working, *(op(t, ok=0) for t in range(5, 32))], grid_probes({}))))
    assert isinstance(found, OneRun)
    assert not found.by_design
    assert {line.events for line in found.lines} == {None}
    assert "the next one lasts as long as a repair takes" in page_words.nines_line(found)


def test_what_is_no_evidence_says_nothing_about_nines() -> None:
    found = beside_budgets(analyse(with_error()))
    assert page_words.nines_line(found) == "Nothing can be said about nines: ERROR: PeerError: the client is gone."
    assert page_words.budget_cells(found) == []


# -- the timeline ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_every_plot_has_a_caption_and_its_words() -> None:
    page = whole()
    names = re.findall(r'<div class="plot" id="plot-(\w+)" role="img" aria-label="([^"]+)"', page)
    assert [name for name, _ in names] == ["faults", "sessions", "capabilities", "latency", "failed", "events"]
    said = dict(names)
    assert said["faults"] == "kill on workbench-0 injected at +0.0 s, proved at +0.1 s, undone at +25.0 s"
    assert said["sessions"].startswith("The fewest people who could work were 0 of 12, at +")
    assert "start_session was away once, for 4.00 s (2.00 to 6.00)" in said["capabilities"]
    assert said["failed"] == "96 operations failed, between +0.0 s and +12.0 s."
    assert all(f'id="caption-{name}"' in page for name in said)


def test_only_the_core_of_bokeh_is_in_the_page_and_one_range_is_in_all_plots() -> None:
    page = whole()
    assert len(page) < 1.6 * MEBIBYTE
    document = page[page.index("const docs_json") :]
    assert document.count('"name":"time"') == 1
    assert document.count('"type":"object","name":"Figure"') == 6
    assert "bokeh-widgets" not in page


@pytest.mark.long
def test_what_servers_said_is_a_plot_and_a_table() -> None:
    text = Page(whole()).text
    assert "+0.40 s load-balancer node down workbench-0 is DOWN +1.50 s database promoted <b>me" in text
    assert "<b>me" not in whole()
    silent = Page(page_of(twelve_users())).text
    assert "no server said before the undoing that it noticed" in silent
    assert "+0.40 s" not in silent


# -- sessions --------------------------------------------------------------------------------------------------------


def packed(page: str) -> list[list[object]]:
    (text,) = re.findall(r'id="operations">([^<]+)<', page)
    found: list[list[object]] = json.loads(gzip.decompress(base64.b64decode(text)))
    return found


def test_every_session_has_its_row_and_its_operations() -> None:
    page = whole()
    people = re.findall(r'<tr class="person" data-row="(\d+)"><th scope="row"><button[^>]+>(\w+)<', page)
    assert [int(row) for row, _ in people] == list(range(12))
    assert people[0][1] == "u11", "the worst first"
    everything = packed(page)
    assert len(everything) == 12
    assert any("refused" in str(line) for line in everything[0])


def test_the_columns_can_be_sorted_by_number() -> None:
    row = whole().split('<tr class="person" data-row="0">')[1].split("</tr>")[0]
    keys = re.findall(r'data-key="([^"]+)"', row)
    assert [float(key) for key in keys] == pytest.approx([2, 12.1, 12.1, 1, 0, 12, 0], abs=3)


@pytest.mark.long
def test_a_run_without_its_course_still_has_the_table() -> None:
    page = render_html(analyse(twelve_users()))
    assert page.count('<tr class="person"') == 12
    assert 'aria-expanded="false"' not in page
    assert 'id="operations"' not in page


# -- the bottom ------------------------------------------------------------------------------------------------------


def test_the_broken_machine_is_crossed_out_in_the_picture() -> None:
    page = whole()
    picture = page[page.index('<svg xmlns="http://www.w3.org/2000/svg" role="img"') :].split("</svg>")[0]
    assert picture.count('class="broken cross"') == 1
    assert '<text x="' in picture
    assert ">kill</text>" in picture
    assert "workbench-0 was broken: kill; people to" in picture
    assert "<style" not in picture, "a style in a picture would be the whole page's"


def test_the_command_that_repeats_the_run() -> None:
    run = twelve_users()
    assert page_words.repeat_command(analyse(run), run.experiment) == (
        "harness run active-passive node-kill --users 12 --seed 7"
    )
    assert page_words.repeat_command(analyse(replace(run, run={})), None) == "harness run active-passive node-kill"


def test_what_was_simulated_is_said_and_a_fake_platform_first() -> None:
    run = twelve_users()
    rows = dict(page_words.real_and_simulated(analyse(run), run.topology, run.experiment))
    assert rows["workbench"] == "jupyterhub, 2 machines"
    assert rows["people"].startswith("12 simulated, speaking the platform's own protocol")
    assert "everything" not in rows
    fake = analyse(replace(run, run={"machine": {"engine_version": "fake"}}))
    assert page_words.real_and_simulated(fake, topology(), None)[0][0] == "everything"


@pytest.mark.long
def test_advice_stands_after_the_verdict_only_where_there_is_some() -> None:
    assert "What to do" not in Page(whole()).headings
    run = twelve_users()
    trap = replace(run.topology, load_balancer=LoadBalancer(redispatch=False))
    measures = analyse(replace(kill(run), topology=trap))
    stuck = replace(measures, sessions=tuple(replace(row, recovery=Recovery.BY_REPAIR) for row in measures.sessions))
    assert "led to a dead node" in told(stuck, replace(run, topology=trap))


def told(measures: Measures, run: RunRecord) -> str:
    page = Page(render_html(measures, Background(topology=run.topology)))
    assert page.headings[:2] == [page.headings[0], "What to do"]
    return page.text
