"""Every key of a topology file, with what may stand there, its default and what it decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from harness.core.products import Autoscale, Database, LoadBalancer, Patroni, Storage, Workbench
from harness.core.topology import Link, Promise, Topology
from harness.spec.docstrings import class_doc, field_docs
from harness.spec.schema import expected

__all__ = ["Knob", "Knobs", "all_knobs"]


_PRODUCT = "Which product fills the role."


@dataclass(frozen=True)
class Knob:
    """One key."""

    key: str
    allowed: str
    default: str | None
    """As in a file; empty where it is simply left out, None where the key has to be there."""
    decides: str


@dataclass(frozen=True)
class Knobs:
    """The keys of one mapping."""

    where: str
    about: str
    knobs: tuple[Knob, ...]


def all_knobs() -> Iterator[Knobs]:
    """Of all mappings of a topology file, from the outside to the inside."""
    yield _of(Topology, "At the top", without=("name",))
    yield _of(LoadBalancer, "load_balancer")
    yield _of(Workbench, "workbench")
    yield _of(Autoscale, "workbench.autoscale")
    yield _of(Database, "database (product: postgresql)")
    inherited = [field.name for field in dataclasses.fields(Database) if field.name != "product"]
    cluster = _of(Patroni, "database (product: patroni), beside those of postgresql", without=inherited)
    # a file without the word means the other one
    must_say = tuple(
        dataclasses.replace(knob, default=None) if knob.key == "product" else knob for knob in cluster.knobs
    )
    yield dataclasses.replace(cluster, knobs=must_say)
    yield _of(Storage, "storage")
    yield _of(Link, "links, each")
    yield _of(Promise, "promises, each")


def _of(model: Any, where: str, without: Collection[str] = ()) -> Knobs:
    hints, docs = get_type_hints(model, include_extras=True), field_docs(model)
    knobs = (
        Knob(
            key=field.name.rstrip("_"),
            allowed=_allowed(hints[field.name]),
            default=_default(field),
            decides=docs.get(field.name, _PRODUCT if field.name == "product" else ""),
        )
        for field in dataclasses.fields(model)
        if field.name not in without
    )
    return Knobs(where, class_doc(model), tuple(knobs))


def _allowed(annotation: Any) -> str:
    """In a table the keys of a mapping have a table of their own."""
    text = expected(annotation)
    return "a mapping" if text.startswith("a mapping") else text


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default_factory is not dataclasses.MISSING:
        return ""
    value = field.default
    if value is dataclasses.MISSING:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value in (None, "", ()) else str(value)
