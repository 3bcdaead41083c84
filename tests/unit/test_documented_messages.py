"""The messages of the page on troubleshooting are the harness's own words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.unit.documented import ROOT

PAGE = ROOT / "docs/troubleshooting.md"
#: Stands for whatever is put into a message when it is printed.
VALUE = "\0"


def quoted(page: str) -> list[str]:
    """The first cell of each row of a table, where it is a message."""
    return re.findall(r"^\| `([^`]+)` \|", page.replace("`...`", "..."), re.MULTILINE)


def texts_of(tree: ast.AST) -> Iterator[str]:
    """Every text of a program; what is put into it is `VALUE`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else VALUE for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield "".join(texts_of(node.left)) + "".join(texts_of(node.right))


@cache
def said() -> str:
    """All texts of the harness, and the Makefile's."""
    texts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in sorted((ROOT / "harness").rglob("*.py")):
        texts += texts_of(ast.parse(path.read_text(encoding="utf-8")))
    return "\n\n".join(texts)


def is_said(message: str) -> bool:
    """Whether a text has these words in this order; `...` is anything, what is put in by the program too."""
    parts = [re.escape(part) for part in message.split("...")]
    return re.search(r"[^\n]*?".join(parts), said()) is not None


@pytest.mark.long
@pytest.mark.parametrize("message", quoted(PAGE.read_text(encoding="utf-8")))
def test_a_quoted_message_is_one_of_the_harness(message: str) -> None:
    assert max(map(len, message.split("..."))) >= 8, "too few words of its own to look for"
    assert is_said(message), message


@pytest.mark.long
def test_there_are_messages_and_a_foreign_one_is_noticed() -> None:
    assert len(quoted(PAGE.read_text(encoding="utf-8"))) > 30
    assert not is_said("no Docker engine answers, alas")
    assert not is_said("... users do not fit into the engine's disk")


@pytest.mark.parametrize("word", ["people work", "is not good"])
def test_words_in_its_sentences_are_said_too(word: str) -> None:
    assert word in PAGE.read_text(encoding="utf-8")
    assert is_said(word)
