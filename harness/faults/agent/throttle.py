"""Limits on what a control group reads from and writes to one device, in version 1 or 2 of control groups."""

from __future__ import annotations

from pathlib import Path

from harness.faults.agent.cgroups import is_version_2
from harness.faults.host import GuardError
from harness.faults.host.volumes import Limit

__all__ = ["limit_of", "set_limit"]


def set_limit(group: Path, device: str, limit: Limit) -> None:
    """`device` is `major:minor`. `Limit()` removes the rule. Raises `GuardError` where the host does not have it."""
    if is_version_2():
        bps, iops = limit.kb_per_s * 1024 or "max", limit.iops or "max"
        _write(group / "io.max", f"{device} rbps={bps} wbps={bps} riops={iops} wiops={iops}")
        return
    for way in ("read", "write"):
        _write(group / f"blkio.throttle.{way}_bps_device", f"{device} {limit.kb_per_s * 1024}")
        _write(group / f"blkio.throttle.{way}_iops_device", f"{device} {limit.iops}")


def limit_of(group: Path, device: str) -> Limit:
    """What the kernel has for writing; nothing if the group is gone."""
    if is_version_2():
        for line in _lines(group / "io.max"):
            if line.startswith(f"{device} "):
                rule = dict(word.split("=") for word in line.split()[1:])
                iops, bps = (0 if rule[key] == "max" else int(rule[key]) for key in ("wiops", "wbps"))
                return Limit(iops, bps // 1024)
        return Limit()
    bps, iops = (_value(group / f"blkio.throttle.write_{what}_device", device) for what in ("bps", "iops"))
    return Limit(iops, bps // 1024)


def _value(path: Path, device: str) -> int:
    return next((int(line.split()[1]) for line in _lines(path) if line.split()[0] == device), 0)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []


def _write(path: Path, rule: str) -> None:
    if not path.is_file():
        raise GuardError(
            f"{path} is not there, so the disk can't be made slow",
            hint="the host's kernel needs BLK_DEV_THROTTLING, and its control groups the controller blkio or io",
        )
    path.write_text(rule, encoding="ascii")
