"""Limits of control groups, read and written in their own files: the kernel applies them before the write returns."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import PeerError
from harness.faults.agent import cgroups, eater
from harness.faults.host import GuardError
from harness.faults.host.limits import Burn, CpuLimit, MemoryLimit

__all__ = ["RealLimits"]

#: In the environment of programs that eat memory: how they are found again.
TAG_VARIABLE = "CHAOS_TAG"
#: Version 1 of control groups writes "no limit" as the largest number of whole pages; whatever is near is none.
_NO_LIMIT_BYTES = 2**60
_BURN_PERIODS = 2
_BURN_LIMIT_S = 0.6  # the kernel allows periods of up to 1 s
_GONE_TIMEOUT_S = 5.0
#: A child of ours does not outlive the agent, however it ends.
_WITH_AGENT = ("setpriv", "--pdeathsig", "KILL")


class RealLimits:
    """See `harness.faults.host.limits.Limits`. Needs the host's control groups, writable, and CAP_KILL and
    CAP_SYS_PTRACE for what eats memory."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    def cpu_group(self, container_id: str, pid: int) -> str:
        return _own_group(container_id, pid, "cpu")

    def cpu(self, group: str) -> CpuLimit | None:
        folder = _folder(group)
        try:
            held_back = int(_keyed(folder / "cpu.stat")["nr_throttled"])
            if (folder / "cpu.max").is_file():
                quota, period = _read(folder / "cpu.max").split()
            else:
                quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        except OSError as error:
            _pass_if_gone(folder, error)
            return None
        return CpuLimit(None if quota in {"max", "-1"} else int(quota), int(period), held_back)

    def set_cpu(self, group: str, quota_us: int | None) -> None:
        folder = _folder(group)
        if (folder / "cpu.max").is_file():
            _write(folder / "cpu.max", "max" if quota_us is None else str(quota_us))  # the period stays as it is
        else:
            _write(folder / "cpu.cfs_quota_us", "-1" if quota_us is None else str(quota_us))

    def burn(self, group: str) -> Burn | None:
        before = self.cpu(group)
        home = cgroups.group_of(os.getpid(), "cpu")
        if before is None or home is None:
            return None
        lasts_s = min(_BURN_PERIODS * before.period_us / 1e6, _BURN_LIMIT_S)
        argv = [*_WITH_AGENT, "sh", "-c", "while :; do :; done"]
        pid = os.posix_spawnp(argv[0], argv, os.environ)
        try:
            started_s = time.monotonic()
            _write(_folder(group) / "cgroup.procs", str(pid))
            time.sleep(lasts_s)  # this is the measurement: what it gets in that time
            after = self.cpu(group)
            lasted_s = time.monotonic() - started_s
        finally:
            os.kill(pid, signal.SIGKILL)
            try:
                _write(home / "cgroup.procs", str(pid))  # in a group that is held back it would take long to die
            finally:
                _, _, usage = os.wait4(pid, 0)
        if after is None:
            return None
        return Burn(lasted_s, usage.ru_utime + usage.ru_stime, after.held_back - before.held_back)

    def memory_group(self, container_id: str, pid: int) -> str:
        return _own_group(container_id, pid, "memory")

    def memory(self, group: str) -> MemoryLimit | None:
        folder = _folder(group)
        try:
            if (folder / "memory.max").is_file():
                return _memory_of_version_2(folder)
            return _memory_of_version_1(folder)
        except OSError as error:
            _pass_if_gone(folder, error)
            return None

    def squeeze_memory(self, group: str, limit_bytes: int) -> None:
        folder = _folder(group)
        memory, swap = _memory_files(folder)
        _write(memory, str(limit_bytes))
        if not swap.is_file():
            return
        if memory.name == "memory.max":
            _write(swap, _read(folder / "memory.swap.current"))
        else:
            swapped = int(_read(folder / "memory.memsw.usage_in_bytes")) - int(_read(folder / "memory.usage_in_bytes"))
            _write(swap, str(limit_bytes + max(0, swapped)))

    def set_memory(self, group: str, limit_bytes: int | None, swap_limit_bytes: int | None) -> None:
        memory, swap = _memory_files(_folder(group))
        none = "max" if memory.name == "memory.max" else "-1"
        # in this order: memory with swap may never be less than memory alone, and limits are only ever raised here
        if swap.is_file():
            _write(swap, none if swap_limit_bytes is None else str(swap_limit_bytes))
        _write(memory, none if limit_bytes is None else str(limit_bytes))

    def eat(self, group: str, pid: int, tag: str) -> None:
        folder = _folder(group)
        events = folder / ("memory.events" if (folder / "memory.events").is_file() else "memory.oom_control")
        program = [sys.executable, "-I", "-S", str(Path(eater.__file__))]
        whole = [*_WITH_AGENT, *program, str(folder / "cgroup.procs"), str(events), str(pid)]
        self._children.append(subprocess.Popen(whole, env={**os.environ, TAG_VARIABLE: tag}))

    def eaters(self, tag: str) -> Sequence[int]:
        self._children = [child for child in self._children if child.poll() is None]  # also buries the dead
        return list(_with_environment(f"{TAG_VARIABLE}={tag}".encode()))

    def stop_eating(self, tag: str) -> None:
        deadline = time.monotonic() + _GONE_TIMEOUT_S
        while found := self.eaters(tag):
            for pid in found:
                _kill(pid)
            if time.monotonic() > deadline:
                raise PeerError(
                    f"processes {found} with {TAG_VARIABLE}={tag} do not end {_GONE_TIMEOUT_S:g} s after SIGKILL"
                )
            time.sleep(0.002)


