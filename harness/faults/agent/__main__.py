"""`python3 -m harness.faults.agent`: answers the harness over standard input and output.

When the input ends (the harness is gone, however it went) or stays silent for too long, everything in the journal is
undone, whatever bears the run's label is removed, and at last this container itself. With KEEP in the environment
(`harness up`) that happens only when this container is stopped.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.core.conversation import Handler, serve
from harness.errors import PeerError
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.host import RealHost
from harness.faults.agent.servers import ServersWatch
from harness.faults.agent.strays import strays
from harness.faults.agent.sweep import remove_self, sweep
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.faults.registry import FAULTS

JOURNAL = Path("/var/lib/agent/journal.jsonl")
#: The harness says something every 2 s. Silence for this long means that it is gone or can't reach us although the
#: connection was not closed (its machine died, the network to a remote engine is cut).
SILENCE_LIMIT_S = 20.0
#: The first word comes as soon as the harness is connected. One that was killed in between never closes the input.
FIRST_WORD_LIMIT_S = 6.0
#: Between two looks for what a dying harness had still asked the engine to make.
LATE_CREATE_S = 0.5
#: How long to ask for a network that the engine holds although nobody is in it: longer than it may be busy with those
#: that were, shorter than the harness waits for this container to go.
STUCK_LIMIT_S = 10.0
#: How long to wait for an engine that does not answer; `harness doctor` heals what is left after that.
ENGINE_AWAY_LIMIT_S = 600.0


def lines_until_silence(first_limit_s: float, limit_s: float) -> Iterator[str]:
    """Lines of the standard input until it ends, or nothing came for `limit_s`, or for `first_limit_s` at first."""
    inbox: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            inbox.put(line)
        inbox.put(None)

    threading.Thread(target=read, daemon=True).start()
    patience_s = first_limit_s
    while True:
        try:
            line = inbox.get(timeout=patience_s)
        except queue.Empty:
            log(f"no word for {patience_s:g} s: the harness counts as gone")
            return
        patience_s = limit_s
        if line is None:
            log("the connection to the harness ended")
            return
        yield line


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - standard error is the container's log


def main() -> None:
    run_id, self_id = os.environ["RUN_ID"], os.uname().nodename
    engine = EngineApi()
    journal = Journal(JOURNAL)
    host = RealHost(run_id, engine)
    lifecycle = Lifecycle(host, journal, FAULTS, run_id=run_id)
    servers = ServersWatch(host, JOURNAL.parent)

    def undo_all() -> list[str]:
        # disks first: nothing that waits for one can be undone
        return host.volumes.thaw_all() + lifecycle.undo_all()

    def clean() -> Mapping[str, Any]:
        undone = undo_all()
        swept = sweep(engine, run_id, self_id)
        removed = swept.done + host.volumes.close()
        for line in [*undone, *removed, *(f"the engine holds network {name}" for name in swept.stuck)]:
            log(line)
        return {"undone": undone, "removed": removed, "stuck": swept.stuck}

    handlers: dict[str, Handler] = {
        "fault": lifecycle.step,
        "undo_all": lambda: {"undone": undo_all()},
        "clean": clean,
        "make_volume": host.volumes.make,
        "drop_volume": host.volumes.drop,
        "watch_servers": servers.begin,
        "watch_servers_of": servers.began,
        "end_servers_watch": servers.end,
        "strays": lambda pool, heal: {"strays": strays(engine, pool, heal=heal)},
    }

    def clean_and_go() -> None:
        """Until nothing is left: a create call that the harness had sent may still have been on its way, and the
        engine itself may be away for a while."""
        for tries in range(round(ENGINE_AWAY_LIMIT_S / LATE_CREATE_S)):
            try:
                left = clean()
                if not left["removed"] and (not left["stuck"] or tries * LATE_CREATE_S > STUCK_LIMIT_S):
                    break
            except PeerError as error:
                log(str(error))
            time.sleep(LATE_CREATE_S)
        remove_self(engine, self_id)

    # a stop of this container means the same as the harness being gone
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        lines = lines_until_silence(FIRST_WORD_LIMIT_S, SILENCE_LIMIT_S)
        serve(lines, lambda line: print(line, end="", flush=True), handlers)  # noqa: T201 - the answer
        if os.environ.get("KEEP"):
            log("everything stays in place until this container is stopped")
            signal.pause()
    finally:
        clean_and_go()


if __name__ == "__main__":
    main()
