"""Where the control groups of containers are, in version 1 or 2 of control groups."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HOST_CGROUPS", "frozen", "group_of", "is_version_2"]

#: Where the runtime mounts the host's control groups.
HOST_CGROUPS = Path("/host/sys/fs/cgroup")


def is_version_2() -> bool:
    """Whether the host has the unified hierarchy alone."""
    return (HOST_CGROUPS / "cgroup.controllers").is_file()


def group_of(pid: int, controller: str) -> Path | None:
    """The folder of the control group that limits `controller` (`cpu`, `memory`, `blkio`, `freezer`) for a process;
    None if the process is gone or the host does not have the controller."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controller in controllers.split(","):
            # the hierarchy may be mounted under the name of all its controllers or of one
            mounted = [HOST_CGROUPS / name for name in (controllers, controller) if (HOST_CGROUPS / name).is_dir()]
            return mounted[0] / path.lstrip("/") if mounted else None
    unified = next((path for number, _, path in (line.split(":", 2) for line in lines) if number == "0"), None)
    return HOST_CGROUPS / unified.lstrip("/") if unified is not None and is_version_2() else None


def frozen(pid: int) -> bool:
    """Whether the kernel has frozen the control group of a process."""
    group = group_of(pid, "freezer")
    if group is None:
        return False
    state, events = group / "freezer.state", group / "cgroup.events"
    if state.is_file():
        return state.read_text(encoding="ascii").strip() == "FROZEN"
    return events.is_file() and "frozen 1" in events.read_text(encoding="ascii").splitlines()
