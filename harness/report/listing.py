"""Lines of `harness list`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

__all__ = ["described", "first_sentence"]

_WIDTH = 120


def described(
    name: str, description: str, *, source: str = "", known_broken: Mapping[str, str] | None = None, explain: bool
) -> Iterator[str]:
    """A topology or an experiment: one line, or with `explain` everything that its file says about itself."""
    known = known_broken or {}
    if not explain:
        mark = f" [known broken: {', '.join(known)}]" if known else ""
        yield f"  {name:24} {first_sentence(description)}{mark}"
        return
    yield f"  {name}"
    broken = [f"known broken: {experiment}: {why}" for experiment, why in known.items()]
    for text in (description, f"source: {source}" if source else "", *broken):
        if text:
            yield textwrap.fill(" ".join(text.split()), _WIDTH, initial_indent="    ", subsequent_indent="    ")


def first_sentence(text: str) -> str:
    """Of a text in several lines, without the stop."""
    return " ".join(text.split()).split(". ")[0].rstrip(".")
