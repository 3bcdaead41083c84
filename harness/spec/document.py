"""YAML that remembers on which line everything stands, with the plain scalars of YAML 1.2.

PyYAML's own rules are those of YAML 1.1, where `on` is a boolean, `1:30` is 90 and `2024-01-01` a date; a topology file
must not depend on knowing that. Here only `true`, `false`, `null`, decimal, hexadecimal and octal integers and floats
are not text. Anchors and aliases are refused: an alias has the line of its anchor, which would mislead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import SpecError

__all__ = ["Document", "Loc", "Problem", "as_list", "get", "parse", "read", "to_yaml"]

#: Where in a document: keys and list positions from the root.
Loc = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake and its line."""

    line: int
    text: str


@dataclass
class Document:
    """The plain data of a file, the line of each key and list item, and the mistakes found so far."""

    path: str
    """As the messages show it."""
    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, loc: Loc) -> int:
        """The line of `loc`, or of the nearest thing around it that is in the file."""
        while loc not in self.lines and loc:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def add(self, loc: Loc, text: str) -> None:
        """Note a mistake at `loc`."""
        self.problems.append(Problem(self.line(loc), text))

    def raise_problems(self) -> None:
        """Raises `SpecError` with every mistake, in the order of the file, if there is any."""
        if self.problems:
            raise SpecError([f"{self.path}:{problem.line}: {problem.text}" for problem in sorted(set(self.problems))])


_RESOLVERS = (
    ("tag:yaml.org,2002:null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        list("-+.0123456789"),
    ),
)


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": lambda text: int(text, 0 if text[:2] in ("0x", "0o") else 10),
    "float": float,
}


class _AliasError(yaml.MarkedYAMLError):
    """An anchor or alias: YAML, but not accepted."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML declares it so; filled below, once

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # in PyYAML's stubs
        if getattr(event, "anchor", None) is not None:
            raise _AliasError(
                None, None, f"anchor or alias {event.anchor!r}, expected the value written out", event.start_mark
            )
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML declares it so; filled below, once

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - an object used twice is written twice
        return True


for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


def read(path: Path) -> Document:
    """The document in the file at `path`. Raises `SpecError` where it can't be read or is not YAML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError([f"{path}:{line}: byte {error.object[error.start]:#04x}, expected UTF-8 text"]) from error
    except OSError as error:
        raise SpecError([f"{path}:1: {error.strerror or error}, expected a readable YAML file"]) from error
    return parse(text, str(path))


def parse(text: str, path: str) -> Document:
    """The document in `text`; duplicate keys and unknown tags are noted in it.

    Raises `SpecError` where nothing can be made of it: a syntax error, or nothing in it.
    """
    document = Document(path)
    try:
        # the loader is a SafeLoader; reading nodes instead of values keeps the line numbers
        root = _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError([f"{path}:{line}: character {chr(error.character)!r}, expected printable text"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        kind = "" if isinstance(error, _AliasError) else "not YAML: "
        raise SpecError([f"{path}:{mark.line + 1 if mark else 1}: {kind}{what}"]) from error
    except RecursionError as error:
        raise SpecError([f"{path}:1: not YAML: nested too deeply"]) from error
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag.endswith(":null")):
        raise SpecError([f"{path}:1: the file is empty, expected a mapping"])
    document.lines[()] = root.start_mark.line + 1
    document.data = _plain(document, root, ())
    return document


def to_yaml(data: Any) -> str:
    """`data` as YAML that `parse` reads back as the same; keys stay in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _plain(document: Document, node: yaml.Node, loc: Loc) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, node.value, loc)
    if isinstance(node, yaml.SequenceNode):
        return _sequence(document, node.value, loc)
    return _scalar(document, node, loc)


def _mapping(document: Document, pairs: Iterable[tuple[yaml.Node, yaml.Node]], loc: Loc) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append(Problem(line, "a list or mapping as a key, expected a word"))
            continue
        inner = (*loc, key.value)
        if key.value in found:
            first = document.lines[inner]
            document.problems.append(
                Problem(line, f"duplicate key {key.value}, expected it once: first on line {first}")
            )
            continue
        document.lines[inner] = line
        found[key.value] = _plain(document, value, inner)
    return found


def _sequence(document: Document, nodes: Iterable[yaml.Node], loc: Loc) -> list[Any]:
    found = []
    for index, node in enumerate(nodes):
        document.lines[(*loc, index)] = node.start_mark.line + 1
        found.append(_plain(document, node, (*loc, index)))
    return found


def _scalar(document: Document, node: yaml.Node, loc: Loc) -> Any:
    text: str = node.value
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in _SCALARS:
        document.add(loc, f"unknown tag {node.tag}, expected a value without a tag")
        return text
    try:
        return _SCALARS[kind](text)
    except (KeyError, ValueError):  # an explicit tag that the text does not fit, or an integer beyond Python's limit
        document.add(loc, f"{text[:60]!r} as {kind}, expected a value that is one")
        return text


def as_list(data: Any) -> list[Any]:
    """Plain data as a list, empty where it is none: that was said where the model was checked."""
    return data if isinstance(data, list) else []


def get(data: Any, key: str, default: Any = None) -> Any:
    """What stands under a key of plain data; the default also where the data is no mapping."""
    return data.get(key, default) if isinstance(data, dict) else default
