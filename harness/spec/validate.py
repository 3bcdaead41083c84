"""Plain data -> frozen model: pydantic decides, the messages are written here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from harness.spec.document import Document, Loc
from harness.spec.schema import (
    did_you_mean,
    expected,
    found,
    in_file,
    keys,
    listed,
    nearest,
    products,
    type_at,
    where,
    words,
)

__all__ = ["adapter", "validate", "validate_part"]

T = TypeVar("T")


def validate(model: type[T], document: Document, *, own_keys: Iterable[str] = ()) -> T | None:
    """The document's data as `model`; None, with the mistakes noted in the document, where it is not.

    `own_keys` are keys of the model that the file itself must not have.
    """
    hidden = set(own_keys)
    data = document.data
    if isinstance(data, dict):
        for key in sorted(hidden & data.keys()):
            document.add((key,), f"unknown key {key}, expected none: it follows from the file's name")
        data = {key: value for key, value in data.items() if key not in hidden}
    hashable: Any = model  # mypy does not see that a class is
    try:
        # As JSON, because strict is then what a person expects of a file: a whole number will do for a number and a
        # word for an enum member, but no boolean for a number and no text for either.
        checked: T = adapter(hashable).validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            _explain(model, document, detail, hidden)
        return None
    return checked


@cache
def adapter(model: Any) -> TypeAdapter[Any]:
    """pydantic's view of a model. Made once: it takes longer than the reading of a file."""
    return TypeAdapter(model)


def validate_part(model: type[T], document: Document, at: Loc, data: Any) -> T | None:
    """The part of a document that stands at `at` as `model`; None, with the mistakes noted in the document, where it
    is not."""
    part = Document(
        document.path,
        data,
        lines={loc[len(at) :]: line for loc, line in document.lines.items() if loc[: len(at)] == at},
        problems=document.problems,
    )
    part.lines.setdefault((), document.line(at))
    return validate(model, part)


def _explain(model: Any, document: Document, detail: ErrorDetails, hidden: set[str]) -> None:
    kind, loc, value = detail["type"], in_file(model, detail["loc"]), detail["input"]
    if kind == "unexpected_keyword_argument":
        valid = [key for key in keys(type_at(model, detail["loc"][:-1])) if len(loc) > 1 or key not in hidden]
        near = nearest(str(loc[-1]), valid)
        rest = f"did you mean {near}?" if near else f"expected {listed(valid)}"
        if owner := _product_with(model, detail["loc"]):
            rest = f"which only product: {owner} has; say so, or leave the key out"
        document.add(loc, f"unknown key {where(loc)}, {rest}")
        return
    annotation = type_at(model, detail["loc"])
    if kind == "missing":
        document.add(loc[:-1], f"missing key {where(loc)}, expected {_expected(annotation, loc, hidden)}")
        return
    if kind == "union_tag_invalid":
        word, choices = value["product"], products(annotation)
        what = f"{where(loc)}.product is {found(word)}, expected {listed(choices)}"
        document.add((*loc, "product"), what + did_you_mean(word, choices))
        return
    what = f"{where(loc)} is {found(value)}" if loc else f"the file holds {found(value)}"
    hint = did_you_mean(value, words(annotation))
    document.add(loc, f"{what}, expected {_expected(annotation, loc, hidden)}{hint}")


def _product_with(model: Any, loc: Loc) -> str:
    """The other product that has the key at `loc`, which this one has not; empty if there is none."""
    choices = products(type_at(model, loc[:-2])) if len(loc) > 1 else {}
    return next((product for product, choice in choices.items() if loc[-1] in keys(choice)), "")


def _expected(annotation: Any, loc: Loc, hidden: set[str]) -> str:
    if loc:
        return expected(annotation)
    return f"a mapping with the keys {', '.join(key for key in keys(annotation) if key not in hidden)}"
