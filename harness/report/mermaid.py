"""A picture of a platform as a Mermaid flowchart, which code hosts draw inside Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.core.picture import Arrow, Kind, Node, Picture

__all__ = ["render_mermaid"]

_SHAPES = {
    Kind.PEOPLE: ("((", "))"),
    Kind.MACHINE: ("[", "]"),
    Kind.STORE: ("[(", ")]"),
    Kind.ADDRESS: ("([", "])"),
    Kind.LINK: ("{{", "}}"),
}


def render_mermaid(picture: Picture) -> str:
    """The text of the chart. An arrow to all members of a group goes to the group."""
    return "\n".join(("flowchart LR", *_lines(picture))) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    grouped = {member: group for group in picture.groups for member in group.members}
    by_name = {node.name: node for node in picture.nodes}
    done: set[str] = set()
    for node in picture.nodes:
        group = grouped.get(node.name)
        if group is None:
            yield f"  {_node(node)}"
        elif group.name not in done:
            done.add(group.name)
            yield f"  subgraph {_id(group.name)}[{_text(group.title)}]"
            yield from (f"    {_node(by_name[member])}" for member in group.members)
            yield "  end"
    groups = {group.members: group.name for group in picture.groups}
    for arrow in picture.arrows:
        yield f"  {_arrow(arrow, groups)}"


def _node(node: Node) -> str:
    before, after = _SHAPES[node.kind]
    return f"{_id(node.name)}{before}{_text(*node.lines)}{after}"


def _arrow(arrow: Arrow, groups: Mapping[tuple[str, ...], str]) -> str:
    head = "<-.->" if arrow.mutual else "-.->" if arrow.one_of else "-->"
    return f"{_ends(arrow.sources, groups)} {head}|{_text(*arrow.label)}| {_ends(arrow.targets, groups)}"


def _ends(names: tuple[str, ...], groups: Mapping[tuple[str, ...], str]) -> str:
    whole = groups.get(names)
    return _id(whole) if whole else " & ".join(_id(name) for name in names)


def _id(name: str) -> str:
    """Letters and underscores only, and never a word of Mermaid's own, such as `end`."""
    return "n_" + name.replace("-", "_")


def _text(*lines: str) -> str:
    return '"' + "<br>".join(_escaped(lines)) + '"'


def _escaped(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        yield line.replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
