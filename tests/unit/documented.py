"""The commands that the documentation shows: where they stand, what they are, and what is said that they print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["PAGES", "ROOT", "Block", "Shown", "blocks", "commands", "inline", "text_without_blocks"]

ROOT = Path(__file__).resolve().parents[2]
#: Every page that people read; `topologies/README.md` is made from the files.
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *ROOT.glob("docs/*.md")])
#: Languages of blocks whose lines are commands.
SHELLS = ("bash", "shell", "sh", "console")
_FENCE = re.compile(r"( *)```(\w*) *$")
_SEPARATORS = frozenset(";&|()<>")
#: Where a CI's file has commands.
_SCRIPTS = ("run", "script", "before_script", "after_script")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    where: str
    """The page, as messages name it."""
    line: int
    """Of its first line of text."""
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Shown:
    """One simple command, without what is around it in its line of the shell."""

    where: str
    words: tuple[str, ...]
    printed: tuple[str, ...] = ()
    """What is said that it prints; a line `...` stands for any number of lines."""

    @property
    def text(self) -> str:
        return shlex.join(self.words)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, without the spaces that they are indented by."""
    where = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name
    opened: re.Match[str] | None = None
    start, lines = 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, start, lines = fence, number + 1, []
        elif opened is not None and fence and not fence[2]:
            yield Block(where, start, opened[2], tuple(lines))
            opened = None
        elif opened is not None:
            lines.append(line.removeprefix(opened[1]))
    assert opened is None, f"{page}: a block is not closed"


def text_without_blocks(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline(page: Path) -> Iterator[tuple[str, ...]]:
    """The words of each command that stands in the middle of a sentence, placeholders and all."""
    for text in re.findall(r"`((?:\.venv/bin/)?harness [a-z][^`]*|make [a-zA-Z][^`]*)`", text_without_blocks(page)):
        yield tuple(text.split())


def commands(page: Path) -> list[Shown]:
    """All of a page, in its order: those of shells, and those in a CI's files."""
    found: list[Shown] = []
    for block in blocks(page):
        if block.language == "console":
            found += _session(block)
        elif block.language in SHELLS:
            for offset, line in _whole_lines(block.lines):
                found += _simple(f"{block.where}:{block.line + offset}", line)
        elif block.language == "yaml":
            found += _of_ci(block)
    return found


def _session(block: Block) -> Iterator[Shown]:
    """Prompts with commands behind them, and below each what it prints."""
    starts = [index for index, line in enumerate(block.lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        where = f"{block.where}:{block.line + start}"
        (command,) = _simple(where, block.lines[start].removeprefix("$ "))
        yield Shown(where, command.words, block.lines[start + 1 : end])


def _whole_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines that go on after a backslash are one."""
    begun, start = "", 0
    for index, line in enumerate(lines):
        start = start if begun else index
        begun += line
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        if begun.strip():
            yield start, begun
        begun = ""


def _simple(where: str, line: str) -> Iterator[Shown]:
    """The simple commands of a line of the shell, without comments and redirections."""
    words: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    redirected = False
    for token in (*lexer, ";"):
        if set(token) <= _SEPARATORS:
            if words:
                yield Shown(where, tuple(words))
            words, redirected = [], ">" in token or "<" in token
        elif redirected:
            redirected = False  # the name of a file
        else:
            words.append(token)


def _of_ci(block: Block) -> Iterator[Shown]:
    document = yaml.safe_load(block.text)
    where = f"{block.where}:{block.line}"
    choices = dict(_matrices(document))
    for script in _scripts(document):
        for line in script.splitlines():
            for chosen in _filled(line, choices):
                yield from _simple(where, chosen)


def _matrices(node: Any) -> Iterator[tuple[str, Sequence[str]]]:
    """Names and values of the matrices of jobs."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key == "matrix":
            for choice in value if isinstance(value, list) else [value]:
                yield from choice.items()
        yield from _matrices(value)


def _scripts(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _scripts(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in _SCRIPTS:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _scripts(value)


def _filled(line: str, choices: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The line with each value of the matrix in the place of its variable."""
    for name, values in choices.items():
        for variable in (f"${{{{ matrix.{name} }}}}", f"${name}"):
            if variable in line:
                yield from (line.replace(variable, value) for value in values)
                return
    yield line
