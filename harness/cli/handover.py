"""The command that hands a platform over: `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import TopologyArgument, catalog, say

__all__ = ["export"]


def export(
    topology: TopologyArgument,
    format_: Annotated[
        str, typer.Option("--format", help="compose: a Compose file, and all that it needs.")
    ] = "compose",
    out: Annotated[
        Path | None, typer.Option(help="A new or empty folder, instead of exported/TOPOLOGY below the current one.")
    ] = None,
    subnet: Annotated[
        str | None, typer.Option(help="The /24 of the platform's network, which configuration files name.")
    ] = None,
) -> int:
    """Write everything that starts TOPOLOGY without the harness: what was tested, for the people who run it."""
    from harness.run.export import DEFAULT_SUBNET
    from harness.run.export import export as write
    from harness.spec.loader import load_topology

    path = catalog().topology_path(topology)
    the_topology = load_topology(path)
    folder = write(
        the_topology,
        path.read_text(encoding="utf-8"),
        format_,
        out or Path("exported") / the_topology.name,
        subnet or DEFAULT_SUBNET,
    )
    say(f"{the_topology.name} is written to {folder}")
    say(f"how to start it, and what to know before: {folder / 'README.md'}")
    return 0
