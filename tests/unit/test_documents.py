"""What is made from the files and the model is as it would be made now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.report.markdown import between, render_topologies, table
from harness.run.documents import generated, schemas, write
from harness.run.paper import paper_picture
from harness.spec import Catalog, load_topology
from harness.spec.attach import is_attached
from harness.spec.docstrings import class_doc, field_docs
from harness.spec.knobs import all_knobs

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "docs/schema/topology.schema.json",
    "docs/schema/attach.schema.json",
    "docs/schema/experiment.schema.json",
    "docs/schema/calibration.schema.json",
    "topologies/README.md",
    "docs/topologies.md",
    "docs/comparing.md",
]


@pytest.fixture(scope="module")
def made() -> Mapping[str, str]:
    """What is generated, by its file."""
    return generated(Catalog(ROOT))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_what_is_generated_is_up_to_date(made: Mapping[str, str], name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == made[name], "run `make docs-generated`"


def test_everything_that_is_generated_is_compared(made: Mapping[str, str]) -> None:
    assert set(made) == set(NAMES)


@pytest.mark.parametrize("path", sorted(ROOT.glob("topologies/*.yaml")) + sorted(ROOT.glob("experiments/*.yaml")))
def test_the_first_line_of_each_file_names_its_schema(path: Path) -> None:
    before, _, schema = path.read_text().splitlines()[0].partition("$schema=")
    assert before == "# yaml-language-server: "
    kind = {"topologies": "attach" if is_attached(path) else "topology", "experiments": "experiment"}[path.parent.name]
    assert (path.parent / schema).resolve() == ROOT / f"docs/schema/{kind}.schema.json"


@pytest.mark.long
def test_what_is_written_is_what_was_made(tmp_path: Path) -> None:
    paths = write(tmp_path, schemas())
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in paths} == schemas()


# -- docstrings and knobs ------------------------------------------------------------------------------------------


@dataclass
class Base:
    plain: int = 0
    told: int = 1
    """Says this
    in two lines."""


@dataclass
class Derived(Base):
    """A class."""

    told: int = 2
    """Says that."""
    own_: str = ""
    """Own."""

    CONSTANT = 3
    """Of no field."""


def test_texts_below_fields_are_read_also_of_inherited_ones() -> None:
    assert field_docs(Base) == {"told": "Says this in two lines."}
    assert field_docs(Derived) == {"told": "Says that.", "own_": "Own."}
    assert class_doc(Derived) == "A class."


def test_knobs_have_what_may_stand_there_and_their_default() -> None:
    knobs = {(table.where, knob.key): knob for table in all_knobs() for knob in table.knobs}
    assert [place for place, knob in knobs.items() if not (knob.decides and knob.allowed)] == []
    assert knobs["load_balancer", "check_interval_s"].default == "0.5"
    assert knobs["load_balancer", "vip"].default == "false"
    assert knobs["workbench", "nodes"].allowed == "a whole number from 1 to 9"
    assert knobs["At the top", "storage"].default == ""
    assert knobs["At the top", "description"].default is None
    assert ("At the top", "name") not in knobs
    assert knobs["links, each", "from"].default is None
    (cluster,) = [table for table in all_knobs() if "patroni" in table.where]
    assert cluster.knobs[0].default is None, "a file without the word means the other product"


# -- pages ---------------------------------------------------------------------------------------------------------


def test_texts_of_a_table_stay_in_their_cells() -> None:
    assert list(table(["a", "b"], [("x | y", "two\nlines"), ("", "z")])) == [
        "| a | b |",
        "|---|---|",
        "| x \\| y | two lines |",
        "| | z |",
    ]


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = "before\n<!-- knobs -->\nold\n<!-- /knobs -->\nafter\n"
    once = between(page, "knobs", "new")
    assert once == "before\n<!-- knobs -->\n\nnew\n\n<!-- /knobs -->\nafter\n"
    assert between(once, "knobs", "new") == once
    with pytest.raises(ValueError, match="once each"):
        between("nothing", "knobs", "new")


def test_a_topology_has_a_section_with_picture_promises_and_what_is_known() -> None:
    topology = load_topology(ROOT / "topologies/active-passive.yaml")
    topology = replace(topology, stands_for="A pair. As sold.", known_broken={"lb-loss": "there is\none balancer"})
    page = render_topologies([(topology, paper_picture(topology))])
    assert "| [active-passive](active-passive.yaml) | Two JupyterHub nodes behind one HAProxy" in page
    assert "Stands for: A pair. As sold." in page
    assert "```mermaid\nflowchart LR\n" in page
    assert "| `node-kill` | by design | restarted | yes | 30 s | 0 | The server ends" in page
    assert "- `lb-loss`: there is one balancer\n" in page
    silent = replace(topology, promises={}, known_broken={})
    assert "It promises nothing." in render_topologies([(silent, paper_picture(silent))])
