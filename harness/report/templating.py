"""The templates of the pages: one way to load them, so that every page escapes what comes from outside."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

__all__ = ["page_template"]


@cache
def page_template(name: str) -> Template:
    """A template of `harness/report/templates`. Compiled once: that takes longer than filling it in."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
