"""The wall clock of a container, set through the file that its preloaded library reads."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from harness.core.clock import to_ns
from harness.core.preload import CLOCK_ENVIRONMENT, LIBRARY, OFFSET_PATH
from harness.errors import PeerError
from harness.faults.agent.processes import processes_of

__all__ = ["RealClocks"]

_DATE_TIMEOUT_S = 2.0


class RealClocks:
    """See `harness.faults.host.clocks.Clocks`. Needs CAP_SYS_PTRACE for the files of a container and CAP_SYS_ADMIN to
    run a program among them."""

    def set_offset(self, pid: int, offset_s: float) -> None:
        try:
            file = os.open(f"/proc/{pid}/root{OFFSET_PATH}", os.O_WRONLY)
        except (FileNotFoundError, ProcessLookupError):
            return  # the machine is gone, and its clock with it
        try:
            os.pwrite(file, struct.pack("=q", to_ns(offset_s)), 0)  # in place, because every process has mapped it
        finally:
            os.close(file)

    def offset_s(self, pid: int) -> float:
        argv = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "date", "+%s.%N"]
        before_s = time.time()
        done = subprocess.run(
            argv,
            env={**os.environ, **CLOCK_ENVIRONMENT},
            capture_output=True,
            text=True,
            check=False,
            timeout=_DATE_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise PeerError(f"{' '.join(argv)} failed: {done.stderr.strip()}")
        return float(done.stdout) - (before_s + time.time()) / 2

    def deaf(self, pid: int) -> Sequence[str]:
        found = sorted(processes_of(pid), key=lambda process: process.pid != pid)
        return [process.name for process in found if process.state not in "ZX" and not _hears(process.pid)]


def _hears(pid: int) -> bool:
    try:
        return LIBRARY in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return True  # it ended meanwhile
