"""File systems in files: loop devices that clear themselves, and mounts in this container's own mount namespace.

Only loop devices whose backing file has the name that was asked for are ever opened: all others are somebody else's.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import PeerError

__all__ = [
    "attach",
    "check",
    "device_of",
    "make_file_system",
    "mount",
    "mounted_as",
    "names",
    "unmount",
    "writable_sysfs",
]

_SYSFS = Path("/run/sys")  # the container's own, at /sys, is read-only
_FOLDER = Path("/var/lib/volumes")  # on a volume of the container: not every kernel backs a loop device by an overlay
_SUFFIX = ".img"
# of linux/loop.h and asm/ioctl
_LOOP_MAJOR = 7
_CONTROL_NUMBERS = (10, 237)
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
#: struct loop_config: file, block size, then loop_info64 with device, inode, rdevice, offset, size limit, number,
#: encryption type and key size, flags, file name, encryption name and key, two of init; then eight reserved numbers.
_CONFIG = struct.Struct("=II QQQQQ IIII 64s64s32s QQ 64x")
#: Two agents may be told of the same free device; whoever is late takes the next.
_ATTEMPTS = 20
_MS_RDONLY, _MS_REMOUNT = 1, 32
_FREE_TIMEOUT_S = 15.0
_COMMAND_TIMEOUT_S = 60.0
#: e2fsck(8): 1 means that errors were corrected, 2 that the system should be rebooted too, 4 and more that it failed.
_NOT_CORRECTED = ~3
_libc = ctypes.CDLL(None, use_errno=True)


def make_file_system(name: str, size_mb: int) -> Path:
    """A sparse file with an empty ext4 in it. Raises `PeerError` or `OSError`."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    path = _FOLDER / f"{name}{_SUFFIX}"
    with path.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    # -m 0: nothing is kept back for root, whose processes are among those that are to see a full disk. The tables are
    # written when they are needed, and the errors' policy is that of Debian's installer.
    lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-e", "remount-ro", "-E", lazy, "-L", "chaos", str(path))
    return path


@contextmanager
def attach(path: Path) -> Iterator[Path]:
    """A loop device for the file, which clears itself when the last mount of it has gone; the file loses its name, so
    it goes then too. Without a mount at the end of the block it goes at once. Raises `OSError`."""
    control = Path("/dev/loop-control")
    _node(control, stat.S_IFCHR, _CONTROL_NUMBERS)
    with path.open("r+b") as file, control.open("r+b", buffering=0) as free:
        path.unlink()
        for attempt in range(_ATTEMPTS):
            number = fcntl.ioctl(free, _LOOP_CTL_GET_FREE)
            device = _device_node(number)
            with device.open("r+b", buffering=0) as opened:
                name = path.name.encode()[:63]
                fields = (0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0)
                try:
                    fcntl.ioctl(opened, _LOOP_CONFIGURE, _CONFIG.pack(file.fileno(), 0, *fields))
                except OSError as error:
                    if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                        raise
                    continue
                yield device
                return


def names(prefix: str) -> list[str]:
    """File systems that are attached to a loop device and whose names begin so."""
    return [name for name in _attached() if name.startswith(prefix)]


def device_of(name: str) -> Path | None:
    """The loop device of a file system; None if it is attached to none."""
    number = _attached().get(name)
    return None if number is None else _device_node(number)


def mount(device: Path, where: Path) -> None:
    """Mount it, read-only where an error has made it so. Raises `OSError`."""
    where.mkdir(parents=True, exist_ok=True)
    try:
        _mount(device, where, 0)
    except OSError as error:
        # older kernels mark the file system itself, and refuse to join it in writing
        if error.errno not in (errno.EBUSY, errno.EROFS):
            raise
        _mount(device, where, _MS_RDONLY)


def unmount(where: Path) -> None:
    """Unmount; what is not mounted is fine. Raises `OSError` while something is open in it."""
    if _libc.umount2(os.fsencode(where), 0) != 0 and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        raise _os_error(str(where))


def mounted_as(where: Path) -> set[str]:
    """The options of the file system that is mounted there; empty if there is none (proc(5), mountinfo)."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        head, _, tail = line.partition(" - ")
        if head.split()[4] == str(where):
            return set(tail.split()[2].split(","))
    return set()


def check(device: Path) -> None:
    """Repair the file system; waits until nobody has it mounted any more. Raises `PeerError` if it can't be."""
    deadline = time.monotonic() + _FREE_TIMEOUT_S
    while True:
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))  # refused by the kernel as long as it is mounted
            break
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise PeerError(f"{device} can't be checked: {error.strerror}, is it still mounted?") from error
            time.sleep(0.01)
    _run("e2fsck", "-f", "-y", str(device), fine=_NOT_CORRECTED)


def writable_sysfs() -> Path:
    """Mounted once, for this container alone."""
    if not (_SYSFS / "fs").is_dir():
        _SYSFS.mkdir(parents=True, exist_ok=True)
        # a sysfs of this container's network namespace is there already, read-only, and this joins it
        joined = _libc.mount(b"sysfs", os.fsencode(_SYSFS), b"sysfs", 0, None)
        if joined != 0 or _libc.mount(None, os.fsencode(_SYSFS), None, _MS_REMOUNT, None) != 0:
            raise _os_error(str(_SYSFS))
    return _SYSFS


def _mount(device: Path, where: Path, flags: int) -> None:
    if _libc.mount(os.fsencode(device), os.fsencode(where), b"ext4", flags, b"errors=remount-ro") != 0:
        raise _os_error(str(device))


def _attached() -> dict[str, int]:
    """Name of each file system -> number of its loop device; also those of others, by the names of their files."""
    found = {}
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(FileNotFoundError, OSError):  # cleared at this moment
            path = backing.read_text(encoding="utf-8").strip().removesuffix(" (deleted)")
            found[Path(path).name.removesuffix(_SUFFIX)] = int(backing.parts[3].removeprefix("loop"))
    return found


def _device_node(number: int) -> Path:
    path = Path(f"/dev/loop{number}")
    _node(path, stat.S_IFBLK, (_LOOP_MAJOR, number))
    return path


def _node(path: Path, kind: int, numbers: tuple[int, int]) -> None:
    """The container's /dev is its own and has only what Docker puts there."""
    with suppress(FileExistsError):
        os.mknod(path, kind | 0o600, os.makedev(*numbers))


def _run(*argv: str, fine: int = -1) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_S)
    if done.returncode & fine:
        raise PeerError(f"{' '.join(argv)} failed: {(done.stderr or done.stdout).strip()}")


def _os_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
