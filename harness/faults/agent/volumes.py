"""Volumes that are file systems of their own: made, kept mounted in this container, broken and repaired."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.core.names import LABEL_RUN, container_name, resource_name
from harness.errors import PeerError
from harness.faults.agent import loops
from harness.faults.agent.cgroups import group_of
from harness.faults.agent.engine_api import EngineApi
from harness.faults.agent.processes import start_ticks
from harness.faults.agent.replace import file_handle, handle_is_stale, replace_by_copy
from harness.faults.agent.throttle import limit_of, set_limit
from harness.faults.host import GuardError
from harness.faults.host.volumes import Attempt, Limit, Rate, Usage

__all__ = ["RealVolumes"]

_MOUNTS = Path("/volumes")
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878  # of linux/fs.h
_BLOCK = 4096
#: A write that has not returned for so long is left alone, and asked about later.
_PATIENCE_S = 0.25
_MEASURE_S = 0.5
_COMMAND_TIMEOUT_S = 5.0
#: Writes that waited end at once when they may; this leaves room for a busy machine.
_WAITED_WRITES_TIMEOUT_S = 5.0
_PYTHON = (sys.executable, "-I", "-S", "-c")
_ATTEMPT = """\
import errno, os, sys
path = sys.argv[1]
try:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(fd, bytes(4096))
        os.fsync(fd)
    finally:
        os.close(fd)
        os.unlink(path)
except OSError as error:
    print(errno.errorcode[error.errno])
"""
# O_DIRECT: what the page cache takes is not counted for the control group by version 1 of control groups
_MEASURE = """\
import mmap, os, sys, time
path, group, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
with open(group + "/cgroup.procs", "w") as file:
    file.write("0")
block = mmap.mmap(-1, 4096)
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o600)
try:
    count, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        os.pwrite(fd, block, 0)
        count += 1
    print(count, time.monotonic() - start)
finally:
    os.close(fd)
    os.unlink(path)
