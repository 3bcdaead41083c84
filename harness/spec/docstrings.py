"""What the model's source says about each field, in the text below it: the one place where that is read.

Python keeps no docstrings of attributes, so they are read from the source. Editors show them through the JSON Schema,
and `docs/topologies.md` has them as a table.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Iterator, Mapping

__all__ = ["class_doc", "field_docs"]


def field_docs(model: type) -> Mapping[str, str]:
    """Field -> what stands below it, as one line, also of the classes that `model` inherits from; without those that
    have nothing."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _attributes(base)
    names = [field.name for field in dataclasses.fields(model)]
    return {name: found[name] for name in names if name in found}


def class_doc(model: type) -> str:
    """The docstring of a class as one line."""
    return _line(model.__doc__ or "")


def _attributes(model: type) -> Iterator[tuple[str, str]]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef), "the source of a class is its definition"
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield statement.target.id, _line(below.value.value)


def _line(text: str) -> str:
    return " ".join(text.split())
