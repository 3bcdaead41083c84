"""A picture of a platform as SVG: one file that loads nothing, readable on light and on dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from harness.core.picture import Kind, Picture
from harness.report.layout import LABEL_LINE, TITLE_LINE, Box, Frame, Layout, Route, lay_out

__all__ = ["inline_svg", "render_svg"]

# Plain rules instead of variables: many viewers of pictures know no others, and show the light one.
_STYLE = """
text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1d2129; }
.ground { fill: #fbfbfc; }
.box { fill: #ffffff; stroke: #7a828e; stroke-width: 1.2; }
.people { fill: #e9eef6; } .store { fill: #f3efe6; } .address { fill: #eaf4ee; stroke-dasharray: 5 3; }
.link { fill: #f6ecf3; }
.name { font-weight: 600; } .soft, .label { fill: #5f6773; } .label { font-size: 11px; }
.heading { fill: #5f6773; font-size: 13px; }
.frame { fill: none; stroke: #a9b1bc; stroke-dasharray: 3 3; }
.line { fill: none; stroke: #4b6fa5; stroke-width: 1.4; } .one { stroke-dasharray: 6 4; } .head { fill: #4b6fa5; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8ec; }
  .ground { fill: #14171c; }
  .box { fill: #1f242c; stroke: #8b94a1; }
  .people { fill: #223046; } .store { fill: #322d22; } .address { fill: #20342a; } .link { fill: #35252f; }
  .soft, .label, .heading { fill: #9aa3af; }
  .frame { stroke: #4b535f; }
  .line { stroke: #8fb0e0; } .head { fill: #8fb0e0; }
}
"""
_KINDS = {
    Kind.PEOPLE: "people",
    Kind.MACHINE: "machine",
    Kind.STORE: "store",
    Kind.ADDRESS: "address",
    Kind.LINK: "link",
}


def render_svg(picture: Picture) -> str:
    """The picture as one SVG element; what it shows is also said in words, for whoever can't see it."""
    layout = lay_out(picture)
    root = _root(picture, layout, "; ".join(_words(picture)), prefix="")
    ET.SubElement(root, "style").text = _STYLE
    _marker(ET.SubElement(root, "defs"), "head")
    ET.SubElement(root, "rect", {"class": "ground", "width": "100%", "height": "100%"})
    _draw(root, layout, "head")
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return text + "\n"


def inline_svg(picture: Picture, broken: Mapping[str, str]) -> str:
    """The same to stand in a page, whose style sheet colours it (`.picture`); `broken` names what was broken, and how:
    each is crossed out and says so."""
    layout = lay_out(picture)
    hurt = "; ".join(f"{name} was broken: {how}" for name, how in broken.items())
    root = _root(picture, layout, "; ".join([*([hurt] if hurt else []), *_words(picture)]), prefix="picture-")
    root.set("class", "picture")
    _marker(ET.SubElement(root, "defs"), "picture-head")
    _draw(root, layout, "picture-head")
    for box in layout.boxes:
        if box.node.name in broken:
            _cross(root, box, broken[box.node.name])
    text: str = ET.tostring(root, encoding="unicode")
    return text


def _root(picture: Picture, layout: Layout, said: str, *, prefix: str) -> ET.Element:
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "role": "img",
            "aria-labelledby": f"{prefix}title {prefix}words",
            "width": _number(layout.width),
            "height": _number(layout.height),
            "viewBox": f"0 0 {_number(layout.width)} {_number(layout.height)}",
        },
    )
    ET.SubElement(root, "title", id=f"{prefix}title").text = picture.title
    ET.SubElement(root, "desc", id=f"{prefix}words").text = said
    return root


def _cross(root: ET.Element, box: Box, how: str) -> None:
    """Around the box, over two of its corners, and in words below it: not by colour alone."""
    place = {"x": box.x - 3, "y": box.y - 3, "width": box.width + 6, "height": box.height + 6, "rx": 8.0}
    ET.SubElement(root, "rect", {**{key: _number(value) for key, value in place.items()}, "class": "broken"})
    left, right, bottom = box.x - 3, box.right + 3, box.y + box.height + 3
    lines = _line(left, box.y - 3, right, bottom) + _line(left, bottom, right, box.y - 3)
    ET.SubElement(root, "path", {"d": lines, "class": "broken cross"})
    _text(root, how, box.x + box.width / 2, bottom + 12, "broken-by")


def _draw(root: ET.Element, layout: Layout, head: str) -> None:
    for heading, x in layout.headings:
        _text(root, heading, x, 20, "heading")
    for frame in layout.frames:
        _frame(root, frame)
    for route in layout.routes:
        _route(root, route, head)
    for box in layout.boxes:
        _box(root, box)


def _words(picture: Picture) -> Iterator[str]:
    for arrow in picture.arrows:
        how = "and" if arrow.mutual else "to one of" if arrow.one_of else "to"
        yield f"{', '.join(arrow.sources)} {how} {', '.join(arrow.targets)}: {', '.join(arrow.label)}"


def _marker(defs: ET.Element, name: str) -> None:
    marker = ET.SubElement(
        defs,
        "marker",
        {
            "id": name,
            "viewBox": "0 0 10 10",
            "refX": "9",
            "refY": "5",
            "markerWidth": "7",
            "markerHeight": "7",
            "orient": "auto-start-reverse",
        },
    )
    ET.SubElement(marker, "path", {"d": "M0 0L10 5L0 10z", "class": "head"})


def _box(root: ET.Element, box: Box) -> None:
    kind = box.node.kind
    place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    round_ = {Kind.PEOPLE: box.height / 2, Kind.ADDRESS: box.height / 2, Kind.LINK: 0.0}.get(kind, 6.0)
    attributes = {key: _number(value) for key, value in {**place, "rx": round_}.items()}
    ET.SubElement(root, "rect", {**attributes, "class": f"box {_KINDS[kind]}"})
    if kind is Kind.STORE:  # a second edge, as drums are drawn
        edge = f"M{_number(box.x)} {_number(box.y + 5)}H{_number(box.right)}"
        ET.SubElement(root, "path", {"d": edge, "class": "box"})
    lines = box.node.lines
    first = box.middle - 16 * (len(lines) - 1) / 2 + 4
    for index, line in enumerate(lines):
        style = "name" if index == 0 and kind is not Kind.ADDRESS else "soft"
        _text(root, line, box.x + box.width / 2, first + 16 * index, style)


def _frame(root: ET.Element, frame: Frame) -> None:
    place = {"x": frame.x, "y": frame.y, "width": frame.width, "height": frame.height, "rx": 8.0}
    ET.SubElement(root, "rect", {**{key: _number(value) for key, value in place.items()}, "class": "frame"})
    for index, line in enumerate(frame.title):
        _text(root, line, frame.x + frame.width / 2, frame.y + 14 + TITLE_LINE * index, "label")


def _route(root: ET.Element, route: Route, head: str) -> None:
    style = "line one" if route.arrow.one_of or route.arrow.mutual else "line"
    stems = "".join(_line(*stem) for stem in route.stems if stem[:2] != stem[2:])
    if stems:
        ET.SubElement(root, "path", {"d": stems, "class": style})
    for end in route.heads:
        path = ET.SubElement(root, "path", {"d": _line(*end), "class": style, "marker-end": f"url(#{head})"})
        if route.arrow.mutual:
            path.set("marker-start", f"url(#{head})")
    anchor = "end" if route.label_ends else "start"
    for index, line in enumerate(reversed(route.arrow.label)):
        _text(root, line, route.label_x, route.label_y - LABEL_LINE * index, "label", anchor=anchor)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"M{_number(x1)} {_number(y1)}L{_number(x2)} {_number(y2)}"


def _text(root: ET.Element, text: str, x: float, y: float, style: str, *, anchor: str = "middle") -> None:
    attributes = {"x": _number(x), "y": _number(y), "class": style, "text-anchor": anchor}
    ET.SubElement(root, "text", attributes).text = text


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