"""


class RealVolumes:
    """See `harness.faults.host.volumes.Volumes`. Only volumes whose names begin with the run's."""

    def __init__(self, run_id: str, engine: EngineApi) -> None:
        self._run_id = run_id
        self._prefix = f"{resource_name(run_id)}-"
        self._engine = engine
        self._refused: dict[str, str] = {}
        self._waiting: dict[str, tuple[subprocess.Popen[str], float]] = {}

    # -- from the harness and the agent's own life ------------------------------------------------------------------

    def make(self, volume: str, size_mb: int) -> Mapping[str, str]:
        """A file system of that size in a sparse file, which stays mounted here. `device` is what the engine can mount;
        empty where that can't be done, and then `why` says why."""
        self._guard(volume)
        try:
            with loops.attach(loops.make_file_system(volume, size_mb)) as device:
                self._refuse_unless_engine_sees(device)
                loops.mount(device, _MOUNTS / volume)
        except (PeerError, OSError) as error:
            self._refused[volume] = str(error)
            return {"device": "", "why": str(error)}
        return {"device": str(device), "why": ""}

    def drop(self, volume: str) -> Mapping[str, str]:
        """Let go of a volume that no container has any more, and its file system is gone; of a plain one there is
        nothing here. Raises `PeerError` where it is still in use here."""
        self._guard(volume)
        try:
            loops.unmount(_MOUNTS / volume)
        except OSError as error:
            raise PeerError(f"volume {volume} could not be let go: {error}") from error
        return {}

    def thaw_all(self) -> list[str]:
        """Whatever of this run is frozen, whoever did it: nothing that waits for it can be removed. Returns a line for
        each that could not be."""
        failed = []
        for volume in loops.names(self._prefix):
            try:
                self.thaw(volume)
            except OSError as error:  # the others must still be thawed
                failed.append(f"could not thaw volume {volume}: {error}")
        return failed

    def close(self) -> list[str]:
        """Let go of every volume; those that no container uses are gone with that. Returns a line for each that is
        still in use here."""
        failed = []
        for volume in list(self._waiting):
            self._end_of_waiting(volume)
        for folder in _MOUNTS.glob("*"):
            try:
                loops.unmount(folder)
            except OSError as error:  # it goes with this container at the latest
                failed.append(f"could not unmount volume {folder.name}: {error}")
        return failed

    # -- the family -------------------------------------------------------------------------------------------------

    def used_by(self, container: str) -> str:
        mounted = self._mounted(container)
        own = self._own(mounted)
        if len(own) != 1:
            why = "; ".join(self._refused[name] for name in mounted if name in self._refused)
            raise GuardError(
                f"{container} has {len(own)} volumes that are file systems of their own, expected 1"
                + (f" (one could not be made: {why})" if why else ""),
                hint="size_mb of its role must be more than 0, and the engine's host must have loop devices",
            )
        return own[0]

    def stalls(self, container: str) -> bool:
        return any(self.attempt(volume).hangs for volume in self._own(self._mounted(container)))

    def _mounted(self, container: str) -> list[str]:
        found = self._engine.inspect(container_name(self._run_id, container))
        if found["Config"]["Labels"].get(LABEL_RUN, "") != self._run_id:
            raise GuardError(f"container {container} is not this run's: refused")
        return [m["Name"] for m in found["Mounts"] if m["Type"] == "volume"]

    def _own(self, mounted: list[str]) -> list[str]:
        return [name for name in mounted if name.startswith(self._prefix) and loops.device_of(name)]

    def exists(self, volume: str) -> bool:
        return self._root(volume) is not None

    def usage(self, volume: str) -> Usage:
        found = os.statvfs(self._there(volume))
        return Usage(found.f_blocks * found.f_frsize // 1024, found.f_bavail * found.f_frsize // 1024)

    def attempt(self, volume: str) -> Attempt:
        root = self._there(volume)
        if volume not in self._waiting:
            argv = (*_PYTHON, _ATTEMPT, str(root / f".chaos-attempt-{os.getpid()}"))
            child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            self._waiting[volume] = child, time.monotonic()
        child, since = self._waiting[volume]
        try:
            said, _ = child.communicate(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return Attempt("", hangs=True, took_ms=(time.monotonic() - since) * 1000)
        del self._waiting[volume]
        if child.returncode != 0:
            raise PeerError(f"the attempt to write to {volume} ended with {child.returncode}")
        return Attempt(said.strip(), hangs=False, took_ms=(time.monotonic() - since) * 1000)

    def fill(self, volume: str, tag: str, leave_kb: int) -> None:
        root = self._there(volume)
        with (root / f".{tag}").open("wb") as ballast:
            size = self.usage(volume).free_kb * 1024 - leave_kb * 1024
            offset, step = 0, size // _BLOCK * _BLOCK
            # the file's own tables take blocks too, so that not all of it can be had in one piece
            while step >= _BLOCK and offset < size:
                try:
                    os.posix_fallocate(ballast.fileno(), offset, step)
                    offset += step
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    step = step // 2 // _BLOCK * _BLOCK

    def drain(self, volume: str, tag: str) -> None:
        self._remove(volume, tag)

    def report_error(self, volume: str, tag: str) -> None:
        device = self._device(volume).name
        (loops.writable_sysfs() / "fs/ext4" / device / "trigger_fs_error").write_text(tag, encoding="ascii")

    def damage(self, volume: str) -> str:
        options = loops.mounted_as(self._there(volume))
        errors = Path("/sys/fs/ext4", self._device(volume).name, "errors_count").read_text(encoding="ascii").strip()
        found = ["read-only"] if options & {"ro", "emergency_ro"} else []
        return ", ".join(found + ([f"{errors} errors since the last check"] if errors != "0" else []))

    def repair(self, volume: str) -> None:
        root, device = self._there(volume), self._device(volume)
        with device.open("rb", buffering=0):  # without a holder it would clear itself, and all data with it
            self._end_of_waiting(volume)
            loops.unmount(root)
            try:
                loops.check(device)
            finally:
                loops.mount(device, root)

    def freeze(self, volume: str) -> None:
        _control(self._there(volume), _FIFREEZE, fine=errno.EBUSY)  # it is frozen

    def thaw(self, volume: str) -> None:
        root = self._root(volume)
        if root is not None:
            _control(root, _FITHAW, fine=errno.EINVAL)  # it is not frozen

    def throttle(self, volume: str, pid: int, start_ticks: int, limit: Limit) -> None:
        group, device = self._group(pid, start_ticks), loops.device_of(volume)
        if group is not None and device is not None:
            set_limit(group, _numbers(device), limit)

    def throttled(self, volume: str, pid: int, start_ticks: int) -> Limit:
        group, device = self._group(pid, start_ticks), loops.device_of(volume)
        return Limit() if group is None or device is None else limit_of(group, _numbers(device))

    def measure(self, volume: str, pid: int, start_ticks: int) -> Rate:
        group = self._group(pid, start_ticks)
        if group is None:
            raise PeerError(f"process {pid} is gone, so what it could write to {volume} can't be measured")
        path = self._there(volume) / f".chaos-measure-{os.getpid()}"
        said = self._run(volume, *_PYTHON, _MEASURE, str(path), str(group), str(_MEASURE_S))
        count, seconds = (float(word) for word in said.split())
        return Rate(count / seconds, count * _BLOCK / 1024 / seconds)

    def handle(self, volume: str) -> str:
        return file_handle(self._there(volume))

    def is_stale(self, volume: str, handle: str) -> bool:
        return handle_is_stale(self._there(volume), handle)

    def replace(self, volume: str, tag: str) -> None:
        replace_by_copy(self._there(volume), f".{tag}")

    def forget_replaced(self, volume: str, tag: str) -> None:
        self._remove(volume, tag)

    # -- pieces -----------------------------------------------------------------------------------------------------

    def _guard(self, volume: str) -> None:
        if not volume.startswith(self._prefix) or "/" in volume:
            raise GuardError(f"volume {volume} is not this run's: refused")

    def _root(self, volume: str) -> Path | None:
        """Where it is mounted here. A volume that a dead agent made is mounted by the first who asks."""
        self._guard(volume)
        root = _MOUNTS / volume
        if loops.mounted_as(root):
            return root
        device = loops.device_of(volume)
        if device is None:
            return None
        loops.mount(device, root)
        return root

    def _there(self, volume: str) -> Path:
        root = self._root(volume)
        if root is None:
            raise PeerError(f"volume {volume} is not there any more")
        return root

    def _device(self, volume: str) -> Path:
        device = loops.device_of(volume)
        if device is None:
            raise PeerError(f"volume {volume} is not there any more")
        return device

    def _remove(self, volume: str, tag: str) -> None:
        """What an act made; by a process of its own, because it hangs if the disk does."""
        root = self._root(volume)
        if root is None or not (root / f".{tag}").exists():
            return
        self._run(volume, "rm", "-rf", "--", str(root / f".{tag}"))

    def _run(self, volume: str, *argv: str) -> str:
        """Run a command that may hang; returns what it printed. Raises `PeerError` if it fails or hangs."""
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            said, error = child.communicate(timeout=_COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()  # it ends when the disk lets it; nobody waits for that
            raise PeerError(f"{argv[0]} on {volume} took more than {_COMMAND_TIMEOUT_S:g} s: does it hang?") from None
        if child.returncode != 0:
            raise PeerError(f"{argv[0]} on {volume} failed: {error.strip()[-500:]}")
        return said

    def _group(self, pid: int, start_ticks_then: int) -> Path | None:
        return group_of(pid, "blkio") if start_ticks(pid) == start_ticks_then else None

    def _end_of_waiting(self, volume: str) -> None:
        child, _ = self._waiting.pop(volume, (None, 0.0))
        if child is not None:
            with suppress(subprocess.TimeoutExpired):  # unmounting says what is wrong then
                child.communicate(timeout=_WAITED_WRITES_TIMEOUT_S)

    def _refuse_unless_engine_sees(self, device: Path) -> None:
        """An engine in a container may have a /dev of its own; where that can't be told, it is tried."""
        pid = self._engine.pid()
        if pid <= 0:
            return
        with suppress(PermissionError):
            try:
                seen = Path(f"/proc/{pid}/root{device}").stat()
            except FileNotFoundError:
                raise PeerError(f"the engine does not see {device}") from None
            if not stat.S_ISBLK(seen.st_mode) or seen.st_rdev != device.stat().st_rdev:
                raise PeerError(f"{device} is something else for the engine")


def _numbers(device: Path) -> str:
    found = device.stat().st_rdev
    return f"{os.major(found)}:{os.minor(found)}"


def _control(root: Path, request: int, *, fine: int) -> None:
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, request, 0)
    except OSError as error:
        if error.errno != fine:
            raise
    finally:
        os.close(fd)
