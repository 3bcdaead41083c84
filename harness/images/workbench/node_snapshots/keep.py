"""A machine that does nothing but take snapshots of a platform whose databases and homes are elsewhere."""

from __future__ import annotations

import os
import sys
import time

from node_supervisor.log import log
from node_supervisor.snapshots import Snapshots

__all__ = ["main"]

_TICK_S = 0.5


def main() -> int:
    """Entry point; goes on until the process is told to end."""
    every_s = float(os.environ["SNAPSHOT_EVERY_S"])
    snapshots = Snapshots(every_s)
    log("backup", f"a snapshot every {every_s:g} s")
    while True:
        snapshots.keep(time.monotonic_ns(), active=True)
        time.sleep(_TICK_S)


if __name__ == "__main__":
    sys.exit(main())
