"""Commands about what is on the engine: `up`, `down` and `doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.common import TopologyArgument, catalog, say
from harness.errors import UsageError

__all__ = ["doctor", "down", "up"]


def up(topology: TopologyArgument) -> int:
    """Bring TOPOLOGY up to look at, and print where to log in. It stays until `harness down`."""
    from harness.run.stay import bring_up
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import ensure_engine
    from harness.spec.loader import load_topology

    files = catalog()
    the_topology = load_topology(files.topology_path(topology))
    client = ensure_engine(say)
    place = bring_up(DockerRuntime(client), the_topology, say)
    say(f"{the_topology.name} is up as run {place.run_id}")
    say(f"log in at {place.url} as anybody with the password {place.password}")
    say(f"take it down with: harness down {place.run_id}")
    return 0


def down(
    which: Annotated[str, typer.Argument(help="A run's id, or a topology's name.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Every run on the engine, whoever started it.")] = False,
) -> int:
    """Take down what `harness up` (or a run that goes on) left on the engine."""
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import connect
    from harness.runtime.janitor import end_run, find_remains

    client = connect()
    chosen = [r for r in find_remains(client) if everything or (which and which in (r.run_id, r.topology))]
    if not chosen and not everything:
        there = ", ".join(f"{r.run_id} ({r.topology})" for r in find_remains(client)) or "nothing"
        asked = f"there is no run or topology {which!r} on the engine" if which else "which run?"
        raise UsageError(f"{asked}; on the engine: {there}", hint="--all takes down every one of them")
    images = DockerRuntime(client).ensure_images(["agent"], lambda *_: None)
    for remains in chosen:
        end_run(client, remains, images["agent"])
        say(f"{remains.topology} (run {remains.run_id}) is gone")
    return 0


def doctor(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is left, change nothing.")] = False,
) -> int:
    """Find what dead runs left on the engine (faults, containers, networks, volumes, routes) and heal it.

    The exit code is 1 if something could not be removed, and with --dry-run if anything was found.
    """
    from harness.runtime.docker import DockerRuntime
    from harness.runtime.engine import connect
    from harness.runtime.janitor import STUCK_NETWORK, describe, find_remains, find_strays, heal

    client = connect()
    remains = find_remains(client)
    for one in (r for r in remains if r.alive):
        say(f"run {one.run_id} ({one.topology}) is alive: left alone; `harness down {one.run_id}` ends it")
    dead = [r for r in remains if not r.alive]
    for one in dead:
        say(f"run {one.run_id} ({one.topology}) left:")
        for line in describe(client, one):
            say(f"  {line}")
    image = DockerRuntime(client).ensure_images(["agent"], lambda what, state: say(f"{what}: {state}"))["agent"]
    strays = find_strays(client, image, heal=not dry_run)
    for line in strays:
        say(f"left on the host: {line}")
    if not dead and not strays:
        say("nothing is left of any dead run")
        return 0
    if dry_run:
        return 1
    healed = [heal(client, one, image) for one in dead]
    for line in (line for one in healed for line in one.done):
        say(f"  {line}")
    stuck = [network for one in healed for network in one.stuck]
    for network in stuck:
        say(f"  network {network} is still there: {STUCK_NETWORK}")
    say("healed, but for that" if stuck else "healed")
    return 1 if stuck else 0
