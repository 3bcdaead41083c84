"""What the model's type annotations say about a place in a file, in words for a message."""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from harness.core.constraints import Bounds, ByProduct
from harness.spec.document import Loc

__all__ = [
    "did_you_mean",
    "expected",
    "found",
    "in_file",
    "keys",
    "listed",
    "nearest",
    "products",
    "type_at",
    "where",
    "words",
]


def keys(annotation: Any) -> list[str]:
    """The keys of a mapping that becomes a dataclass, in the order of its fields."""
    return [_key(field.name) for field in dataclasses.fields(_bare(annotation))]


def type_at(root: Any, loc: Loc) -> Any:
    """The annotation of what stands at `loc`, in which products are steps of their own, as pydantic has them.

    Raises `LookupError` where the model has no such place.
    """
    for step in loc:
        bare = _bare(root)
        if choices := products(root):
            root = choices[str(step)]
        elif dataclasses.is_dataclass(bare):
            hints = get_type_hints(bare, include_extras=True)
            root = {_key(name): hint for name, hint in hints.items()}[str(step)]
        elif get_origin(bare) is tuple:
            root = get_args(bare)[0]
        elif get_origin(bare) is Mapping:
            root = get_args(bare)[1]
        else:
            raise LookupError(step)
    return root


def products(annotation: Any) -> dict[str, type]:
    """Product -> class, where the annotation leaves the choice to the key `product`; else nothing."""
    if get_origin(annotation) is Annotated and any(isinstance(extra, ByProduct) for extra in get_args(annotation)[1:]):
        return ByProduct.classes(get_args(annotation)[0])
    return {}


def in_file(root: Any, loc: Loc) -> Loc:
    """A place as it stands in the file: without the products that `type_at` has as steps."""
    return tuple(step for index, step in enumerate(loc) if not products(type_at(root, loc[:index])))


def words(annotation: Any) -> list[str]:
    """The words that may stand there; empty where it is not one of a few words."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal:
        return [str(value.value if isinstance(value, Enum) else value) for value in get_args(bare)]
    if isinstance(bare, type) and issubclass(bare, Enum):
        return [str(member.value) for member in bare]
    return []


def expected(annotation: Any) -> str:
    """What may stand there, as in `a number of at least 0`."""
    bare = _bare(annotation)
    if choices := words(annotation):
        return listed(choices)
    if dataclasses.is_dataclass(bare):
        return f"a mapping with the keys {', '.join(keys(bare))}"
    if get_origin(bare) is tuple:
        return "a list"
    if get_origin(bare) is Mapping:
        return "a mapping"
    noun = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}[bare]
    return noun + _range(annotation)


def found(value: Any) -> str:
    """A value as a message shows it: short, and with its type recognisable."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    if value is None:
        return "empty"
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def where(loc: Loc) -> str:
    """A place as people write it: `faults[0].hold_s`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def listed(choices: Iterable[str]) -> str:
    """`one of: a, b`, or the only one, or `none`."""
    choices = list(choices) or ["none"]
    return choices[0] if len(choices) == 1 else f"one of: {', '.join(choices)}"


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice most like `word`, or an empty text if none is like it."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1)), "")


def did_you_mean(word: Any, choices: Iterable[str]) -> str:
    """`, did you mean X?`, or an empty text."""
    near = nearest(word, choices) if isinstance(word, str) else ""
    return f", did you mean {near}?" if near else ""


def _key(field_name: str) -> str:
    """A field that would be a word of Python's own has an underscore behind it, its key has none."""
    return field_name.rstrip("_")


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(arg for arg in get_args(annotation) if arg is not type(None)))
    return annotation


def _range(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
    for bounds in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        if isinstance(bounds, Bounds):
            if bounds.at_most is None:
                return f" of at least {bounds.at_least:g}"
            return f" from {bounds.at_least:g} to {bounds.at_most:g}"
    return ""
