"""Bounds on the numbers of the model, readable by pydantic without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any


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


#: A duration in seconds, zero included.
Seconds = Annotated[float, Bounds(0)]
#: A period or time limit in seconds: 10 ms at least, so that it can't spin.
Period = Annotated[float, Bounds(0.01)]
#: A number of things.
Count = Annotated[int, Bounds(0)]
#: A number of things of which there must be one.
Positive = Annotated[int, Bounds(1)]
