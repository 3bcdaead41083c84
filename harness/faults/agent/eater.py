"""A program that eats the memory of a machine: `python3 eater.py CGROUP_PROCS EVENTS PID`.

Runs on its own, so it imports nothing of the harness. It joins the control group whose `cgroup.procs` is given, takes
memory bite by bite until the count `oom_kill` in EVENTS has risen (the kernel killed something in the group, perhaps
this program), then keeps what it has until process PID, the machine's first, ends.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

_BITE_BYTES = 2**20


def kills(events: Path) -> int:
    """How many processes the kernel has killed in the group."""
    lines = events.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")


def main() -> None:
    group, events, pid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    machine = os.pidfd_open(pid)
    before = kills(events)
    group.write_text(str(os.getpid()), encoding="ascii")
    eaten = []
    while kills(events) == before and not select.select([machine], [], [], 0)[0]:
        eaten.append(b"\1" * _BITE_BYTES)  # written to: pages that nobody touched cost nothing
    select.select([machine], [], [])


if __name__ == "__main__":
    main()
