"""The documentation as pages: built without a warning, whole, and with nothing that a reader's browser would fetch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mkdocs.config.defaults import MkDocsConfig

import mkdocs_hooks
from harness.spec import Catalog
from tests.unit.documented import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does it: strictly, so that a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


@pytest.mark.long
def test_every_page_of_docs_is_there_and_those_beside_the_code(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    pages |= {"index", "catalogue", "contributing", "changelog", "benchmarks"}
    assert {path.stem for path in site.glob("*.html")} == pages | {"404"}
    assert "Two nodes behind a load balancer" in (site / "index.html").read_text(encoding="utf-8")


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """Links that somebody may click are no matter; what a browser loads by itself is."""
    loads = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//""")
    for page in site.glob("*.html"):
        assert loads.search(page.read_text(encoding="utf-8")) is None, page.name
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), "the theme would fetch what draws it"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_each_topology_has_its_picture(site: Path) -> None:
    page = (site / "catalogue.html").read_text(encoding="utf-8")
    for name in Catalog(ROOT).topologies():
        assert f'src="pictures/topologies/{name}.svg"' in page
        assert (site / f"pictures/topologies/{name}.svg").read_text(encoding="utf-8").startswith("<svg ")
        assert (site / f"topologies/{name}.yaml").is_file()


def test_the_order_of_the_pages_names_each_once() -> None:
    def names(rows: list[dict[str, object]]) -> list[str]:
        return [name for row in rows for value in row.values()
                for name in (names(value) if isinstance(value, list) else [str(value)])]  # fmt: skip

    rows = names(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert len(rows) == len(set(rows))


def test_a_page_that_is_there_at_times_has_its_row_then(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (page, (title, before)), *_ = mkdocs_hooks.IF_THERE.items()
    monkeypatch.setattr(mkdocs_hooks, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    config = MkDocsConfig()
    config.nav = [{"First": "first.md"}, {"Use": [{"Another": before}]}]
    assert mkdocs_hooks.on_config(config).nav == [{"First": "first.md"}, {"Use": [{"Another": before}]}]
    (tmp_path / "docs" / page).write_text("# A page\n")
    assert mkdocs_hooks.on_config(config).nav == [{"First": "first.md"}, {"Use": [{title: page}, {"Another": before}]}]


@pytest.mark.parametrize(
    ("source", "uri", "target", "here"),
    [
        ("README.md", "index.md", "docs/faults.md", "faults.md"),
        ("docs/topologies.md", "topologies.md", "../topologies/README.md", "catalogue.md"),
        ("topologies/README.md", "catalogue.md", "ha.yaml", "topologies/ha.yaml"),
        ("benchmarks/README.md", "benchmarks.md", "../CONTRIBUTING.md", "contributing.md"),
        ("docs/calibration.md", "calibration.md", "schema/calibration.schema.json", "schema/calibration.schema.json"),
        ("docs/ci.md", "ci.md", "../nowhere.md", "nowhere.md"),
    ],
)
def test_links_are_written_as_in_a_checkout(source: str, uri: str, target: str, here: str) -> None:
    assert mkdocs_hooks.here(target, source, uri) == here
