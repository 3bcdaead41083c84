"""What the model says about its values beyond their types, readable by pydantic without importing it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args


@dataclass(frozen=True)
class Bounds:
    """Inclusive lower and upper bound of a number. `spec` enforces them and writes them into the JSON Schema."""

    at_least: float
    at_most: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        schema = handler(source)
        schema["ge"] = self.at_least
        if self.at_most is not None:
            schema["le"] = self.at_most
        if schema["type"] == "float":
            schema["allow_inf_nan"] = False  # infinity is above every lower bound, but nobody can wait for it
        return schema


@dataclass(frozen=True)
class ByProduct:
    """One of several classes, told apart by the word in their `product`; the first where the file does not say. None
    may be among them."""

    @staticmethod
    def classes(union: Any) -> dict[str, type]:
        """Product -> class, of a union of classes whose `product` has a default."""
        return {
            str(field.default): choice
            for choice in get_args(union)
            if choice is not type(None)
            for field in dataclasses.fields(choice)
            if field.name == "product"
        }

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        classes = self.classes(source)

        def product(data: Any) -> str | None:
            if isinstance(data, Mapping):
                word = data.get("product", next(iter(classes)))
                return word if isinstance(word, str) else ""
            return getattr(data, "product", None)

        choices = {word: handler.generate_schema(choice) for word, choice in classes.items()}
        tagged = {"type": "tagged-union", "choices": choices, "discriminator": product}
        return {"type": "nullable", "schema": tagged} if type(None) in get_args(source) else tagged


#: A duration in seconds, zero included.
Seconds = Annotated[float, Bounds(0)]
#: A period or time limit in seconds: 10 ms at least, so that it can't spin.
Period = Annotated[float, Bounds(0.01)]
#: A number of things.
Count = Annotated[int, Bounds(0)]
#: A number of things of which there must be one.
Positive = Annotated[int, Bounds(1)]
