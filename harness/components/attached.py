"""The picture of an existing system: where people come to, and the machines that its file names."""

from __future__ import annotations

from typing import Final

from harness.components.picture import PEOPLE
from harness.core.attach import AttachedSystem
from harness.core.picture import Arrow, Column, Kind, Node, Picture
from harness.core.words import Role

__all__ = ["attached_picture"]

_ENTRANCE: Final = "entrance"
_COLUMNS: Final = {
    Role.LOAD_BALANCER: Column.LOAD_BALANCER,
    Role.WORKBENCH: Column.WORKBENCH,
    Role.DATABASE: Column.DATABASE,
    Role.STORAGE: Column.STORAGE,
}
_PRODUCTS: Final = {"jupyterhub": "JupyterHub", "posit-workbench": "Posit Workbench (experimental)", "http": "HTTP"}


def attached_picture(system: AttachedSystem) -> Picture:
    """Nobody knows how the machines talk among each other, so no arrow says it."""
    attach = system.attach
    scheme, _, place = attach.url.partition("://")
    nodes = [
        Node(PEOPLE, (f"{attach.load.users} at work",), Kind.PEOPLE, Column.PEOPLE),
        Node(_ENTRANCE, (place, _PRODUCTS[attach.session.product]), Kind.MACHINE, Column.LOAD_BALANCER),
    ]
    for name, machine in attach.machines.items():
        may = "may be broken" if name in attach.allow else "observed only"
        details = (machine.role.value.replace("_", " "), f"by {machine.reach.product}, {may}")
        nodes.append(Node(name, details, Kind.MACHINE, _COLUMNS[machine.role], step=1))
    columns = list(Column)
    return Picture(
        title=system.name,
        nodes=tuple(sorted(nodes, key=lambda node: (columns.index(node.column), node.step))),
        groups=(),
        arrows=(Arrow((PEOPLE,), (_ENTRANCE,), (scheme,)),),
    )
