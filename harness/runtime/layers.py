"""What differs on a container's disk from its image: read from its layer where it is at hand, else asked of the engine.

The engine walks both trees whole, which takes it seconds for an image of many files. The container's own layer holds
the differences and nothing else (Linux, Documentation/filesystems/overlayfs.rst: a removed path is a character device
0/0, a folder in place of a removed one is opaque), but only root on the engine's machine can read it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker

from harness.core.drift import Change, ChangeKind

__all__ = ["disk_changes", "layer_changes"]

#: As the engine numbers them in its list of differences.
_KINDS = (ChangeKind.MODIFIED, ChangeKind.ADDED, ChangeKind.REMOVED)
_OVERLAY = ("trusted.overlay.", "user.overlay.")
#: A layer with these refers to other places of its lower layers; engines switch both off for containers.
_REFERRING = ("redirect", "metacopy")


def disk_changes(client: docker.DockerClient, attrs: Mapping[str, Any]) -> list[Change]:
    """The paths of a container (`attrs` are its inspection) that differ from its image. Raises `APIError` where the
    engine can't tell."""
    driver = attrs.get("GraphDriver") or {}
    data = driver.get("Data") or {}
    upper = data.get("UpperDir", "")
    if driver.get("Name") == "overlay2" and upper and os.access(upper, os.R_OK | os.X_OK):
        found = layer_changes(upper, data["LowerDir"].split(":"))
        if found is not None:
            return found
    return [Change(one["Path"], _KINDS[one["Kind"]]) for one in client.api.diff(attrs["Id"]) or []]


def layer_changes(upper: str, lowers: Sequence[str]) -> list[Change] | None:
    """What a layer changes of those below it, of which the first is on top; None where the layer alone can't tell."""
    found: list[Change] = []
    for folder, folders, files in os.walk(upper, onerror=_fail):
        inside = folder.removeprefix(upper)
        if folder != upper and _is_opaque(folder):
            kept = {*folders, *files}
            found += [
                Change(path, ChangeKind.REMOVED)
                for name in _names(inside, lowers)
                if name not in kept and _is_in(path := f"{inside}/{name}", lowers)
            ]
        for name in (*folders, *files):
            path = f"{inside}/{name}"
            if any(_has(upper + path, word) for word in _REFERRING):
                return None
            if _is_whiteout(upper + path):
                kind = ChangeKind.REMOVED
            else:
                kind = ChangeKind.MODIFIED if _is_in(path, lowers) else ChangeKind.ADDED
            found.append(Change(path, kind))
    return sorted(found, key=lambda change: change.path)


def _is_in(path: str, lowers: Sequence[str]) -> bool:
    for lower in lowers:
        if os.path.lexists(lower + path):
            return not _is_whiteout(lower + path)
        if any(_is_whiteout(lower + parent) or _is_opaque(lower + parent) for parent in _parents(path)):
            return False  # this layer hides what those below it have there
    return False


def _is_whiteout(path: str) -> bool:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: str) -> bool:
    return _has(path, "opaque")


def _has(path: str, word: str) -> bool:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(f"{prefix}{word}" in names for prefix in _OVERLAY)


def _names(folder: str, lowers: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for lower in lowers:
        below = Path(lower + folder)
        if below.is_dir() and not below.is_symlink():
            seen.update(entry.name for entry in below.iterdir())
    yield from sorted(seen)


def _parents(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) not in ("", "/"):
        yield path


def _fail(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # the container runs: a folder may go at this moment
        raise error
