"""The page over all results: what is drawn, what it says of each run, what is skipped, and that nothing gets out."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.run.results import Results
from harness.run.trends import read_trends, write_history
from tests.unit.fake_runs import Result
from tests.unit.kept_runs import Kept


@pytest.fixture
def kept(tmp_path: Path, usual: Result) -> Kept:
    return Kept(tmp_path / "results", usual.folder)


class Links(HTMLParser):
    """Every address in a page, and the text of its scripts with data."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.data: list[str] = []
        self._in_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]
        self._in_data = tag == "script" and ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_data = False


def page_of(kept: Kept) -> tuple[str, Links]:
    write_history(Results(kept.root))
    text = (kept.root / "history.html").read_text()
    links = Links()
    links.feed(text)
    return text, links


def chart(text: str, title: str) -> str:
    (found,) = re.findall(rf"<figcaption><span>{re.escape(title)}</span>.*?</svg>", text, re.DOTALL)
    return str(found)


def no_proof(content: dict[str, Any]) -> None:
    content["verdict"] = {"outcome": "INCONCLUSIVE", "reasons": ["probes were sent late"], "checks": []}


def failed(content: dict[str, Any]) -> None:
    content["verdict"]["outcome"] = "FAIL"


def test_each_run_is_a_point_that_leads_to_its_report(kept: Kept) -> None:
    runs = [*kept.runs([4.0, 6.0, 5.0]), kept.run(topology="ha"), kept.run(topology="ha", experiment="lb-loss")]
    text, links = page_of(kept)
    assert "History of 5 runs" in text
    work = chart(text, "outage of work")
    assert work.count("data-run=") == 3
    assert re.findall(r'data-value="([^"]+)"', work) == ["4.00 s", "6.00 s", "5.00 s"]
    for run in runs:
        assert f"{kept.name(run)}/report.html" in links.addresses
    for address in links.addresses:
        assert address.startswith(("#", "data:")) or (kept.root / address).is_file(), address


def test_the_page_loads_nothing(kept: Kept) -> None:
    kept.runs([4.0, 6.0])
    text, links = page_of(kept)
    assert not [address for address in links.addresses if "//" in address]
    assert "url(" not in text
    assert "import" not in text


def test_a_point_says_what_it_was_made_with(kept: Kept) -> None:
    kept.run(git_revision="abc123+", images={"agent": "sha256:0123456789abcdef"}, versions={"locust": "2.1"})
    kept.run(lambda content: content["run"].pop("git_revision"))
    _, links = page_of(kept)
    first, second = (dict(run["lines"]) for run in json.loads(links.data[0]))
    assert first["harness"] == "abc123+"
    assert first["images"] == "agent 0123456789ab"
    assert first["versions"] == "locust 2.1"
    assert first["verdict"].startswith("PASS: all ")
    assert second["harness"] == "not recorded"


def test_changes_of_revision_and_platform_are_marked(kept: Kept) -> None:
    kept.runs([4.0, 5.0], git_revision="a")
    kept.runs([4.0], git_revision="b")
    kept.runs([4.5], git_revision="b", spec=lambda spec: spec["topology"]["workbench"].update(standby_poll_s=2))
    work = chart(page_of(kept)[0], "outage of work")
    assert (work.count('class="revision"'), work.count('class="spec"')) == (1, 1)


def test_the_moment_that_is_drawn_for_a_trial_is_no_other_experiment(kept: Kept) -> None:
    for offset_s in (0.5, 1.25):

        def drawn(spec: dict[str, Any], offset_s: float = offset_s) -> None:
            spec["experiment"]["faults"][0]["at_s"] += offset_s

        kept.run(spec=drawn, trial={"number": 1, "at_most": 2, "offset_s": offset_s})
    (trend,) = read_trends(Results(kept.root)).trends
    assert len({run.spec for run in trend.runs}) == 1


def test_what_proves_nothing_is_a_cross_and_in_no_line(kept: Kept) -> None:
    kept.runs([4.0])
    kept.runs([40.0], no_proof)
    kept.runs([5.0], failed)
    work = chart(page_of(kept)[0], "outage of work")
    (line,) = re.findall(r'polyline points="([^"]+)"', work)
    assert len(line.split()) == 2
    assert (work.count('class="PASS"'), work.count('class="FAIL"'), work.count('class="none"')) == (1, 1, 1)
    assert 'data-value="no proof"' in work


def test_runs_that_can_not_be_read_are_counted_with_the_reason(kept: Kept) -> None:
    kept.run()
    torn, gone = kept.run(), kept.run()
    (torn / "measures.json").write_text("{")
    (gone / "measures.json").unlink()
    old = kept.run(lambda content: content.pop("outages"))
    text, _ = page_of(kept)
    assert "3 skipped" in text
    assert "there is no measures.json" in text
    assert "measures.json can&#39;t be read" in text
    assert f"{old.name}" in text
    assert "of another version: KeyError: &#39;outages&#39;" in text


def test_matrices_are_listed_with_their_pages(kept: Kept) -> None:
    kept.run()
    cells = [{"standing": "as promised"}, {"standing": "as promised"}, {"standing": "broken"}]
    kept.file("matrix/20260101T000000Z-a.json", {"cells": cells, "exit_code": 1})
    kept.file("matrix/20260102T000000Z-b.json", {"cells": cells, "exit_code": 1}).with_suffix(".html").write_text("")
    (kept.root / "matrix/torn.json").write_text("{")
    text, links = page_of(kept)
    assert "2 as promised, 1 broken" in text
    assert {"matrix/20260101T000000Z-a.json", "matrix/20260102T000000Z-b.html"} <= set(links.addresses)


def test_what_stands_in_results_is_text_and_no_markup(kept: Kept) -> None:
    evil = '</script><script>alert("x")</script>'

    def say(content: dict[str, Any]) -> None:
        content["verdict"]["reasons"] = [evil]

    kept.runs([4.0, 5.0], say, topology="a<b>&c", git_revision=evil)
    text, links = page_of(kept)
    assert evil not in text
    assert "a<b>" not in text
    assert dict(json.loads(links.data[0])[0]["lines"])["harness"] == evil


def test_a_folder_without_runs_is_refused_and_nothing_is_overwritten(kept: Kept) -> None:
    kept.root.mkdir()
    (kept.root / "history.html").write_text("before")
    with pytest.raises(UsageError, match="there is no run in it"):
        write_history(Results(kept.root))
    assert (kept.root / "history.html").read_text() == "before"