def _own_group(container_id: str, pid: int, controller: str) -> str:
    found = cgroups.group_of(pid, controller)
    if found is None:
        raise GuardError(
            f"process {pid} has no control group for {controller}",
            hint=f"is the controller {controller} on in the host's kernel?",
        )
    if container_id not in found.name:
        raise GuardError(f"{found} is no control group of container {container_id[:12]} alone: refused")
    return str(found.relative_to(cgroups.HOST_CGROUPS))


def _folder(group: str) -> Path:
    return cgroups.HOST_CGROUPS / group


def _pass_if_gone(folder: Path, error: OSError) -> None:
    """Pass over errors that mean that the group has been removed; raise all others."""
    if folder.is_dir() and error.errno != errno.ENODEV:
        raise PeerError(f"the control group {folder} can't be read: {error}") from error


def _memory_files(folder: Path) -> tuple[Path, Path]:
    """Where the limits of memory and of swap are; the kernel may not have the latter."""
    if (folder / "memory.max").is_file():
        return folder / "memory.max", folder / "memory.swap.max"
    return folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"


def _memory_of_version_1(folder: Path) -> MemoryLimit:
    swap = folder / "memory.memsw.limit_in_bytes"
    idle = int(_keyed(folder / "memory.stat")["total_inactive_file"])
    return MemoryLimit(
        limit_bytes=_none_if_huge(_read(folder / "memory.limit_in_bytes")),
        swap_limit_bytes=_none_if_huge(_read(swap)) if swap.is_file() else None,
        used_bytes=max(0, int(_read(folder / "memory.usage_in_bytes")) - idle),
        oom_kills=int(_keyed(folder / "memory.oom_control")["oom_kill"]),
    )


def _memory_of_version_2(folder: Path) -> MemoryLimit:
    swap = folder / "memory.swap.max"
    idle = int(_keyed(folder / "memory.stat")["inactive_file"])
    return MemoryLimit(
        limit_bytes=_none_if_huge(_read(folder / "memory.max")),
        swap_limit_bytes=_none_if_huge(_read(swap)) if swap.is_file() else None,
        used_bytes=max(0, int(_read(folder / "memory.current")) - idle),
        oom_kills=int(_keyed(folder / "memory.events")["oom_kill"]),
    )


def _none_if_huge(word: str) -> int | None:
    return None if word == "max" or int(word) >= _NO_LIMIT_BYTES else int(word)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _keyed(path: Path) -> dict[str, str]:
    """A file of lines `key value`."""
    return dict(line.split(None, 1) for line in _read(path).splitlines())


def _write(path: Path, text: str) -> None:
    """Into a file of a control group; one that is gone is fine."""
    try:
        # without O_CREAT: a group's files exist or the group does not
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    except FileNotFoundError:
        return
    try:
        os.write(fd, text.encode())
    except OSError as error:
        if error.errno in {errno.ENODEV, errno.ESRCH}:
            return  # removed at this very moment
        raise PeerError(
            f"the kernel refused {text} in {path}: {error.strerror}",
            hint="more memory than that is in use and can't be taken back" if error.errno == errno.EBUSY else "",
        ) from error
    finally:
        os.close(fd)


def _with_environment(entry: bytes) -> Iterator[int]:
    """Living processes of the agent's own PID namespace with that entry in their environment."""
    namespace = Path("/proc/self/ns/pid").readlink()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # a dead one that nobody has buried has an empty environment
            if entry in (folder / "environ").read_bytes().split(b"\0") and (folder / "ns/pid").readlink() == namespace:
                yield int(folder.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is marked so that nobody may look: then it is not ours


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended at this very moment
