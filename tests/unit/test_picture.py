"""Pictures of topologies: nothing of the plan is missing, and who talks to whom is as the plan has it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.components.picture import PEOPLE
from harness.core.picture import Arrow, Kind, Picture
from harness.core.products import LoadBalancer, Patroni, Storage, Workbench
from harness.core.topology import Link, Topology
from harness.report.layout import Box, Layout, lay_out
from harness.report.mermaid import render_mermaid
from harness.report.svg import render_svg
from harness.run.paper import paper_picture, paper_plan
from harness.spec import Catalog, load_topology
from tests.unit.pair import TOPOLOGY as PAIR

ROOT = Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"
LINKS = tuple(Link(from_=source, to=target) for source, target in Link.POSSIBLE)
TOPOLOGIES = {
    "pair": PAIR,
    "alone": Topology(name="alone", description="", workbench=Workbench(nodes=1, mode="single")),
    "teams": Topology(name="teams", description="", workbench=Workbench(nodes=3, mode="separate"), storage=Storage()),
    "links": replace(PAIR, database=Patroni(nodes=2, etcd_nodes=1), links=LINKS),
    "own proxies": replace(PAIR, database=Patroni(proxy="per-node")),
    "everything": replace(
        PAIR,
        load_balancer=LoadBalancer(nodes=2, vip=True, tls=True),
        workbench=Workbench(nodes=9),
        database=Patroni(nodes=5, etcd_nodes=5),
        storage=Storage(nodes=2, vip=True, mount="soft"),
    ),
    **{name: load_topology(Catalog(ROOT).topology_path(name)) for name in Catalog(ROOT).topologies()},
}


@pytest.fixture(params=sorted(TOPOLOGIES))
def topology(request: pytest.FixtureRequest) -> Topology:
    return TOPOLOGIES[request.param]


def arrows(topology: Topology) -> dict[tuple[tuple[str, ...], tuple[str, ...]], Arrow]:
    return {(arrow.sources, arrow.targets): arrow for arrow in paper_picture(topology).arrows}


def told(topology: Topology) -> list[str]:
    """The arrows as text."""
    return [
        f"{' '.join(arrow.sources)} > {' '.join(arrow.targets)}: {', '.join(arrow.label)}"
        for arrow in paper_picture(topology).arrows
    ]


# -- what is in it -------------------------------------------------------------------------------------------------


def test_every_container_of_the_plan_is_in_it_and_the_client_as_people(topology: Topology) -> None:
    nodes = {node.name: node for node in paper_picture(topology).nodes}
    specs = {spec.name: spec for spec in paper_plan(topology) if spec.name != "client"}
    assert set(nodes) >= {*specs, PEOPLE}
    assert {nodes[name].kind for name in set(nodes) - set(specs)} <= {Kind.PEOPLE, Kind.ADDRESS}
    for name, spec in specs.items():
        assert nodes[name].details[-1] == f".{spec.host_number}"


def test_arrows_and_groups_are_between_what_is_there(topology: Topology) -> None:
    picture = paper_picture(topology)
    there = {node.name for node in picture.nodes}
    for arrow in picture.arrows:
        assert arrow.sources
        assert arrow.targets
        assert {*arrow.sources, *arrow.targets} <= there
        assert all(arrow.label)
    assert all(set(group.members) <= there for group in picture.groups)


def test_everybody_is_reached_by_somebody(topology: Topology) -> None:
    picture = paper_picture(topology)
    reached = {name for arrow in picture.arrows for name in arrow.targets}
    assert reached == {node.name for node in picture.nodes} - {PEOPLE}


def test_who_waits_for_whom_is_who_talks_to_whom(topology: Topology) -> None:
    """A container starts after those it needs, so each of these is on a way that begins with it."""
    ways: dict[str, set[str]] = {}
    for arrow in paper_picture(topology).arrows:
        for source in arrow.sources:
            ways.setdefault(source, set()).update(arrow.targets)

    def from_here(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        further = ways.get(name, set()) - seen
        return further.union(*(from_here(one, seen | further) for one in further)) if further else set()

    for spec in paper_plan(topology):
        if spec.name != "client":
            assert set(spec.depends_on) <= from_here(spec.name), spec.name


def test_a_pair_of_nodes() -> None:
    assert told(PAIR) == [
        "people > load-balancer: HTTP, websockets",
        "load-balancer > workbench-0 workbench-1: HTTP, websockets, check: active, every 0.5 s",
        "workbench-0 workbench-1 > database: SQL: hub, lease",
        "workbench-0 workbench-1 > storage: NFS (hard mount)",
    ]


def test_links_stand_in_between() -> None:
    lines = told(TOPOLOGIES["links"])
    assert "load-balancer > link-load-balancer-workbench: HTTP, websockets, check: active, every 0.5 s" in lines
    assert "link-load-balancer-workbench > workbench-0 workbench-1: one listener a pair" in lines
    assert "link-workbench-database > database-proxy: one listener a pair" in lines
    assert "link-workbench-storage > storage: one listener a pair" in lines
    assert not [line for line in lines if line.startswith("workbench-0 workbench-1 > database")]


def test_pairs_are_reached_by_their_virtual_address() -> None:
    topology = TOPOLOGIES["everything"]
    lines = told(topology)
    assert "people > load_balancer-address: HTTPS, websockets" in lines
    assert "load_balancer-address > load-balancer-0 load-balancer-1: held by one" in lines
    assert "load-balancer-0 > load-balancer-1: VRRP, every 0.2 s" in lines
    assert "storage-address > storage-0 storage-1: held by one" in lines
    assert any(line.endswith("storage-address: NFS (soft mount, 10 s)") for line in lines)
    details = {node.name: node.details for node in paper_picture(topology).nodes}
    assert details["load_balancer-address"] == ("virtual address", ".4")
    assert {group.name for group in paper_picture(topology).groups} == {
        "load_balancer-group",
        "workbench-group",
        "database-group",
        "etcd-group",
        "storage-group",
    }


def test_databases_with_a_proxy_on_each_node() -> None:
    servers = ("database-0", "database-1", "database-2")
    arrow = arrows(TOPOLOGIES["own proxies"])[("workbench-0", "workbench-1"), servers]
    assert arrow.one_of
    assert arrow.label[1:] == ("by an HAProxy on each node", "to the primary", "check: /primary, every 0.5 s")


def test_checks_of_their_own_for_sessions_are_said() -> None:
    balancer = LoadBalancer(check="log_in", session_check="proxy", check_interval_s=2)
    topology = replace(PAIR, load_balancer=balancer, workbench=Workbench(mode="active-active"))
    label = arrows(topology)[("load-balancer",), ("workbench-0", "workbench-1")].label
    assert label == ("HTTP, websockets", "check: log_in, every 2 s", "to sessions: proxy")


def test_what_has_no_role_of_its_own_is_on_the_node() -> None:
    (node,) = [node for node in paper_picture(TOPOLOGIES["alone"]).nodes if node.name == "workbench-0"]
    assert node.details == ("JupyterHub", "SQLite on its disk", "homes on its disk", ".11")


# -- Mermaid -------------------------------------------------------------------------------------------------------


def test_mermaid_names_everything_once(topology: Topology) -> None:
    picture = paper_picture(topology)
    lines = render_mermaid(picture).splitlines()
    assert lines[0] == "flowchart LR"
    shapes = [re.match(r" +(n_\w+)(\(\(|\[\(|\(\[|\{\{|\[)\"", line) for line in lines[1:]]
    assert sorted(shape[1] for shape in shapes if shape) == sorted(
        "n_" + node.name.replace("-", "_") for node in picture.nodes
    )
    assert sum(line.startswith("  subgraph ") for line in lines) == len(picture.groups) == lines.count("  end")
    known = {shape[1] for shape in shapes if shape} | {"n_" + g.name.replace("-", "_") for g in picture.groups}
    ends = [re.fullmatch(r"  (n_[\w &]+?) (?:-->|-\.->|<-\.->)\|\"[^\"]+\"\| (n_[\w &]+)", line) for line in lines]
    assert sum(end is not None for end in ends) == len(picture.arrows)
    assert {name for end in ends if end for side in end.groups() for name in side.split(" & ")} <= known


def test_an_arrow_to_all_of_a_group_goes_to_the_group() -> None:
    text = render_mermaid(paper_picture(PAIR))
    assert 'n_load_balancer -->|"HTTP, websockets<br>check: active, every 0.5 s"| n_workbench_group' in text


def test_words_of_a_file_are_no_mermaid() -> None:
    picture = paper_picture(PAIR)
    hostile = replace(picture, nodes=(replace(picture.nodes[0], details=('"]<script> & x',)), *picture.nodes[1:]))
    assert '"people<br>#quot;]&lt;script&gt; &amp; x"' in render_mermaid(hostile)


# -- SVG -----------------------------------------------------------------------------------------------------------


def drawn(picture: Picture) -> ET.Element:
    return ET.fromstring(render_svg(picture))


def test_svg_is_well_formed_with_a_title_and_says_it_in_words(topology: Topology) -> None:
    root = drawn(paper_picture(topology))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == topology.name
    words = root.findtext(f"{SVG}desc") or ""
    assert words.startswith("people to ")
    texts = {element.text for element in root.iter(f"{SVG}text")}
    for node in paper_picture(topology).nodes:
        assert set(node.lines) <= texts
    for arrow in paper_picture(topology).arrows:
        assert set(arrow.label) <= texts


def test_svg_loads_nothing_and_has_colours_for_light_and_dark() -> None:
    text = render_svg(paper_picture(PAIR))
    style = drawn(paper_picture(PAIR)).findtext(f"{SVG}style") or ""
    light, dark = style.split("@media (prefers-color-scheme: dark)")

    def coloured(rules: str) -> set[str]:
        found = re.findall(r"([^{}]+)\{[^{}]*(?:fill|stroke): #", rules)
        return {name.strip() for names in found for name in names.split(",")}

    assert coloured(dark) == coloured(light), "whatever has a colour on light ground has one on dark"
    assert "href" not in text
    assert "url(" not in text.replace("url(#head)", "")
    assert "var(" not in text


def test_hostile_words_stay_text() -> None:
    name = "</title><script>alert(1)</script>"
    root = drawn(replace(paper_picture(PAIR), title=name))
    assert root.findtext(f"{SVG}title") == name
    assert not list(root.iter(f"{SVG}script"))


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.right and other.x < one.right and one.y < other.y + other.height and other.y < one.y + one.height
    )


def layout_of(topology: Topology) -> Layout:
    return lay_out(paper_picture(topology))


def test_boxes_do_not_overlap_and_are_inside(topology: Topology) -> None:
    layout = layout_of(topology)
    for index, box in enumerate(layout.boxes):
        assert box.x >= 0
        assert box.y >= 0
        assert box.right <= layout.width
        assert box.y + box.height <= layout.height
        assert not [other.node.name for other in layout.boxes[index + 1 :] if overlap(box, other)]


def test_no_line_runs_through_a_box(topology: Topology) -> None:
    layout = layout_of(topology)
    for route in layout.routes:
        for x1, y1, x2, y2 in (*route.stems, *route.heads):
            for box in layout.boxes:
                across = min(x1, x2) < box.right - 1 and box.x + 1 < max(x1, x2)
                down = min(y1, y2) < box.y + box.height - 1 and box.y + 1 < max(y1, y2)
                inside_x = box.x + 1 < x1 < box.right - 1
                inside_y = box.y + 1 < y1 < box.y + box.height - 1
                assert not (across and inside_y and y1 == y2), (route.arrow.label, box.node.name)
                assert not (down and inside_x and x1 == x2), (route.arrow.label, box.node.name)


def test_columns_are_in_the_order_of_the_way() -> None:
    layout = layout_of(TOPOLOGIES["everything"])
    headings = [name for name, _ in sorted(layout.headings, key=lambda heading: heading[1])]
    assert headings == ["people", "load balancer", "workbench", "database", "storage"]
