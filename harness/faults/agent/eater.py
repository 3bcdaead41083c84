"""A program that eats the memory of a machine: `python3 eater.py CGROUP_PROCS EVENTS PID`.

Runs on its own, so it imports nothing of the harness. It joins the control group whose `cgroup.procs` is given and eats
until the count `oom_kill` in EVENTS has risen, then keeps what it has until process PID, the machine's first, ends.

The kernel kills the fattest process of the group. So it eats with many mouths, processes of their own, each of which
stays thinner than what a machine usually runs: a single one would sooner or later be the fattest itself, because the
kernel first gives up everything of the others that it can read from disk again.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

_BITE_BYTES = 2**20
#: With the interpreter itself (9 MB) a mouth has 25 MB; a hub has 110, a node's proxy 45.
_BITES_A_MOUTH = 16


def kills(events: Path) -> int:
    """How many processes the kernel has killed in the group."""
    lines = events.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")


def feed(machine: int, lifeline: int, held: int) -> bool:
    """Let one more mouth eat its share and keep it until the machine or this program ends.

    False if it was killed before it was full. It must not hold the other end of its own lifeline.
    """
    full, tell = os.pipe()
    if os.fork() == 0:
        os.close(held)
        eaten = [b"\1" * _BITE_BYTES for _ in range(_BITES_A_MOUTH)]  # written to: untouched pages cost nothing
        os.write(tell, b"x")
        select.select([machine, lifeline], [], [])
        os._exit(len(eaten) - _BITES_A_MOUTH)
    os.close(tell)
    done = os.read(full, 1) == b"x"
    os.close(full)
    return done


def main() -> None:
    group, events, pid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    machine = os.pidfd_open(pid)
    lifeline, held = os.pipe()  # the mouths end with us, however we end: then nobody holds the other end
    before = kills(events)
    group.write_text(str(os.getpid()), encoding="ascii")
    while kills(events) == before and not select.select([machine], [], [], 0)[0]:
        if not feed(machine, lifeline, held):
            break
    select.select([machine], [], [])


if __name__ == "__main__":
    main()
