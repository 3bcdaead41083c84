"""What MkDocs can't do by itself: pages that live beside the code, and pictures that need no script of a server.

README, contributing, changes, benchmarks and the catalogue of topologies stay where people look for them in a checkout,
and are pages here. Links between all of them are written as in a checkout. Mermaid would be drawn by a script that the
theme fetches from elsewhere, so a topology's picture is drawn here instead, as `harness draw --format svg` does it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from harness.report.mermaid import render_mermaid
from harness.report.svg import render_svg
from harness.run.paper import paper_picture
from harness.spec.catalog import Catalog
from harness.spec.loader import load_topology

ROOT = Path(__file__).resolve().parent
#: Pages of the checkout outside docs/ -> what they are called here.
OUTSIDE: Mapping[str, str] = {
    "README.md": "index.md",
    "topologies/README.md": "catalogue.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
#: Files of the checkout that pages link to, as they are.
AS_THEY_ARE = ("topologies/*.yaml", "experiments/*.yaml")
#: Pages that may be there: the row of the navigation in front of which theirs stands, if they are.
IF_THERE: Mapping[str, tuple[str, str]] = {"writing-experiments.md": ("Writing experiments", "trials.md")}
_LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
_MERMAID = re.compile(r"```mermaid\n(.*?)```\n", re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Rows for pages that are there only at times."""
    for page, (title, before) in IF_THERE.items():
        if (ROOT / "docs" / page).is_file():
            _insert(config.nav or [], {title: page}, before)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages and files from outside docs/, and a picture of each topology."""
    for source, uri in OUTSIDE.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / source)))
    for pattern in AS_THEY_ARE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for name, picture in _pictures(render_svg).items():
        files.append(File.generated(config, _picture_uri(name), content=picture))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Links as they are here, pictures in the place of Mermaid."""
    uri = page.file.src_uri
    source = next((outside for outside, here in OUTSIDE.items() if here == uri), f"docs/{uri}")
    names = {text: name for name, text in _pictures(render_mermaid).items()} if "```mermaid" in markdown else {}

    def picture(match: re.Match[str]) -> str:
        # a KeyError names a diagram that is no topology's: it has to be a picture of its own in docs/pictures
        name = names[match[1]]
        return f"[![Who talks to whom in {name}]({_picture_uri(name)})]({_picture_uri(name)})\n"

    return _MERMAID.sub(picture, _LINK.sub(lambda match: here(match[1], source, uri), markdown))


def here(target: str, source: str, uri: str) -> str:
    """A link of the checkout's file `source` as a link of the page `uri`; what is nowhere stays, and MkDocs says so."""
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    there = OUTSIDE.get(wanted, wanted.removeprefix("docs/"))
    return posixpath.relpath(there, posixpath.dirname(uri) or ".")


def _pictures(render: Callable[[Any], str]) -> dict[str, str]:
    catalog = Catalog(ROOT)
    return {name: render(paper_picture(load_topology(catalog.topology_path(name)))) for name in catalog.topologies()}


def _picture_uri(name: str) -> str:
    return f"pictures/topologies/{name}.svg"


def _insert(nav: list[Any], row: dict[str, str], before: str) -> bool:
    """Put `row` in front of the row of the page `before`, wherever that stands."""
    for index, item in enumerate(nav):
        for value in item.values():
            if value == before:
                nav.insert(index, row)
                return True
            if isinstance(value, list) and _insert(value, row, before):
                return True
    return False
