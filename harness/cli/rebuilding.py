"""The command that rebuilds a platform from its files: `rebuild`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.common import JsonOption, Output, QuietOption, TopologyArgument, catalog
from harness.errors import UsageError

__all__ = ["rebuild"]


def rebuild(
    topology: TopologyArgument,
    check_only: Annotated[
        bool, typer.Option("--check", help="Only look for drift on the platform that is up, change nothing.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Remove the images too, and build them from nothing.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> int:
    """Look what was changed by hand on the TOPOLOGY that `harness up` left; take it down with all that is in it, bring
    it up again from the files, look again.

    Exits with 1 if anything differed from what is declared (drift), also where the rebuild has put it right; else 0.
    """
    if check_only and images:
        raise UsageError("--check with --images: a look changes nothing", hint="leave one of them out")
    from harness.report.rebuild import rebuild_line, render_rebuild
    from harness.run.docker_platforms import DockerPlatforms
    from harness.run.rebuild import check
    from harness.run.rebuild import rebuild as do
    from harness.runtime.engine import connect, ensure_engine
    from harness.spec.loader import load_topology

    files, output = catalog(), Output(as_json=as_json, quiet=quiet)
    the_topology = load_topology(files.topology_path(topology))
    client = connect() if check_only else ensure_engine(output.say)
    platforms = DockerPlatforms(client, the_topology, output.say)
    with platforms.held():
        try:
            found = (
                check(platforms, the_topology)
                if check_only
                else do(platforms, the_topology, images=images, say=output.say)
            )
        except KeyboardInterrupt:
            left = ", ".join(platforms.left())
            output.say(
                f"interrupted; run {left} of {the_topology.name} is there still, or just going: `harness down {left}`"
                if left
                else f"interrupted; nothing of {the_topology.name} is up: `harness up {the_topology.name}`"
            )
            raise
    output.result(
        found.to_json_dict(),
        verdict=rebuild_line(found),
        where="",
        show=lambda screen: render_rebuild(found, screen),
    )
    return found.exit_code
