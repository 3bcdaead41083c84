"""Where people enter the platform, as the load client is told.

One text with an item for each entrance, separated by spaces: `URL` behind a balancer, which names in every answer the
node that gave it, or `NODE=URL` for a node that is reached directly, where nobody else would say which one it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.errors import UsageError

__all__ = ["ENTRANCES_VARIABLE", "Entrance", "format_entrances", "parse_entrances", "places"]

#: The variable in the load client's environment that holds them.
ENTRANCES_VARIABLE: Final = "PLATFORM_URLS"

_ITEM = re.compile(r"(?:(?P<node>[^\s=:/]+)=)?(?P<url>https?://[^\s/]\S*)")


@dataclass(frozen=True)
class Entrance:
    """One way into the platform."""

    url: str
    node: str = ""
    """The node that it leads to; empty behind a balancer, whose answers say which one served."""


def parse_entrances(text: str) -> tuple[Entrance, ...]:
    """The entrances in `text`, in its order. Raises `UsageError` where there is none or an item is not understood."""
    found = [(item, _ITEM.fullmatch(item)) for item in text.split()]
    wrong = [item for item, match in found if match is None]
    if wrong or not found:
        raise UsageError(
            f"{ENTRANCES_VARIABLE}: {', '.join(map(repr, wrong)) or 'nothing'}, expected URL or NODE=URL",
            hint="for example http://10.71.4.5 or workbench-0=http://10.71.4.11:8000, several with spaces between",
        )
    return tuple(Entrance(match["url"], match["node"] or "") for _, match in found if match)


def format_entrances(entrances: Iterable[Entrance]) -> str:
    """The text that `parse_entrances` reads."""
    return " ".join(f"{entrance.node}={entrance.url}" if entrance.node else entrance.url for entrance in entrances)


def places(entrances: Sequence[Entrance], serving_nodes: int) -> tuple[Entrance, ...]:
    """How each place is come to where people have their sessions: every entrance, or the single one once for each node
    that serves at the same time."""
    return tuple(entrances) if len(entrances) > 1 else tuple(entrances) * serving_nodes
