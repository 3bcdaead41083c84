"""File handles as NFS servers give them out, and how all of a folder's become stale."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from pathlib import Path

from harness.errors import PeerError
from harness.faults.host import GuardError

__all__ = ["file_handle", "handle_is_stale", "replace_by_copy"]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
_MAX_HANDLE_BYTES = 128  # of linux/exportfs.h
_COPY_TIMEOUT_S = 60.0
_libc = ctypes.CDLL(None, use_errno=True)


class _Handle(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint),
        ("type", ctypes.c_int),
        ("data", ctypes.c_ubyte * _MAX_HANDLE_BYTES),
    )


def file_handle(root: Path) -> str:
    """Of the first thing in the folder that does not begin with a dot: what does may be made anew by the server.

    Raises `GuardError` if there is none.
    """
    first = min((e for e in _entries(root) if not e.startswith(".")), default=None)
    if first is None:
        raise GuardError(f"there is nothing in {root} so far whose handle could become stale")
    handle, mount_id = _Handle(size=_MAX_HANDLE_BYTES), ctypes.c_int()
    path = os.fsencode(root / first)
    if _libc.name_to_handle_at(_AT_FDCWD, path, ctypes.byref(handle), ctypes.byref(mount_id), 0) != 0:
        raise _os_error(first)
    return f"{handle.type}:{bytes(handle.data[: handle.size]).hex()}"


def handle_is_stale(root: Path, text: str) -> bool:
    """Whether opening by it fails with ESTALE. Raises `OSError` for whatever else goes wrong."""
    kind, _, data = text.partition(":")
    raw = bytes.fromhex(data)
    handle = _Handle(size=len(raw), type=int(kind))
    ctypes.memmove(handle.data, raw, len(raw))
    mount_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        opened = _libc.open_by_handle_at(mount_fd, ctypes.byref(handle), os.O_RDONLY)
        if opened < 0:
            if ctypes.get_errno() == errno.ESTALE:
                return True
            raise _os_error("open_by_handle_at")
        os.close(opened)
        return False
    finally:
        os.close(mount_fd)


def replace_by_copy(root: Path, work: str) -> None:
    """Every entry of the folder becomes a copy with all attributes; the old ones are removed.

    The copy is complete before the first entry is swapped, so whatever is in `work` may be removed at any moment.
    """
    entries = _entries(root)
    (root / work).mkdir(mode=0o700)
    argv = ["cp", "--archive", "--", *(str(root / entry) for entry in entries), str(root / work)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_COPY_TIMEOUT_S)
    if done.returncode != 0:
        raise PeerError(f"what is in {root} could not be copied: {done.stderr.strip()[-500:]}")
    for entry in entries:
        old, new = os.fsencode(root / entry), os.fsencode(root / work / entry)
        if _libc.renameat2(_AT_FDCWD, old, _AT_FDCWD, new, _RENAME_EXCHANGE) != 0:
            raise _os_error(entry)
    shutil.rmtree(root / work)


def _entries(root: Path) -> list[str]:
    """Without what belongs to the file system, and to this program."""
    return [e.name for e in root.iterdir() if e.name != "lost+found" and not e.name.startswith(".chaos-")]


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
