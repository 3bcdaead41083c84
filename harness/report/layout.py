"""Where everything of a picture stands: columns from left to right, arrows at right angles. Numbers are pixels.

Text can't be measured here, so its width is a generous estimate by the number of its characters.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from harness.core.picture import Arrow, Column, Group, Node, Picture

__all__ = ["LABEL_LINE", "TITLE_LINE", "Box", "Frame", "Layout", "Route", "lay_out"]

TITLE_LINE = 14
LABEL_LINE = 13
_HEADING = 34
_MARGIN = 16
_BOX_LINE = 16
_BOX_PADDING = 14
_NAME_CHAR, _LABEL_CHAR = 7.6, 6.3
_LEAST_WIDTH = 96
#: Between boxes that stand under one another; more where two of them speak to each other.
_BETWEEN, _BETWEEN_MUTUAL = 22, 40
_GROUP_WRAP, _GROUP_SIDE, _GROUP_BOTTOM = 26, 10, 10
_STUB, _LANE, _HEAD = 20, 14, 18
#: The first gap of a picture without labels still has to look like one.
_LEAST_GAP = 44
_BANDS = 36


@dataclass(frozen=True)
class Box:
    """A node and its rectangle."""

    node: Node
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(frozen=True)
class Frame:
    """Around a group."""

    title: tuple[str, ...]
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Route:
    """An arrow: lines without a head, lines that end in one, and the place of its label."""

    arrow: Arrow
    stems: tuple[tuple[float, float, float, float], ...]
    heads: tuple[tuple[float, float, float, float], ...]
    label_x: float
    label_y: float
    """The base of the last line."""
    label_ends: bool
    """Whether the label ends at `label_x` instead of beginning there."""


@dataclass(frozen=True)
class Layout:
    """Everything in its place."""

    width: float
    height: float
    headings: tuple[tuple[str, float], ...]
    """Column and the middle of its boxes."""
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]
    routes: tuple[Route, ...]


#: What stands under one another: the column and the step within it.
_Slot = tuple[int, int]


def lay_out(picture: Picture) -> Layout:
    """Place a picture. A pure function."""
    return _Room(picture).layout()


class _Room:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        columns = list(Column)
        self._slot_of = {node.name: (columns.index(node.column), node.step) for node in picture.nodes}
        self._slots: list[_Slot] = sorted(set(self._slot_of.values()))
        self._group_of: dict[str, Group] = {name: group for group in picture.groups for name in group.members}
        both = {Column.DATABASE, Column.STORAGE} <= {node.column for node in picture.nodes}
        # The way to the storage leads past the database, so it stands lower.
        self._lower = {slot for slot in self._slots if both and columns[slot[0]] is Column.STORAGE}
        self._boxes: dict[str, Box] = {}

    def layout(self) -> Layout:
        upper = [slot for slot in self._slots if slot not in self._lower]
        upper_height = max(self._stack_height(slot) for slot in upper)
        lower_height = max((self._stack_height(slot) for slot in self._lower), default=0.0)
        lower_top = _HEADING + upper_height + _BANDS
        x = float(_MARGIN)
        for slot in self._slots:
            width, is_lower = self._width(slot), slot in self._lower
            top, height = (lower_top, lower_height) if is_lower else (_HEADING, upper_height)
            self._stack(slot, x + self._side(slot), top + (height - self._stack_height(slot)) / 2, width)
            x += width + 2 * self._side(slot) + self._gap(slot)
        right = max(box.right for box in self._boxes.values()) + _GROUP_SIDE + _MARGIN
        bottom = lower_top + lower_height if self._lower else _HEADING + upper_height
        return Layout(
            width=right,
            height=bottom + _MARGIN,
            headings=self._headings(),
            boxes=tuple(self._boxes[node.name] for node in self._picture.nodes),
            frames=tuple(self._frame(group) for group in self._picture.groups),
            routes=tuple(self._route(arrow) for arrow in self._picture.arrows),
        )

    # -- boxes -----------------------------------------------------------------------------------------------------

    def _nodes(self, slot: _Slot) -> list[Node]:
        return [node for node in self._picture.nodes if self._slot_of[node.name] == slot]

    def _group(self, slot: _Slot) -> Group | None:
        return next((found for node in self._nodes(slot) if (found := self._group_of.get(node.name))), None)

    def _side(self, slot: _Slot) -> float:
        return _GROUP_SIDE if self._group(slot) else 0.0

    def _width(self, slot: _Slot) -> float:
        texts = [line for node in self._nodes(slot) for line in node.lines]
        group = self._group(slot)
        titles = _title(group) if group else ()
        return max(
            _LEAST_WIDTH,
            *(len(text) * _NAME_CHAR + 2 * _BOX_PADDING for text in texts),
            *(len(text) * _LABEL_CHAR for text in titles),
        )

    def _between(self, slot: _Slot) -> float:
        names = {node.name for node in self._nodes(slot)}
        mutual = any(arrow.mutual and arrow.sources[0] in names for arrow in self._picture.arrows)
        return _BETWEEN_MUTUAL if mutual else _BETWEEN

    def _above(self, slot: _Slot) -> float:
        group = self._group(slot)
        return TITLE_LINE * len(_title(group)) + 10.0 if group else 0.0

    def _stack_height(self, slot: _Slot) -> float:
        nodes = self._nodes(slot)
        below = _GROUP_BOTTOM if self._group(slot) else 0.0
        between = self._between(slot) * (len(nodes) - 1)
        return self._above(slot) + sum(_height(node) for node in nodes) + between + below

    def _stack(self, slot: _Slot, x: float, top: float, width: float) -> None:
        y = top + self._above(slot)
        for node in self._nodes(slot):
            self._boxes[node.name] = Box(node, x, y, width, _height(node))
            y += _height(node) + self._between(slot)

    def _frame(self, group: Group) -> Frame:
        boxes = [self._boxes[name] for name in group.members]
        above = self._above(self._slot_of[group.members[0]])
        x, y = boxes[0].x - _GROUP_SIDE, boxes[0].y - above
        bottom = boxes[-1].y + boxes[-1].height + _GROUP_BOTTOM
        return Frame(_title(group), x, y, boxes[0].width + 2 * _GROUP_SIDE, bottom - y)

    def _headings(self) -> tuple[tuple[str, float], ...]:
        found: dict[str, list[Box]] = {}
        for box in self._boxes.values():
            found.setdefault(box.node.column, []).append(box)
        return tuple(
            (column, (min(box.x for box in boxes) + max(box.right for box in boxes)) / 2)
            for column, boxes in found.items()
        )

    # -- arrows ----------------------------------------------------------------------------------------------------

    def _leaving(self, slot: _Slot) -> list[Arrow]:
        """The arrows that leave a column to the right, those that go far first: their lanes are next to it."""
        found = [a for a in self._picture.arrows if not a.mutual and self._slot_of[a.sources[0]] == slot]
        return sorted(found, key=self._is_near)

    def _is_near(self, arrow: Arrow) -> bool:
        index = self._slots.index(self._slot_of[arrow.sources[0]])
        return self._slot_of[arrow.targets[0]] in self._slots[index + 1 : index + 2]

    def _gap(self, slot: _Slot) -> float:
        leaving = self._leaving(slot)
        labels = [len(line) * _LABEL_CHAR for arrow in leaving if self._is_near(arrow) for line in arrow.label]
        return max(_LEAST_GAP, _STUB + _LANE * len(leaving) + max(labels, default=0.0) + _HEAD)

    def _route(self, arrow: Arrow) -> Route:
        sources, targets = ([self._boxes[name] for name in names] for names in (arrow.sources, arrow.targets))
        if arrow.mutual:
            x, top, bottom = sources[0].x + _BOX_PADDING, sources[0].y + sources[0].height, targets[0].y
            return Route(arrow, (), ((x, top, x, bottom),), x + 8, (top + bottom) / 2 + 4, label_ends=False)
        slot = self._slot_of[arrow.sources[0]]
        leaving = self._leaving(slot)
        place = leaving.index(arrow)
        lane = sources[0].right + self._side(slot) + _STUB + _LANE * place
        shift = 10 * (place - (len(leaving) - 1) / 2)
        leave_at = [box.middle - shift for box in sources]
        arrive_at = [box.middle for box in targets]
        if len(sources) == len(targets) == 1 and abs(leave_at[0] - arrive_at[0]) <= abs(shift):
            arrive_at = leave_at  # no kink of a few pixels
        stems = [(box.right, y, lane, y) for box, y in zip(sources, leave_at, strict=True)]
        stems.append((lane, min(*leave_at, *arrive_at), lane, max(*leave_at, *arrive_at)))
        heads = [(lane, y, box.x, y) for box, y in zip(targets, arrive_at, strict=True)]
        if self._is_near(arrow):
            return Route(arrow, tuple(stems), tuple(heads), lane + 8, min(arrive_at) - 6, label_ends=False)
        end = targets[0].x - self._side(self._slot_of[arrow.targets[0]]) - 10
        return Route(arrow, tuple(stems), tuple(heads), end, min(arrive_at) - 6, label_ends=True)


def _height(node: Node) -> float:
    return _BOX_LINE * len(node.lines) + _BOX_PADDING


def _title(group: Group) -> tuple[str, ...]:
    return tuple(textwrap.wrap(group.title, _GROUP_WRAP))
