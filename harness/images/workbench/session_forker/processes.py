"""Processes by number and start time, and what a process says about itself in /proc."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

__all__ = ["PR_SET_NAME", "PR_SET_PDEATHSIG", "prctl", "rewrite", "start_ticks", "title", "whole_entries"]

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15


def prctl(option: int, argument: int | bytes) -> None:
    """prctl(2) with one argument."""
    ctypes.CDLL(None).prctl(option, argument)


def _stat(pid: int | str) -> list[str]:
    """Fields of proc(5)'s stat from the third on."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # the name, field 2, may hold spaces and brackets: count from the last one
    return stat.rpartition(")")[2].split()


def start_ticks(pid: int) -> int:
    """Start of the process in clock ticks since boot (proc(5), field 22); 0 when there is none, or only a zombie."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def whole_entries(texts: Iterable[str], size: int) -> bytes:
    """As many whole texts, each ended by NUL, as fit into `size` bytes, filled up with NULs."""
    block = b""
    for text in texts:
        entry = text.encode("utf-8", "surrogateescape") + b"\0"
        if len(block) + len(entry) <= size:
            block += entry
    return block.ljust(size, b"\0")


def title(arguments: Sequence[str], size: int) -> bytes:
    """A command line as one text: where the last byte of the block is no NUL, the kernel shows it up to the first one,
    instead of the whole block with all its NULs (setproctitle(3))."""
    text = " ".join(arguments).encode("utf-8", "surrogateescape")
    return text[: size - 2].ljust(size - 1, b"\0") + b"."


def rewrite(arguments: Sequence[str], environment: Mapping[str, str], *, first: str) -> None:
    """Makes /proc/self/cmdline and environ say what an exec would have made them say, the command line as one text.

    A forked process keeps the blocks of its parent, and who looks for a session's processes reads them there. The
    memory is this process' own; its size is the parent's, so the parent is started with room to spare.

    Args:
        arguments: the new command line.
        environment: already in os.environ, so that nothing refers to the old block any more.
        first: the variable that stands first, in the parent's block too, so that its name can be read all the time.
    """
    arg_start, arg_end, env_start, env_end = (int(field) for field in _stat("self")[45:49])
    names = [first, *(name for name in environment if name != first)]
    entries = (f"{name}={environment[name]}" for name in names if name in environment)
    ctypes.memmove(arg_start, title(arguments, arg_end - arg_start), arg_end - arg_start)
    ctypes.memmove(env_start, whole_entries(entries, env_end - env_start), env_end - env_start)
