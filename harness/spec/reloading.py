"""A knob of the load balancer with another value, as a reload of its configuration brings it."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.core.products import LoadBalancer
from harness.core.topology import Topology
from harness.errors import SpecError
from harness.spec.contradictions import check_contradictions
from harness.spec.document import Document, parse
from harness.spec.schema import did_you_mean, listed
from harness.spec.validate import validate

__all__ = ["RELOADED", "with_knob"]

#: What HAProxy's configuration alone decides. The others are about machines, addresses, keepalived and certificates.
RELOADED = tuple(
    field.name
    for field in dataclasses.fields(LoadBalancer)
    if field.name not in {"product", "nodes", "vip", "vrrp_interval_s", "tls"}
)


def with_knob(topology: Topology, text: str) -> Topology:
    """The topology with what `text` says of its load balancer, such as `check_fall=5`.

    Raises `SpecError` where that is no knob that a reload can change, no value for it, contradicts another knob, or is
    what it is already.
    """
    balancer = topology.load_balancer
    assert balancer is not None, "asked for topologies with a balancer only"
    knob, mark, value = text.partition("=")
    if not mark or knob not in RELOADED:
        near = did_you_mean(knob, RELOADED) if mark else ""
        raise SpecError([f"{text}, expected KNOB=VALUE with a knob that a reload can change: {listed(RELOADED)}{near}"])
    said = parse(f"{knob}: {value}", text).data
    document = Document(text, {**dataclasses.asdict(balancer), **said})
    changed = validate(LoadBalancer, document)
    _raise(document)
    assert changed is not None, "no problem was noted"
    if changed == balancer:
        raise SpecError([f"{text} is what {topology.name} has, expected another value: nothing changes"])
    found = dataclasses.replace(topology, load_balancer=changed)
    whole = Document(text, {role.value: _said(getattr(found, role.value)) for role in found.roles()})
    check_contradictions(whole, found)
    _raise(whole)
    return found


def _said(product: Any) -> dict[str, Any]:
    """What a file would say of a product: what is not as it is by default."""
    return {
        field.name: value
        for field in dataclasses.fields(product)
        if (value := getattr(product, field.name)) != field.default
    }


def _raise(document: Document) -> None:
    """Without lines: it is no file."""
    if document.problems:
        raise SpecError([problem.text for problem in document.problems])
